/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PCI devices as sysfs shows them: driver binding, BARs, IOMMU groups.
 *
 * A device is named by its address, for example 0000:01:00.0. Functions that return int return 0
 * (or the documented value) on success and a negative errno on failure.
 */
#ifndef PCI_SYSFS_H
#define PCI_SYSFS_H

#include <stddef.h>
#include <stdint.h>

#include "pci.h"

/** struct pci_bar - the physical address of a BAR; @size is 0 if the BAR does not exist */
struct pci_bar {
	uint64_t start;
	uint64_t size;
	uint64_t flags;
};

/** pci_driver() - writes the name of the bound driver, or "" if there is none */
int pci_driver(const char *bdf, char name[PCI_NAME_LEN]);

/** pci_bind() - binds the device to @driver, after unbinding it from another one */
int pci_bind(const char *bdf, const char *driver);

/** pci_unbind() - leaves the device without a driver */
int pci_unbind(const char *bdf);

/** pci_bar() - fills in the physical address of BAR @index from sysfs */
int pci_bar(const char *bdf, unsigned int index, struct pci_bar *bar);

/** struct pci_header - the first 64 bytes of a device's configuration space */
struct pci_header {
	uint32_t words[16];
};

/** pci_header() - reads the header of the device's configuration space */
int pci_header(const char *bdf, struct pci_header *header);

/** pci_iommu_group() - the number of the device's IOMMU group */
int pci_iommu_group(const char *bdf);

/** pci_set_vfs() - enables @count virtual functions of the device, or disables them (0) */
int pci_set_vfs(const char *bdf, unsigned int count);

/** pci_vf() - writes the address of virtual function @index of the device */
int pci_vf(const char *bdf, unsigned int index, char name[PCI_NAME_LEN]);

/** pci_port() - writes the address of the port or bridge that the device is behind */
int pci_port(const char *bdf, char name[PCI_NAME_LEN]);

/**
 * pci_reset() - makes the kernel reset the device, as an administrator would
 *
 * @method is a name in its reset_method, or NULL for the first one.
 */
int pci_reset(const char *bdf, const char *method);

/** pci_reset_subordinate() - makes the kernel reset all devices behind the device's port */
int pci_reset_subordinate(const char *bdf);

/** pci_remove() - removes the device; waits until no process has it open */
int pci_remove(const char *bdf);

/** pci_slot() - writes the name of the device's slot, or returns -ENOENT */
int pci_slot(const char *bdf, char name[PCI_NAME_LEN]);

/** pci_slot_off() - powers the device's slot off; waits in the same way */
int pci_slot_off(const char *bdf);

/** pci_rescan() - makes the kernel look for new devices */
int pci_rescan(void);

/**
 * pci_map_resource() - maps @size bytes of resourceN in sysfs or, with @suffix "_wc", resourceN_wc
 */
void *pci_map_resource(const char *bdf, unsigned int index, const char *suffix, uint64_t offset,
		       size_t size);

#endif /* PCI_SYSFS_H */
