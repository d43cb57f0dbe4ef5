// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints the memory types of the device memory that a running process maps through VFIO:
 *
 *	vfio_maps PID
 *
 * It prints a line for each mapping: region, size, live entries, type. It asks the tests' oracle
 * (pte_oracle), which reads the page tables.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "pte_oracle.h"

/* The bits of a file offset that hold the region index of vfio-pci. */
#define REGION_SHIFT	40

/* Prints the line of one mapping. */
static int show(int oracle, unsigned int pid, uint64_t start, uint64_t end, uint64_t offset)
{
	uint64_t at, page = sysconf(_SC_PAGESIZE), len;
	char type[sizeof(((struct pte_oracle *)0)->name)] = "none";
	unsigned int live = 0;

	for (at = start; at < end; at = (at | (len - 1)) + 1) {
		struct pte_oracle pte = { .address = at, .pid = pid };

		if (ioctl(oracle, PTE_ORACLE_READ, &pte)) {
			fprintf(stderr, "vfio_maps: the oracle: %s\n", strerror(errno));
			return -1;
		}
		len = pte.present ? 1ULL << pte.shift : page;
		if (!pte.present)
			continue;
		if (!live++)
			memcpy(type, pte.name, sizeof(type));
		else if (strcmp(type, pte.name))
			memcpy(type, "mixed", sizeof("mixed"));
	}
	printf("region %" PRIu64 " size 0x%" PRIx64 " entries %u type %s\n",
	       offset >> REGION_SHIFT, end - start, live, type);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t start, end, offset;
	char path[64], line[512];
	unsigned int pid;
	int oracle;
	FILE *maps;

	pid = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
	if (!pid) {
		fprintf(stderr, "Usage: vfio_maps PID\n");
		return EXIT_FAILURE;
	}
	snprintf(path, sizeof(path), "/proc/%u/maps", pid);
	maps = fopen(path, "r");
	if (!maps) {
		fprintf(stderr, "vfio_maps: %s: %s\n", path, strerror(errno));
		return EXIT_FAILURE;
	}
	oracle = open(PTE_ORACLE_DEVICE, O_RDWR);
	if (oracle < 0) {
		fprintf(stderr, "vfio_maps: %s: %s\n", PTE_ORACLE_DEVICE, strerror(errno));
		return EXIT_FAILURE;
	}
	while (fgets(line, sizeof(line), maps)) {
		if (!strstr(line, "[vfio-device]"))
			continue;
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64,
			   &start, &end, &offset) != 3)
			continue;
		if (show(oracle, pid, start, end, offset))
			return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
