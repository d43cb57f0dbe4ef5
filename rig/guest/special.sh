# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=busybox
# Jobs for special machines, with programs of their own: those in /selftests whose names begin with
# the job's name. Sourced after lib.sh, never run.

# shellcheck source=ktap.sh
. /ktap.sh
# shellcheck source=debug.sh
. /debug.sh

# Runs the whole job $1. $2 is the taint that the machine causes; "$3"... must succeed after the
# driver has bound the devices.
special_job() {
	local name=$1 taint=$2 selftests program device
	shift 2
	selftests=$(selected_programs /selftests/"$name"*)

	# The driver, the programs, the debug kernel's checks, the taint.
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
