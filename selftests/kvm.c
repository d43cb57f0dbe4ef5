// SPDX-License-Identifier: GPL-2.0-only
/*
 * Subregions in a KVM guest: its stores, their effect, the entries in its second stage of page
 * tables, and the revocation of the memory.
 */
#include <pthread.h>
#include <signal.h>

#include "fixture_vm.h"

#define AT		(4 * MIB)
#define SIZE		(2 * MIB)

/** struct subject - one range of a BAR, as device memory of a guest */
struct subject {
	/* The BAR of vfio-pci, the BAR of this driver, a subregion, or a file of one. */
	enum { OF_VFIO_PCI, OF_BAR, OF_SUBREGION, OF_EXPORT } of;
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
FIXTURE_VARIANT_ADD(kvm, exported_device) { { OF_EXPORT, VFIO_SUBREGION_ATTR_DEVICE, false } };
FIXTURE_VARIANT_ADD(kvm, exported_wc) { { OF_EXPORT, VFIO_SUBREGION_ATTR_WC, true } };

FIXTURE_SETUP(kvm)
{
	const struct subject *subject = &variant->subject;
	uint64_t offset;
	int fd;

	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	if (!fixture_vm(_metadata, &self->vm))
		return;
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM",
			  subject->of == OF_VFIO_PCI ? DRIVER_STOCK : vfio_driver()))
		return;
	offset = vfio_offset(&self->dev, BAR2, AT);
	if (subject->of >= OF_SUBREGION) {
		self->sub = fixture_create(_metadata, &self->dev, BAR2, subject->attribute, AT,
					   SIZE);
		offset = self->sub.mmap_offset;
	}
	if (subject->of == OF_EXPORT) {
		fd = fixture_export(_metadata, &self->dev, self->sub.index, O_RDWR);
		self->map = (void *)fixture_map_export(_metadata, fd, PROT_READ | PROT_WRITE, SIZE);
		close(fd);
	} else {
		self->map = (void *)fixture_map(_metadata, &self->dev, offset, SIZE, 2 * MIB);
	}
	ASSERT_EQ(0, vm_add(&self->vm, 0, (void *)self->map, SIZE));
}

FIXTURE_TEARDOWN(kvm)
{
	vm_destroy(&self->vm);
	if (self->map)
		munmap((void *)self->map, SIZE);
	vfio_device_close(&self->dev);
}

/* contract: vm.second-stage */
TEST_F(kvm, the_second_stage_has_the_entry_that_the_attribute_means)
{
	const struct subject *subject = &variant->subject;
	struct pte_oracle pte;

	expect_no_entry(_metadata, &self->vm, 0);
	ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, 0, VALUE));
	ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, SIZE - 8, VALUE));
	expect_entry(_metadata, &self->vm, 0, self->map, subject->normal);
	expect_entry(_metadata, &self->vm, SIZE - 8, (char *)self->map + SIZE - 8, subject->normal);
	expect_no_entry(_metadata, &self->vm, SIZE);

	/* The host's entry for the same bytes, read by the same oracle, has the type asked for. */
	EXPECT_STREQ(subject->of >= OF_SUBREGION ? attribute_pte(subject->attribute) :
		     PTE_NONCACHED, pte_type(self->map));

	/* Ordinary memory has another type. */
	ASSERT_EQ(0, pte_read_guest(self->vm.vcpu, vm_arch_code(), &pte));
	ASSERT_EQ(1, pte.present);
	EXPECT_TRUE(is_ram_type(pte.name));
	TH_LOG("memory: %.*s, entry bits %#llx", (int)sizeof(pte.name), pte.name,
	       (unsigned long long)pte.flags);
	ASSERT_EQ(0, pte_read_guest(self->vm.vcpu, VM_DEVICE_MEMORY, &pte));
	TH_LOG("device: %.*s, entry bits %#llx, 1 << %u bytes", (int)sizeof(pte.name), pte.name,
	       (unsigned long long)pte.flags, pte.shift);
}

/* contract: vm.revoked */
TEST_F(kvm, the_second_stage_loses_the_entry_at_a_reset_and_gets_it_again)
{
	ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, 0, VALUE));
	expect_entry(_metadata, &self->vm, 0, self->map, variant->subject.normal);
	ASSERT_EQ(0, vfio_device_reset(&self->dev));
	expect_no_entry(_metadata, &self->vm, 0);
	ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
	ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, 0, VALUE));
	expect_entry(_metadata, &self->vm, 0, self->map, variant->subject.normal);
}

/* vfio-pci, the control, does less here. */
/* contract: vm.revoked */
TEST_F(kvm, the_second_stage_loses_the_entry_at_a_reset_by_sysfs)
{
	ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, 0, VALUE));
	expect_entry(_metadata, &self->vm, 0, self->map, variant->subject.normal);
	ASSERT_EQ(0, pci_reset(self->dev.bdf, NULL));
	if (variant->subject.of != OF_VFIO_PCI)
		expect_no_entry(_metadata, &self->vm, 0);
	else
		expect_entry(_metadata, &self->vm, 0, self->map, variant->subject.normal);
	ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, 0, VALUE));
	expect_entry(_metadata, &self->vm, 0, self->map, variant->subject.normal);
}

/* contract: vm.bytes */
TEST_F(kvm, a_store_by_the_guest_arrives)
{
	ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_NORMAL, 0, VALUE));
	ASSERT_EQ(VM_DONE, vm_store(&self->vm, GUEST_DEVICE, SIZE - 8, ~VALUE));
	EXPECT_EQ(VALUE, in_bar(_metadata, &self->dev, AT));
	EXPECT_EQ(~VALUE, in_bar(_metadata, &self->dev, AT + SIZE - 8));
}

/* contract: vm.guest-type */
TEST_F(kvm, the_guest_has_normal_memory_only_if_it_may_choose_the_type)
{
#if !defined(__aarch64__)
	SKIP(return, "on x86 the guest's PAT alone decides, and the CPU stores at any address");
#endif
	expect_type(_metadata, &self->vm, 0, variant->subject.normal);
	expect_type(_metadata, &self->vm, SIZE - 64, variant->subject.normal);
}

/* contract: vm.guest-type */
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

/* Ends the guest from outside. */
static void stop_counting(struct __test_metadata *_metadata, FIXTURE_DATA(kvm) * self)
{
	sigaction(SIGUSR1, &(struct sigaction) { .sa_handler = woken }, NULL);
	vm_stop(&self->vm);
	ASSERT_EQ(0, pthread_kill(self->runner, SIGUSR1));
	ASSERT_EQ(0, pthread_join(self->runner, NULL));
	EXPECT_EQ(-EINTR, self->ended);
}

/* contract: vm.memory-off */
TEST_F(kvm, a_running_guest_is_stopped_while_the_memory_is_off)
{
	struct pte_oracle pte;
	uint64_t reached;

	start_counting(_metadata, self);
	ASSERT_EQ(-EBUSY, pte_read_guest(self->vm.vcpu, VM_DEVICE_MEMORY, &pte));
	ASSERT_EQ(0, vfio_set_memory(&self->dev, false));
	/* KVM cannot give the page to the guest, and reports this. */
	ASSERT_EQ(0, pthread_join(self->runner, NULL));
	EXPECT_EQ(-EFAULT, self->ended);
	EXPECT_EQ(-EFAULT, vm_store(&self->vm, GUEST_NORMAL, 0, 0));
	expect_no_entry(_metadata, &self->vm, 0);
	ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
	reached = self->map[0];
	EXPECT_LE(100, reached);
	usleep(10000);
	EXPECT_EQ(reached, self->map[0]);
	start_counting(_metadata, self);
	stop_counting(_metadata, self);
}

/* contract: vm.revoked */
TEST_F(kvm, a_running_guest_goes_on_after_a_reset)
{
	uint64_t before;
	unsigned int i;

	start_counting(_metadata, self);
	for (i = 0; i < 5; i++) {
		before = self->map[0];
		ASSERT_EQ(0, vfio_device_reset(&self->dev));
		ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
		/* The memory was disabled for a moment, in which the guest may have touched it. */
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

/* The guest is not even stopped: KVM waits for the entry like a program. */
/* contract: vm.revoked */
TEST_F(kvm, a_running_guest_goes_on_after_a_reset_by_sysfs)
{
	uint64_t before;
	unsigned int i;

	start_counting(_metadata, self);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, pci_reset(self->dev.bdf, NULL));
		before = self->map[0];
		while (self->map[0] == before && !self->ended)
			usleep(1000);
		ASSERT_EQ(0, self->ended);
	}
	stop_counting(_metadata, self);
}

/* contract: vm.destroyed */
TEST_F(kvm, a_running_guest_never_reaches_a_destroyed_subregion)
{
	uint64_t reached;

	if (variant->subject.of < OF_SUBREGION)
		SKIP(return, "a BAR cannot be destroyed");
	start_counting(_metadata, self);
	fixture_destroy(_metadata, &self->dev, self->sub.index);
	ASSERT_EQ(0, pthread_join(self->runner, NULL));
	EXPECT_EQ(-EFAULT, self->ended);
	reached = in_bar(_metadata, &self->dev, AT);
	EXPECT_LE(100, reached);
	EXPECT_EQ(-EFAULT, vm_store(&self->vm, GUEST_NORMAL, 0, VALUE));
	expect_no_entry(_metadata, &self->vm, 0);
	/* A new claim is another region, which the guest does not have. */
	fixture_create(_metadata, &self->dev, BAR2, variant->subject.attribute, AT, SIZE);
	EXPECT_EQ(-EFAULT, vm_store(&self->vm, GUEST_NORMAL, 0, VALUE));
	EXPECT_EQ(reached, in_bar(_metadata, &self->dev, AT));
}

TEST_HARNESS_MAIN
