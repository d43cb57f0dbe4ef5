/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The addresses of PCI devices, and the links that sysfs has for a device.
 *
 * Functions return 0 on success and a negative errno on failure.
 */
#ifndef PCI_H
#define PCI_H

#include <stddef.h>

#define PCI_BUS		"/sys/bus/pci"
#define PCI_ADDRESS_LEN	32
#define PCI_NAME_LEN	64

/**
 * pci_address() - reads the address of a PCI device
 *
 * @address: becomes the address as the kernel writes it, for example 0000:01:00.0
 * @text: the same, or without the domain, which is then 0
 *
 * Returns -EINVAL if @text is no address.
 */
int pci_address(char address[PCI_ADDRESS_LEN], const char *text);

/**
 * pci_link() - writes the last component of what a link of the device in sysfs points to
 *
 * @bdf: the address as pci_address() writes it
 * @link: the link, for example "driver"
 * @name: becomes empty if there is no such link, which is no failure
 */
int pci_link(const char *bdf, const char *link, char name[PCI_NAME_LEN]);

/** pci_vfio_file() - writes the path of the device's own file of VFIO; -ENOENT without one */
int pci_vfio_file(const char *bdf, char *path, size_t size);

#endif /* PCI_H */
