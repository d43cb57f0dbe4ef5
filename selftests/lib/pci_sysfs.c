// SPDX-License-Identifier: GPL-2.0-only

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pci_sysfs.h"

#define PATH_LEN	256

static int write_text(const char *path, const char *text)
{
	size_t len = strlen(text);
	ssize_t done;
	int fd, ret = 0;

	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	done = write(fd, text, len);
	if (done < 0)
		ret = -errno;
	else if ((size_t)done != len)
		ret = -EIO;
	close(fd);
	return ret;
}

int pci_driver(const char *bdf, char name[PCI_NAME_LEN])
{
	char path[PATH_LEN];

	snprintf(path, sizeof(path), PCI_BUS "/devices/%s", bdf);
	if (access(path, F_OK))
		return -ENODEV;
	return pci_link(bdf, "driver", name);
}

int pci_unbind(const char *bdf)
{
	char path[PATH_LEN], driver[PCI_NAME_LEN];
	int ret;

	ret = pci_driver(bdf, driver);
	if (ret || !driver[0])
		return ret;
	snprintf(path, sizeof(path), PCI_BUS "/devices/%s/driver/unbind", bdf);
	return write_text(path, bdf);
}

int pci_bind(const char *bdf, const char *driver)
{
	char path[PATH_LEN], current[PCI_NAME_LEN];
	int ret;

	ret = pci_driver(bdf, current);
	if (ret || !strcmp(current, driver))
		return ret;
	snprintf(path, sizeof(path), PCI_BUS "/drivers/%s", driver);
	if (access(path, F_OK))
		return -ENOENT;
	ret = pci_unbind(bdf);
	if (ret)
		return ret;
	snprintf(path, sizeof(path), PCI_BUS "/devices/%s/driver_override", bdf);
	ret = write_text(path, driver);
	if (ret)
		return ret;
	ret = write_text(PCI_BUS "/drivers_probe", bdf);
	if (ret)
		return ret;
	/* A failing probe is not an error of the write. */
	ret = pci_driver(bdf, current);
	if (ret)
		return ret;
	return strcmp(current, driver) ? -ENXIO : 0;
}

int pci_bar(const char *bdf, unsigned int index, struct pci_bar *bar)
{
	char path[PATH_LEN], line[PATH_LEN];
	unsigned int i;
	uint64_t end;
	FILE *file;
	int ret = -ENOENT;

	snprintf(path, sizeof(path), PCI_BUS "/devices/%s/resource", bdf);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	for (i = 0; fgets(line, sizeof(line), file); i++) {
		if (i != index)
			continue;
		if (sscanf(line, "%" SCNx64 " %" SCNx64 " %" SCNx64, &bar->start, &end,
			   &bar->flags) != 3) {
			ret = -EIO;
			break;
		}
		bar->size = end ? end - bar->start + 1 : 0;
		ret = 0;
		break;
	}
	fclose(file);
	return ret;
}

int pci_header(const char *bdf, struct pci_header *header)
{
	char path[PATH_LEN];
	ssize_t done;
	int fd, ret = 0;

	snprintf(path, sizeof(path), PCI_BUS "/devices/%s/config", bdf);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	done = read(fd, header, sizeof(*header));
	if (done < 0)
		ret = -errno;
	else if (done != (ssize_t)sizeof(*header))
		ret = -EIO;
	close(fd);
	return ret;
}

int pci_iommu_group(const char *bdf)
{
	char name[PCI_NAME_LEN];
	int ret;

	ret = pci_link(bdf, "iommu_group", name);
	if (ret)
		return ret;
	return name[0] ? atoi(name) : -ENODEV;
}

int pci_set_vfs(const char *bdf, unsigned int count)
{
	char path[PATH_LEN], text[16];

	snprintf(path, sizeof(path), PCI_BUS "/devices/%s/sriov_numvfs", bdf);
	snprintf(text, sizeof(text), "%u", count);
	return write_text(path, text);
}

int pci_vf(const char *bdf, unsigned int index, char name[PCI_NAME_LEN])
{
	char link[16];
	int ret;

	snprintf(link, sizeof(link), "virtfn%u", index);
	ret = pci_link(bdf, link, name);
	return ret || name[0] ? ret : -ENOENT;
}

int pci_port(const char *bdf, char name[PCI_NAME_LEN])
{
	char path[PATH_LEN], *real, *slash;
	int ret = -ENODEV;

	snprintf(path, sizeof(path), PCI_BUS "/devices/%s", bdf);
	real = realpath(path, NULL);
	if (!real)
		return -errno;
	/* The directory of a device lies in that of the bridge that it is behind. */
	slash = strrchr(real, '/');
	if (slash) {
		*slash = '\0';
		slash = strrchr(real, '/');
	}
	if (slash) {
		snprintf(name, PCI_NAME_LEN, "%.*s", PCI_NAME_LEN - 1, slash + 1);
		ret = 0;
	}
	free(real);
	return ret;
}

int pci_reset(const char *bdf, const char *method)
{
	char path[PATH_LEN], path_of_method[PATH_LEN];
	int ret, ret_of_method = 0;

	snprintf(path, sizeof(path), PCI_BUS "/devices/%s/reset", bdf);
	snprintf(path_of_method, sizeof(path_of_method), PCI_BUS "/devices/%s/reset_method", bdf);
	if (method) {
		ret = write_text(path_of_method, method);
		if (ret)
			return ret;
	}
	ret = write_text(path, "1");
	if (method)
		ret_of_method = write_text(path_of_method, "default");
	return ret ? ret : ret_of_method;
}

int pci_reset_subordinate(const char *bdf)
{
	char path[PATH_LEN], port[PCI_NAME_LEN];
	int ret = pci_port(bdf, port);

	if (ret)
		return ret;
	snprintf(path, sizeof(path), PCI_BUS "/devices/%s/reset_subordinate", port);
	return write_text(path, "1");
}

int pci_remove(const char *bdf)
{
	char path[PATH_LEN];

	snprintf(path, sizeof(path), PCI_BUS "/devices/%s/remove", bdf);
	return write_text(path, "1");
}

/* Whether the slot @name contains the device: the slot's address lacks the function number. */
static bool is_slot_of(const char *name, const char *bdf)
{
	char path[PATH_LEN], address[PCI_NAME_LEN] = "";
	FILE *file;

	snprintf(path, sizeof(path), PCI_BUS "/slots/%.*s/address", PCI_NAME_LEN, name);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(address, sizeof(address), file))
		address[0] = '\0';
	fclose(file);
	address[strcspn(address, "\n")] = '\0';
	return address[0] && !strncmp(address, bdf, strlen(address));
}

int pci_slot(const char *bdf, char name[PCI_NAME_LEN])
{
	struct dirent *entry;
	int ret = -ENOENT;
	DIR *dir;

	dir = opendir(PCI_BUS "/slots");
	if (!dir)
		return -errno;
	while (ret && (entry = readdir(dir))) {
		if (!is_slot_of(entry->d_name, bdf))
			continue;
		snprintf(name, PCI_NAME_LEN, "%.*s", PCI_NAME_LEN - 1, entry->d_name);
		ret = 0;
	}
	closedir(dir);
	return ret;
}

int pci_slot_off(const char *bdf)
{
	char path[PATH_LEN], name[PCI_NAME_LEN];
	int ret = pci_slot(bdf, name);

	if (ret)
		return ret;
	snprintf(path, sizeof(path), PCI_BUS "/slots/%s/power", name);
	return write_text(path, "0");
}

int pci_rescan(void)
{
	return write_text(PCI_BUS "/rescan", "1");
}

void *pci_map_resource(const char *bdf, unsigned int index, const char *suffix, uint64_t offset,
		       size_t size)
{
	char path[PATH_LEN];
	void *map;
	int fd;

	snprintf(path, sizeof(path), PCI_BUS "/devices/%s/resource%u%s", bdf, index, suffix);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return MAP_FAILED;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
	close(fd);
	return map;
}
