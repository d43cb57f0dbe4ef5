// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entries of arm64: of a process (stage 1) and of a guest (stage 2).
 */
#include <linux/bits.h>
#include <linux/bitfield.h>

#include <asm/sysreg.h>

#include "internal.h"

/* Arm ARM D8.6: AttrIndx of a stage 1 block or page descriptor selects a byte of MAIR. */
#define ENTRY_ATTRINDX		GENMASK_ULL(4, 2)

const char *memory_type(u64 flags, unsigned int shift)
{
	/* Under VHE the kernel runs at EL2, where this name accesses MAIR_EL2. */
	u64 mair = read_sysreg(mair_el1);

	switch ((mair >> (FIELD_GET(ENTRY_ATTRINDX, flags) * 8)) & 0xff) {
	case 0x00:
		return "Device-nGnRnE";
	case 0x04:
		return "Device-nGnRE";
	case 0x08:
		return "Device-nGRE";
	case 0x0c:
		return "Device-GRE";
	case 0x44:
		return "Normal-NC";
	case 0xf0:
		return "Normal-Tagged";
	case 0xff:
		return "Normal-WB";
	default:
		return "?";
	}
}

#if IS_ENABLED(CONFIG_KVM)
#include <linux/kvm_host.h>

#include <asm/kvm_arm.h>
#include <asm/kvm_pgtable.h>
#include <asm/virt.h>

/* Arm ARM D8.3: valid, and a table, or a page at the last level. */
#define ENTRY_VALID		BIT_ULL(0)
#define ENTRY_TABLE		BIT_ULL(1)
#define LAST_LEVEL		3

/* Arm ARM D8.6: MemAttr of a stage 2 block or page descriptor, which is not an index. */
#define ENTRY_MEMATTR		GENMASK_ULL(5, 2)
#define ENTRY_DEVICE_TYPE	GENMASK_ULL(1, 0)

static const char * const device_types[] = {
	"Device-nGnRnE", "Device-nGnRE", "Device-nGRE", "Device-GRE"
};

/* HCR_EL2.FWB is 0: outer and inner cacheability, which limit the type of stage 1. */
static const char *type_without_fwb(unsigned int attr)
{
	if (attr <= ENTRY_DEVICE_TYPE)
		return device_types[attr];
	switch (attr) {
	case 5:
		return "Normal-NC";
	case 10:
		return "Normal-WT";
	case 15:
		return "Normal-WB";
	default:
		return "?";
	}
}

/* HCR_EL2.FWB is 1: stage 2 can override stage 1 in both directions. */
static const char *type_with_fwb(unsigned int attr)
{
	if (attr <= ENTRY_DEVICE_TYPE)
		return device_types[attr];
	switch (attr) {
	case 5:
		return "Normal-NC";
	case 6:
		return "forced WB";
	case 7:
		return "as stage 1";
	default:
		return "?";
	}
}

int find_guest_entry(struct kvm_vcpu *vcpu, u64 gpa, struct guest_entry *found)
{
	const struct kvm_pgtable *pgt = vcpu->arch.hw_mmu->pgt;
	unsigned int attr, shift;
	const u64 *entries;
	u64 entry, index;
	int level;

	/* With pKVM only the hypervisor can access the tables. */
	if (is_protected_kvm_enabled())
		return -EOPNOTSUPP;
	if (!pgt)
		return -ENOENT;
	if (gpa >> pgt->ia_bits)
		return -EINVAL;

	/*
	 * The first level can consist of several consecutive tables, so its index has no upper
	 * bound.
	 */
	level = pgt->start_level;
	entries = (const u64 __force *)pgt->pgd;
	index = gpa >> kvm_granule_shift(level);
	for (;;) {
		entry = READ_ONCE(entries[index]);
		if (!(entry & ENTRY_VALID))
			return -ENOENT;
		shift = kvm_granule_shift(level);
		if (level == LAST_LEVEL || !(entry & ENTRY_TABLE))
			break;
		level++;
		entries = phys_to_virt(kvm_pte_to_phys(entry));
		index = (gpa >> kvm_granule_shift(level)) & (PTRS_PER_PTE - 1);
	}

	attr = FIELD_GET(ENTRY_MEMATTR, entry);
	found->entry = entry;
	found->shift = shift;
	found->address = kvm_pte_to_phys(entry);
	found->name = vcpu->arch.hcr_el2 & HCR_FWB ? type_with_fwb(attr) : type_without_fwb(attr);
	return 0;
}

#endif
