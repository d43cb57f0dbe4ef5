/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Common code of fixtures: devices named by the environment, and common steps with their
 * assertions.
 *
 * DEV_IVSHMEM, DEV_IVSHMEM_BIG, DEV_TESTDEV, DEV_NVME, DEV_IGB and others hold PCI addresses; a
 * test is skipped if its device is absent.
 */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kselftest_harness.h"

/*
 * The timeout, in seconds, of a test without one of its own, for a test that hangs. The harness's
 * 30 s are too short for the debug kernel on a busy machine: vfio-pci-core maps all BARs at each
 * open, and KASAN needs 256 MiB of shadow for a BAR of 2 GiB.
 */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	300

#include "evidence.h"
#include "pci_sysfs.h"
#include "subregion.h"
#include "vfio_config.h"

#define BAR2	VFIO_PCI_BAR2_REGION_INDEX

/* The driver's names for the types of the attributes. */
#if defined(__x86_64__) || defined(__i386__)
#define TYPE_NONCACHED	VFIO_SUBREGION_TYPE_X86_UC_MINUS
#define TYPE_DEVICE	VFIO_SUBREGION_TYPE_X86_UC_MINUS
#define TYPE_WC		VFIO_SUBREGION_TYPE_X86_WC
#else
#define TYPE_NONCACHED	VFIO_SUBREGION_TYPE_ARM64_NGNRNE
#define TYPE_DEVICE	VFIO_SUBREGION_TYPE_ARM64_NGNRE
#define TYPE_WC		VFIO_SUBREGION_TYPE_ARM64_NORMAL_NC
#endif

/**
 * fixture_pattern() - a value for stores that no earlier test has left in the device
 *
 * The memory of a device keeps its bytes when the device is reset or closed.
 */
static inline uint32_t fixture_pattern(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000003 + now.tv_nsec;
}

/** attribute_pte() - the oracle's name for the type of @attribute */
static inline const char *attribute_pte(uint32_t attribute)
{
	switch (attribute) {
	case VFIO_SUBREGION_ATTR_NONCACHED:
		return PTE_NONCACHED;
	case VFIO_SUBREGION_ATTR_WC:
		return PTE_WC;
	default:
		return PTE_DEVICE;
	}
}

/**
 * fixture_has_4k() - whether the pages of the kernel have 4 KiB
 *
 * Returns false after marking the test as skipped.
 */
static inline bool fixture_has_4k(struct __test_metadata *_metadata)
{
	if (GRANULE == 4 * KIB)
		return true;
	SKIP(return false, "the test is about pages of 4 KiB, and this kernel's have %llu",
	     (unsigned long long)(GRANULE / KIB));
}

/**
 * fixture_bdf() - the device that @variable names, or NULL after marking the test as skipped
 *
 * A program whose ranges make sense with pages of 4 KiB only defines PAGES_OF_4K.
 */
static inline const char *fixture_bdf(struct __test_metadata *_metadata, const char *variable)
{
	const char *bdf = getenv(variable);

#ifdef PAGES_OF_4K
	/* TODO(granule): Count in pages of the kernel. */
	if (!fixture_has_4k(_metadata))
		return NULL;
#endif
	if (bdf && *bdf)
		return bdf;
	SKIP(return NULL, "%s is not set: the machine has no such device", variable);
}

/** fixture_bind() - makes @driver the driver of @bdf, or fails the test */
static inline void fixture_bind(struct __test_metadata *_metadata, const char *bdf,
				const char *driver)
{
	int ret = pci_bind(bdf, driver);

	ASSERT_EQ(0, ret)
		TH_LOG("cannot bind %s to %s (is it loaded?): %s", bdf, driver, strerror(-ret));
}

/**
 * fixture_open() - binds the device that @variable names to @driver and opens it
 *
 * Returns false after marking the test as skipped.
 */
static inline bool fixture_open(struct __test_metadata *_metadata, struct vfio_device *dev,
				const char *variable, const char *driver)
{
	const char *bdf = fixture_bdf(_metadata, variable);
	int ret;

	if (!bdf)
		return false;
	fixture_bind(_metadata, bdf, driver);
	ret = vfio_device_open(dev, bdf);
	ASSERT_EQ(0, ret) TH_LOG("cannot open %s: %s", bdf, strerror(-ret));
	return true;
}

/** fixture_create() - creates a subregion, or fails the test */
static inline struct vfio_subregion_create
fixture_create(struct __test_metadata *_metadata, struct vfio_device *dev, uint32_t bar,
	       uint32_t attribute, uint64_t offset, uint64_t size)
{
	struct vfio_subregion_create create = subregion_init(bar, attribute, offset, size);
	int ret = subregion_create(dev, &create);

	ASSERT_EQ(0, ret)
		TH_LOG("no subregion at %#llx of BAR %u: %s", (unsigned long long)offset, bar,
		       strerror(-ret));
	return create;
}

/** fixture_destroy() - destroys a subregion, or fails the test */
static inline void fixture_destroy(struct __test_metadata *_metadata, struct vfio_device *dev,
				   uint32_t index)
{
	int ret = subregion_destroy(dev, index);

	ASSERT_EQ(0, ret) TH_LOG("cannot destroy region %u: %s", index, strerror(-ret));
}

/** fixture_export() - opens a file for a subregion, or fails the test */
static inline int fixture_export(struct __test_metadata *_metadata, struct vfio_device *dev,
				 uint32_t index, uint32_t open_flags)
{
	int fd = subregion_export(dev, index, open_flags);

	ASSERT_LE(0, fd) TH_LOG("cannot export region %u: %s", index, strerror(-fd));
	return fd;
}

/** fixture_map_export() - maps the first @size bytes of an export, or fails the test */
static inline char *fixture_map_export(struct __test_metadata *_metadata, int fd, int prot,
				       size_t size)
{
	size_t room = size + 2 * MIB;
	char *hole = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *map;

	ASSERT_NE(MAP_FAILED, hole);
	map = mmap(hole + (-(uintptr_t)hole & (2 * MIB - 1)), size, prot, MAP_SHARED | MAP_FIXED,
		   fd, 0);
	ASSERT_NE(MAP_FAILED, map) TH_LOG("cannot map an export: %s", strerror(errno));
	return map;
}

/** fixture_set_attr() - gives a BAR an attribute, or fails the test */
static inline void fixture_set_attr(struct __test_metadata *_metadata, struct vfio_device *dev,
				    uint32_t bar, uint32_t attribute)
{
	int ret = region_set_attr(dev, bar, attribute);

	ASSERT_EQ(0, ret)
		TH_LOG("cannot give BAR %u attribute %u: %s", bar, attribute, strerror(-ret));
}

/** fixture_map() - maps a range of the device file, or fails the test */
static inline char *fixture_map(struct __test_metadata *_metadata, struct vfio_device *dev,
				uint64_t offset, size_t size, size_t align)
{
	void *map = map_region(dev, offset, size, align);

	ASSERT_NE(MAP_FAILED, map)
		TH_LOG("cannot map at %#llx: %s", (unsigned long long)offset, strerror(errno));
	return map;
}

/** fixture_map_bar() - maps a whole BAR, or fails the test */
static inline char *fixture_map_bar(struct __test_metadata *_metadata, struct vfio_device *dev,
				    uint32_t bar, size_t align)
{
	struct vfio_region_info info;

	ASSERT_EQ(0, vfio_region_info(dev, bar, &info));
	return fixture_map(_metadata, dev, info.offset, info.size, align);
}

/**
 * fixture_map_resource() - maps a range of BAR 2 by resource2 or resource2_wc in sysfs, or fails
 *
 * @suffix is "" or "_wc". Returns NULL after marking the test as skipped if the kernel refuses it
 * because a driver has the BAR.
 */
static inline char *fixture_map_resource(struct __test_metadata *_metadata, const char *bdf,
					 const char *suffix, uint64_t offset, size_t size)
{
	char *map = pci_map_resource(bdf, 2, suffix, offset, size);

	if (map == MAP_FAILED && errno == EINVAL)
		SKIP(return NULL, "the kernel was not booted with iomem=relaxed");
	ASSERT_NE(MAP_FAILED, map) TH_LOG("resource2%s: %s", suffix, strerror(errno));
	return map;
}

/* Reads the file @path into @text, at most @size - 1 bytes. */
static inline void fixture_read(struct __test_metadata *_metadata, const char *path, char *text,
				size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t done;

	ASSERT_LE(0, fd) TH_LOG("%s: %s", path, strerror(errno));
	do {
		done = read(fd, text + length, size - 1 - length);
		ASSERT_LE(0, done);
		length += done;
	} while (done);
	text[length] = '\0';
	close(fd);
}

/** fixture_join() - waits for the end of a child, which fails the test by its exit status */
static inline void fixture_join(struct __test_metadata *_metadata, pid_t child)
{
	int status;

	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
}

/** fixture_bar() - the physical address and size of a BAR, or fails the test */
static inline struct pci_bar fixture_bar(struct __test_metadata *_metadata,
					 struct vfio_device *dev, uint32_t index)
{
	struct pci_bar bar;

	ASSERT_EQ(0, pci_bar(dev->bdf, index, &bar));
	ASSERT_NE(0, bar.size);
	return bar;
}

/** expect_reservations() - expects that memtype_lines() of a BAR are @want */
static inline void expect_reservations(struct __test_metadata *_metadata,
				       const struct pci_bar *bar, const char *want)
{
	char *lines = memtype_lines(bar->start, bar->start + bar->size);

	EXPECT_STREQ(want, lines) TH_LOG("the BAR has other reservations");
	free(lines);
}

/** fixture_logged() - how often the kernel log has @text */
static inline unsigned int fixture_logged(struct __test_metadata *_metadata, const char *text)
{
	static char log[1 << 20];
	int length = klogctl(3 /* SYSLOG_ACTION_READ_ALL */, log, sizeof(log) - 1);
	const char *at = log;
	unsigned int count = 0;

	ASSERT_LE(0, length) TH_LOG("the kernel log: %s", strerror(errno));
	log[length] = '\0';
	while ((at = strstr(at, text))) {
		at++;
		count++;
	}
	return count;
}

/** fixture_provokes() - says by a line in the kernel log what the test provokes */
static inline void fixture_provokes(struct __test_metadata *_metadata, const char *what,
				    const char *when)
{
	int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	ASSERT_LE(0, log) TH_LOG("/dev/kmsg: %s", strerror(errno));
	EXPECT_LT(0, dprintf(log, "selftest: %s %s\n", what, when));
	close(log);
}

/**
 * fixture_conflicts() - says in the kernel log whether expected messages about conflicting memory
 * types follow
 *
 * @when is "begin" or "end".
 */
static inline void fixture_conflicts(struct __test_metadata *_metadata, const char *when)
{
	fixture_provokes(_metadata, "conflicts of memory types", when);
}

/** fixture_iommu_faults() - the same for refused accesses by a device */
static inline void fixture_iommu_faults(struct __test_metadata *_metadata, const char *when)
{
	fixture_provokes(_metadata, "faults of the IOMMU", when);
}

#define SHIFT_4K	12
#define SHIFT_2M	21
#define SHIFT_1G	30
/* The largest entries that the driver under test makes in a range of 1 GiB or more. */
#define SHIFT_LARGEST	255

/* The largest entries that vfio-pci makes: arm64 has none of 1 GiB for device memory. */
#if defined(__x86_64__) || defined(__i386__)
#define SHIFT_STOCK	SHIFT_1G
#else
#define SHIFT_STOCK	SHIFT_2M
#endif

/**
 * shift_here() - the size on this kernel of entries that could have the size @shift
 *
 * A kernel without transparent huge pages, such as one with PREEMPT_RT, maps device memory by
 * pages. With pages of 16 KiB a huge entry has 32 MiB, so 2 MiB consist of pages. Outside the
 * kernel's tree this driver makes no entry above the smallest huge ones (LARGEST_ORDER in
 * rust/vfio/pci/mmap.rs).
 */
static inline unsigned int shift_here(unsigned int shift)
{
	unsigned int page = __builtin_ctzll(GRANULE);

	if (shift == SHIFT_4K || access("/sys/kernel/mm/transparent_hugepage", F_OK))
		return page;
	if (shift == SHIFT_LARGEST && driver_in_tree())
		return SHIFT_STOCK;
	if (page == SHIFT_4K)
		return shift == SHIFT_LARGEST ? SHIFT_2M : shift;
	return shift == SHIFT_2M ? page : 2 * page - 3;
}

/*
 * An access must succeed, and the live entry must then have the type and (unless it is 0) the size,
 * or the size from shift_here().
 */
#define EXPECT_TOUCH(address, type, shift) do { \
	const volatile void *__address = (address); \
	unsigned int __shift = (shift); \
	uint32_t __value; \
	EXPECT_EQ(0, touch_read(__address, &__value)); \
	EXPECT_STREQ((type), pte_type(__address)); \
	if (__shift) \
		EXPECT_EQ(shift_here(__shift), pte_shift(__address)); \
} while (0)

/* An access must raise SIGBUS and leave no live entry. */
#define EXPECT_SIGBUS(address) do { \
	const volatile void *__address = (address); \
	uint32_t __value; \
	EXPECT_EQ(SIGBUS, touch_read(__address, &__value)); \
	EXPECT_STREQ(PTE_NONE, pte_type(__address)); \
} while (0)

/** EXPECT_MEMTYPE() - expects the type of a reservation, if the kernel has reservations */
#define EXPECT_MEMTYPE(want, start, end) do { \
	if (memtype_tracked()) \
		EXPECT_STREQ((want), memtype((start), (end))); \
} while (0)

/** ASSERT_MEMTYPE() - the same, and ends the test on failure */
#define ASSERT_MEMTYPE(want, start, end) do { \
	if (memtype_tracked()) \
		ASSERT_STREQ((want), memtype((start), (end))); \
} while (0)

#endif /* FIXTURE_H */
