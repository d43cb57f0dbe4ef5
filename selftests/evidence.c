// SPDX-License-Identifier: GPL-2.0

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "evidence.h"

#define MEMTYPE_LIST	"/sys/kernel/debug/x86/pat_memtype_list"
#define TEXT_LEN	64

static sigjmp_buf touch_env;

int pte_read(const volatile void *address, struct pte_oracle *pte)
{
	int fd, ret = 0;

	memset(pte, 0, sizeof(*pte));
	pte->address = (uintptr_t)address;
	fd = open(PTE_ORACLE_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, PTE_ORACLE_READ, pte))
		ret = -errno;
	close(fd);
	return ret;
}

const char *pte_type(const volatile void *address)
{
	static char text[TEXT_LEN];
	struct pte_oracle pte;
	int ret;

	ret = pte_read(address, &pte);
	if (ret)
		snprintf(text, sizeof(text), "error: oracle: %s", strerror(-ret));
	else if (!pte.present)
		snprintf(text, sizeof(text), PTE_NONE);
	else
		snprintf(text, sizeof(text), "%.*s", (int)sizeof(pte.name), pte.name);
	return text;
}

unsigned int pte_shift(const volatile void *address)
{
	struct pte_oracle pte;

	return pte_read(address, &pte) || !pte.present ? 0 : pte.shift;
}

uint64_t pte_phys(const volatile void *address)
{
	struct pte_oracle pte;
	uint64_t page = sysconf(_SC_PAGESIZE);

	if (pte_read(address, &pte) || !pte.present)
		return 0;
	return pte.pfn * page + (uintptr_t)address % page;
}

/* One reservation; the list's end addresses are exclusive. */
struct reservation {
	uint64_t start;
	uint64_t end;
	char type[32];
};

/* Reads the next reservation that overlaps [start, end); false at the end of the list. */
static bool next_reservation(FILE *list, uint64_t start, uint64_t end, struct reservation *found)
{
	char line[128];

	while (fgets(line, sizeof(line), list)) {
		if (sscanf(line, "PAT: [mem %" SCNx64 "-%" SCNx64 "] %31s", &found->start,
			   &found->end, found->type) != 3)
			continue;
		if (found->start < end && found->end > start)
			return true;
	}
	return false;
}

const char *memtype(uint64_t start, uint64_t end)
{
	static char text[TEXT_LEN];
	uint64_t covered = start;
	struct reservation entry;
	bool mixed = false;
	FILE *list;

	list = fopen(MEMTYPE_LIST, "re");
	if (!list) {
		snprintf(text, sizeof(text), "error: %s", strerror(errno));
		return text;
	}
	text[0] = '\0';
	/* The list is ordered by start, so that a gap shows as an entry that begins too late. */
	while (next_reservation(list, start, end, &entry)) {
		if (text[0] && strcmp(text, entry.type))
			mixed = true;
		if (entry.start > covered)
			mixed = true;
		if (entry.end > covered)
			covered = entry.end;
		snprintf(text, sizeof(text), "%s", entry.type);
	}
	fclose(list);
	if (!text[0])
		return MEMTYPE_NONE;
	return mixed || covered < end ? MEMTYPE_MIXED : text;
}

char *memtype_lines(uint64_t start, uint64_t end)
{
	struct reservation entry;
	char *text = NULL;
	size_t len = 0;
	FILE *list, *out;

	out = open_memstream(&text, &len);
	if (!out)
		return NULL;
	list = fopen(MEMTYPE_LIST, "re");
	if (!list) {
		fprintf(out, "error: %s\n", strerror(errno));
	} else {
		while (next_reservation(list, start, end, &entry))
			fprintf(out, "%#" PRIx64 "-%#" PRIx64 " %s\n", entry.start, entry.end,
				entry.type);
		fclose(list);
	}
	fclose(out);
	return text;
}

static void touch_faulted(int signal)
{
	siglongjmp(touch_env, signal);
}

/* Catches what a touch raises, or (a null @with) puts back what @saved holds. */
static void catch_faults(const struct sigaction *with, struct sigaction saved[2])
{
	sigaction(SIGBUS, with ? with : &saved[0], with ? &saved[0] : NULL);
	sigaction(SIGSEGV, with ? with : &saved[1], with ? &saved[1] : NULL);
}

int touch_read(const volatile uint32_t *address, uint32_t *value)
{
	const struct sigaction action = { .sa_handler = touch_faulted };
	struct sigaction saved[2];
	int signal;

	catch_faults(&action, saved);
	signal = sigsetjmp(touch_env, 1);
	if (!signal)
		*value = *address;
	catch_faults(NULL, saved);
	return signal;
}

int touch_write(volatile uint32_t *address, uint32_t value)
{
	const struct sigaction action = { .sa_handler = touch_faulted };
	struct sigaction saved[2];
	int signal;

	catch_faults(&action, saved);
	signal = sigsetjmp(touch_env, 1);
	if (!signal)
		*address = value;
	catch_faults(NULL, saved);
	return signal;
}
