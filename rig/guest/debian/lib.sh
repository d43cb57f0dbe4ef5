# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034 # the jobs use the variables
# Common code of jobs in the Debian system (rig/vm --debian), which bash runs as root. Sourced, never run.

# shellcheck source=../lib.sh
. /run/rig/lib.sh
# shellcheck source=../ktap.sh
. /run/rig/ktap.sh

DEBS=/run/rig/extra
STATE=/rig-state
RELEASE=$(uname -r)
export DEBIAN_FRONTEND=noninteractive HOME=/root

# Begins the results, or goes on with them in the next boot: $1 results in all, whose names begin with $2.
begin_results() {
	if [ "$BOOTS" = 1 ]; then
		ktap_plan "$1" "$2"
	else
		ktap_about=$2 ktap_skip=
		read -r ktap_number ktap_failed <$STATE || exit
	fi
}

# The job runs once in each boot. The tests above start_again are for the first one, those below it for the
# next.
eval "$(declare -f test_that | sed '1s/test_that/do_test/')"
boot=1
test_that() { [ "$BOOTS" != "$boot" ] || do_test "$@"; }

start_again() {
	if [ "$BOOTS" = "$boot" ]; then
		echo "$ktap_number $ktap_failed" >$STATE
		exit 99
	fi
	boot=$((boot + 1))
}

# The system has everything that is installed, so apt downloads nothing.
apt() { apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 -o Acquire::http::Proxy=http://0.0.0.0:9 "$@"; }

# Installs the packages of the version $1 (first or second) whose names begin with the other arguments.
install_debs() {
	local dir=$DEBS/$1 name files=()
	shift
	for name; do
		files+=("$dir/$name"_*.deb)
	done
	apt install "${files[@]}"
}

# Prints the file that modprobe loads for the module $1 in the kernel $2.
file_of() { modprobe --set-version "$2" --show-depends "$1" | awk '$1 == "insmod" { file = $2 } END { print file }'; }

# Prints the group file of the device $1.
group_file() { echo "/dev/vfio/$(basename "$(readlink "/sys/bus/pci/devices/$1/iommu_group")")"; }

# Prints what the unit $1 has said since the machine started.
said_by() {
	journalctl --sync
	journalctl -b -u "$1" -o cat
}

# Whether "$2"... fails with the text $1 in its output.
fails_saying() {
	local text=$1 said
	shift
	! said=$("$@" 2>&1) || return
	echo "$said"
	grep -qF -- "$text" <<<"$said"
}

# Whether the sample gets a write-combining subregion of the device $1, by the page tables.
gives_wc() {
	local type=WC
	[ "$ARCH" = x86_64 ] || type=Normal-NC
	[ -d /sys/module/pte_oracle ] || insmod /run/rig/modules/pte_oracle.ko || return
	/run/rig/samples/wc_ring --oracle "$1" | tee /tmp/wc
	grep -q "^[0-9]* .* WC  *$type  *$type " /tmp/wc
}

# Whether the device $1 has the driver $2.
has_driver() {
	local driver
	driver=$(driver_of "$1")
	echo "$1 has the driver ${driver:-(none)}"
	[ "$driver" = "$2" ]
}
