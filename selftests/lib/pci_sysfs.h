/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PCI devices as sysfs shows them: driver binding, BARs, IOMMU groups.
 *
 * A device is named by its address, for example 0000:01:00.0. Functions that return int give 0 (or
 * what they say) on success and a negative errno on failure.
 */
#ifndef PCI_SYSFS_H
#define PCI_SYSFS_H

#include <stddef.h>
#include <stdint.h>

#include "pci.h"

/** struct pci_bar - where a BAR is in physical memory; @size is 0 for a BAR that is not there */
struct pci_bar {
	uint64_t start;
	uint64_t size;
	uint64_t flags;
};

/** pci_driver() - writes the name of the bound driver, or "" when there is none */
int pci_driver(const char *bdf, char name[PCI_NAME_LEN]);

/** pci_bind() - makes @driver the device's driver, unbinding another one first */
int pci_bind(const char *bdf, const char *driver);

/** pci_unbind() - leaves the device without a driver */
int pci_unbind(const char *bdf);

/** pci_bar() - fills in what sysfs says about BAR @index */
int pci_bar(const char *bdf, unsigned int index, struct pci_bar *bar);

/** pci_iommu_group() - the number of the device's IOMMU group */
int pci_iommu_group(const char *bdf);

/** pci_set_vfs() - enables @count virtual functions of the device, or disables them (0) */
int pci_set_vfs(const char *bdf, unsigned int count);

/** pci_vf() - writes the address of virtual function @index of the device */
int pci_vf(const char *bdf, unsigned int index, char name[PCI_NAME_LEN]);

/** pci_port() - writes the address of the port or bridge that the device is behind */
int pci_port(const char *bdf, char name[PCI_NAME_LEN]);

/**
 * pci_reset() - has the kernel reset the device, as an administrator would
 *
 * @method is one of the names in its reset_method, or NULL for the first of them.
 */
int pci_reset(const char *bdf, const char *method);

/** pci_reset_subordinate() - has the kernel reset all that is behind the device's port */
int pci_reset_subordinate(const char *bdf);

/** pci_remove() - has the kernel forget the device; waits until nobody has it */
int pci_remove(const char *bdf);

/** pci_slot() - writes the name of the slot that the device is in, or returns -ENOENT */
int pci_slot(const char *bdf, char name[PCI_NAME_LEN]);

/** pci_slot_off() - switches the device's slot off, with the same wait */
int pci_slot_off(const char *bdf);

/** pci_rescan() - has the kernel look for devices that it does not know */
int pci_rescan(void);

/** pci_map_resource() - maps @size bytes of sysfs's resourceN or (@suffix "_wc") resourceN_wc */
void *pci_map_resource(const char *bdf, unsigned int index, const char *suffix, uint64_t offset,
		       size_t size);

#endif /* PCI_SYSFS_H */
