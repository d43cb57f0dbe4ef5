# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=busybox
# Jobs for a machine that is unlike the others, and so has programs of its own: those in /selftests
# whose names begin with the job's. Sourced, never run, after lib.sh.

# shellcheck source=ktap.sh
. /ktap.sh
# shellcheck source=debug.sh
. /debug.sh

# The whole of the job $1, where $2 is the taint that comes of the machine, and "$3"... succeeds once
# the driver has the devices.
special_job() {
	local name=$1 taint=$2 selftests program device
	shift 2
	selftests=$(selected_programs /selftests/"$name"*)

	# The driver, the programs, what the debug kernel found, the taint.
	ktap_plan $((1 + $(echo "$selftests" | wc -w) + DEBUG_RESULTS + 1))
	if load_and_bind >/tmp/load 2>&1 && "$@" >/tmp/load 2>&1; then
		# contract: rig.devices
		ktap_result ok "${name}_driver_takes_all_devices"
	else
		sed 's/^/# /' /tmp/load
		ktap_result 'not ok' "${name}_driver_takes_all_devices"
	fi
	load_tools
	for program in $selftests; do
		for device in $DEVICES; do
			bind "$device" "$DRIVER" >/dev/null 2>&1
		done
		# shellcheck disable=SC2046 # several arguments
		ktap_program "${program##*/}" "$program" $(selected_arguments "$program")
	done
	debug_results
	taint_result "$taint"
	exit "$ktap_failed"
}
