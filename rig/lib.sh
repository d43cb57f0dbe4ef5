# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Common code of all scripts of the rig: settings, messages, progress, locks. Sourced, never run.

set -euo pipefail

RIG=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP=$(dirname "$RIG")
if [ -z "${SUBREGION_CACHE-}${XDG_CACHE_HOME-}${HOME-}" ]; then
	echo "${0##*/}: error: HOME is not set; set it, or SUBREGION_CACHE to a directory with 20 GB of room" >&2
	exit 1
fi
# shellcheck source=rig/settings
. "$RIG/settings"

# The caller's environment may have another program's name for the architecture.
[ "$ARCH" != aarch64 ] || ARCH=arm64
export ARCH
if [ ! -e "$RIG/arch/$ARCH" ]; then
	printf '%s: error: no such architecture: %s; the architectures are: %s\n' "${0##*/}" "$ARCH" \
		"$(find "$RIG/arch" -type f -printf '%f ')" >&2
	exit 1
fi
# shellcheck source=rig/arch/x86_64
. "$RIG/arch/$ARCH"

# Prints progress on stderr, so that stdout has only the result of a script.
say() { printf '==> %s\n' "$*" >&2; }

# Ends the script with an error message.
die() {
	printf '%s: error: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Makes $1 the kernel of this script and of those that it calls, and sets the variables of its file
# in rig/kernels. $1 may end in a series, as in stock-7.2; KERNEL does for every series but the main
# one. The variables are:
#
#   recipe    the file of rig/kernels/recipe that makes it: shipped, configured or derived; not set if
#             rig/series-check makes it
#   flavour   Debian's name for a shipped kernel
#   base      the kernel that a derived one is made from
#   keep      set if the whole tree is kept, for derived ones
#   configs   the files of rig/kernels/config for a configured one, or for the differences of a derived one
#   patches   the patches for the source, unless it is shipped (patch_file)
#   driver    set if its own tree has the driver
#   slower    the factor for the time limits of programs
#   checkers  its checkers: lockdep, kmemleak, kcsan
#   words     the words for its command line
#   pciehp    set if pciehp is to power the slots of its machine off
use_kernel() {
	local name=$1
	if [[ $1 =~ ^(.+)-([0-9]+\.[0-9]+)$ ]]; then
		name=${BASH_REMATCH[1]} SERIES=${BASH_REMATCH[2]}
	fi
	case " $KERNELS " in
	*" $name "*) ;;
	*) die "no such kernel for $ARCH: $name; the kernels are: $KERNELS" ;;
	esac
	export SERIES KERNEL=$name
	[ "$SERIES" = "$MAIN_SERIES" ] || KERNEL+=-$SERIES
	# The directory of its builds; builds for rig/coverage have another one.
	MADE=$KERNEL${SUBREGION_COVERAGE:+-coverage}
	recipe='' flavour='' base='' keep='' configs='' patches='' driver='' slower=1 checkers='' words='' pciehp=''
	# shellcheck source=rig/kernels/stock
	. "$RIG/kernels/$name"
}

# Prints the file of the patch $1, which is the rig's own, one of upstream/, or the series.
patch_file() {
	local file
	for file in "$RIG/kernels/patch/$1.patch" "$TOP/upstream/$1.patch" "$TOP/build/series/$1.patch"; do
		[ ! -e "$file" ] || echo "$file"
	done
}

# Prints the comment block at the top of the running script: its --help.
usage() { sed -n '/^# Usage/,/^[^#]/{/^#/s/^# \?//p}' "$0"; }

# Prints the path $1 as it is outside the build root, for the user (rig/enter sets OUTSIDE_*).
outside() {
	case $1 in
	/src | /src/*) echo "${OUTSIDE_TOP-/src}${1#/src}" ;;
	/cache | /cache/*) echo "${OUTSIDE_CACHE-/cache}${1#/cache}" ;;
	*) echo "$1" ;;
	esac
}

# Copies stdin to the log file $1 and shows a line of it every few seconds, after the time taken so
# far, even without new lines; a terminal shows one line only.
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

# Runs "$2"... with its output in the log file $1 and its progress on the screen; on failure, shows
# the end of the log. errexit applies inside a function only if the function is not part of a
# condition, so this one runs it outside of any.
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
		die "failed: $*; the whole log is $(outside "$log")"
	fi
	printf '    done in %ds\n' $((SECONDS - start)) >&2
}

# Holds the lock file $1 until this process exits, so that two runs do not build the same files.
lock() {
	mkdir -p "$(dirname "$1")"
	exec {lock_fd}>"$1"
	if ! flock -n "$lock_fd"; then
		say "another run holds ${1##*/}; waiting for it"
		flock "$lock_fd"
	fi
}

# Prints a short key for the contents of stdin. Comments do not count, because a changed comment is no
# reason to build again.
key() { sed '/^[[:space:]]*#/{/# CONFIG_/!d}' | sha256sum | cut -c1-12; }
