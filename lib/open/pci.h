/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Addresses of PCI devices, and their links in sysfs.
 *
 * Functions return 0 on success and a negative errno on failure.
 */
#ifndef PCI_H
#define PCI_H

#include <stddef.h>

#define PCI_BUS		"/sys/bus/pci"
#define PCI_ADDRESS_LEN	32
#define PCI_NAME_LEN	64

/** struct pci_numbers - the numbers of the address of a PCI device */
struct pci_numbers {
	unsigned int domain;
	unsigned int bus;
	unsigned int slot;
	unsigned int function;
};

/** pci_numbers() - parses the address of a PCI device, in the forms that pci_address() accepts */
int pci_numbers(struct pci_numbers *numbers, const char *text);

/**
 * pci_address() - parses the address of a PCI device
 *
 * @address: set to the address as the kernel writes it, for example 0000:01:00.0
 * @text: the address, with the domain or, for domain 0, without it
 *
 * Returns -EINVAL if @text is no address.
 */
int pci_address(char address[PCI_ADDRESS_LEN], const char *text);

/**
 * pci_link() - gets the last component of the target of a link of the device in sysfs
 *
 * @bdf: the address as pci_address() writes it
 * @link: the link, for example "driver"
 * @name: set to the component; empty if there is no such link, which is no failure
 */
int pci_link(const char *bdf, const char *link, char name[PCI_NAME_LEN]);

/** pci_vfio_file() - gets the path of the device's own VFIO file; -ENOENT if there is none */
int pci_vfio_file(const char *bdf, char *path, size_t size);

#endif /* PCI_H */
