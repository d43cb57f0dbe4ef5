# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What every step of the rig shares: settings, messages, progress, locks. Sourced, never run.

set -euo pipefail

RIG=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP=$(dirname "$RIG")
if [ -z "${SUBREGION_CACHE-}${XDG_CACHE_HOME-}${HOME-}" ]; then
	echo "${0##*/}: error: HOME is not set; set it, or SUBREGION_CACHE to a directory with 20 GB of room" >&2
	exit 1
fi
# shellcheck source=rig/settings
. "$RIG/settings"

# The caller's may be another program's name of it.
[ "$ARCH" != aarch64 ] || ARCH=arm64
export ARCH
if [ ! -e "$RIG/arch/$ARCH" ]; then
	printf '%s: error: no such architecture: %s; there are: %s\n' "${0##*/}" "$ARCH" \
		"$(find "$RIG/arch" -type f -printf '%f ')" >&2
	exit 1
fi
# shellcheck source=rig/arch/x86_64
. "$RIG/arch/$ARCH"

# Says what is being done, on stderr, so that a step's stdout stays its result.
say() { printf '==> %s\n' "$*" >&2; }

# Ends the step with a message.
die() {
	printf '%s: error: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Makes $1 the kernel that this step and those which it calls are about, and sets what its file in
# rig/kernels says:
#
#   recipe    the file of rig/kernels/recipe that makes it: shipped, configured or derived
#   flavour   Debian's name of a shipped one
#   base      the kernel that a derived one is made of
#   keep      set if the tree is kept whole, for such
#   configs   the files of rig/kernels/config that a configured one is made of
#   patches   what is applied to the source of one that is not shipped (patch_file)
#   slower    how many times longer a program may take
#   checkers  what looks for faults in it: lockdep, kmemleak, kcsan
#   words     what is put on its command line
use_kernel() {
	case " $KERNELS " in
	*" $1 "*) export KERNEL=$1 ;;
	*) die "no such kernel for $ARCH: $1; there are: $KERNELS" ;;
	esac
	# What is built for it, in another place when it is to tell what runs of it (rig/coverage).
	MADE=$KERNEL${SUBREGION_COVERAGE:+-coverage}
	recipe='' flavour='' base='' keep='' configs='' patches='' slower=1 checkers='' words=''
	# shellcheck source=rig/kernels/stock
	. "$RIG/kernels/$1"
}

# The file of the patch $1, which is the rig's own or one that is meant for Linux.
patch_file() {
	local file
	for file in "$RIG/kernels/patch/$1.patch" "$TOP/upstream/$1.patch"; do
		[ ! -e "$file" ] || echo "$file"
	done
}

# Prints the comment block at the top of the running script: its --help.
usage() { sed -n '/^# Usage/,/^[^#]/{/^#/s/^# \?//p}' "$0"; }

# Prints the path $1 as it is outside of the build root, where the reader is (rig/enter sets OUTSIDE_*).
outside() {
	case $1 in
	/src | /src/*) echo "${OUTSIDE_TOP-/src}${1#/src}" ;;
	/cache | /cache/*) echo "${OUTSIDE_CACHE-/cache}${1#/cache}" ;;
	*) echo "$1" ;;
	esac
}

# Copies stdin to the log file $1 and shows a line of it every few seconds, headed by the time
# taken so far, even while no line comes; on a terminal that line is rewritten in place.
progress() {
	local log=$1 line='' rest='' part start=$SECONDS shown=-9 status=0
	while [ "$status" = 0 ] || [ "$status" -gt 128 ]; do
		part=
		status=0
		IFS= read -r -t 1 part || status=$?
		rest+=$part
		if [ "$status" = 0 ] || { [ "$status" -le 128 ] && [ -n "$rest" ]; }; then
			line=$rest rest=
			printf '%s\n' "$line" >>"$log"
		fi
		if [ -t 2 ]; then
			if ((SECONDS > shown)); then
				printf '\r\033[K    %4ds  %.70s' $((SECONDS - start)) "$line" >&2
				shown=$SECONDS
			fi
		elif ((SECONDS >= shown + 10)); then
			printf '    %4ds  %.100s\n' $((SECONDS - start)) "$line" >&2
			shown=$SECONDS
		fi
	done
	if [ -t 2 ]; then printf '\r\033[K' >&2; fi
}

# Runs "$2"... with its output in the log file $1 and its progress on the screen; when it fails,
# shows the end of the log. A function fails with its first command that does, which takes that no
# condition is made of it: errexit is off in one, and cannot be turned on again.
logged() {
	local log=$1 start=$SECONDS status
	shift
	mkdir -p "$(dirname "$log")"
	: >"$log"
	set +e
	(
		set -e
		"$@"
	) 2>&1 </dev/null | progress "$log"
	status=$?
	set -e
	case $status in
	130 | 143) die "interrupted; run it again to go on" ;;
	esac
	if [ "$status" != 0 ]; then
		printf -- '---- the end of %s:\n' "$(outside "$log")" >&2
		tail -n 30 "$log" >&2
		die "failed: $*; all of it is in $(outside "$log")"
	fi
	printf '    done in %ds\n' $((SECONDS - start)) >&2
}

# Holds the lock file $1 until this process ends, so that two runs do not build the same thing.
lock() {
	mkdir -p "$(dirname "$1")"
	exec {lock_fd}>"$1"
	if ! flock -n "$lock_fd"; then
		say "another run holds ${1##*/}; waiting for it"
		flock "$lock_fd"
	fi
}

# Prints a short key for the contents of its standard input. The two SPDX names of a licence give the same
# key, because nothing has to be built again for the other name.
key() { sed '/SPDX-License-/s/-only$//' | sha256sum | cut -c1-12; }
