/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the machine says about a mapping, as opposed to what the driver under test says: the live
 * page-table entry (by pte_oracle.ko), the kernel's list of memory type reservations, and whether
 * a touch faults. Threads may ask for entries and touch at the same time.
 */
#ifndef EVIDENCE_H
#define EVIDENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "pte_oracle.h"

/* Memory types as the oracle names them: what each attribute is to have in the page tables. */
#define PTE_NONE	"none"
#if defined(__x86_64__) || defined(__i386__)
#define PTE_NONCACHED	"UC-"
#define PTE_DEVICE	"UC-"
#define PTE_WC		"WC"
#else
#define PTE_NONCACHED	"Device-nGnRnE"
#define PTE_DEVICE	"Device-nGnRE"
#define PTE_WC		"Normal-NC"
#endif

/* Memory types as pat_memtype_list names them. */
#define MEMTYPE_NONE	"none"
#define MEMTYPE_MIXED	"mixed"
#define MEMTYPE_UC_MINUS "uncached-minus"
#define MEMTYPE_WC	"write-combining"
#define MEMTYPE_WB	"write-back"

/** pte_read() - asks the oracle about @address; 0 or a negative errno */
int pte_read(const volatile void *address, struct pte_oracle *pte);

/** pte_read_guest() - asks it about the guest-physical address @gpa of the virtual CPU @vcpu */
int pte_read_guest(int vcpu, uint64_t gpa, struct pte_oracle *pte);

/**
 * pte_type() - the memory type of the live page-table entry of @address
 *
 * Returns a PTE_* name that is valid until the thread's next call, PTE_NONE when there is no live
 * entry, or "error: " and the reason when the oracle cannot be asked.
 */
const char *pte_type(const volatile void *address);

/** pte_shift() - log2 of the size of the live entry of @address, or 0 when there is none */
unsigned int pte_shift(const volatile void *address);

/** pte_phys() - the physical address that @address is mapped to, or 0 when it is not */
uint64_t pte_phys(const volatile void *address);

/** struct pte_count - how many live entries of each size there are */
struct pte_count {
	uint64_t of_4k;
	uint64_t of_2m;
	uint64_t of_1g;
};

/**
 * pte_count() - counts the entries of @size bytes from @address on, which all have to be mapped
 *
 * Returns 0, or a negative errno: ENOENT when somewhere there is no live entry.
 */
int pte_count(const volatile void *address, uint64_t size, struct pte_count *count);

/* Why a test of reservations is skipped where memtype_tracked() says no. */
#define NO_MEMTYPES	"this architecture reserves no memory types: a mapping gets what it asks for"

/** memtype_tracked() - whether the kernel reserves memory types, and lists them */
static inline bool memtype_tracked(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return true;
#else
	return false;
#endif
}

/**
 * memtype() - the reserved memory type of the physical range [@start, @end)
 *
 * Returns a MEMTYPE_* name: the one type that the whole range is reserved with, MEMTYPE_NONE when
 * none of it is reserved, else MEMTYPE_MIXED; or "error: " and the reason.
 */
const char *memtype(uint64_t start, uint64_t end);

/**
 * memtype_lines() - the lines of pat_memtype_list that overlap [@start, @end)
 *
 * The caller frees the text. Two texts are equal if and only if the reservations are. It is empty
 * where no types are reserved.
 */
char *memtype_lines(uint64_t start, uint64_t end);

/* The flag VM_ALLOW_ANY_UNCACHED as smaps shows it, which has no name for it and puts it last. */
#define VM_FLAG_GUEST_CHOOSES	" ??"
#define VM_FLAGS_LEN	128

/** vm_flags() - writes the flags that smaps shows of the mapping that begins at @address */
void vm_flags(const void *address, char flags[VM_FLAGS_LEN]);

/** touch_pages() - reads every page of a mapping, none of which may fault in vain */
void touch_pages(const volatile char *map, uint64_t size);

/** touch_read() - reads at @address; returns 0, or the signal that this raised */
int touch_read(const volatile uint32_t *address, uint32_t *value);

/** touch_write() - writes at @address; returns 0, or the signal that this raised */
int touch_write(volatile uint32_t *address, uint32_t value);

/**
 * touch_write64() - writes 8 bytes by one store at @address, however that is aligned
 *
 * Returns 0, or the signal that this raised, with its si_code in @code.
 */
int touch_write64(volatile void *address, uint64_t value, int *code);

#endif /* EVIDENCE_H */
