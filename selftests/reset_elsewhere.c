// SPDX-License-Identifier: GPL-2.0-only
/*
 * Resets that VFIO does not start: through sysfs, of one function or of all devices behind a port.
 * During such a reset no program reaches the device, and no access fails: it waits. With vfio-pci,
 * the control, programs do reach the device.
 *
 * A device in reset does not decode its memory. A read then returns all ones or zero, depending on
 * the machine; the tests read other values only.
 */
#include <inttypes.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "events.h"

#define PATTERN		0x5ab0a55a
#define ROUNDS		5

/* In BAR 0 of QEMU's igb: the status register. The igb's BARs are not memory. */
#define STATUS		0x8

/* Accesses of one thread or process to the device; only it writes these counters. */
struct witness {
	volatile unsigned long reached;
	/* The number of these that read a value which the device does not hold. */
	volatile unsigned long nothing;
	/* The number of accesses that raised a signal or failed. */
	volatile unsigned long refused;
};

/*
 * The accesses to one device by a thread and a process that read its mappings, and by a thread that
 * uses read().
 */
struct watch {
	struct vfio_device *dev;
	/*
	 * The addresses and the offsets in the device file that are read, and the number of each.
	 */
	char *map[3];
	unsigned int maps;
	uint64_t offset[2];
	unsigned int offsets;
	uint64_t unit;
	struct witness *thread;
	struct witness *process;
	struct witness *reader;
	/*
	 * The number of times that the oracle found an entry for the first mapping, and found none.
	 */
	volatile unsigned long present;
	volatile unsigned long absent;
	volatile bool *stop;
	pthread_t threads[3];
	pid_t child;
};

static bool is_nothing(uint32_t value)
{
	return value == 0 || value == ~0u;
}

static void touch_once(const struct watch *watch, struct witness *witness, uint64_t at)
{
	uint32_t value;
	unsigned int i;

	for (i = 0; i < watch->maps; i++) {
		if (touch_read((uint32_t *)(watch->map[i] + at), &value))
			witness->refused++;
		else if (is_nothing(value))
			witness->nothing++;
		witness->reached++;
	}
}

static void touch_all(const struct watch *watch, struct witness *witness)
{
	uint64_t at;

	for (at = 0; !*watch->stop; at = (at + 132 * KIB) % watch->unit)
		touch_once(watch, witness, at);
}

static void *touch_thread(void *data)
{
	struct watch *watch = data;

	touch_all(watch, watch->thread);
	return NULL;
}

static void *read_thread(void *data)
{
	struct watch *watch = data;
	/* In memory, it reads more than the driver transfers at a time. */
	size_t size = watch->unit == sizeof(uint32_t) ? sizeof(uint32_t) : 8 * KIB;
	uint32_t value[2048];
	unsigned int i, word;

	while (!*watch->stop) {
		for (i = 0; i < watch->offsets; i++) {
			watch->reader->reached++;
			if (pread(watch->dev->fd, value, size, watch->offset[i]) != (ssize_t)size) {
				watch->reader->refused++;
				continue;
			}
			for (word = 0; word < size / sizeof(uint32_t); word++)
				watch->reader->nothing += is_nothing(value[word]);
		}
	}
	return NULL;
}

static void *look_thread(void *data)
{
	struct watch *watch = data;

	while (!*watch->stop) {
		if (pte_shift(watch->map[0]))
			watch->present++;
		else
			watch->absent++;
		usleep(200);
	}
	return NULL;
}

/* Logs what decides where a device's memory is: the headers of the device and of its port. */
static void log_decoding(struct __test_metadata *_metadata, const char *bdf)
{
	char names[2][PCI_NAME_LEN] = {};
	struct pci_header header;
	unsigned int i, word;

	snprintf(names[0], sizeof(names[0]), "%s", bdf);
	(void)pci_port(bdf, names[1]);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (pci_header(names[i], &header))
			continue;
		for (word = 0; word < ARRAY_SIZE(header.words); word++)
			TH_LOG("%s %02x: %08x", names[i], word * 4, header.words[word]);
	}
}

/*
 * Sets the addresses to read, in @plain, a mapping of @event's BAR, and in the mappings of @scene
 * if it is not NULL. Fills memory with a value.
 */
static void set_watch(struct __test_metadata *_metadata, struct watch *watch,
		      struct vfio_device *dev, const struct event *event, char *plain,
		      const struct scene *scene)
{
	uint64_t at;
	unsigned int i;

	watch->dev = dev;
	watch->unit = event->unit;
	watch->offset[watch->offsets++] = vfio_offset(dev, event->bar, 0);
	watch->map[watch->maps++] = plain;
	if (!strcmp(event->device, "DEV_IGB")) {
		watch->unit = sizeof(uint32_t);
		watch->offset[0] += STATUS;
		watch->map[0] += STATUS;
		return;
	}
	if (scene) {
		watch->offset[watch->offsets++] = scene->sub.mmap_offset;
		watch->map[watch->maps++] = scene->device;
		watch->map[watch->maps++] = scene->wc;
	}
	for (i = 0; i < watch->maps; i++)
		for (at = 0; at < watch->unit; at += sizeof(uint32_t))
			*(volatile uint32_t *)(watch->map[i] + at) = PATTERN;
	for (i = 0; i < watch->maps; i++) {
		ASSERT_EQ(PATTERN, *(volatile uint32_t *)watch->map[i])
		{
			TH_LOG("the entry is for 0x%" PRIx64, pte_phys(watch->map[i]));
			log_decoding(_metadata, dev->bdf);
		}
	}
}

static void start_watch(struct __test_metadata *_metadata, struct watch *watch)
{
	struct witness *shared;

	shared = mmap(NULL, GRANULE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, shared);
	watch->thread = shared;
	watch->process = shared + 1;
	watch->reader = shared + 2;
	watch->stop = (volatile bool *)(shared + 3);
	watch->child = fork();
	ASSERT_LE(0, watch->child);
	if (!watch->child) {
		touch_all(watch, watch->process);
		_exit(0);
	}
	ASSERT_EQ(0, pthread_create(&watch->threads[0], NULL, touch_thread, watch));
	ASSERT_EQ(0, pthread_create(&watch->threads[1], NULL, read_thread, watch));
	ASSERT_EQ(0, pthread_create(&watch->threads[2], NULL, look_thread, watch));
	while (!watch->thread->reached || !watch->process->reached || !watch->reader->reached)
		usleep(1000);
}

static void stop_watch(struct __test_metadata *_metadata, struct watch *watch)
{
	unsigned int i;

	if (!watch->child)
		return;
	*watch->stop = true;
	for (i = 0; i < ARRAY_SIZE(watch->threads); i++)
		pthread_join(watch->threads[i], NULL);
	fixture_join(_metadata, watch->child);
	watch->child = 0;
	TH_LOG("thread %lu, process %lu, read() %lu; entry present %lu times, absent %lu times",
	       watch->thread->reached, watch->process->reached, watch->reader->reached,
	       watch->present, watch->absent);
}

FIXTURE(elsewhere) {
	struct scene scene;
	struct watch watch;
};

FIXTURE_VARIANT(elsewhere) {
	struct event event;
};

FIXTURE_VARIANT_ADD(elsewhere, bus) {
	{ "DEV_IVSHMEM", 2, 2 * MIB, sysfs_reset_by_bus, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(elsewhere, bus_of_4k_entries) {
	{ "DEV_IVSHMEM", 2, 32 * KIB, sysfs_reset_by_bus, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(elsewhere, bus_that_fails_after_a_second) {
	{ "DEV_NVME", 2, 2 * MIB, sysfs_reset_by_bus, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(elsewhere, flr) {
	{ "DEV_NVME", 2, 2 * MIB, sysfs_reset_by_flr, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(elsewhere, pm) {
	{ "DEV_IGB", 0, 32 * KIB, sysfs_reset_by_pm, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(elsewhere, port) {
	{ "DEV_TESTDEV", 2, 2 * MIB, sysfs_reset_subordinate, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(elsewhere, port_of_two_functions) {
	{ "DEV_PAIR_0", 2, 2 * MIB, sysfs_reset_subordinate, memory_on, 0 }
};

FIXTURE_SETUP(elsewhere)
{
	struct scene *scene = &self->scene;

	if (!set_scene(_metadata, scene, &variant->event))
		return;
	set_watch(_metadata, &self->watch, &scene->dev, &variant->event, scene->plain, scene);
}

FIXTURE_TEARDOWN(elsewhere)
{
	stop_watch(_metadata, &self->watch);
	vfio_device_close(&self->scene.dev);
}

/* contract: reset.waits */
TEST_F(elsewhere, nobody_reaches_the_device_in_reset_and_nobody_is_refused)
{
	const struct event *event = &variant->event;
	struct watch *watch = &self->watch;
	struct scene *scene = &self->scene;
	unsigned int round;

	start_watch(_metadata, watch);
	/* On a loaded machine, the thread that looks runs rarely and needs more resets. */
	for (round = 0; round < ROUNDS || (round < 10 * ROUNDS && watch->absent < 3 * ROUNDS);
	     round++) {
		unsigned long before = watch->thread->reached, present = watch->present;

		ASSERT_EQ(0, event->revoke(&scene->dev));
		/* Until the entry is there again, and was seen. */
		while (watch->thread->reached < before + 100 || watch->present == present)
			usleep(1000);
	}
	EXPECT_TOUCH(scene->plain, PTE_NONCACHED, 0);
	EXPECT_TOUCH(scene->device, PTE_DEVICE, 0);
	EXPECT_TOUCH(scene->wc, PTE_WC, 0);
	stop_watch(_metadata, watch);
	EXPECT_EQ(0, watch->thread->nothing);
	EXPECT_EQ(0, watch->thread->refused);
	EXPECT_EQ(0, watch->process->nothing);
	EXPECT_EQ(0, watch->process->refused);
	EXPECT_EQ(0, watch->reader->nothing);
	EXPECT_EQ(0, watch->reader->refused);
	/* The entry was seen to be absent, for some milliseconds each time. */
	EXPECT_LE(3 * ROUNDS, watch->absent);
	EXPECT_LT(0, watch->present);
}

/* contract: reset.attribute */
TEST_F(elsewhere, a_bar_with_an_attribute_keeps_it)
{
	struct scene *scene = &self->scene;
	struct vfio_device *dev = &scene->dev;
	uint64_t unit = variant->event.unit;
	char *map;

	/*
	 * A BAR that has subregions cannot have an attribute, and only the next open starts without
	 * subregions.
	 */
	munmap(scene->plain, unit);
	munmap(scene->device, unit);
	munmap(scene->wc, unit);
	vfio_device_close(dev);
	ASSERT_EQ(0, vfio_device_open(dev, dev->bdf));
	fixture_set_attr(_metadata, dev, variant->event.bar, VFIO_SUBREGION_ATTR_DEVICE);
	map = fixture_map_bar(_metadata, dev, variant->event.bar, 2 * MIB);
	EXPECT_TOUCH(map, PTE_DEVICE, 0);
	ASSERT_EQ(0, variant->event.revoke(dev));
	EXPECT_STREQ(PTE_NONE, pte_type(map));
	EXPECT_TOUCH(map, PTE_DEVICE, 0);
}

/* contract: reset.attribute */
TEST_F(elsewhere, a_closed_device_is_reset_and_opens_as_before)
{
	struct scene *scene = &self->scene;
	struct vfio_device *dev = &scene->dev;
	uint64_t unit = variant->event.unit;
	struct vfio_subregion_create sub;
	char *map;

	munmap(scene->plain, unit);
	munmap(scene->device, unit);
	munmap(scene->wc, unit);
	vfio_device_close(dev);
	ASSERT_EQ(0, variant->event.revoke(dev));
	ASSERT_EQ(0, vfio_device_open(dev, dev->bdf));
	EXPECT_EQ(0, subregion_count(dev));
	sub = fixture_create(_metadata, dev, variant->event.bar, VFIO_SUBREGION_ATTR_WC, 2 * unit,
			     unit);
	map = fixture_map(_metadata, dev, sub.mmap_offset, unit, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, 0);
}

/*
 * The behaviour of the kernel's own driver, which is the reason for the gate. The driver in the
 * kernel's tree comes with patches by which vfio-pci behaves as it does.
 */
FIXTURE(control) {
	struct vfio_device dev;
	char *map;
	struct watch watch;
};

FIXTURE_VARIANT(control) {
	struct event event;
};

FIXTURE_VARIANT_ADD(control, bus) {
	{ "DEV_IVSHMEM", 2, 2 * MIB, sysfs_reset_by_bus, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(control, flr) {
	{ "DEV_NVME", 2, 2 * MIB, sysfs_reset_by_flr, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(control, pm) {
	{ "DEV_IGB", 0, 32 * KIB, sysfs_reset_by_pm, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(control, port) {
	{ "DEV_TESTDEV", 2, 2 * MIB, sysfs_reset_subordinate, memory_on, 0 }
};

FIXTURE_SETUP(control)
{
	const struct event *event = &variant->event;

	if (!fixture_open(_metadata, &self->dev, event->device, DRIVER_STOCK))
		return;
	self->map = fixture_map(_metadata, &self->dev, vfio_offset(&self->dev, event->bar, 0),
				event->unit, 2 * MIB);
	EXPECT_TOUCH(self->map, PTE_NONCACHED, 0);
	set_watch(_metadata, &self->watch, &self->dev, event, self->map, NULL);
}

FIXTURE_TEARDOWN(control)
{
	stop_watch(_metadata, &self->watch);
	vfio_device_close(&self->dev);
}

/* contract: controls.reset */
TEST_F(control, vfio_pci_keeps_the_entry_over_the_reset_without_the_patches)
{
	ASSERT_EQ(0, variant->event.revoke(&self->dev));
	EXPECT_STREQ(driver_in_tree() ? PTE_NONE : PTE_NONCACHED, pte_type(self->map));
}

/* contract: controls.reset */
TEST_F(control, a_program_reaches_the_device_in_reset_by_vfio_pci_without_the_patches)
{
	struct watch *watch = &self->watch;
	unsigned int round;

	start_watch(_metadata, watch);
	/* Until an access was seen during the reset. */
	for (round = 0; round < 40; round++) {
		ASSERT_EQ(0, variant->event.revoke(&self->dev));
		if (watch->thread->nothing && watch->process->nothing && watch->reader->nothing)
			break;
	}
	stop_watch(_metadata, watch);
	EXPECT_EQ(driver_in_tree(), !watch->thread->nothing);
	EXPECT_EQ(driver_in_tree(), !watch->process->nothing);
	EXPECT_EQ(driver_in_tree(), !watch->reader->nothing);
}

/*
 * All ways to reset a device or to disable its memory, at the same time. Whichever waits for
 * another, all of them make progress.
 */

struct storm;

/* An operation that a thread repeats, and the errnos that it may fail with. */
struct deed {
	const char *name;
	int (*act)(struct storm *storm);
	/*
	 * The pause afterwards, in milliseconds: long operations would otherwise block all others.
	 */
	unsigned int pause;
	int excused[2];
};

/* One of the threads. */
struct actor {
	const struct deed *deed;
	struct storm *storm;
	pthread_t thread;
	volatile unsigned long done;
	volatile unsigned long failed;
	volatile int unexpected;
};

struct storm {
	struct scene scene;
	/* Another function of the same device, if there is one. */
	struct vfio_device other;
	uint64_t unit;
	uint32_t bar;
	/* The offset in the device file of no subregion. */
	uint64_t miss;
	int event;
	volatile bool stop;
	struct actor actors[24];
	unsigned int count;
};

static int act_sysfs_reset(struct storm *storm)
{
	return pci_reset(storm->scene.dev.bdf, NULL);
}

static int act_port_reset(struct storm *storm)
{
	return pci_reset_subordinate(storm->scene.dev.bdf);
}

static int act_ioctl_reset(struct storm *storm)
{
	return vfio_device_reset(&storm->scene.dev);
}

static int act_config_flr(struct storm *storm)
{
	return vfio_config_flr(&storm->scene.dev);
}

static int act_hot_reset(struct storm *storm)
{
	return vfio_device_hot_reset(&storm->scene.dev);
}

static int act_hot_reset_of_other(struct storm *storm)
{
	return vfio_device_hot_reset(&storm->other);
}

static int act_memory(struct storm *storm)
{
	int ret = vfio_set_memory(&storm->scene.dev, false);

	return ret ? ret : vfio_set_memory(&storm->scene.dev, true);
}

static int act_memory_of_other(struct storm *storm)
{
	int ret = vfio_set_memory(&storm->other, false);

	return ret ? ret : vfio_set_memory(&storm->other, true);
}

static int act_power(struct storm *storm)
{
	int ret = vfio_set_power(&storm->scene.dev, 3);

	return ret ? ret : vfio_set_power(&storm->scene.dev, 0);
}

static int act_low_power(struct storm *storm)
{
	int ret = vfio_set_low_power(&storm->scene.dev, true);

	return ret ? ret : vfio_set_low_power(&storm->scene.dev, false);
}

static int act_create(struct storm *storm)
{
	struct vfio_subregion_create create = subregion_init(storm->bar, VFIO_SUBREGION_ATTR_WC,
							     0, GRANULE);
	int ret = subregion_create(&storm->scene.dev, &create);

	return ret ? ret : subregion_destroy(&storm->scene.dev, create.index);
}

static int act_irqs(struct storm *storm)
{
	int ret = vfio_set_irqs(&storm->scene.dev, VFIO_PCI_MSIX_IRQ_INDEX,
				VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 1,
				&storm->event);

	return ret ? ret : vfio_set_irqs(&storm->scene.dev, VFIO_PCI_MSIX_IRQ_INDEX,
					 VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, 0,
					 NULL);
}

/* Few bytes, so that some reads end before the memory is disabled again. */
static int act_read(struct storm *storm)
{
	char bytes[256];
	ssize_t done = pread(storm->scene.dev.fd, bytes, sizeof(bytes),
			     storm->scene.sub.mmap_offset);

	return done == sizeof(bytes) ? 0 : -errno;
}

/* The kernel looks up all subregions of the BAR. */
static int act_list(struct storm *storm)
{
	struct {
		struct vfio_region_info info;
		char caps[32 * KIB];
	} reply = { .info = { .argsz = sizeof(reply), .index = storm->bar } };

	return ioctl(storm->scene.dev.fd, VFIO_DEVICE_GET_REGION_INFO, &reply) ? -errno : 0;
}

/* The offset is that of no subregion. */
static int act_miss(struct storm *storm)
{
	uint32_t value;

	if (pread(storm->scene.dev.fd, &value, sizeof(value), storm->miss) != -1)
		return -EEXIST;
	return errno == EINVAL ? 0 : -errno;
}

/* A signal is no failure: the memory is disabled now and then. */
static int act_touch(struct storm *storm)
{
	char *const maps[] = { storm->scene.plain, storm->scene.device, storm->scene.wc };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(maps); i++)
		touch_write((uint32_t *)maps[i], i);
	return 0;
}

static void *act(void *data)
{
	struct actor *actor = data;
	unsigned int i;
	int ret;

	while (!actor->storm->stop) {
		ret = actor->deed->act(actor->storm);
		if (actor->deed->pause)
			usleep(actor->deed->pause * 1000);
		if (!ret) {
			actor->done++;
			continue;
		}
		actor->failed++;
		for (i = 0; i < ARRAY_SIZE(actor->deed->excused); i++)
			if (ret == -actor->deed->excused[i])
				break;
		if (i == ARRAY_SIZE(actor->deed->excused))
			actor->unexpected = ret;
	}
	return NULL;
}

/* Runs all of them for @seconds, and until each has succeeded once. */
static void let_storm(struct __test_metadata *_metadata, struct storm *storm,
		      const struct deed *deeds, unsigned int count, unsigned int seconds)
{
	unsigned int waits = 0, i;
	struct actor *actor;

	ASSERT_LE(count, ARRAY_SIZE(storm->actors));
	for (i = 0; i < count; i++) {
		actor = &storm->actors[i];
		*actor = (struct actor) { .deed = &deeds[i], .storm = storm };
		ASSERT_EQ(0, pthread_create(&actor->thread, NULL, act, actor));
		storm->count++;
	}
	sleep(seconds);
	for (i = 0; i < count; i++)
		while (!storm->actors[i].done && waits++ < 6000)
			usleep(10000);
}

static void end_storm(struct __test_metadata *_metadata, struct storm *storm)
{
	unsigned int i;

	storm->stop = true;
	for (i = 0; i < storm->count; i++) {
		struct actor *actor = &storm->actors[i];

		pthread_join(actor->thread, NULL);
		TH_LOG("%s: done %lu times, failed %lu times", actor->deed->name, actor->done,
		       actor->failed);
		EXPECT_LT(0, actor->done) TH_LOG("%s: never", actor->deed->name);
		EXPECT_EQ(0, actor->unexpected)
			TH_LOG("%s: %s", actor->deed->name, strerror(-actor->unexpected));
	}
	storm->count = 0;
}

static void expect_calm(struct __test_metadata *_metadata, struct storm *storm)
{
	struct scene *scene = &storm->scene;

	EXPECT_TOUCH(scene->plain, PTE_NONCACHED, 0);
	EXPECT_TOUCH(scene->device, PTE_DEVICE, 0);
	EXPECT_TOUCH(scene->wc, PTE_WC, 0);
	EXPECT_TOUCH(scene->wc + storm->unit - 4, PTE_WC, 0);
	EXPECT_EQ(0, act_read(storm));
}

FIXTURE(storm) {
	struct storm storm;
};

FIXTURE_SETUP(storm)
{
	self->storm.scene.dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	self->storm.other = (struct vfio_device)VFIO_DEVICE_CLOSED;
	self->storm.event = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, self->storm.event);
}

FIXTURE_TEARDOWN(storm)
{
	vfio_device_close(&self->storm.other);
	vfio_device_close(&self->storm.scene.dev);
}

/* contract: reset.no-deadlock */
TEST_F(storm, of_resets_of_one_function_ends)
{
	/* A reset through VFIO does not wait for a reset that others started. */
	static const struct deed deeds[] = {
		{ "sysfs reset", act_sysfs_reset, 50, {} },
		{ "VFIO_DEVICE_RESET", act_ioctl_reset, 5, { EAGAIN } },
		{ "FLR by configuration space", act_config_flr, 20, {} },
		{ "Memory Space", act_memory, 1, {} },
		{ "D3hot", act_power, 1, {} },
		{ "CREATE and DESTROY", act_create, 1, {} },
		/* A device has interrupts only in D0. */
		{ "interrupts", act_irqs, 1, { EINVAL } },
		{ "read()", act_read, 1, { EIO } },
		{ "touch", act_touch, 1, {} },
		{ "touch", act_touch, 1, {} },
	};
	const struct event event = { .device = "DEV_NVME", .bar = 2, .unit = 2 * MIB };
	struct storm *storm = &self->storm;

	if (!set_scene(_metadata, &storm->scene, &event))
		return;
	storm->unit = event.unit;
	storm->bar = event.bar;
	let_storm(_metadata, storm, deeds, ARRAY_SIZE(deeds), 4);
	end_storm(_metadata, storm);
	ASSERT_EQ(0, vfio_set_power(&storm->scene.dev, 0));
	ASSERT_EQ(0, vfio_device_reset(&storm->scene.dev));
	ASSERT_EQ(0, memory_on(&storm->scene.dev));
	expect_calm(_metadata, storm);
}

/* contract: reset.no-deadlock */
TEST_F(storm, of_resets_and_low_power_ends)
{
	static const struct deed deeds[] = {
		{ "sysfs reset", act_sysfs_reset, 50, {} },
		{ "VFIO_DEVICE_RESET", act_ioctl_reset, 5, { EAGAIN } },
		{ "low power", act_low_power, 1, {} },
		{ "CREATE and DESTROY", act_create, 1, {} },
		{ "read()", act_read, 1, { EIO } },
		{ "touch", act_touch, 1, {} },
	};
	const struct event event = { .device = "DEV_NVME", .bar = 2, .unit = 2 * MIB };
	struct storm *storm = &self->storm;

	if (!set_scene(_metadata, &storm->scene, &event))
		return;
	storm->unit = event.unit;
	storm->bar = event.bar;
	let_storm(_metadata, storm, deeds, ARRAY_SIZE(deeds), 3);
	end_storm(_metadata, storm);
	ASSERT_EQ(0, memory_on(&storm->scene.dev));
	expect_calm(_metadata, storm);
}

/* One of the functions has this driver, the other one has @driver. */
static void storm_of_two(struct __test_metadata *_metadata, struct storm *storm, const char *driver)
{
	/* A hot reset fails with EBUSY if it cannot get the memory lock of a device immediately. */
	static const struct deed deeds[] = {
		{ "reset of the port", act_port_reset, 50, { EAGAIN } },
		{ "hot reset", act_hot_reset, 5, { EAGAIN, EBUSY } },
		{ "hot reset of the other", act_hot_reset_of_other, 5, { EAGAIN, EBUSY } },
		{ "Memory Space", act_memory, 1, {} },
		{ "Memory Space of the other", act_memory_of_other, 1, {} },
		{ "CREATE and DESTROY", act_create, 1, {} },
		{ "read()", act_read, 1, { EIO } },
		{ "touch", act_touch, 1, {} },
	};
	const struct event event = { .device = "DEV_PAIR_0", .bar = 2, .unit = 2 * MIB };
	const char *other = fixture_bdf(_metadata, "DEV_PAIR_1");

	if (!other)
		return;
	fixture_bind(_metadata, other, driver);
	if (!set_scene(_metadata, &storm->scene, &event))
		return;
	ASSERT_EQ(0, vfio_device_open_sibling(&storm->other, other, &storm->scene.dev));
	storm->unit = event.unit;
	storm->bar = event.bar;
	let_storm(_metadata, storm, deeds, ARRAY_SIZE(deeds), 4);
	end_storm(_metadata, storm);
	ASSERT_EQ(0, hot_reset_under_load(&storm->scene.dev));
	ASSERT_EQ(0, memory_on(&storm->scene.dev));
	expect_calm(_metadata, storm);
}

/* contract: reset.no-deadlock */
TEST_F(storm, of_resets_of_two_functions_ends)
{
	storm_of_two(_metadata, &self->storm, vfio_driver());
}

/* contract: reset.no-deadlock */
TEST_F(storm, of_resets_of_two_functions_one_of_vfio_pci_ends)
{
	storm_of_two(_metadata, &self->storm, DRIVER_STOCK);
}

/*
 * Threads of a user that look things up all the time. At any time one of them holds the lock that
 * a reset needs, so the others must not take it then.
 */
/* contract: reset.no-delay */
TEST_F(storm, of_lookups_delays_no_reset)
{
	struct deed deeds[ARRAY_SIZE(self->storm.actors)];
	const struct event event = { .device = "DEV_NVME", .bar = 2, .unit = 2 * MIB };
	struct storm *storm = &self->storm;
	time_t begin;
	uint64_t at;
	unsigned int i;

	if (!set_scene(_metadata, &storm->scene, &event))
		return;
	storm->unit = event.unit;
	storm->bar = event.bar;
	storm->miss = storm->scene.sub.mmap_offset + GIB;
	for (at = GRANULE; at < event.unit; at += GRANULE)
		fixture_create(_metadata, &storm->scene.dev, event.bar, VFIO_SUBREGION_ATTR_DEVICE,
			       at, GRANULE);
	for (i = 0; i < ARRAY_SIZE(deeds); i++) {
		if (i % 4)
			deeds[i] = (struct deed) { "GET_REGION_INFO", act_list, 0, {} };
		else
			deeds[i] = (struct deed) { "read() of no subregion", act_miss, 0, {} };
	}
	let_storm(_metadata, storm, deeds, ARRAY_SIZE(deeds), 0);
	begin = time(NULL);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, pci_reset(storm->scene.dev.bdf, NULL));
	TH_LOG("three resets took %ld seconds", (long)(time(NULL) - begin));
	EXPECT_GT(begin + 60, time(NULL));
	end_storm(_metadata, storm);
	ASSERT_EQ(0, memory_on(&storm->scene.dev));
	expect_calm(_metadata, storm);
}

TEST_HARNESS_MAIN
