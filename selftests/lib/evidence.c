// SPDX-License-Identifier: GPL-2.0-only

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "evidence.h"
#include "wctrace.h"

#define MEMTYPE_LIST	"/sys/kernel/debug/x86/pat_memtype_list"
#define TEXT_LEN	64

/* The size of the smallest entries. */
#define SHIFT_PAGE	12

/* The state of the thread's current access, and whether there is one. */
static __thread sigjmp_buf touch_env;
static __thread volatile sig_atomic_t touching;
/* The si_code of its last fault. */
static __thread volatile sig_atomic_t fault_code;

int touch_key;

/* Sends the request @cmd to the oracle; @pte holds its inputs and gets the result. */
static int ask(unsigned long cmd, struct pte_oracle *pte)
{
	int fd, ret = 0;

	fd = open(PTE_ORACLE_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, cmd, pte))
		ret = -errno;
	close(fd);
	return ret;
}

/*
 * Where QEMU has the plugin wctrace, it must find the same. The entry may have changed meanwhile,
 * so the oracle is then asked again.
 */
int pte_read(const volatile void *address, struct pte_oracle *pte)
{
	int ret, try;

	for (try = 0; try < 10; try++) {
		*pte = (struct pte_oracle) { .address = (uintptr_t)address };
		ret = ask(PTE_ORACLE_READ, pte);
		if (ret || !wctrace(WCTRACE_STATE, 0, 0) ||
		    wctrace(WCTRACE_CHECK, (uintptr_t)address, (uintptr_t)pte))
			return ret;
	}
	return -EREMCHG;
}

int pte_read_guest(int vcpu, uint64_t gpa, struct pte_oracle *pte)
{
	*pte = (struct pte_oracle) { .address = gpa, .vcpu = vcpu };
	return ask(PTE_ORACLE_READ_GUEST, pte);
}

const char *pte_type(const volatile void *address)
{
	static __thread char text[TEXT_LEN];
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

int pte_count(const volatile void *address, uint64_t size, struct pte_count *count)
{
	const volatile char *map = address;
	struct pte_oracle pte;
	uint64_t at;
	int ret;

	*count = (struct pte_count) { };
	for (at = 0; at < size; at += 1ULL << pte.shift) {
		ret = pte_read(map + at, &pte);
		if (ret)
			return ret;
		if (!pte.present)
			return -ENOENT;
		count->of_4k += pte.shift == SHIFT_PAGE;
		count->of_2m += pte.shift == 21;
		count->of_1g += pte.shift == 30;
	}
	return 0;
}

/* A loop without other code, so that it always takes the same number of instructions. */
void touch_pages(const volatile char *map, uint64_t size)
{
	uint64_t at;

	for (at = 0; at < size; at += 1 << SHIFT_PAGE)
		(void)map[at];
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
	/* The list is ordered by start, so a gap appears as an entry that starts too late. */
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
	list = memtype_tracked() ? fopen(MEMTYPE_LIST, "re") : fopen("/dev/null", "re");
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

void vm_flags(const void *address, char flags[VM_FLAGS_LEN])
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	char start[32], line[256];
	bool found = false;

	flags[0] = '\0';
	if (!smaps)
		return;
	snprintf(start, sizeof(start), "%lx-", (unsigned long)address);
	while (fgets(line, sizeof(line), smaps)) {
		if (!strncmp(line, start, strlen(start)))
			found = true;
		if (!found || strncmp(line, "VmFlags:", 8))
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(flags, VM_FLAGS_LEN, "%.100s", line + 8);
		while (flags[0] && flags[strlen(flags) - 1] == ' ')
			flags[strlen(flags) - 1] = '\0';
		break;
	}
	fclose(smaps);
}

/* A fault outside an access by these functions is fatal as usual. */
static void touch_faulted(int signal, siginfo_t *info, void *context)
{
	(void)context;
	fault_code = info->si_code;
	if (touching)
		siglongjmp(touch_env, signal);
	sigaction(signal, &(struct sigaction) { .sa_handler = SIG_DFL }, NULL);
}

/* Any thread may do this at any time: the handler is always the same, and is never removed. */
static void catch_faults(void)
{
	const struct sigaction action = { .sa_sigaction = touch_faulted, .sa_flags = SA_SIGINFO };

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
}

/* Completes an access, which raised @signal or none. */
static int touched(int signal)
{
	touching = 0;
	/* A handler begins without the right to keys, and siglongjmp() does not give it back. */
	if (signal && touch_key)
		pkey_set(touch_key, 0);
	return signal;
}

int touch_read(const volatile uint32_t *address, uint32_t *value)
{
	int signal;

	catch_faults();
	signal = sigsetjmp(touch_env, 1);
	if (!signal) {
		touching = 1;
		*value = *address;
	}
	return touched(signal);
}

int touch_write(volatile uint32_t *address, uint32_t value)
{
	int signal;

	catch_faults();
	signal = sigsetjmp(touch_env, 1);
	if (!signal) {
		touching = 1;
		*address = value;
	}
	return touched(signal);
}

int touch_write64(volatile void *address, uint64_t value, int *code)
{
	typedef uint64_t __attribute__((aligned(1))) unaligned;
	int signal;

	catch_faults();
	signal = sigsetjmp(touch_env, 1);
	if (!signal) {
		touching = 1;
		*(volatile unaligned *)address = value;
	}
	*code = signal ? fault_code : 0;
	return touched(signal);
}
