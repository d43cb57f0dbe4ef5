// SPDX-License-Identifier: GPL-2.0-only
/*
 * Removal of a device that a program has open: through sysfs, by powering off its slot, or by
 * disabling virtual functions. As with vfio-pci, the control, removal waits until the program has
 * closed the device. Until then mappings keep their types and reach the device; afterwards nothing
 * remains of them. A device that returns is like a new one.
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "fixture.h"

#define PATTERN		0x5ab0a55a

/* The same token as text and as bytes. */
#define TOKEN		"2ab74924-c335-45f4-9b16-8569e5b08258"
static const unsigned char token[16] = {
	0x2a, 0xb7, 0x49, 0x24, 0xc3, 0x35, 0x45, 0xf4,
	0x9b, 0x16, 0x85, 0x69, 0xe5, 0xb0, 0x82, 0x58,
};

/* A device that a program has open, with mappings of a BAR and of a subregion, both written to. */
struct held {
	struct vfio_device dev;
	struct pci_bar bar;
	uint32_t index;
	uint64_t unit;
	char *plain;
	/* NULL with vfio-pci. */
	char *wc;
	/* Whether the BAR is memory, which returns the values that were written. */
	bool memory;
	/* Signalled when the program should close the device; -1 without such an eventfd. */
	int request;
	pthread_t writer;
	volatile bool stop;
	volatile unsigned long written;
	volatile unsigned long refused;
};

static void *write_all(void *data)
{
	struct held *held = data;
	uint64_t at;

	for (at = 0; !held->stop; at = (at + GRANULE) % held->unit) {
		if (touch_write((uint32_t *)(held->plain + at), PATTERN) ||
		    (held->wc && touch_write((uint32_t *)(held->wc + at), PATTERN)))
			held->refused++;
		held->written++;
	}
	return NULL;
}

/* Maps the second unit of BAR @index and, with this driver, the third as a WC subregion. */
static void hold(struct __test_metadata *_metadata, struct held *held, uint32_t index,
		 uint64_t unit, bool stock)
{
	struct vfio_subregion_create sub;

	held->index = index;
	held->unit = unit;
	held->bar = fixture_bar(_metadata, &held->dev, index);
	held->plain = fixture_map(_metadata, &held->dev, vfio_offset(&held->dev, index, unit),
				  unit, 2 * MIB);
	EXPECT_TOUCH(held->plain, PTE_NONCACHED, 0);
	if (stock)
		return;
	sub = fixture_create(_metadata, &held->dev, index, VFIO_SUBREGION_ATTR_WC, 2 * unit, unit);
	held->wc = fixture_map(_metadata, &held->dev, sub.mmap_offset, unit, 2 * MIB);
	EXPECT_TOUCH(held->wc, PTE_WC, 0);
}

/* Does so with a device that has returned, and that can be used like a new one. */
static void hold_again(struct __test_metadata *_metadata, struct held *held, const char *bdf,
		       bool stock)
{
	fixture_bind(_metadata, bdf, stock ? DRIVER_STOCK : vfio_driver());
	ASSERT_EQ(0, vfio_device_open(&held->dev, bdf));
	hold(_metadata, held, BAR2, MIB, stock);
}

/* Registers an eventfd for the request to close the device. */
static void ask_for_requests(struct __test_metadata *_metadata, struct held *held)
{
	held->request = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ASSERT_LE(0, held->request);
	ASSERT_EQ(0, vfio_set_irqs(&held->dev, VFIO_PCI_REQ_IRQ_INDEX,
				   VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 1,
				   &held->request));
}

static void start_writing(struct __test_metadata *_metadata, struct held *held)
{
	ASSERT_EQ(0, pthread_create(&held->writer, NULL, write_all, held));
}

static void stop_writing(struct held *held)
{
	held->stop = true;
	if (held->writer)
		pthread_join(held->writer, NULL);
	held->writer = 0;
}

static void let_go(struct held *held)
{
	vfio_device_close(&held->dev);
	if (held->plain)
		munmap(held->plain, held->unit);
	if (held->wc)
		munmap(held->wc, held->unit);
	held->plain = NULL;
	held->wc = NULL;
}

/* Until the program has closed the device, the device works and its mappings have their types. */
static void expect_held(struct __test_metadata *_metadata, struct held *held)
{
	unsigned long before = held->written;

	while (held->written < before + 100)
		usleep(1000);
	EXPECT_EQ(0, held->refused);
	EXPECT_TOUCH(held->plain, PTE_NONCACHED, 0);
	if (held->memory)
		EXPECT_EQ(PATTERN, *(volatile uint32_t *)held->plain);
	if (!held->wc)
		return;
	EXPECT_TOUCH(held->wc, PTE_WC, 0);
	EXPECT_EQ(held->bar.start + 2 * held->unit, pte_phys(held->wc));
	EXPECT_MEMTYPE(MEMTYPE_WC, held->bar.start + 2 * held->unit,
		       held->bar.start + 3 * held->unit);
	if (held->memory)
		EXPECT_EQ(PATTERN, *(volatile uint32_t *)held->wc);
}

static bool exists(const char *bdf)
{
	char driver[PCI_NAME_LEN];

	return pci_driver(bdf, driver) != -ENODEV;
}

/* A process of its own removes the device; it does not have the device open. */
static pid_t start_removing(struct __test_metadata *_metadata, struct held *held,
			    unsigned int count, int (*remove)(const char *bdf), const char *bdf)
{
	unsigned int i;
	pid_t child;

	child = fork();
	ASSERT_LE(0, child);
	if (child)
		return child;
	for (i = 0; i < count; i++)
		let_go(&held[i]);
	_exit(remove(bdf) ? 1 : 0);
}

static void expect_waiting(struct __test_metadata *_metadata, pid_t child)
{
	int status;

	EXPECT_EQ(0, waitpid(child, &status, WNOHANG)) TH_LOG("removing did not wait");
}

static void expect_removed(struct __test_metadata *_metadata, pid_t child, const char *bdf)
{
	fixture_join(_metadata, child);
	EXPECT_FALSE(exists(bdf));
}

static void wait_for_request(struct __test_metadata *_metadata, struct held *held)
{
	struct pollfd poll_fd = { .fd = held->request, .events = POLLIN };

	if (held->request < 0)
		usleep(200 * 1000);
	else
		EXPECT_EQ(1, poll(&poll_fd, 1, 10000)) TH_LOG("no request came");
}

static int remove_vfs(const char *bdf)
{
	return pci_set_vfs(bdf, 0);
}

/* A way of removal, and the device. */
struct way {
	const char *device;
	int (*remove)(const char *bdf);
	/* Whether the kernel can find the device again afterwards. */
	bool comes_back;
	bool stock;
	bool request;
};

FIXTURE(removal) {
	struct held held;
	char bdf[PCI_NAME_LEN];
};

FIXTURE_VARIANT(removal) {
	struct way way;
};

FIXTURE_VARIANT_ADD(removal, by_sysfs_of_vfio_pci) {
	{ "DEV_IVSHMEM", pci_remove, true, true, false }
};

FIXTURE_VARIANT_ADD(removal, by_sysfs) {
	{ "DEV_IVSHMEM", pci_remove, true, false, false }
};

FIXTURE_VARIANT_ADD(removal, by_sysfs_after_a_request_of_vfio_pci) {
	{ "DEV_IVSHMEM", pci_remove, true, true, true }
};

FIXTURE_VARIANT_ADD(removal, by_sysfs_after_a_request) {
	{ "DEV_IVSHMEM", pci_remove, true, false, true }
};

/* The machine removes a device whose slot is powered off. */
FIXTURE_VARIANT_ADD(removal, by_slot_of_vfio_pci) {
	{ "DEV_SPARE_0", pci_slot_off, false, true, false }
};

FIXTURE_VARIANT_ADD(removal, by_slot) {
	{ "DEV_SPARE_2", pci_slot_off, false, false, false }
};

FIXTURE_VARIANT_ADD(removal, by_slot_after_a_request_of_vfio_pci) {
	{ "DEV_SPARE_3", pci_slot_off, false, true, true }
};

FIXTURE_VARIANT_ADD(removal, by_slot_after_a_request) {
	{ "DEV_SPARE_1", pci_slot_off, false, false, true }
};

FIXTURE_SETUP(removal)
{
	const struct way *way = &variant->way;
	struct held *held = &self->held;
	char slot[PCI_NAME_LEN];

	held->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	held->request = -1;
	held->memory = true;
	if (!fixture_bdf(_metadata, way->device))
		return;
	if (!exists(getenv(way->device)))
		SKIP(return, "there is only one %s", way->device);
	if (!fixture_open(_metadata, &held->dev, way->device,
			  way->stock ? DRIVER_STOCK : vfio_driver()))
		return;
	snprintf(self->bdf, sizeof(self->bdf), "%s", held->dev.bdf);
	if (way->remove == pci_slot_off && pci_slot(self->bdf, slot))
		SKIP(return, "the kernel has no driver for slots (CONFIG_HOTPLUG_PCI_PCIE)");
	if (way->request)
		ask_for_requests(_metadata, held);
	hold(_metadata, held, BAR2, MIB, way->stock);
}

/* In every case the device exists for the next test. */
FIXTURE_TEARDOWN(removal)
{
	stop_writing(&self->held);
	let_go(&self->held);
	if (variant->way.comes_back && self->bdf[0] && !exists(self->bdf))
		EXPECT_EQ(0, pci_rescan());
}

/* contract: lifetime.removal */
TEST_F(removal, waits_for_the_program_whose_mappings_keep_their_types)
{
	const struct way *way = &variant->way;
	struct held *held = &self->held;
	pid_t child;

	child = start_removing(_metadata, held, 1, way->remove, self->bdf);
	start_writing(_metadata, held);
	wait_for_request(_metadata, held);
	expect_waiting(_metadata, child);
	expect_held(_metadata, held);
	/* A mapping keeps the device open like a descriptor. */
	vfio_device_close(&held->dev);
	usleep(100 * 1000);
	expect_waiting(_metadata, child);
	expect_held(_metadata, held);
	stop_writing(held);
	let_go(held);
	expect_removed(_metadata, child, self->bdf);
	expect_reservations(_metadata, &held->bar, "");
	if (!way->comes_back)
		return;
	ASSERT_EQ(0, pci_rescan());
	hold_again(_metadata, held, self->bdf, way->stock);
}

/* A program that changes types until the device is gone. */
FIXTURE(changing) {
	struct held held;
	char bdf[PCI_NAME_LEN];
};

FIXTURE_SETUP(changing)
{
	struct held *held = &self->held;

	held->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	held->request = -1;
	if (!fixture_open(_metadata, &held->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	snprintf(self->bdf, sizeof(self->bdf), "%s", held->dev.bdf);
	hold(_metadata, held, BAR2, MIB, false);
}

FIXTURE_TEARDOWN(changing)
{
	let_go(&self->held);
	if (self->bdf[0] && !exists(self->bdf))
		EXPECT_EQ(0, pci_rescan());
}

/* contract: lifetime.removal */
TEST_F(changing, types_works_until_the_program_has_let_go)
{
	struct vfio_subregion_create sub;
	struct held *held = &self->held;
	unsigned int i;
	pid_t child;
	char *map;

	child = start_removing(_metadata, held, 1, pci_remove, self->bdf);
	wait_for_request(_metadata, held);
	for (i = 0; i < 20; i++) {
		sub = fixture_create(_metadata, &held->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 4 * MIB,
				     2 * MIB);
		map = fixture_map(_metadata, &held->dev, sub.mmap_offset, 2 * MIB, 2 * MIB);
		EXPECT_TOUCH(map, PTE_WC, 0);
		fixture_destroy(_metadata, &held->dev, sub.index);
		EXPECT_SIGBUS(map);
		munmap(map, 2 * MIB);
	}
	/* As with vfio-pci, the removing thread holds the lock that a reset takes. */
	EXPECT_EQ(-EAGAIN, vfio_device_reset(&held->dev));
	EXPECT_TOUCH(held->wc, PTE_WC, 0);
	expect_waiting(_metadata, child);
	let_go(held);
	expect_removed(_metadata, child, self->bdf);
	expect_reservations(_metadata, &held->bar, "");
}

/* A process ends while its memory, including mappings of the device, continues to exist. */
FIXTURE(memory) {
	struct held held;
	char bdf[PCI_NAME_LEN];
};

FIXTURE_VARIANT(memory) {
	bool stock;
};

FIXTURE_VARIANT_ADD(memory, of_vfio_pci) { true };
FIXTURE_VARIANT_ADD(memory, of_this_driver) { false };

FIXTURE_SETUP(memory)
{
	const char *bdf = fixture_bdf(_metadata, "DEV_IVSHMEM");
	struct held *held = &self->held;

	held->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	held->request = -1;
	held->memory = true;
	if (!bdf)
		return;
	snprintf(self->bdf, sizeof(self->bdf), "%s", bdf);
	fixture_bind(_metadata, bdf, variant->stock ? DRIVER_STOCK : vfio_driver());
	ASSERT_EQ(0, pci_bar(bdf, BAR2, &held->bar));
}

FIXTURE_TEARDOWN(memory)
{
	let_go(&self->held);
	if (self->bdf[0] && !exists(self->bdf))
		EXPECT_EQ(0, pci_rescan());
}

/* A process with the memory of another, which has exited, and two pipes to ask it, a byte each. */
struct heir {
	struct held *held;
	int ask[2];
	int say[2];
};

/* Whether the mappings have their types, and their entries the pages of the device. */
static bool types_are_right(const struct held *held)
{
	uint32_t value;

	if (touch_read((uint32_t *)held->plain, &value) ||
	    strcmp(pte_type(held->plain), PTE_NONCACHED) ||
	    pte_phys(held->plain) != held->bar.start + held->unit)
		return false;
	return !held->wc || (!touch_read((uint32_t *)held->wc, &value) &&
			     !strcmp(pte_type(held->wc), PTE_WC) &&
			     pte_phys(held->wc) == held->bar.start + 2 * held->unit);
}

/* Says whether the types are right, as often as it is asked; exits when nobody can ask any more. */
static int live_on(void *data)
{
	struct heir *heir = data;
	char byte;

	while (read(heir->ask[0], &byte, 1) == 1) {
		byte = types_are_right(heir->held) ? 'r' : 'w';
		if (write(heir->say[1], &byte, 1) != 1)
			break;
	}
	return 0;
}

static void expect_right_types(struct __test_metadata *_metadata, struct heir *heir)
{
	char byte = 0;

	ASSERT_EQ(1, write(heir->ask[1], "?", 1));
	ASSERT_EQ(1, read(heir->say[0], &byte, 1));
	EXPECT_EQ('r', byte);
}

/* Maps the device, leaves its memory to another process, and exits. */
static void bequeath(struct __test_metadata *_metadata, struct held *held, const char *bdf,
		     struct heir *heir, bool stock)
{
	static char stack[64 * KIB] __attribute__((aligned(16)));

	ASSERT_EQ(0, vfio_device_open(&held->dev, bdf));
	hold(_metadata, held, BAR2, MIB, stock);
	vfio_device_close(&held->dev);
	close(heir->ask[1]);
	close(heir->say[0]);
	ASSERT_LT(0, clone(live_on, stack + sizeof(stack), CLONE_VM | SIGCHLD, heir));
	_exit(_metadata->exit_code);
}

/* contract: lifetime.removal-mapping */
TEST_F(memory, that_outlives_its_process_keeps_the_device)
{
	struct held *held = &self->held;
	struct heir heir = { .held = held };
	pid_t owner, child;

	ASSERT_EQ(0, pipe(heir.ask));
	ASSERT_EQ(0, pipe(heir.say));
	owner = fork();
	ASSERT_LE(0, owner);
	if (!owner)
		bequeath(_metadata, held, self->bdf, &heir, variant->stock);
	close(heir.ask[0]);
	close(heir.say[1]);
	fixture_join(_metadata, owner);
	expect_right_types(_metadata, &heir);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		close(heir.ask[1]);
		_exit(pci_remove(self->bdf) ? 1 : 0);
	}
	usleep(300 * 1000);
	expect_waiting(_metadata, child);
	expect_right_types(_metadata, &heir);
	if (!variant->stock)
		EXPECT_MEMTYPE(MEMTYPE_WC, held->bar.start + 2 * MIB, held->bar.start + 3 * MIB);
	close(heir.ask[1]);
	expect_removed(_metadata, child, self->bdf);
	expect_reservations(_metadata, &held->bar, "");
	ASSERT_EQ(0, pci_rescan());
	hold_again(_metadata, held, self->bdf, variant->stock);
}

/* A kernel thread uses the memory of a process whose virtio queues it serves. */
#define VHOST_NET	"/dev/vhost-net"
#define VHOST_SET_OWNER	_IO(0xAF, 0x01)

/* contract: lifetime.removal-mapping */
TEST_F(memory, that_vhost_has_keeps_the_device)
{
	struct held *held = &self->held;
	pid_t owner, child;
	int vhost, status;

	vhost = open(VHOST_NET, O_RDWR | O_CLOEXEC);
	if (vhost < 0)
		SKIP(return, "%s: %s (CONFIG_VHOST_NET)", VHOST_NET, strerror(errno));
	owner = fork();
	ASSERT_LE(0, owner);
	if (!owner) {
		ASSERT_EQ(0, vfio_device_open(&held->dev, self->bdf));
		hold(_metadata, held, BAR2, MIB, variant->stock);
		ASSERT_EQ(0, ioctl(vhost, VHOST_SET_OWNER));
		_exit(_metadata->exit_code);
	}
	ASSERT_EQ(owner, waitpid(owner, &status, 0));
	ASSERT_EQ(0, status);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		close(vhost);
		_exit(pci_remove(self->bdf) ? 1 : 0);
	}
	usleep(300 * 1000);
	expect_waiting(_metadata, child);
	if (!variant->stock)
		EXPECT_MEMTYPE(MEMTYPE_WC, held->bar.start + 2 * MIB, held->bar.start + 3 * MIB);
	close(vhost);
	expect_removed(_metadata, child, self->bdf);
	expect_reservations(_metadata, &held->bar, "");
	ASSERT_EQ(0, pci_rescan());
	hold_again(_metadata, held, self->bdf, variant->stock);
}

/* Two devices are removed at the same time; the kernel removes one after the other. */
FIXTURE(both) {
	struct held held[2];
	char bdf[2][PCI_NAME_LEN];
};

FIXTURE_SETUP(both)
{
	const char *const devices[] = { "DEV_IVSHMEM", "DEV_TESTDEV" };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		self->held[i].dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
		self->held[i].request = -1;
		self->held[i].memory = true;
	}
	for (i = 0; i < 2; i++) {
		if (!fixture_open(_metadata, &self->held[i].dev, devices[i], vfio_driver()))
			return;
		snprintf(self->bdf[i], sizeof(self->bdf[i]), "%s", self->held[i].dev.bdf);
		hold(_metadata, &self->held[i], BAR2, MIB, false);
	}
}

FIXTURE_TEARDOWN(both)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		stop_writing(&self->held[i]);
		let_go(&self->held[i]);
	}
	/*
	 * Only if it is needed: a device that the kernel suspends during a rescan can lose its BARs
	 * (Documentation/upstream.rst). The devices above were closed just now.
	 */
	if (!exists(self->bdf[0]) || !exists(self->bdf[1]))
		EXPECT_EQ(0, pci_rescan());
}

/* contract: lifetime.removal-both */
TEST_F(both, go_and_come_back)
{
	pid_t child[2];
	unsigned int i;

	for (i = 0; i < 2; i++)
		child[i] = start_removing(_metadata, self->held, 2, pci_remove, self->bdf[i]);
	for (i = 0; i < 2; i++)
		start_writing(_metadata, &self->held[i]);
	usleep(300 * 1000);
	for (i = 0; i < 2; i++) {
		expect_waiting(_metadata, child[i]);
		expect_held(_metadata, &self->held[i]);
	}
	for (i = 2; i--;) {
		stop_writing(&self->held[i]);
		let_go(&self->held[i]);
	}
	for (i = 0; i < 2; i++) {
		expect_removed(_metadata, child[i], self->bdf[i]);
		expect_reservations(_metadata, &self->held[i].bar, "");
	}
	ASSERT_EQ(0, pci_rescan());
	for (i = 0; i < 2; i++)
		hold_again(_metadata, &self->held[i], self->bdf[i], false);
}

/* The kernel's own vfio-pci is loaded without the parameter. */
static void allow_sriov(struct __test_metadata *_metadata)
{
	int file = open("/sys/module/vfio_pci/parameters/enable_sriov", O_WRONLY | O_CLOEXEC);

	ASSERT_LE(0, file);
	ASSERT_EQ(1, write(file, "Y", 1));
	close(file);
}

/* A virtual function that its physical function removes. */
FIXTURE(vf) {
	struct vfio_device pf;
	struct held held;
	char bdf[PCI_NAME_LEN];
	bool enabled;
};

FIXTURE_VARIANT(vf) {
	bool stock;
	bool request;
};

FIXTURE_VARIANT_ADD(vf, of_vfio_pci) { true, false };
FIXTURE_VARIANT_ADD(vf, of_this_driver) { false, false };
FIXTURE_VARIANT_ADD(vf, of_this_driver_after_a_request) { false, true };

FIXTURE_SETUP(vf)
{
	const char *driver = variant->stock ? DRIVER_STOCK : vfio_driver();
	int ret;

	self->pf = (struct vfio_device)VFIO_DEVICE_CLOSED;
	self->held.dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	self->held.request = -1;
	if (variant->stock)
		allow_sriov(_metadata);
	if (!fixture_open(_metadata, &self->pf, "DEV_IGB", driver) ||
	    !fixture_has_4k(_metadata))
		return;
	ASSERT_EQ(0, vfio_set_vf_token(&self->pf, token));
	ret = pci_set_vfs(self->pf.bdf, 1);
	if (ret == -ENOENT)
		SKIP(return, "the driver was loaded without enable_sriov=1");
	ASSERT_EQ(0, ret) TH_LOG("sriov_numvfs: %s", strerror(-ret));
	self->enabled = true;
	ASSERT_EQ(0, pci_vf(self->pf.bdf, 0, self->bdf));
	ASSERT_EQ(0, vfio_device_open_vf(&self->held.dev, self->bdf, TOKEN));
	if (variant->request)
		ask_for_requests(_metadata, &self->held);
	/* The bytes behind the registers of BAR 0, which are in its first pages. */
	hold(_metadata, &self->held, 0, GRANULE, variant->stock);
}

FIXTURE_TEARDOWN(vf)
{
	stop_writing(&self->held);
	let_go(&self->held);
	if (self->enabled)
		EXPECT_EQ(0, pci_set_vfs(self->pf.bdf, 0));
	vfio_device_close(&self->pf);
}

/* contract: lifetime.removal */
TEST_F(vf, that_is_taken_away_waits_for_the_program)
{
	struct held *held = &self->held;
	pid_t child;

	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		let_go(held);
		vfio_device_close(&self->pf);
		_exit(remove_vfs(self->pf.bdf) ? 1 : 0);
	}
	start_writing(_metadata, held);
	wait_for_request(_metadata, held);
	expect_waiting(_metadata, child);
	expect_held(_metadata, held);
	stop_writing(held);
	let_go(held);
	expect_removed(_metadata, child, self->bdf);
	self->enabled = false;
	expect_reservations(_metadata, &held->bar, "");
	/* The physical function works as before, and can create another virtual function. */
	ASSERT_EQ(0, pci_set_vfs(self->pf.bdf, 1));
	self->enabled = true;
	ASSERT_EQ(0, pci_vf(self->pf.bdf, 0, self->bdf));
	ASSERT_EQ(0, vfio_device_open_vf(&held->dev, self->bdf, TOKEN));
	hold(_metadata, held, 0, GRANULE, variant->stock);
}

TEST_HARNESS_MAIN
