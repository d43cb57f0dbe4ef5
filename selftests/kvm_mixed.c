// SPDX-License-Identifier: GPL-2.0-only
/*
 * A KVM guest that has one BAR in parts of all kinds; and the processes to which the oracle gives
 * answers about guests.
 */
#include <sys/mman.h>

#include "fixture_vm.h"

/* One BAR in one machine: strict registers, a range for the guest's choice, and one for WC. */
FIXTURE(kvm_mixed) {
	struct vfio_device dev;
	struct vm vm;
};

FIXTURE_SETUP(kvm_mixed)
{
	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	if (!fixture_vm(_metadata, &self->vm))
		return;
	fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver());
}

FIXTURE_TEARDOWN(kvm_mixed)
{
	vm_destroy(&self->vm);
	vfio_device_close(&self->dev);
}

/* The unclaimed parts are mapped through the window of the BAR. */
#define UNCLAIMED	-1

/* The parts: offset, size, and whether the guest may have them as Normal-NC. */
static const struct part {
	uint64_t at;
	uint64_t size;
	int attribute;
	bool normal;
} parts[] = {
	{ 0, MIB, VFIO_SUBREGION_ATTR_DEVICE, false },
	{ MIB, MIB, VFIO_SUBREGION_ATTR_GUEST_ANY, true },
	{ 2 * MIB, MIB, VFIO_SUBREGION_ATTR_NONCACHED, false },
	{ 3 * MIB, MIB, VFIO_SUBREGION_ATTR_WC, true },
	{ 4 * MIB, 4 * MIB, UNCLAIMED, true },
};

#define PARTS	ARRAY_SIZE(parts)

/* Gives all parts to the guest, at their offsets in the BAR; @maps are the host's mappings. */
static void add_parts(struct __test_metadata *_metadata, struct vfio_device *dev, struct vm *vm,
		      char *maps[PARTS])
{
	const struct part *part;
	unsigned int i;

	for (i = 0; i < PARTS; i++) {
		uint64_t offset;

		part = &parts[i];
		offset = vfio_offset(dev, BAR2, part->at);
		if (part->attribute != UNCLAIMED)
			offset = fixture_create(_metadata, dev, BAR2, part->attribute, part->at,
						part->size).mmap_offset;
		maps[i] = fixture_map(_metadata, dev, offset, part->size, 2 * MIB);
		ASSERT_EQ(0, vm_add(vm, part->at, maps[i], part->size));
	}
}

/* contract: vm.second-stage */
TEST_F(kvm_mixed, the_second_stage_has_an_entry_of_its_own_kind_for_each_part)
{
	char *maps[PARTS];
	unsigned int i;

	add_parts(_metadata, &self->dev, &self->vm, maps);
	/*
	 * All parts in one machine, at both ends, so that the test finds an entry that is too
	 * large.
	 */
	for (i = 0; i < PARTS; i++) {
		ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, parts[i].at, VALUE));
		ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL,
					    parts[i].at + parts[i].size - 8, VALUE));
	}
	for (i = 0; i < PARTS; i++) {
		expect_entry(_metadata, &self->vm, parts[i].at, maps[i], parts[i].normal);
		expect_entry(_metadata, &self->vm, parts[i].at + parts[i].size - 8,
			     maps[i] + parts[i].size - 8, parts[i].normal);
	}
}

/* contract: vm.guest-type */
TEST_F(kvm_mixed, one_bar_has_parts_of_all_kinds_side_by_side)
{
	char *maps[PARTS];

	add_parts(_metadata, &self->dev, &self->vm, maps);
	ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, MIB - 8, VALUE));
	ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, MIB, ~VALUE));
	EXPECT_EQ(VALUE, in_bar(_metadata, &self->dev, MIB - 8));
	EXPECT_EQ(~VALUE, in_bar(_metadata, &self->dev, MIB));
#if defined(__aarch64__)
	for (const struct part *part = parts; part < parts + PARTS; part++) {
		expect_type(_metadata, &self->vm, part->at, part->normal);
		expect_type(_metadata, &self->vm, part->at + part->size - 64, part->normal);
	}
#endif
}

/* contract: controls.oracle */
TEST_F(kvm_mixed, what_is_no_virtual_cpu_is_refused_by_the_oracle)
{
	int disguised = memfd_create("kvm-vcpu:0", MFD_CLOEXEC);
	struct pte_oracle pte;
	char *maps[PARTS];

	ASSERT_LE(0, disguised);
	EXPECT_EQ(-EBADF, pte_read_guest(-1, VM_DEVICE_MEMORY, &pte));
	EXPECT_EQ(-EINVAL, pte_read_guest(disguised, VM_DEVICE_MEMORY, &pte));
	EXPECT_EQ(-EINVAL, pte_read_guest(self->vm.kvm, VM_DEVICE_MEMORY, &pte));
	EXPECT_EQ(-EINVAL, pte_read_guest(self->vm.fd, VM_DEVICE_MEMORY, &pte));
	EXPECT_EQ(-EINVAL, pte_read_guest(self->dev.fd, VM_DEVICE_MEMORY, &pte));
	/*
	 * The oracle answers about a guest that has not run yet, but not about addresses that no
	 * guest has.
	 */
	EXPECT_EQ(0, pte_read_guest(self->vm.vcpu, VM_DEVICE_MEMORY, &pte));
	EXPECT_EQ(0, pte.present);
	add_parts(_metadata, &self->dev, &self->vm, maps);
	ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, 0, VALUE));
	EXPECT_EQ(-EINVAL, pte_read_guest(self->vm.vcpu, 1ull << 60, &pte));
	close(disguised);
}

TEST_HARNESS_MAIN
