# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=busybox
# The kernel's own checks after the tests. Sourced, never run.

KMEMLEAK=/sys/kernel/debug/kmemleak
KCSAN=/sys/kernel/debug/kcsan

# The checkers of this kernel, from rig/vm; each has a result. A shipped kernel has none.
CHECKERS=$(echo "$CHECKERS" | tr , ' ')

# The number of results of debug_results.
DEBUG_RESULTS=$(echo "$CHECKERS" | wc -w)

KUNIT=/sys/kernel/debug/kunit

# The KUnit suites of the kernel itself run at boot, and are not under test here.
ls $KUNIT >/tmp/suites 2>/dev/null

# The KUnit suites of the driver run when it is loaded.
kunit_suites() {
	local suite
	for suite in "$KUNIT"/*; do
		[ ! -d "$suite" ] || grep -qxF "${suite##*/}" /tmp/suites || echo "${suite##*/}"
	done
}

# The tests have freed all of their memory. The driver is unloaded, so that memory which only it
# refers to is lost as well; a scan with the driver loaded would also take half a minute longer.
# Unloading removes the names of its functions from reports. The second scan finds no memory that
# the first one met on its way. kmemleak reports nothing younger than 5 seconds.
find_leaks() {
	unbind_all && rmmod "$DRIVER" && sleep 6 &&
		echo scan >$KMEMLEAK && sleep 1 && echo scan >$KMEMLEAK && cat $KMEMLEAK
}

# lockdep turns itself off with its first report, and on an overflow.
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

# The log contains KCSAN's reports. Without watchpoints it has checked nothing.
kcsan_result() {
	if grep -qx 'enabled: 1' $KCSAN && grep -qx 'setup_watchpoints: [1-9][0-9]*' $KCSAN; then
		# contract: rig.checkers
		ktap_result ok kcsan_is_still_on
	else
		sed 's/^/# /' $KCSAN
		ktap_result 'not ok' kcsan_is_still_on
	fi
}

# The results of checkers that work all the time.
debug_results() {
	local checker
	for checker in $CHECKERS; do
		"${checker}_result"
	done
}

# The result that the kernel is tainted only for known reasons, and for the bits $1.
taint_result() {
	local known taint
	# An out-of-tree module.
	known=$((4096 | $1))
	# An unsigned module; the kernels built here do not check signatures, and rig/vm --secure-boot signs.
	[ "$RECIPE" != shipped ] || [ -n "${SECURE_BOOT-}" ] || known=$((known | 8192))
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
