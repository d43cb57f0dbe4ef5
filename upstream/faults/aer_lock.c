// SPDX-License-Identifier: GPL-2.0-only
/*
 * aer_lock BDF - injects a correctable error into a device and reads its configuration space
 *
 * Needs CONFIG_PCIEAER_INJECT, and the AER driver on the root port (pcie_ports=native if the
 * firmware keeps AER). While the injector is loaded, it handles the accesses to the bus.
 *
 * The fault appears in the log of a kernel with CONFIG_PROVE_LOCKING.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "device.h"
#include "pci.h"

/* struct aer_error_inj of drivers/pci/pcie/aer_inject.c */
struct injection {
	uint8_t bus;
	uint8_t dev;
	uint8_t fn;
	uint32_t uncorrectable;
	uint32_t correctable;
	uint32_t header[4];
	uint32_t domain;
};

int main(int argc, char **argv)
{
	struct injection injection = { .correctable = PCI_ERR_COR_RCVR };
	struct pci_numbers device;
	char path[128], header[64];
	int config, injector = open("/dev/aer_inject", O_WRONLY | O_CLOEXEC);

	if (argc != 2 || pci_numbers(&device, argv[1]))
		return 2;
	if (injector < 0)
		cannot("open /dev/aer_inject");
	injection.domain = device.domain;
	injection.bus = device.bus;
	injection.dev = device.slot;
	injection.fn = device.function;
	if (write(injector, &injection, sizeof(injection)) != sizeof(injection))
		cannot("inject an error");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", argv[1]);
	config = open(path, O_RDONLY | O_CLOEXEC);
	if (pread(config, header, sizeof(header), 0) != sizeof(header))
		cannot("read configuration space");
	right("finished; the result is in the kernel log");
}
