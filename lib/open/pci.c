// SPDX-License-Identifier: GPL-2.0-only OR MIT

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pci.h"

#define PATH_LEN	256

/* Whether sscanf() consumed all of @text, and such an address can exist. */
static int is_address(const char *text, int read, const struct pci_numbers *numbers)
{
	return read > 0 && !text[read] && numbers->bus < 256 && numbers->slot < 32 &&
	       numbers->function < 8;
}

int pci_numbers(struct pci_numbers *numbers, const char *text)
{
	int read = 0;

	/* sscanf() would also accept signs, white space and 0x. */
	if (text[strspn(text, "0123456789abcdefABCDEF:.")])
		return -EINVAL;
	if (sscanf(text, "%8x:%2x:%2x.%1x%n", &numbers->domain, &numbers->bus, &numbers->slot,
		   &numbers->function, &read) == 4 && is_address(text, read, numbers))
		return 0;
	numbers->domain = 0;
	read = 0;
	if (sscanf(text, "%2x:%2x.%1x%n", &numbers->bus, &numbers->slot, &numbers->function,
		   &read) == 3 && is_address(text, read, numbers))
		return 0;
	return -EINVAL;
}

int pci_address(char address[PCI_ADDRESS_LEN], const char *text)
{
	struct pci_numbers numbers;
	int ret = pci_numbers(&numbers, text);

	if (!ret)
		snprintf(address, PCI_ADDRESS_LEN, "%04x:%02x:%02x.%x", numbers.domain,
			 numbers.bus, numbers.slot, numbers.function);
	return ret;
}

int pci_link(const char *bdf, const char *link, char name[PCI_NAME_LEN])
{
	char path[PATH_LEN], target[PATH_LEN];
	const char *last;
	ssize_t len;

	snprintf(path, sizeof(path), PCI_BUS "/devices/%s/%s", bdf, link);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0) {
		name[0] = '\0';
		return errno == ENOENT ? 0 : -errno;
	}
	target[len] = '\0';
	last = strrchr(target, '/');
	snprintf(name, PCI_NAME_LEN, "%.*s", PCI_NAME_LEN - 1, last ? last + 1 : target);
	return 0;
}

int pci_vfio_file(const char *bdf, char *path, size_t size)
{
	char directory[PATH_LEN];
	struct dirent *entry;
	int ret = -ENOENT;
	DIR *dir;

	snprintf(directory, sizeof(directory), PCI_BUS "/devices/%s/vfio-dev", bdf);
	dir = opendir(directory);
	if (!dir)
		return -errno;
	while (ret && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, "vfio", 4))
			continue;
		snprintf(path, size, "/dev/vfio/devices/%s", entry->d_name);
		ret = access(path, F_OK) ? -errno : 0;
	}
	closedir(dir);
	return ret;
}
