# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=busybox
# Prints results as KTAP, and the results of test programs as subtests. Sourced, never run. The name
# of each result begins with the architecture and the kernel.

# The time limit of a program, in seconds.
PROGRAM_LIMIT=$((${PROGRAM_LIMIT:-240} * ${SLOWER:-1}))

ktap_number=0
ktap_failed=0

# Begins the output of $1 tests. $2 is the prefix of the names of tests by test_that; $3, if not
# empty, is the reason to skip these.
ktap_plan() {
	ktap_about=${2-}
	ktap_skip=${3-}
	echo 'KTAP version 1'
	echo "1..$1"
}

# Prints one result: $1 (`ok` or `not ok`), the name $2, and the comment $3. The comment of a
# failure is printed before it, because a reader of KTAP ignores it there.
ktap_result() {
	ktap_number=$((ktap_number + 1))
	if [ "$1" = ok ]; then
		echo "ok $ktap_number $ARCH.$KERNEL.$2${3:+ # $3}"
	else
		ktap_failed=1
		[ -z "${3-}" ] || echo "# $3"
		echo "$1 $ktap_number $ARCH.$KERNEL.$2"
	fi
}

# The test $1: passes if "$2"... succeeds. Its output becomes comments.
test_that() {
	local name=${ktap_about}_$1 result=ok
	shift
	if [ "$ktap_skip" ]; then
		ktap_result ok "$name" "SKIP $ktap_skip"
		return
	fi
	"$@" >/tmp/test 2>&1 || result='not ok'
	sed 's/^/# /' /tmp/test
	ktap_result "$result" "$name"
}

# Runs "$3"... for at most $2 seconds and puts its status into $status; $1 is a file for its output,
# or - for stdout. Ends all of its processes, because the harness's tests have process groups of
# their own.
run_limited() {
	local out=$1 limit=$2 name
	shift 2
	name=$(basename "$1")
	if [ "$out" = - ]; then
		timeout -s KILL "$limit" "$@" 2>&1
	else
		timeout -s KILL "$limit" "$@" >"$out" 2>&1
	fi
	status=$?
	if [ $status = 137 ] || [ $status = 143 ]; then
		killall -q -KILL "$name"
	fi
}

# Indents the results that a program prints below the name $1, and makes comments of its other
# output; fails if the output has no plan.
ktap_frame() {
	awk -v name="$ARCH.$KERNEL.$1" '
		/^(K?TAP version|# Subtest:)/ { next }
		/^1\.\.[1-9]/ && !planned {
			planned = 1
			print "    KTAP version 1\n    # Subtest: " name
			print "    " $0
			fflush()
			next
		}
		/^(not )?ok [0-9]/ && planned { print "    " $0; fflush(); next }
		{ sub(/^# ?/, ""); print "    # " $0; fflush() }
		END { exit !planned }'
}

# Runs the test program "$2"..., which prints KTAP, as the test $1.
ktap_program() {
	local name=$1 planned=yes begin
	shift
	begin=$(cut -d . -f 1 /proc/uptime)
	{
		run_limited - "$PROGRAM_LIMIT" "$@"
		echo "$status" >/tmp/status
	} | ktap_frame "$name" || planned=
	status=$(cat /tmp/status)
	echo "# $name took $(($(cut -d . -f 1 /proc/uptime) - begin)) seconds"
	case $status$planned in
	0) ktap_result 'not ok' "$name" 'it planned no tests' ;;
	0yes) ktap_result ok "$name" ;;
	4 | 4yes) ktap_result ok "$name" 'SKIP by the program itself' ;;
	137* | 143*) ktap_result 'not ok' "$name" "killed, or not finished after $PROGRAM_LIMIT seconds" ;;
	*) ktap_result 'not ok' "$name" "exit status $status" ;;
	esac
}

# The selection of rig/check --test: a line for each program of /selftests, with its arguments, and
# a line for each other part of the job `check`.
SELECTION=/extra/selection

# Whether the job must run $1: without a selection it runs everything.
selected() { [ ! -e $SELECTION ] || grep -q "^$1\( \|\$\)" $SELECTION; }

# The programs that the job must run: "$@" without a selection. A selected program that does not
# exist fails when it is run.
selected_programs() {
	if [ -e $SELECTION ]; then
		cut -d ' ' -f 1 $SELECTION | grep -vxE 'vmm|kunit' | sed 's|^|/selftests/|'
	else
		printf '%s\n' "$@"
	fi
}

# The arguments of the program $1 in the selection.
selected_arguments() { sed -n "s/^${1##*/} //p" $SELECTION 2>/dev/null; }

# Reports the results of the KUnit suite $1, which ran when its module was loaded, as one test.
ktap_kunit() {
	local results=$KUNIT/$1/results
	sed -n 's/^    //p' "$results" | ktap_frame "kunit_$1"
	if grep -q '^ok ' "$results" && ! grep -q 'not ok ' "$results"; then
		# contract: rules.kunit
		ktap_result ok "kunit_$1"
	else
		ktap_result 'not ok' "kunit_$1"
	fi
}

# The programs in the directory $1.
programs() {
	local program
	for program in "$1"/*; do
		[ -x "$program" ] && echo "$program"
	done
}
