// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entries of x86-64: of a process, of AMD's nested paging and of Intel's extended page tables.
 */
#include <linux/bitfield.h>
#include <linux/bits.h>
#include <linux/cpufeature.h>
#include <linux/mem_encrypt.h>

#include <asm/msr.h>

#include "internal.h"

/* Intel SDM volume 3, 5.5 and 13.12: the bits of an entry that hold its PAT index. */
#define ENTRY_PWT		BIT_ULL(3)
#define ENTRY_PCD		BIT_ULL(4)
#define ENTRY_PAT_4K		BIT_ULL(7)
#define ENTRY_PAT_LARGE		BIT_ULL(12)

const char *memory_type(u64 flags, unsigned int shift)
{
	/* Encodings 2 and 3 are reserved. */
	static const char * const types[] = { "UC", "WC", "?", "?", "WT", "WP", "WB", "UC-" };
	u64 pat_bit = shift == PAGE_SHIFT ? ENTRY_PAT_4K : ENTRY_PAT_LARGE;
	unsigned int index = 0;
	u64 pat;

	if (flags & ENTRY_PWT)
		index |= 1;
	if (flags & ENTRY_PCD)
		index |= 2;
	if (flags & pat_bit)
		index |= 4;

	/* All CPUs have the same value in this register. */
	rdmsrq(MSR_IA32_CR_PAT, pat);

	return types[(pat >> (index * 8)) & 7];
}

#if IS_ENABLED(CONFIG_KVM)
#include <linux/kvm_host.h>

/*
 * In all kinds of entries. In EPT the first bit means "readable", and KVM sets it in every entry of
 * a guest.
 */
#define ENTRY_PRESENT		BIT_ULL(0)
#define ENTRY_LARGE		BIT_ULL(7)
#define ENTRY_ADDRESS		GENMASK_ULL(51, PAGE_SHIFT)

/* Intel SDM volume 3, 30.3.7.2: the type in an EPT entry, in the same encoding. */
#define EPT_TYPE		GENMASK_ULL(5, 3)
#define EPT_IGNORE_PAT		BIT_ULL(6)

#define TABLE_BITS		9
#define SHIFT(level)		(PAGE_SHIFT + ((level) - 1) * TABLE_BITS)

static const char *ept_type(u64 entry)
{
	static const char * const types[] = { "UC", "WC", "?", "?", "WT", "WP", "WB", "?" };
	static const char * const forced[] = {
		"forced UC", "forced WC", "?", "?", "forced WT", "forced WP", "forced WB", "?"
	};
	unsigned int type = FIELD_GET(EPT_TYPE, entry);

	return entry & EPT_IGNORE_PAT ? forced[type] : types[type];
}

/*
 * AMD APM volume 2, 15.25.8: an entry of nested paging has a type of the host, through the host's
 * PAT. The CPU combines it with the type that the guest sets.
 */
static const char *second_stage_type(u64 entry, unsigned int shift)
{
	return cpu_feature_enabled(X86_FEATURE_SVM) ? memory_type(entry, shift) : ept_type(entry);
}

int find_guest_entry(struct kvm_vcpu *vcpu, u64 gpa, struct guest_entry *found)
{
	struct kvm_mmu *mmu = vcpu->arch.mmu;
	unsigned int level = mmu->root_role.level;
	hpa_t table = mmu->root.hpa;
	u64 entry;

	if (table == INVALID_PAGE)
		return -ENOENT;
	/* A root of another kind is a shadow of the guest's own tables, or a 32-bit one. */
	if (!mmu->root_role.direct || mmu != &vcpu->arch.root_mmu || level < 4)
		return -EOPNOTSUPP;
	if (gpa >> SHIFT(level + 1))
		return -EINVAL;

	for (; level; level--) {
		const u64 *entries = __va(table);

		entry = READ_ONCE(entries[gpa >> SHIFT(level) & (BIT(TABLE_BITS) - 1)]);
		if (!(entry & ENTRY_PRESENT))
			return -ENOENT;
		if (level == 1 || (level <= 3 && entry & ENTRY_LARGE))
			break;
		table = __sme_clr(entry & ENTRY_ADDRESS);
	}

	found->entry = entry;
	found->shift = SHIFT(level);
	found->address = __sme_clr(entry & ENTRY_ADDRESS & GENMASK_ULL(51, found->shift));
	found->name = second_stage_type(entry, found->shift);
	return 0;
}

#endif
