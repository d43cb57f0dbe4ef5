// SPDX-License-Identifier: GPL-2.0-only
/*
 * A KVM guest that has one BAR in parts of all kinds; and the processes to which the oracle gives
 * answers about guests.
 */
#include <sys/mman.h>

#include "fixture_vm.h"

/* The parts of a BAR: mapped through the BAR itself, by a subregion, or by an export of one. */
struct part {
	uint64_t at;
	uint64_t size;
	enum { OF_BAR, OF_SUBREGION, OF_EXPORT } of;
	uint32_t attribute;
	/* Whether the guest may have it as Normal-NC. */
	bool normal;
};

#define PARTS	5

FIXTURE(kvm_mixed) {
	struct vfio_device dev;
	struct vm vm;
	/* The host's mappings of the parts, which the guest has at their offsets in the BAR. */
	char *maps[PARTS];
};

/* One BAR in one machine: the BAR's own attribute, and parts for registers, a choice, and WC. */
FIXTURE_VARIANT(kvm_mixed) {
	uint32_t attribute;
	struct part parts[PARTS];
};

FIXTURE_VARIANT_ADD(kvm_mixed, strict_bar) {
	VFIO_SUBREGION_ATTR_NONCACHED,
	{
		{ 0, MIB, OF_SUBREGION, VFIO_SUBREGION_ATTR_DEVICE, false },
		{ MIB, MIB, OF_SUBREGION, VFIO_SUBREGION_ATTR_GUEST_ANY, true },
		{ 2 * MIB, MIB, OF_SUBREGION, VFIO_SUBREGION_ATTR_NONCACHED, false },
		{ 3 * MIB, MIB, OF_SUBREGION, VFIO_SUBREGION_ATTR_WC, true },
		{ 4 * MIB, 4 * MIB, OF_BAR, VFIO_SUBREGION_ATTR_NONCACHED, true },
	}
};

FIXTURE_VARIANT_ADD(kvm_mixed, wc_bar) {
	VFIO_SUBREGION_ATTR_WC,
	{
		{ 0, MIB, OF_SUBREGION, VFIO_SUBREGION_ATTR_DEVICE, false },
		{ MIB, MIB, OF_BAR, VFIO_SUBREGION_ATTR_WC, true },
		{ 2 * MIB, MIB, OF_EXPORT, VFIO_SUBREGION_ATTR_NONCACHED, false },
		{ 3 * MIB, MIB, OF_EXPORT, VFIO_SUBREGION_ATTR_DEVICE, false },
		{ 4 * MIB, 4 * MIB, OF_BAR, VFIO_SUBREGION_ATTR_WC, true },
	}
};

static char *map_part(struct __test_metadata *_metadata, struct vfio_device *dev,
		      const struct part *part)
{
	uint64_t offset = vfio_offset(dev, BAR2, part->at);
	struct vfio_subregion_create sub;

	if (part->of != OF_BAR) {
		sub = fixture_create(_metadata, dev, BAR2, part->attribute, part->at, part->size);
		offset = sub.mmap_offset;
	}
	if (part->of == OF_EXPORT)
		return fixture_map_export(_metadata,
					  fixture_export(_metadata, dev, sub.index, O_RDWR),
					  PROT_READ | PROT_WRITE, part->size);
	return fixture_map(_metadata, dev, offset, part->size, 2 * MIB);
}

FIXTURE_SETUP(kvm_mixed)
{
	const struct part *part;
	unsigned int i;

	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	if (!fixture_vm(_metadata, &self->vm))
		return;
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	fixture_set_attr(_metadata, &self->dev, BAR2, variant->attribute);
	for (i = 0; i < PARTS; i++) {
		part = &variant->parts[i];
		self->maps[i] = map_part(_metadata, &self->dev, part);
		ASSERT_EQ(0, vm_add(&self->vm, part->at, self->maps[i], part->size));
	}
}

FIXTURE_TEARDOWN(kvm_mixed)
{
	vm_destroy(&self->vm);
	vfio_device_close(&self->dev);
}

/* contract: vm.second-stage */
TEST_F(kvm_mixed, the_second_stage_has_an_entry_of_its_own_kind_for_each_part)
{
	const struct part *part;
	unsigned int i;

	/*
	 * All parts in one machine, at both ends, so that the test finds an entry that is too
	 * large.
	 */
	for (i = 0; i < PARTS; i++) {
		part = &variant->parts[i];
		ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, part->at, VALUE));
		ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, part->at + part->size - 8,
					    VALUE));
	}
	for (i = 0; i < PARTS; i++) {
		part = &variant->parts[i];
		expect_entry(_metadata, &self->vm, part->at, self->maps[i], part->normal);
		expect_entry(_metadata, &self->vm, part->at + part->size - 8,
			     self->maps[i] + part->size - 8, part->normal);
		EXPECT_STREQ(attribute_pte(part->attribute), pte_type(self->maps[i]));
		EXPECT_STREQ(attribute_pte(part->attribute),
			     pte_type(self->maps[i] + part->size - 8));
	}
}

/* contract: vm.guest-type */
TEST_F(kvm_mixed, one_bar_has_parts_of_all_kinds_side_by_side)
{
	ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, MIB - 8, VALUE));
	ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, MIB, ~VALUE));
	EXPECT_EQ(VALUE, in_bar(_metadata, &self->dev, MIB - 8));
	EXPECT_EQ(~VALUE, in_bar(_metadata, &self->dev, MIB));
#if defined(__aarch64__)
	for (const struct part *part = variant->parts; part < variant->parts + PARTS; part++) {
		expect_type(_metadata, &self->vm, part->at, part->normal);
		expect_type(_metadata, &self->vm, part->at + part->size - 64, part->normal);
	}
#endif
}

/* contract: vm.claimed */
TEST_F(kvm_mixed, a_slot_of_the_whole_bar_reaches_no_page_of_a_subregion)
{
	/* Behind the parts. */
	const uint64_t second = 8 * MIB;
	const struct part *part;
	char *map = fixture_map(_metadata, &self->dev, vfio_offset(&self->dev, BAR2, 0), 8 * MIB,
				2 * MIB);
	unsigned int i;

	ASSERT_EQ(0, vm_add(&self->vm, second, map, 8 * MIB));
	for (i = 0; i < PARTS; i++) {
		part = &variant->parts[i];
		ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, part->at, VALUE));
		if (part->of == OF_BAR) {
			EXPECT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, second + part->at,
						    ~VALUE));
			EXPECT_EQ(~VALUE, in_bar(_metadata, &self->dev, part->at));
			expect_entry(_metadata, &self->vm, second + part->at, map + part->at,
				     part->normal);
		} else {
			EXPECT_EQ(-EFAULT, vm_store(&self->vm, GUEST_NORMAL, second + part->at,
						    ~VALUE));
			EXPECT_EQ(VALUE, in_bar(_metadata, &self->dev, part->at));
			expect_no_entry(_metadata, &self->vm, second + part->at);
		}
	}
}

/* contract: controls.oracle */
TEST_F(kvm_mixed, a_file_that_is_no_virtual_cpu_is_refused_by_the_oracle)
{
	int disguised = memfd_create("kvm-vcpu:0", MFD_CLOEXEC);
	struct pte_oracle pte;

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
	ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, 0, VALUE));
	EXPECT_EQ(-EINVAL, pte_read_guest(self->vm.vcpu, 1ull << 60, &pte));
	close(disguised);
}

TEST_HARNESS_MAIN
