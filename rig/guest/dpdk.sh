# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=busybox disable=SC2317 # test_that calls functions by their names
# Common code of the jobs that run dpdk-testpmd (rig/vm --dpdk). Sourced, never run.

# The driver's name, for /lib.sh.
export DRIVER=vfio-pci

# shellcheck source=lib.sh
. /lib.sh
# shellcheck source=ktap.sh
. /ktap.sh
# shellcheck source=debug.sh
. /debug.sh

export PATH="$PATH:/usr/bin"

# Each test forwards for three times this number of seconds. A packet that is lost, as can happen on
# any Ethernet, no longer circulates; when all are lost, nothing is forwarded until the next start.
# Then the minimum number of packets that a port must send and receive.
SECONDS_LONG=$((2 * ${SLOWER:-1}))
LEAST=1000

# The types in the page tables.
STRICT=UC- WC=WC
[ "$ARCH" = x86_64 ] || STRICT=Device-nGnRnE WC=Normal-NC

# The two connected devices of this vendor and device: the last ones.
pair() { devices_of "$1" "$2" | tail -n 2; }

IGB=$(pair 0x8086 0x10c9)
VIRTIO=$(pair 0x1af4 0x1041)

# The requirements of testpmd: directories of drivers that only root can write, huge pages, a
# directory for its files.
prepare() {
	chmod 755 / /usr /usr/lib /usr/lib/*-linux-gnu 2>/dev/null
	mkdir -p /dev/hugepages /var/run
	echo 128 >/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
	mount -t hugetlbfs none /dev/hugepages
}

# The names of the files of a running testpmd; more options of EAL, and of testpmd itself.
instance=testpmd eal='' options=''

# Waits until testpmd has prompted for its command number $1. Other output it may keep in a buffer.
prompted() {
	local left=$((60 * ${SLOWER:-1}))
	until [ "$(grep -o 'testpmd>' "/tmp/$instance" | wc -l)" -ge "$1" ]; do
		[ "$left" -gt 0 ] && kill -0 "$testpmd" 2>/dev/null || return
		sleep 1
		left=$((left - 1))
	done
}

# Has testpmd execute the command $1.
tell() {
	local next
	next=$(($(grep -o 'testpmd>' "/tmp/$instance" | wc -l) + 1))
	echo "$1" >&7
	prompted "$next"
}

# Starts testpmd on the devices $1, by the command that the other arguments begin, and waits until
# it takes commands.
launch() {
	local devices=$1 allow='' dev
	shift
	for dev in $devices; do
		bind "$dev" vfio-pci || return
		allow="$allow -a $dev"
	done
	[ -e "/tmp/$instance.commands" ] || mkfifo "/tmp/$instance.commands"
	# shellcheck disable=SC2086 # one word for each
	"$@" dpdk-testpmd --no-telemetry -l 0-1 -m 128 $eal $allow -- -i --forward-mode=io \
		--port-topology=paired --nb-cores=1 --total-num-mbufs=8192 $options \
		<"/tmp/$instance.commands" >"/tmp/$instance" 2>&1 &
	testpmd=$!
	exec 7>"/tmp/$instance.commands"
	prompted 1
}

# testpmd forwards between its devices; its mappings go to /tmp/maps.
circulate() {
	for _ in 1 2 3; do
		tell 'start tx_first'
		sleep "$SECONDS_LONG"
		/tools/vfio_maps "$testpmd" >/tmp/maps 2>&1
		tell stop
	done
	tell 'show port stats all'
}

# Ends testpmd, and has its status.
quit() {
	echo quit >&7
	exec 7>&-
	wait "$testpmd"
}

# Runs testpmd on the devices $1, by the command that the other arguments begin.
forward() {
	rm -f /tmp/maps
	if launch "$@"; then
		circulate
	fi
	quit
}

# Whether each port sent and received enough packets without errors, by the counters that testpmd
# has printed. Prints these and the mappings.
counted() {
	grep '^vfio-wc: ' "/tmp/$instance"
	cat /tmp/maps
	awk -v least="$LEAST" '
		/NIC statistics for port/ { ports++; reading = 1 }
		reading && /(RX|TX)-packets:/ { print; counts++; bad += $2 < least }
		reading && /(RX|TX)-errors:/ { for (i = 1; i < NF; i++) if ($i ~ /-errors:$/) bad += $(i + 1) != 0 }
		END { exit ports != 2 || counts != 4 || bad != 0 }' "/tmp/$instance" || {
		tail -n 60 "/tmp/$instance"
		return 1
	}
}

# Whether testpmd succeeded, and the ports sent and received.
forwarded() {
	forward "$@" || {
		cat "/tmp/$instance"
		return 1
	}
	counted
}

# Whether only the BAR $1 of two devices is write-combining in testpmd, and as a whole.
only_write_combining() {
	[ "$(grep -c "^region $1 .* type $WC\$" /tmp/maps)" = 2 ] &&
		! grep "^region $1 " /tmp/maps | grep -v "type $WC\$" &&
		! grep -v "^region $1 " /tmp/maps | grep "type $WC\$"
}

# All memory of the devices $1 is strict.
uncached() {
	forwarded "$1" && ! grep -v "type \($STRICT\|none\)\$" /tmp/maps && grep -q "type $STRICT\$" /tmp/maps
}

# Puts the drop-in into the place of the kernel's vfio-pci.
drop_in() { unbind_all && rmmod vfio-pci && insmod /modules/dropin/vfio-pci.ko; }

# Prints the last result, and ends the job.
end_job() {
	taint_result 0
	exit "$ktap_failed"
}

# Bursts that testpmd sends by each port when its work is counted; each has 32 packets.
BURSTS=16

# Counts the writes of testpmd on IGB, by the command that the other arguments begin, and prints them
# under the name $1 (rig/vm --trace). Each port sends all of its packets, for which the other one's
# ring has room, and then takes those of the other, so that the work is the same each time.
# Interrupts for the link would come at any time.
counted_writes() {
	local title=$1 result=0
	shift
	options='--rxd=1024 --txd=1024 --no-lsc-interrupt' launch "$IGB" "$@" && tell 'set fwd rxonly' || return
	/tools/wctrace_run --begin "$(echo "$IGB" | xargs | tr ' ' ,)" || return
	tell "start tx_first $BURSTS" && sleep "$SECONDS_LONG" && tell stop || result=1
	/tools/wctrace_run --end "$title"
	quit && [ "$result" = 0 ]
}

# With registers in strict and in write-combining memory.
testpmd_strict() { counted_writes 'testpmd, registers strict'; }
testpmd_wc() {
	counted_writes 'testpmd, registers WC' /tools/vfio-wc --bar "${IGB%%[!0-9a-f:.]*}=0" \
		--bar "${IGB##*[!0-9a-f:.]}=0" --
}
