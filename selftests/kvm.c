// SPDX-License-Identifier: GPL-2.0
/*
 * What a guest of KVM may make of a subregion: by what it stores, by what that does to it, and by
 * what happens to it when the memory is taken away.
 */
#include <pthread.h>
#include <signal.h>

#include "fixture.h"
#include "vm.h"

#define AT		(4 * MIB)
#define SIZE		(2 * MIB)
#define VALUE		0x8877665544332211ull

/** struct subject - one range of a BAR, as a guest's device memory */
struct subject {
	/* The BAR of vfio-pci, the BAR of this driver, or a subregion. */
	enum { OF_VFIO_PCI, OF_BAR, OF_SUBREGION } of;
	uint32_t attribute;
	/* Whether a guest on arm64 may have it as Normal-NC. */
	bool normal;
};

FIXTURE(kvm) {
	struct vfio_device dev;
	struct vfio_subregion_create sub;
	struct vm vm;
	volatile uint64_t *map;
	pthread_t runner;
	volatile int ended;
};

FIXTURE_VARIANT(kvm) {
	struct subject subject;
};

FIXTURE_VARIANT_ADD(kvm, bar_of_vfio_pci) { { OF_VFIO_PCI, 0, true } };
FIXTURE_VARIANT_ADD(kvm, bar) { { OF_BAR, 0, true } };
FIXTURE_VARIANT_ADD(kvm, noncached) { { OF_SUBREGION, VFIO_SUBREGION_ATTR_NONCACHED, false } };
FIXTURE_VARIANT_ADD(kvm, device) { { OF_SUBREGION, VFIO_SUBREGION_ATTR_DEVICE, false } };
FIXTURE_VARIANT_ADD(kvm, wc) { { OF_SUBREGION, VFIO_SUBREGION_ATTR_WC, true } };
FIXTURE_VARIANT_ADD(kvm, guest_any) { { OF_SUBREGION, VFIO_SUBREGION_ATTR_GUEST_ANY, true } };

/* Makes a machine, or marks the test as skipped. */
static bool fixture_vm(struct __test_metadata *_metadata, struct vm *vm)
{
	int ret = vm_create(vm);

	if (ret == -ENOENT || ret == -ENODEV)
		SKIP(return false, "there is no KVM in this kernel or on this CPU");
	ASSERT_EQ(0, ret) TH_LOG("no virtual machine: %s", strerror(-ret));
	return true;
}

FIXTURE_SETUP(kvm)
{
	const struct subject *subject = &variant->subject;
	uint64_t offset;

	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	if (!fixture_vm(_metadata, &self->vm))
		return;
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM",
			  subject->of == OF_VFIO_PCI ? DRIVER_STOCK : vfio_driver()))
		return;
	offset = vfio_offset(&self->dev, BAR2, AT);
	if (subject->of == OF_SUBREGION) {
		self->sub = fixture_create(_metadata, &self->dev, BAR2, subject->attribute, AT,
					   SIZE);
		offset = self->sub.mmap_offset;
	}
	self->map = (void *)fixture_map(_metadata, &self->dev, offset, SIZE, 2 * MIB);
	ASSERT_EQ(0, vm_add(&self->vm, 0, (void *)self->map, SIZE));
}

FIXTURE_TEARDOWN(kvm)
{
	vm_destroy(&self->vm);
	if (self->map)
		munmap((void *)self->map, SIZE);
	vfio_device_close(&self->dev);
}

/* The 8 bytes at @at of the BAR, by read(). */
static uint64_t in_bar(struct __test_metadata *_metadata, struct vfio_device *dev, uint64_t at)
{
	uint64_t value;

	EXPECT_EQ(sizeof(value), pread(dev->fd, &value, sizeof(value),
				       vfio_offset(dev, BAR2, at)));
	return value;
}

TEST_F(kvm, a_store_by_the_guest_arrives)
{
	ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, 0, VALUE));
	ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_DEVICE, SIZE - 8, ~VALUE));
	EXPECT_EQ(VALUE, in_bar(_metadata, &self->dev, AT));
	EXPECT_EQ(~VALUE, in_bar(_metadata, &self->dev, AT + SIZE - 8));
}

/*
 * What a guest has is seen by what a store does that is not aligned; see also unaligned.c. Where
 * stage 1 makes it Device, the guest gets an alignment fault. Where stage 2 does, QEMU gives that
 * fault to the hypervisor, and KVM, which knows of none there, ends KVM_RUN with EFAULT.
 */
static void expect_type(struct __test_metadata *_metadata, struct vm *vm, uint64_t at, bool normal)
{
	/* The guest's own choice of Device is always heeded: a control that it is what is seen. */
	EXPECT_EQ(VM_UNALIGNED, vm_store(vm, GUEST_DEVICE, at + 3, VALUE));
	EXPECT_EQ(VM_DONE, vm_store(vm, GUEST_NORMAL, at, VALUE));
	EXPECT_EQ(normal ? VM_DONE : -EFAULT, vm_store(vm, GUEST_NORMAL, at + 3, VALUE));
	/* Nothing but the alignment was wrong. */
	EXPECT_EQ(VM_DONE, vm_store(vm, GUEST_NORMAL, at, VALUE));
}

TEST_F(kvm, the_guest_has_normal_memory_where_it_may_and_device_memory_elsewhere)
{
#if !defined(__aarch64__)
	SKIP(return, "on x86 the guest's PAT alone decides, and the CPU stores at any address");
#endif
	expect_type(_metadata, &self->vm, 0, variant->subject.normal);
	expect_type(_metadata, &self->vm, SIZE - 64, variant->subject.normal);
}

TEST_F(kvm, it_has_the_same_after_a_reset)
{
	ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, 0, VALUE));
	ASSERT_EQ(0, vfio_device_reset(&self->dev));
	ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
	ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, 8, ~VALUE));
	EXPECT_EQ(~VALUE, in_bar(_metadata, &self->dev, AT + 8));
#if defined(__aarch64__)
	expect_type(_metadata, &self->vm, 64, variant->subject.normal);
#endif
}

static void woken(int signal)
{
	(void)signal;
}

static void *count(void *data)
{
	FIXTURE_DATA(kvm) * self = data;

	self->ended = vm_count(&self->vm, GUEST_NORMAL, 0);
	return NULL;
}

/* Starts the guest's counting, and waits until it is seen. */
static void start_counting(struct __test_metadata *_metadata, FIXTURE_DATA(kvm) * self)
{
	self->map[0] = 0;
	self->ended = 0;
	ASSERT_EQ(0, pthread_create(&self->runner, NULL, count, self));
	while (self->map[0] < 100 && !self->ended)
		usleep(1000);
	ASSERT_EQ(0, self->ended);
}

/* Ends it from outside. */
static void stop_counting(struct __test_metadata *_metadata, FIXTURE_DATA(kvm) * self)
{
	sigaction(SIGUSR1, &(struct sigaction) { .sa_handler = woken }, NULL);
	vm_stop(&self->vm);
	ASSERT_EQ(0, pthread_kill(self->runner, SIGUSR1));
	ASSERT_EQ(0, pthread_join(self->runner, NULL));
	EXPECT_EQ(-EINTR, self->ended);
}

TEST_F(kvm, a_running_guest_is_stopped_while_the_memory_is_off)
{
	uint64_t reached;

	start_counting(_metadata, self);
	ASSERT_EQ(0, vfio_set_memory(&self->dev, false));
	/* KVM cannot give it the page, and says so. */
	ASSERT_EQ(0, pthread_join(self->runner, NULL));
	EXPECT_EQ(-EFAULT, self->ended);
	EXPECT_EQ(-EFAULT, vm_store(&self->vm, GUEST_NORMAL, 0, 0));
	ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
	reached = self->map[0];
	EXPECT_LE(100, reached);
	usleep(10000);
	EXPECT_EQ(reached, self->map[0]);
	start_counting(_metadata, self);
	stop_counting(_metadata, self);
}

TEST_F(kvm, a_running_guest_goes_on_after_a_reset)
{
	uint64_t before;
	unsigned int i;

	start_counting(_metadata, self);
	for (i = 0; i < 5; i++) {
		before = self->map[0];
		ASSERT_EQ(0, vfio_device_reset(&self->dev));
		ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
		/* The memory was off for a moment, in which the guest may have touched it. */
		if (self->ended) {
			ASSERT_EQ(-EFAULT, self->ended);
			ASSERT_EQ(0, pthread_join(self->runner, NULL));
			start_counting(_metadata, self);
			continue;
		}
		while (self->map[0] == before && !self->ended)
			usleep(1000);
	}
	stop_counting(_metadata, self);
}

TEST_F(kvm, a_running_guest_never_reaches_what_is_destroyed)
{
	uint64_t reached;

	if (variant->subject.of != OF_SUBREGION)
		SKIP(return, "a BAR cannot be destroyed");
	start_counting(_metadata, self);
	fixture_destroy(_metadata, &self->dev, self->sub.index);
	ASSERT_EQ(0, pthread_join(self->runner, NULL));
	EXPECT_EQ(-EFAULT, self->ended);
	reached = in_bar(_metadata, &self->dev, AT);
	EXPECT_LE(100, reached);
	EXPECT_EQ(-EFAULT, vm_store(&self->vm, GUEST_NORMAL, 0, VALUE));
	/* Claimed anew, it is another region, which the guest does not have. */
	fixture_create(_metadata, &self->dev, BAR2, variant->subject.attribute, AT, SIZE);
	EXPECT_EQ(-EFAULT, vm_store(&self->vm, GUEST_NORMAL, 0, VALUE));
	EXPECT_EQ(reached, in_bar(_metadata, &self->dev, AT));
}

/* One BAR in one machine: strict registers, a window for the guest's choice, one for WC. */
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

/* Makes @attribute's subregion the guest's device memory at the same place as in the BAR. */
static void add(struct __test_metadata *_metadata, struct vfio_device *dev, struct vm *vm,
		uint64_t at, uint32_t attribute)
{
	struct vfio_subregion_create sub;
	char *map;

	sub = fixture_create(_metadata, dev, BAR2, attribute, at, MIB);
	map = fixture_map(_metadata, dev, sub.mmap_offset, MIB, 2 * MIB);
	ASSERT_EQ(0, vm_add(vm, at, map, MIB));
}

TEST_F(kvm_mixed, one_bar_has_parts_of_all_kinds_side_by_side)
{
	char *rest;

	add(_metadata, &self->dev, &self->vm, 0, VFIO_SUBREGION_ATTR_DEVICE);
	add(_metadata, &self->dev, &self->vm, MIB, VFIO_SUBREGION_ATTR_GUEST_ANY);
	add(_metadata, &self->dev, &self->vm, 2 * MIB, VFIO_SUBREGION_ATTR_NONCACHED);
	add(_metadata, &self->dev, &self->vm, 3 * MIB, VFIO_SUBREGION_ATTR_WC);
	rest = fixture_map(_metadata, &self->dev, vfio_offset(&self->dev, BAR2, 4 * MIB),
			   4 * MIB, 2 * MIB);
	ASSERT_EQ(0, vm_add(&self->vm, 4 * MIB, rest, 4 * MIB));
	ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, MIB - 8, VALUE));
	ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, MIB, ~VALUE));
	EXPECT_EQ(VALUE, in_bar(_metadata, &self->dev, MIB - 8));
	EXPECT_EQ(~VALUE, in_bar(_metadata, &self->dev, MIB));
#if defined(__aarch64__)
	/* At both ends of each, so that a block of stage 2 that reaches too far is found. */
	expect_type(_metadata, &self->vm, 0, false);
	expect_type(_metadata, &self->vm, MIB - 64, false);
	expect_type(_metadata, &self->vm, MIB, true);
	expect_type(_metadata, &self->vm, 2 * MIB - 64, true);
	expect_type(_metadata, &self->vm, 2 * MIB, false);
	expect_type(_metadata, &self->vm, 3 * MIB - 64, false);
	expect_type(_metadata, &self->vm, 3 * MIB, true);
	expect_type(_metadata, &self->vm, 4 * MIB - 64, true);
	expect_type(_metadata, &self->vm, 4 * MIB, true);
#endif
}

TEST_HARNESS_MAIN
