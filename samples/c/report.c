// SPDX-License-Identifier: GPL-2.0-only

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "device.h"
#include "pte_oracle.h"
#include "report.h"

/* The page-table entries of one mapping. */
struct entries {
	/* The type of all live entries; "none" without any, "mixed" if they differ. */
	char type[sizeof(((struct pte_oracle *)0)->name)];
	/* The number of live entries of each size: the log2 of sizes on x86-64 and arm64. */
	unsigned int small;
	unsigned int medium;
	unsigned int large;
};

const char *type_name(uint32_t type)
{
	switch (type) {
	case VFIO_SUBREGION_TYPE_X86_UC_MINUS:
		return "UC-";
	case VFIO_SUBREGION_TYPE_X86_WC:
		return "WC";
	case VFIO_SUBREGION_TYPE_ARM64_NGNRNE:
		return "Device-nGnRnE";
	case VFIO_SUBREGION_TYPE_ARM64_NGNRE:
		return "Device-nGnRE";
	case VFIO_SUBREGION_TYPE_ARM64_NORMAL_NC:
		return "Normal-NC";
	default:
		return "unknown";
	}
}

static int read_entries(int oracle, const struct row *row, struct entries *entries)
{
	uint64_t at = (uintptr_t)row->map, end = at + row->size, page = sysconf(_SC_PAGESIZE), len;
	struct pte_oracle pte;

	*entries = (struct entries) { .type = "none" };
	for (; at < end; at = (at | (len - 1)) + 1) {
		memset(&pte, 0, sizeof(pte));
		pte.address = at;
		if (ioctl(oracle, PTE_ORACLE_READ, &pte))
			return fail(STATUS_SYSTEM, "the oracle: %s", strerror(errno));
		len = pte.present ? 1ULL << pte.shift : page;
		if (!pte.present)
			continue;
		entries->small += pte.shift < 21;
		entries->medium += pte.shift >= 21 && pte.shift < 30;
		entries->large += pte.shift >= 30;
		if (!strcmp(entries->type, "none"))
			snprintf(entries->type, sizeof(entries->type), "%s", pte.name);
		else if (strcmp(entries->type, pte.name))
			snprintf(entries->type, sizeof(entries->type), "mixed");
	}
	return STATUS_OK;
}

/* For example "512 of 4K, 1 of 2M". */
static void print_sizes(const struct entries *entries)
{
	const char *comma = "";

	if (entries->small) {
		printf("%u of %luK", entries->small, sysconf(_SC_PAGESIZE) / 1024);
		comma = ", ";
	}
	if (entries->medium) {
		printf("%s%u of 2M", comma, entries->medium);
		comma = ", ";
	}
	if (entries->large)
		printf("%s%u of 1G", comma, entries->large);
	if (!*comma && !entries->large)
		printf("none");
}

int report(const struct row *rows, size_t count, bool oracle)
{
	struct entries entries;
	int fd = -1, ret, status = STATUS_OK, width = 5;
	size_t i;

	/* Names of types differ in length. */
	for (i = 0; i < count; i++)
		if ((int)strlen(rows[i].want) > width)
			width = strlen(rows[i].want);

	if (oracle) {
		fd = open(PTE_ORACLE_DEVICE, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return fail(STATUS_SYSTEM, "%s: %s (is pte_oracle.ko loaded?)",
				    PTE_ORACLE_DEVICE, strerror(errno));
	}
	printf("%-7s %-4s %-23s %-6s %-14s", "region", "BAR", "range", "asked", "driver says");
	if (oracle)
		printf(" %-*s entries", width, "PTE");
	putchar('\n');
	for (i = 0; i < count; i++) {
		const struct row *row = &rows[i];

		printf("%-7u %-4u 0x%08" PRIx64 "-0x%08" PRIx64 "   %-6s %-14s", row->region,
		       row->bar, row->offset, row->offset + row->size - 1, row->asked,
		       row->effective);
		if (oracle) {
			ret = read_entries(fd, row, &entries);
			if (ret) {
				putchar('\n');
				status = ret;
				break;
			}
			printf(" %-*s ", width, entries.type);
			print_sizes(&entries);
			if (strcmp(entries.type, row->want)) {
				printf(" (%s was wanted)", row->want);
				status = STATUS_TYPE;
			}
		}
		putchar('\n');
	}
	fflush(stdout);
	if (fd >= 0)
		close(fd);
	if (status == STATUS_TYPE)
		fail(status, "the page tables do not hold the type that was asked for");
	return status;
}
