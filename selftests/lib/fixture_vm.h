/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Common code of tests with a KVM guest: creating one, and the expected type of its device memory.
 */
#ifndef FIXTURE_VM_H
#define FIXTURE_VM_H

#include "fixture.h"
#include "vm.h"

/* The value that guests store. */
#define VALUE		0x8877665544332211ull

/** fixture_vm() - makes a machine; returns false after marking the test as skipped */
static inline bool fixture_vm(struct __test_metadata *_metadata, struct vm *vm)
{
	int ret = vm_create(vm);

	if (ret == -ENOENT || ret == -ENODEV)
		SKIP(return false, "this kernel or this CPU has no KVM");
	ASSERT_EQ(0, ret) TH_LOG("no virtual machine: %s", strerror(-ret));
	return true;
}

/** in_bar() - the 8 bytes at @at of the BAR, by read() */
static inline uint64_t in_bar(struct __test_metadata *_metadata, struct vfio_device *dev,
			      uint64_t at)
{
	uint64_t value;

	EXPECT_EQ(sizeof(value), pread(dev->fd, &value, sizeof(value),
				       vfio_offset(dev, BAR2, at)));
	return value;
}

/**
 * expect_type() - expects the guest to have its device memory at @at as Normal-NC, or as Device
 *
 * arm64 only. An unaligned store shows the type; see also unaligned.c. If stage 1 makes it Device,
 * the guest gets an alignment fault. If stage 2 does, QEMU delivers the fault to the hypervisor;
 * KVM does not expect it there, and KVM_RUN fails with EFAULT.
 */
static inline void expect_type(struct __test_metadata *_metadata, struct vm *vm, uint64_t at,
			       bool normal)
{
	/* A guest that chooses Device gets it. This control shows that the test sees the type. */
	EXPECT_EQ(VM_UNALIGNED, vm_store(vm, GUEST_DEVICE, at + 3, VALUE));
	EXPECT_EQ(VM_DONE, vm_store(vm, GUEST_NORMAL, at, VALUE));
	EXPECT_EQ(normal ? VM_DONE : -EFAULT, vm_store(vm, GUEST_NORMAL, at + 3, VALUE));
	/* Only the alignment was wrong. */
	EXPECT_EQ(VM_DONE, vm_store(vm, GUEST_NORMAL, at, VALUE));
}

/*
 * KVM's second-stage entries: for device memory whose type the guest may choose, and for memory
 * that stays Device. On x86, under AMD's nested paging, both entries are the same and leave the
 * choice to the guest.
 */
#if defined(__aarch64__)
#define STAGE2_FREE	"Normal-NC"
#define STAGE2_HELD	"Device-nGnRE"
#else
#define STAGE2_FREE	"WB"
#define STAGE2_HELD	"WB"
#endif

/**
 * is_ram_type() - whether @name is the type of ordinary memory
 *
 * On arm64 the type depends on HCR_EL2.FWB; STAGE2_MEMORY can name the expected one.
 */
static inline bool is_ram_type(const char *name)
{
	const char *want = getenv("STAGE2_MEMORY");

	if (want)
		return !strcmp(name, want);
#if defined(__aarch64__)
	return !strcmp(name, "Normal-WB") || !strcmp(name, "forced WB");
#else
	return !strcmp(name, "WB");
#endif
}

/**
 * expect_entry() - expects the guest to have an entry at @at of its device memory
 *
 * The entry must map the same physical address as @host, and must or must not allow the guest
 * Normal-NC.
 */
static inline void expect_entry(struct __test_metadata *_metadata, struct vm *vm, uint64_t at,
				const volatile void *host, bool normal)
{
	struct pte_oracle pte;

	ASSERT_EQ(0, pte_read_guest(vm->vcpu, VM_DEVICE_MEMORY + at, &pte));
	ASSERT_EQ(1, pte.present);
	EXPECT_STREQ(normal ? STAGE2_FREE : STAGE2_HELD, pte.name)
		TH_LOG("at %#llx: entry bits %#llx", (unsigned long long)at,
		       (unsigned long long)pte.flags);
	EXPECT_EQ(pte_phys(host) / GRANULE, pte.pfn);
}

/** expect_no_entry() - expects the guest to have no entry at @at of its device memory */
static inline void expect_no_entry(struct __test_metadata *_metadata, struct vm *vm,
				   uint64_t at)
{
	struct pte_oracle pte;

	ASSERT_EQ(0, pte_read_guest(vm->vcpu, VM_DEVICE_MEMORY + at, &pte));
	EXPECT_EQ(0, pte.present);
}

#endif /* FIXTURE_VM_H */
