// SPDX-License-Identifier: GPL-2.0-only

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "evidence.h"
#include "mappings.h"
#include "subregion.h"

/* The pages of a table, whose entries have 8 bytes: 2 MiB, or 32 MiB of pages of 16 KiB. */
#define HUGE		(GRANULE / 8 * GRANULE)
#define MAPPINGS_MOST	64

/* A line of /proc/self/maps. */
struct mapping {
	uint64_t start;
	uint64_t end;
	uint64_t offset;
	bool readable;
};

struct audit {
	const struct view *views;
	unsigned int count;
	char *complaint;
};

/* Keeps the first complaint. */
__attribute__((format(printf, 3, 4)))
static void complain(struct audit *audit, uint64_t address, const char *format, ...)
{
	va_list args;
	int len;

	if (audit->complaint[0])
		return;
	len = snprintf(audit->complaint, COMPLAINT_LEN, "%#" PRIx64 " ", address);
	va_start(args, format);
	vsnprintf(audit->complaint + len, COMPLAINT_LEN - len, format, args);
	va_end(args);
}

static const struct view *view_of(const struct audit *audit, uint64_t offset)
{
	unsigned int i;

	for (i = 0; i < audit->count; i++)
		if (offset - audit->views[i].offset < audit->views[i].size)
			return &audit->views[i];
	return NULL;
}

/* Whether the byte @offset of the device file is in @view. */
static bool shows(const struct audit *audit, const struct view *view, uint64_t offset)
{
	return view_of(audit, offset) == view;
}

static void look_at_entry(struct audit *audit, const struct mapping *mapping,
			  const struct view *view, uint64_t address)
{
	uint64_t offset = mapping->offset + (address - mapping->start), first, last;
	struct pte_oracle pte;
	int ret = pte_read((void *)(uintptr_t)address, &pte);

	if (ret) {
		complain(audit, address, "the oracle says %s", strerror(-ret));
		return;
	}
	if (!view->type) {
		if (pte.present)
			complain(audit, address, "must have no entry and has one of %u bits, %s",
				 pte.shift, pte.name);
		return;
	}
	if (!pte.present || strcmp(pte.name, view->type)) {
		complain(audit, address, "is %s and not %s", pte.present ? pte.name : PTE_NONE,
			 view->type);
		return;
	}
	if (pte.pfn * GRANULE != view->phys + (offset - view->offset))
		complain(audit, address, "is the frame %#" PRIx64, (uint64_t)pte.pfn);
	first = address & -(1ULL << pte.shift);
	last = first + (1ULL << pte.shift) - GRANULE;
	if (first < mapping->start || last >= mapping->end)
		complain(audit, address, "has an entry of %u bits beyond its mapping", pte.shift);
	else if (!shows(audit, view, offset - (address - first)) ||
		 !shows(audit, view, offset + (last - address)))
		complain(audit, address, "has an entry of %u bits that crosses the end of a view",
			 pte.shift);
}

static void look_at(struct audit *audit, const struct mapping *mapping, uint64_t address)
{
	const struct view *view = view_of(audit, mapping->offset + (address - mapping->start));
	int signal, expected;
	uint32_t value;

	if (!view) {
		complain(audit, address, "maps bytes that no view has");
		return;
	}
	signal = touch_read((uint32_t *)(uintptr_t)address, &value);
	expected = !mapping->readable ? SIGSEGV : view->type ? 0 : SIGBUS;
	if (signal != expected)
		complain(audit, address, "raised signal %d, expected %d", signal, expected);
	else if (mapping->readable)
		look_at_entry(audit, mapping, view, address);
}

/* Touches the last page before @address and the first one after it, if they are mapped. */
static void look_around(struct audit *audit, const struct mapping *mapping, uint64_t address)
{
	if (address > mapping->start && address <= mapping->end)
		look_at(audit, mapping, address - GRANULE);
	if (address >= mapping->start && address < mapping->end)
		look_at(audit, mapping, address);
}

static void look_at_mapping(struct audit *audit, const struct mapping *mapping)
{
	uint64_t middle = mapping->start + (mapping->end - mapping->start) / 2;
	unsigned int i;

	look_around(audit, mapping, mapping->start);
	look_around(audit, mapping, (mapping->start + HUGE - 1) & -HUGE);
	look_around(audit, mapping, middle & -GRANULE);
	look_around(audit, mapping, mapping->end & -HUGE);
	look_around(audit, mapping, mapping->end);
	for (i = 0; i < audit->count; i++) {
		const struct view *view = &audit->views[i];

		look_around(audit, mapping, mapping->start + (view->offset - mapping->offset));
		look_around(audit, mapping,
			    mapping->start + (view->offset + view->size - mapping->offset));
	}
}

/*
 * Reads all lines before it touches a page, because an access must not change the list meanwhile.
 */
static unsigned int read_mappings(struct mapping mappings[MAPPINGS_MOST])
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned int count = 0;
	char line[256], access;

	if (!maps)
		return 0;
	while (count < MAPPINGS_MOST && fgets(line, sizeof(line), maps)) {
		struct mapping *mapping = &mappings[count];

		if (!strstr(line, "vfio") ||
		    sscanf(line, "%" SCNx64 "-%" SCNx64 " %c%*s %" SCNx64, &mapping->start,
			   &mapping->end, &access, &mapping->offset) != 4)
			continue;
		mapping->readable = access == 'r';
		count++;
	}
	fclose(maps);
	return count;
}

unsigned int mappings_audit(const struct view *views, unsigned int count,
			    char complaint[COMPLAINT_LEN])
{
	struct audit audit = { .views = views, .count = count, .complaint = complaint };
	struct mapping mappings[MAPPINGS_MOST];
	unsigned int i, found = read_mappings(mappings);

	complaint[0] = '\0';
	for (i = 0; i < found; i++)
		look_at_mapping(&audit, &mappings[i]);
	return found;
}
