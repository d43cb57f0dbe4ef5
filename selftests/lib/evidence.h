/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Evidence about a mapping that is independent of the driver under test: the live page-table entry
 * (by pte_oracle.ko), the kernel's list of memory type reservations, and whether an access faults.
 * Threads may read entries and touch pages at the same time.
 */
#ifndef EVIDENCE_H
#define EVIDENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "pte_oracle.h"

/* Memory types by the oracle's names: the type of each attribute in the page tables. */
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

/* Memory types by their names in pat_memtype_list. */
#define MEMTYPE_NONE	"none"
#define MEMTYPE_MIXED	"mixed"
#define MEMTYPE_UC_MINUS "uncached-minus"
#define MEMTYPE_WC	"write-combining"
#define MEMTYPE_WB	"write-back"

/** pte_read() - reads the entry of @address through the oracle; 0 or a negative errno */
int pte_read(const volatile void *address, struct pte_oracle *pte);

/** pte_read_guest() - the same for guest-physical address @gpa of virtual CPU @vcpu */
int pte_read_guest(int vcpu, uint64_t gpa, struct pte_oracle *pte);

/**
 * pte_type() - the memory type of the live page-table entry of @address
 *
 * Returns a PTE_* name that is valid until the next call of the thread: PTE_NONE if there is no
 * live entry; or "error: " and the reason if the oracle fails.
 */
const char *pte_type(const volatile void *address);

/** pte_shift() - log2 of the size of the live entry of @address, or 0 if there is none */
unsigned int pte_shift(const volatile void *address);

/** pte_phys() - the physical address that @address is mapped to, or 0 if it is not mapped */
uint64_t pte_phys(const volatile void *address);

/** struct pte_count - the number of live entries of each size */
struct pte_count {
	uint64_t of_4k;
	uint64_t of_2m;
	uint64_t of_1g;
};

/**
 * pte_count() - counts the entries of the @size bytes from @address, all of which must be mapped
 *
 * Returns 0, or a negative errno: ENOENT if an entry is missing.
 */
int pte_count(const volatile void *address, uint64_t size, struct pte_count *count);

/* The reason for skipping a test of reservations if memtype_tracked() returns false. */
#define NO_MEMTYPES	"this architecture has no reservations of memory types"

/** memtype_tracked() - whether the kernel reserves memory types and lists them */
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
 * Returns a MEMTYPE_* name: the type of the reservation if there is one for the whole range;
 * MEMTYPE_NONE if no part of the range is reserved; otherwise MEMTYPE_MIXED. Or "error: " and the
 * reason.
 */
const char *memtype(uint64_t start, uint64_t end);

/**
 * memtype_lines() - the lines of pat_memtype_list that overlap [@start, @end)
 *
 * The caller frees the text. Two texts are equal if and only if the reservations are equal. The
 * text is empty if the architecture has no reservations.
 */
char *memtype_lines(uint64_t start, uint64_t end);

/* VM_ALLOW_ANY_UNCACHED in smaps, which has no name for this flag and prints it last. */
#define VM_FLAG_GUEST_CHOOSES	" ??"
#define VM_FLAGS_LEN	128

/** vm_flags() - writes the flags in smaps of the mapping that begins at @address */
void vm_flags(const void *address, char flags[VM_FLAGS_LEN]);

/** touch_pages() - reads every page of a mapping; every access must succeed */
void touch_pages(const volatile char *map, uint64_t size);

/* A protection key of mappings that the functions below access, or 0. */
extern int touch_key;

/** touch_read() - reads at @address; returns 0, or the signal that was raised */
int touch_read(const volatile uint32_t *address, uint32_t *value);

/** touch_write() - writes at @address; returns 0, or the signal that was raised */
int touch_write(volatile uint32_t *address, uint32_t value);

/**
 * touch_write64() - writes 8 bytes by one store at @address, which may be unaligned
 *
 * Returns 0, or the signal that was raised, with its si_code in @code.
 */
int touch_write64(volatile void *address, uint64_t value, int *code);

#endif /* EVIDENCE_H */
