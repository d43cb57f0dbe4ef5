# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=busybox
# What the kernel itself has found, after the tests. Sourced, never run.

KMEMLEAK=/sys/kernel/debug/kmemleak
KCSAN=/sys/kernel/debug/kcsan

# What looks for faults in this kernel, as rig/vm says: a result each. A shipped kernel has nothing.
CHECKERS=$(echo "$CHECKERS" | tr , ' ')

# How many results debug_results gives.
DEBUG_RESULTS=$(echo "$CHECKERS" | wc -w)

KUNIT=/sys/kernel/debug/kunit

# The suites of the kernel itself; they run when it boots and are not what is tested here.
ls $KUNIT >/tmp/suites 2>/dev/null

# The KUnit suites of the driver, which run when it is loaded.
kunit_suites() {
	local suite
	for suite in "$KUNIT"/*; do
		[ ! -d "$suite" ] || grep -qxF "${suite##*/}" /tmp/suites || echo "${suite##*/}"
	done
}

# Everything that the tests allocated should be free, and without the driver what only it refers to is
# lost, too. Nothing of it can be named any more then; with it still there, it takes half a minute more.
# Lists what is lost: by the second scan, what was only on its way somewhere has arrived. Nothing that is
# younger than 5 seconds is reported.
find_leaks() {
	unbind_all && rmmod "$DRIVER" && sleep 6 &&
		echo scan >$KMEMLEAK && sleep 1 && echo scan >$KMEMLEAK && cat $KMEMLEAK
}

# It turns itself off with its first report, and after an overflow.
lockdep_result() {
	if grep -q 'debug_locks: *1$' /proc/lockdep_stats; then
		# contract: rig.checkers
		ktap_result ok lockdep_is_still_on
	else
		ktap_result 'not ok' lockdep_is_still_on
	fi
}

kmemleak_result() {
	if find_leaks >/tmp/leaks 2>&1 && [ ! -s /tmp/leaks ]; then
		# contract: rig.checkers
		ktap_result ok kmemleak_finds_nothing
	else
		head -n 200 /tmp/leaks | sed 's/^/# /'
		ktap_result 'not ok' kmemleak_finds_nothing
	fi
}

# What it has found is in the log. Without watchpoints it looked for nothing.
kcsan_result() {
	if grep -qx 'enabled: 1' $KCSAN && grep -qx 'setup_watchpoints: [1-9][0-9]*' $KCSAN; then
		# contract: rig.checkers
		ktap_result ok kcsan_is_still_on
	else
		sed 's/^/# /' $KCSAN
		ktap_result 'not ok' kcsan_is_still_on
	fi
}

# The results of what looks for faults all the time.
debug_results() {
	local checker
	for checker in $CHECKERS; do
		"${checker}_result"
	done
}

# The result that the kernel is not tainted for other reasons than are known, and the bits $1.
taint_result() {
	local known taint
	# A module from outside the tree.
	known=$((4096 | $1))
	# A module without a signature; one that is built here asks for none.
	[ "$RECIPE" != shipped ] || known=$((known | 8192))
	# A kernel that ran unit tests.
	[ ! -d $KUNIT ] || known=$((known | 262144))

	taint=$(cat /proc/sys/kernel/tainted)
	if [ "$taint" = "$known" ]; then
		# contract: rig.taint
		ktap_result ok kernel_is_not_tainted_otherwise
	else
		ktap_result 'not ok' kernel_is_not_tainted_otherwise "tainted is $taint, not $known"
	fi
}
