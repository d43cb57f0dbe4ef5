# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=busybox
# Common code of the guest's jobs: the addresses of devices, and binding. Sourced, never run.

: "${DRIVER:=subregion_vfio_pci}"

# Prints the addresses of the PCI devices of vendor $1 and device $2. The shell reads the files
# itself, because there are many, and a process takes tens of milliseconds on the debug kernel.
devices_of() {
	local dev vendor device
	for dev in /sys/bus/pci/devices/*; do
		read -r vendor <"$dev/vendor"
		read -r device <"$dev/device"
		[ "$vendor $device" != "$1 $2" ] || echo "${dev##*/}"
	done
}

# Prints the address of the first of them whose BAR $3 (counted from 0) has $4 bytes; BAR and size
# are optional.
find_device() {
	local dev
	for dev in $(devices_of "$1" "$2"); do
		[ -z "${3-}" ] || [ "$(stat -c %s "/sys/bus/pci/devices/$dev/resource$3" 2>/dev/null)" = "$4" ] ||
			continue
		echo "$dev"
		return
	done
}

DEV_IVSHMEM=$(find_device 0x1af4 0x1110 2 $((16 << 20)))
DEV_IVSHMEM_BIG=$(find_device 0x1af4 0x1110 2 $((2 << 30)))
DEV_IVSHMEM_HUGE=$(find_device 0x1af4 0x1110 2 $((1 << 41)))
DEV_TESTDEV=$(find_device 0x1b36 0x0005)
DEV_NVME=$(find_device 0x1b36 0x0010)
DEV_IGB=$(find_device 0x8086 0x10c9)
DEV_PAIR_0=$(find_device 0x1af4 0x1110 2 $((8 << 20)))
DEV_PAIR_1=${DEV_PAIR_0%.0}.1
# Absent from a machine that counts instructions.
DEV_MSIX=$(find_device 0x1af4 0x1044)
# Each for one test, which removes it.
DEV_SPARE_0=$(find_device 0x1af4 0x1110 2 $((4 << 20)))
DEV_SPARE_1=$(find_device 0x1af4 0x1110 2 $((32 << 20)))
DEV_SPARE_2=$(find_device 0x1af4 0x1110 2 $((64 << 20)))
DEV_SPARE_3=$(find_device 0x1af4 0x1110 2 $((256 << 20)))
export DEV_IVSHMEM DEV_IVSHMEM_BIG DEV_IVSHMEM_HUGE DEV_TESTDEV DEV_NVME DEV_IGB DEV_PAIR_0 DEV_PAIR_1
export DEV_MSIX DEV_SPARE_0 DEV_SPARE_1 DEV_SPARE_2 DEV_SPARE_3
# A driver that can use a part of a BAR.
export RAMOOPS=/modules/ramoops.ko
DEVICES="$DEV_IVSHMEM $DEV_IVSHMEM_BIG $DEV_TESTDEV $DEV_NVME $DEV_IGB $DEV_PAIR_0 $DEV_PAIR_1 $DEV_MSIX"

# Prints the name of the driver of the device $1, if any.
driver_of() { readlink "/sys/bus/pci/devices/$1/driver" | sed 's|.*/||'; }

# Unbinds the device $1 from its driver and binds it to the driver $2.
bind() {
	local dev=/sys/bus/pci/devices/$1
	echo "$2" >"$dev/driver_override" || return
	[ "$(driver_of "$1")" != "$2" ] || return 0
	[ ! -e "$dev/driver" ] || echo "$1" >"$dev/driver/unbind"
	echo "$1" >/sys/bus/pci/drivers_probe || return
	[ "$(driver_of "$1")" = "$2" ] || {
		echo "$2 did not bind $1"
		return 1
	}
}

# Unbinds all devices from the driver under test.
unbind_all() {
	local dev
	for dev in "/sys/bus/pci/drivers/$DRIVER"/*:*; do
		[ -e "$dev" ] || continue
		echo >"$dev/driver_override"
		echo "${dev##*/}" >"/sys/bus/pci/drivers/$DRIVER/unbind" || return
	done
}

# Loads the driver under test, with virtual functions enabled.
load_driver() {
	[ -d "/sys/module/$(echo "$DRIVER" | tr - _)" ] || insmod "/modules/$DRIVER.ko" enable_sriov=1
}

# Loads modules that some tests need; of KVM's modules, only those for this CPU load.
load_tools() {
	local module
	[ ! -e /modules/tools ] || while read -r module; do
		[ -d "/sys/module/$(echo "${module%.ko}" | tr - _)" ] || insmod "/modules/$module" 2>/dev/null
	done </modules/tools
}

# Binds all devices to the driver under test.
load_and_bind() {
	local device
	load_driver || return
	for device in $DEVICES; do
		bind "$device" "$DRIVER" || return
	done
}

# Whether the sample gets a write-combining subregion, which the kernel's vfio-pci does not support, from
# the driver $1.
wc_with() {
	bind "$DEV_IVSHMEM" "$1" || return
	/samples/wc_ring --oracle "$DEV_IVSHMEM" >/tmp/wc
	cat /tmp/wc
	grep -q '^[0-9]* .* WC  *WC  *WC ' /tmp/wc
}
