// SPDX-License-Identifier: GPL-2.0-only
/*
 * Errors that a device or its port reports (PCIe AER). As with vfio-pci, the program is notified.
 * While the kernel recovers the device, which can include a reset of its bus, no mapping has an
 * entry; vfio-pci, the control, leaves the entries. The kernel's own injector makes the errors,
 * between the registers of the port and its AER driver.
 *
 * QEMU's ports report that the link to a PCI Express device is up again after a reset of their bus
 * only if pciehp has their slots. If ACPI has them, the kernel reports, a second later, that
 * recovery from a fatal error of the igb failed. The ivshmem is not a PCI Express device, so
 * recovery from a fatal error of its port succeeds on every machine.
 */
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <linux/pci_regs.h>

#include "fixture.h"

#define INJECTOR	"/dev/aer_inject"
/* The ports whose errors the kernel handles. */
#define AER_PORTS	"/sys/bus/pci_express/drivers/aer/*:pcie*"

/* In BAR 0 of QEMU's igb: the registers, including the status register, and a range without any. */
#define STATUS		0x8
#define CLAIM		(64 * KIB)
#define CLAIM_SIZE	(64 * KIB)

#define NONFATAL	PCI_ERR_UNC_COMP_TIME
#define FATAL		PCI_ERR_UNC_DLP

/* The argument of the injector: struct aer_error_inj of drivers/pci/pcie/aer_inject.c. */
struct injection {
	uint8_t bus;
	uint8_t dev;
	uint8_t fn;
	uint32_t uncorrectable;
	uint32_t correctable;
	uint32_t header[4];
	uint32_t domain;
};

/* The result of the kernel's recovery from an error. */
enum recovery { UNTOLD, RECOVERED, FAILED };

/* Waits until the kernel logs the end of the recovery, or logs nothing for ten seconds. */
static enum recovery recovery_ended(int log)
{
	struct pollfd poll_fd = { .fd = log, .events = POLLIN };
	char record[1024];
	ssize_t len;

	while (poll(&poll_fd, 1, 10000) == 1) {
		len = read(log, record, sizeof(record) - 1);
		if (len < 0)
			continue;
		record[len] = '\0';
		if (strstr(record, "device recovery successful"))
			return RECOVERED;
		if (strstr(record, "device recovery failed"))
			return FAILED;
	}
	return UNTOLD;
}

/* A recovery ends within two seconds, and the kernel logs its end. */
static void wait_for_silence(int log)
{
	struct pollfd poll_fd = { .fd = log, .events = POLLIN };
	char record[1024];

	while (poll(&poll_fd, 1, 5000) == 1)
		(void)!read(log, record, sizeof(record));
}

/* Returns why the kernel cannot inject errors into its ports, or NULL if it can. */
static const char *no_injection(void)
{
	glob_t ports;

	if (access(INJECTOR, W_OK))
		return "the kernel cannot inject PCIe errors (CONFIG_PCIEAER_INJECT)";
	if (glob(AER_PORTS, 0, NULL, &ports))
		return "the kernel leaves PCIe errors to the firmware (see pcie_ports=native)";
	globfree(&ports);
	return NULL;
}

/* Opens the kernel's log at its end, or marks the test as skipped and returns -1. */
static int open_log(struct __test_metadata *_metadata)
{
	const char *reason = no_injection();
	int log;

	if (reason)
		SKIP(return -1, "%s", reason);
	log = open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ASSERT_LE(0, log);
	ASSERT_LE(0, lseek(log, 0, SEEK_END));
	return log;
}

static void make_error(struct __test_metadata *_metadata, const char *bdf, uint32_t status)
{
	struct injection injection = { .uncorrectable = status };
	int injector = open(INJECTOR, O_WRONLY | O_CLOEXEC);
	struct pci_numbers device;
	ssize_t written;

	ASSERT_LE(0, injector);
	ASSERT_EQ(0, pci_numbers(&device, bdf));
	injection.domain = device.domain;
	injection.bus = device.bus;
	injection.dev = device.slot;
	injection.fn = device.function;
	written = write(injector, &injection, sizeof(injection));
	/* EBUSY: the interrupt for an earlier error is being sent, and will report this one too. */
	ASSERT_TRUE(written == sizeof(injection) || errno == EBUSY)
		TH_LOG("cannot inject into %s: %s", bdf, strerror(errno));
	close(injector);
}

/* Registers an eventfd that is signalled on errors of the device. */
static int error_event(struct __test_metadata *_metadata, struct vfio_device *dev)
{
	int error = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	ASSERT_LE(0, error);
	ASSERT_EQ(0, vfio_set_irqs(dev, VFIO_PCI_ERR_IRQ_INDEX,
				   VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 1,
				   &error));
	return error;
}

static void wait_for(struct __test_metadata *_metadata, int event)
{
	struct pollfd poll_fd = { .fd = event, .events = POLLIN };
	uint64_t count;

	ASSERT_EQ(1, poll(&poll_fd, 1, 10000)) TH_LOG("no event reported the error");
	ASSERT_EQ(sizeof(count), read(event, &count, sizeof(count)));
}

/* Errors of the igb. */
FIXTURE(aer) {
	struct vfio_device dev;
	char *bar;
	char *wc;
	int error;
	int log;
};

FIXTURE_VARIANT(aer) {
	bool stock;
	/* A bit of the status register whose default severity is non-fatal or fatal. */
	uint32_t status;
};

FIXTURE_VARIANT_ADD(aer, nonfatal_of_vfio_pci) { true, NONFATAL };
FIXTURE_VARIANT_ADD(aer, nonfatal) { false, NONFATAL };
FIXTURE_VARIANT_ADD(aer, fatal_of_vfio_pci) { true, FATAL };
FIXTURE_VARIANT_ADD(aer, fatal) { false, FATAL };

FIXTURE_SETUP(aer)
{
	struct vfio_subregion_create sub;

	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	self->log = open_log(_metadata);
	if (self->log < 0 || !fixture_open(_metadata, &self->dev, "DEV_IGB",
					   variant->stock ? DRIVER_STOCK : vfio_driver()))
		return;
	self->error = error_event(_metadata, &self->dev);
	self->bar = fixture_map(_metadata, &self->dev, vfio_offset(&self->dev, 0, 0), CLAIM,
				4 * KIB);
	if (variant->stock)
		return;
	sub = fixture_create(_metadata, &self->dev, 0, VFIO_SUBREGION_ATTR_WC, CLAIM, CLAIM_SIZE);
	self->wc = fixture_map(_metadata, &self->dev, sub.mmap_offset, CLAIM_SIZE, 4 * KIB);
}

FIXTURE_TEARDOWN(aer)
{
	vfio_device_close(&self->dev);
}

/* The word at @at of BAR @index is accessible, and a mapping reads the same value as read(). */
static void expect_word(struct __test_metadata *_metadata, struct vfio_device *dev, uint32_t index,
			uint64_t at, char *bar)
{
	uint32_t mapped, read;

	EXPECT_TOUCH(bar, PTE_NONCACHED, 0);
	EXPECT_EQ(0, touch_read((uint32_t *)(bar + at), &mapped));
	EXPECT_EQ(sizeof(read), pread(dev->fd, &read, sizeof(read), vfio_offset(dev, index, at)));
	EXPECT_EQ(mapped, read);
	EXPECT_NE(~0u, read);
	EXPECT_NE(0, read);
}

static void expect_register(struct __test_metadata *_metadata, struct vfio_device *dev, char *bar)
{
	EXPECT_TOUCH(bar, PTE_NONCACHED, SHIFT_4K);
	expect_word(_metadata, dev, 0, STATUS, bar);
}

static void expect_usable(struct __test_metadata *_metadata, FIXTURE_DATA(aer) * self)
{
	expect_register(_metadata, &self->dev, self->bar);
	if (!self->wc)
		return;
	EXPECT_TOUCH(self->wc, PTE_WC, SHIFT_4K);
	EXPECT_TOUCH(self->wc + CLAIM_SIZE - 4, PTE_WC, SHIFT_4K);
	EXPECT_EQ(0, touch_write((uint32_t *)self->wc, 1));
}

/* Like vfio-pci, except that the entries are removed, and stay away if the recovery failed. */
/* contract: reset.aer */
TEST_F(aer, is_told_and_the_mappings_keep_their_types)
{
	enum recovery end;
	uint32_t value;

	expect_usable(_metadata, self);
	make_error(_metadata, self->dev.bdf, variant->status);
	wait_for(_metadata, self->error);
	end = recovery_ended(self->log);
	EXPECT_NE(UNTOLD, end);
	if (variant->stock) {
		EXPECT_STREQ(PTE_NONCACHED, pte_type(self->bar));
	} else {
		EXPECT_STREQ(PTE_NONE, pte_type(self->bar));
		EXPECT_STREQ(PTE_NONE, pte_type(self->wc));
		EXPECT_STREQ(PTE_NONE, pte_type(self->wc + CLAIM_SIZE - 4));
	}
	if (variant->status == NONFATAL) {
		expect_usable(_metadata, self);
	} else if (!variant->stock && end == RECOVERED) {
		/* The BARs have no addresses yet. */
		EXPECT_TOUCH(self->bar, PTE_NONCACHED, SHIFT_4K);
		EXPECT_TOUCH(self->wc, PTE_WC, SHIFT_4K);
	} else if (!variant->stock) {
		EXPECT_SIGBUS(self->bar);
		EXPECT_SIGBUS(self->wc);
		EXPECT_EQ(-1, pread(self->dev.fd, &value, sizeof(value),
				    vfio_offset(&self->dev, 0, STATUS)));
		EXPECT_EQ(EIO, errno);
	}
	/* A driver resets the device now, because it cannot know the state of the device. */
	ASSERT_EQ(0, vfio_device_reset(&self->dev));
	ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
	expect_usable(_metadata, self);
}

/* An access by a thread during the recovery, and its result. */
struct asker {
	struct vfio_device *dev;
	/* The access uses the mapping, or read() at @offset if there is no mapping. */
	char *map;
	uint64_t offset;
	pthread_t thread;
	volatile bool asked;
	volatile bool answered;
	/* 0, a signal, or an errno. */
	int answer;
};

static void *ask(void *data)
{
	struct asker *asker = data;
	uint32_t value;

	asker->asked = true;
	if (asker->map)
		asker->answer = touch_read((uint32_t *)asker->map, &value);
	else if (pread(asker->dev->fd, &value, sizeof(value), asker->offset) < 0)
		asker->answer = errno;
	asker->answered = true;
	return NULL;
}

/* A thread that touches a mapping until one touch has waited or the test tells it to stop. */
struct toucher {
	char *map;
	pthread_t thread;
	volatile bool stop;
	volatile unsigned long touches;
	bool waited;
	/* The result of the last touch: 0 or a signal. */
	int answer;
};

/* A reset of a bus takes at least this long, and the kernel sleeps meanwhile. */
#define RESET_US	1000

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000ull + now.tv_nsec / 1000;
}

/* The number of times that this thread gave up its processor in order to wait. */
static long waits(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nvcsw;
}

static void *touch_until_it_waits(void *data)
{
	struct toucher *toucher = data;
	uint64_t started;
	uint32_t value;
	long before;

	while (!toucher->stop && !toucher->waited && !toucher->answer) {
		before = waits();
		started = now_us();
		toucher->answer = touch_read((uint32_t *)toucher->map, &value);
		toucher->waited = waits() != before && now_us() - started >= RESET_US;
		toucher->touches++;
	}
	return NULL;
}

static void start_asking(struct __test_metadata *_metadata, struct asker *asker)
{
	ASSERT_EQ(0, pthread_create(&asker->thread, NULL, ask, asker));
	while (!asker->asked)
		sched_yield();
}

/* A fatal error of the igb. If recovery fails, it takes a second until it has failed. */
FIXTURE(failure) {
	struct vfio_device dev;
	struct vfio_subregion_create sub;
	char *bar;
	char *wc;
	struct asker touch;
	struct asker read;
	int error;
	int log;
};

/* The maximum number of fatal errors until an access is seen to wait. */
#define TRIES	5

/* Makes the error. Two threads access the device as soon as a program can know of the error. */
static void fail(struct __test_metadata *_metadata, FIXTURE_DATA(failure) * self)
{
	struct vfio_device *dev = &self->dev;
	uint64_t count;

	expect_register(_metadata, dev, self->bar);
	EXPECT_TOUCH(self->wc, PTE_WC, SHIFT_4K);
	/* The previous error was reported a second time when recovery from it failed. */
	(void)!read(self->error, &count, sizeof(count));
	make_error(_metadata, dev->bdf, FATAL);
	wait_for(_metadata, self->error);
	EXPECT_STREQ(PTE_NONE, pte_type(self->bar));
	EXPECT_STREQ(PTE_NONE, pte_type(self->wc));
	self->touch = (struct asker) { .map = self->wc };
	self->read = (struct asker) { .dev = dev, .offset = self->sub.mmap_offset };
	start_asking(_metadata, &self->touch);
	start_asking(_metadata, &self->read);
}

FIXTURE_SETUP(failure)
{
	struct vfio_device *dev = &self->dev;

	*dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	self->log = open_log(_metadata);
	if (self->log < 0 || !fixture_open(_metadata, dev, "DEV_IGB", vfio_driver()))
		return;
	self->error = error_event(_metadata, dev);
	self->bar = fixture_map(_metadata, dev, vfio_offset(dev, 0, 0), CLAIM, 4 * KIB);
	self->sub = fixture_create(_metadata, dev, 0, VFIO_SUBREGION_ATTR_WC, CLAIM, CLAIM_SIZE);
	self->wc = fixture_map(_metadata, dev, self->sub.mmap_offset, CLAIM_SIZE, 4 * KIB);
	fail(_metadata, self);
}

FIXTURE_TEARDOWN(failure)
{
	vfio_device_close(&self->dev);
}

#define RECOVERS	"on this machine the device recovers from a fatal error"

/* Waits for the end of the recovery and of the threads; returns whether the recovery failed. */
static bool end_of_failure(struct __test_metadata *_metadata, FIXTURE_DATA(failure) * self)
{
	enum recovery end = recovery_ended(self->log);

	EXPECT_NE(UNTOLD, end);
	pthread_join(self->touch.thread, NULL);
	pthread_join(self->read.thread, NULL);
	return end != RECOVERED;
}

/* contract: reset.failure */
TEST_F(failure, is_waited_for_and_then_a_touch_raises_sigbus_and_read_is_eio)
{
	bool waited = false;
	unsigned int n;

	for (n = 0; n < TRIES && !waited; n++) {
		if (n) {
			ASSERT_EQ(0, vfio_device_reset(&self->dev));
			ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
			fail(_metadata, self);
		}
		usleep(2000);
		waited = !self->touch.answered && !self->read.answered;
		if (!end_of_failure(_metadata, self))
			SKIP(return, RECOVERS);
		EXPECT_EQ(SIGBUS, self->touch.answer);
		EXPECT_EQ(EIO, self->read.answer);
		EXPECT_STREQ(PTE_NONE, pte_type(self->wc));
	}
	EXPECT_TRUE(waited);
}

/* contract: reset.failure */
TEST_F(failure, ends_with_a_reset_by_sysfs)
{
	if (!end_of_failure(_metadata, self))
		SKIP(return, RECOVERS);
	EXPECT_SIGBUS(self->wc);
	ASSERT_EQ(0, pci_reset(self->dev.bdf, NULL));
	EXPECT_TOUCH(self->wc, PTE_WC, SHIFT_4K);
	ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
	expect_register(_metadata, &self->dev, self->bar);
}

/* contract: reset.failure */
TEST_F(failure, ends_with_the_next_open)
{
	end_of_failure(_metadata, self);
	munmap(self->bar, CLAIM);
	munmap(self->wc, CLAIM_SIZE);
	vfio_device_close(&self->dev);
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->dev.bdf));
	self->bar = fixture_map(_metadata, &self->dev, vfio_offset(&self->dev, 0, 0), CLAIM,
				4 * KIB);
	expect_register(_metadata, &self->dev, self->bar);
}

/*
 * Unbinding waits until the device is closed, and the kernel's recovery waits for the unbinding.
 * The unbinding must therefore end all waits for the recovery.
 */
/* contract: reset.failure */
TEST_F(failure, is_not_waited_for_once_the_device_is_being_unbound)
{
	pid_t child;

	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		vfio_device_close(&self->dev);
		munmap(self->bar, CLAIM);
		munmap(self->wc, CLAIM_SIZE);
		_exit(pci_unbind(self->dev.bdf) ? 1 : 0);
	}
	pthread_join(self->touch.thread, NULL);
	pthread_join(self->read.thread, NULL);
	munmap(self->bar, CLAIM);
	munmap(self->wc, CLAIM_SIZE);
	vfio_device_close(&self->dev);
	fixture_join(_metadata, child);
	if (recovery_ended(self->log) == FAILED) {
		EXPECT_EQ(SIGBUS, self->touch.answer);
		EXPECT_EQ(EIO, self->read.answer);
	}
	fixture_bind(_metadata, self->dev.bdf, vfio_driver());
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->dev.bdf));
	self->bar = fixture_map(_metadata, &self->dev, vfio_offset(&self->dev, 0, 0), CLAIM,
				4 * KIB);
	expect_register(_metadata, &self->dev, self->bar);
}

/*
 * A fatal error of the ivshmem's port: the kernel resets the bus behind it, and recovery succeeds.
 */
FIXTURE(recovery) {
	struct vfio_device dev;
	struct vfio_subregion_create sub;
	char port[PCI_NAME_LEN];
	char *bar;
	char *wc;
	int log;
};

FIXTURE_VARIANT(recovery) {
	bool stock;
};

FIXTURE_VARIANT_ADD(recovery, of_vfio_pci) { true };
FIXTURE_VARIANT_ADD(recovery, of_this_driver) { false };

FIXTURE_SETUP(recovery)
{
	struct vfio_device *dev = &self->dev;

	*dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	self->log = open_log(_metadata);
	if (self->log < 0 || !fixture_open(_metadata, dev, "DEV_IVSHMEM",
					   variant->stock ? DRIVER_STOCK : vfio_driver()))
		return;
	ASSERT_EQ(0, pci_port(dev->bdf, self->port));
	self->bar = fixture_map(_metadata, dev, vfio_offset(dev, BAR2, 0), 2 * MIB, 2 * MIB);
	EXPECT_TOUCH(self->bar, PTE_NONCACHED, 0);
	if (variant->stock)
		return;
	self->sub = fixture_create(_metadata, dev, BAR2, VFIO_SUBREGION_ATTR_WC, 4 * MIB, 2 * MIB);
	self->wc = fixture_map(_metadata, dev, self->sub.mmap_offset, 2 * MIB, 2 * MIB);
	EXPECT_TOUCH(self->wc, PTE_WC, 0);
}

FIXTURE_TEARDOWN(recovery)
{
	vfio_device_close(&self->dev);
}

/* Makes the error, and returns whether the entries were seen to disappear. */
static bool entries_go(struct __test_metadata *_metadata, FIXTURE_DATA(recovery) * self,
		       unsigned int looks)
{
	unsigned int i;

	make_error(_metadata, self->port, FATAL);
	for (i = 0; i < looks && pte_shift(self->bar); i++)
		usleep(100);
	return i < looks;
}

/* After such a reset, the BARs have no addresses until the user of the device restores them. */
static void use_again(struct __test_metadata *_metadata, FIXTURE_DATA(recovery) * self)
{
	ASSERT_EQ(0, vfio_device_reset(&self->dev));
	ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
	EXPECT_EQ(0, touch_write((uint32_t *)self->bar, 0x12345678));
	EXPECT_TOUCH(self->bar, PTE_NONCACHED, 0);
	EXPECT_EQ(0x12345678, *(volatile uint32_t *)self->bar);
	if (self->wc)
		EXPECT_TOUCH(self->wc, PTE_WC, 0);
}

/* contract: reset.recovery */
TEST_F(recovery, has_no_entries_meanwhile_and_those_of_the_same_types_afterwards)
{
	bool waited = false;
	unsigned int n;

	if (variant->stock) {
		EXPECT_FALSE(entries_go(_metadata, self, 10000));
		EXPECT_NE(UNTOLD, recovery_ended(self->log));
		EXPECT_STREQ(PTE_NONCACHED, pte_type(self->bar));
		use_again(_metadata, self);
		return;
	}
	/*
	 * The recovery can end before this thread runs again, so the thread that touches the
	 * mapping starts before the error.
	 */
	for (n = 0; n < TRIES && !waited; n++) {
		struct toucher toucher = { .map = self->wc };

		ASSERT_EQ(0, pthread_create(&toucher.thread, NULL, touch_until_it_waits, &toucher));
		while (!toucher.touches)
			sched_yield();
		EXPECT_TRUE(entries_go(_metadata, self, 20000));
		EXPECT_NE(UNTOLD, recovery_ended(self->log));
		toucher.stop = true;
		pthread_join(toucher.thread, NULL);
		waited = toucher.waited;
		EXPECT_EQ(0, toucher.answer);
		EXPECT_TOUCH(self->wc, PTE_WC, 0);
		use_again(_metadata, self);
	}
	EXPECT_TRUE(waited);
}

/* Errors and resets at the same time: whichever waits for another, all of them make progress. */
FIXTURE(errors) {
	struct vfio_device dev;
	/* The function that reports the errors: the device or its port. */
	char reporter[PCI_NAME_LEN];
	char *bar;
	int log;
	volatile bool stop;
	volatile unsigned long resets;
	volatile unsigned long touches;
};

FIXTURE_VARIANT(errors) {
	const char *device;
	uint32_t index;
	/* A word of the BAR that is never 0 or all ones in a working device. */
	uint64_t word;
	bool of_port;
	uint32_t status;
	unsigned int count;
};

FIXTURE_VARIANT_ADD(errors, nonfatal) { "DEV_IGB", 0, STATUS, false, NONFATAL, 20 };
/* Recovery can fail, after a second. */
FIXTURE_VARIANT_ADD(errors, fatal) { "DEV_IGB", 0, STATUS, false, FATAL, 5 };
/* Recovery succeeds. */
FIXTURE_VARIANT_ADD(errors, fatal_of_the_port) { "DEV_IVSHMEM", BAR2, 0, true, FATAL, 20 };

FIXTURE_SETUP(errors)
{
	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	self->log = open_log(_metadata);
	if (self->log < 0 ||
	    !fixture_open(_metadata, &self->dev, variant->device, vfio_driver()))
		return;
	snprintf(self->reporter, sizeof(self->reporter), "%s", self->dev.bdf);
	if (variant->of_port)
		ASSERT_EQ(0, pci_port(self->dev.bdf, self->reporter));
	self->bar = fixture_map(_metadata, &self->dev, vfio_offset(&self->dev, variant->index, 0),
				CLAIM, 4 * KIB);
	/* That of the igb is read-only. */
	EXPECT_EQ(0, touch_write((uint32_t *)(self->bar + variant->word), fixture_pattern()));
}

FIXTURE_TEARDOWN(errors)
{
	vfio_device_close(&self->dev);
}

/* Not each device has a function-level reset, and a reset can fail during a recovery. */
static void *reset_all_the_time(void *data)
{
	FIXTURE_DATA(errors) * self = data;

	while (!self->stop) {
		if (!pci_reset(self->dev.bdf, NULL))
			self->resets++;
		vfio_device_reset(&self->dev);
		vfio_config_flr(&self->dev);
		vfio_device_hot_reset(&self->dev);
	}
	return NULL;
}

static void *touch_all_the_time(void *data)
{
	FIXTURE_DATA(errors) * self = data;
	uint32_t value;

	while (!self->stop) {
		touch_read((uint32_t *)(self->bar + STATUS), &value);
		self->touches++;
	}
	return NULL;
}

/* contract: reset.no-deadlock */
TEST_F(errors, and_resets_at_the_same_time_end)
{
	pthread_t resetter, toucher;
	unsigned int i;

	ASSERT_EQ(0, pthread_create(&resetter, NULL, reset_all_the_time, self));
	ASSERT_EQ(0, pthread_create(&toucher, NULL, touch_all_the_time, self));
	for (i = 0; i < variant->count; i++) {
		make_error(_metadata, self->reporter, variant->status);
		usleep(100 * 1000);
	}
	for (i = 0; i < 6000 && !(self->resets && self->touches); i++)
		usleep(10 * 1000);
	self->stop = true;
	pthread_join(resetter, NULL);
	pthread_join(toucher, NULL);
	EXPECT_LT(0, self->resets);
	EXPECT_LT(0, self->touches);
	TH_LOG("%lu resets, %lu touches", self->resets, self->touches);
	wait_for_silence(self->log);
	ASSERT_EQ(0, vfio_device_reset(&self->dev));
	ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
	expect_word(_metadata, &self->dev, variant->index, variant->word, self->bar);
}

TEST_HARNESS_MAIN
