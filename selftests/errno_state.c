// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_SUBREGION_CREATE: errors that depend on the state of the device and of the machine; and
 * ioctls that do not exist. Each test has one error; all other input is valid.
 */
#include "refusal.h"

FIXTURE(state) {
	struct vfio_device dev;
	struct pci_bar bar;
};

FIXTURE_SETUP(state)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
}

FIXTURE_TEARDOWN(state)
{
	expect_still_works(_metadata, &self->dev, BAR2, &self->bar);
	vfio_device_close(&self->dev);
}

/* Large enough as input for each of them, so that no check of the size comes first. */
static int errno_of(int fd, unsigned long request)
{
	uint32_t buffer[64] = { sizeof(struct vfio_subregion_query) };

	return ioctl(fd, request, buffer) ? errno : 0;
}

/* contract: args.enotty */
TEST_F(state, a_number_that_no_ioctl_has_is_enotty)
{
	unsigned int number;

	for (number = 5; number < 256; number++)
		EXPECT_EQ(ENOTTY, errno_of(self->dev.fd, _IO(VFIO_SUBREGION_IOC, number)));
}

/* The number alone does not name the ioctl: with another direction and size it is another ioctl. */
/* contract: args.enotty */
TEST_F(state, an_ioctl_with_a_direction_is_enotty)
{
	EXPECT_EQ(ENOTTY, errno_of(self->dev.fd, _IOWR(VFIO_SUBREGION_IOC, 0,
						       struct vfio_subregion_create)));
	EXPECT_EQ(ENOTTY, errno_of(self->dev.fd, _IOW(VFIO_SUBREGION_IOC, 1,
						      struct vfio_subregion_destroy)));
	EXPECT_EQ(ENOTTY, errno_of(self->dev.fd, _IOWR(VFIO_SUBREGION_IOC, 2,
						       struct vfio_subregion_query)));
	EXPECT_EQ(ENOTTY, errno_of(self->dev.fd, _IOWR(VFIO_SUBREGION_IOC, 3,
						       struct vfio_region_set_attr)));
}

FIXTURE(alien) {
	struct vfio_device dev;
	const char *bdf;
	struct pci_bar bar;
	void *map;
};

FIXTURE_VARIANT(alien) {
	const char *suffix;
	const char *memtype;
	uint32_t same;
	uint32_t other;
};

/* A sysfs mapping that is older than VFIO's reserves a part of the BAR as UC-, ... */
FIXTURE_VARIANT_ADD(alien, uncached) {
	"", MEMTYPE_UC_MINUS, VFIO_SUBREGION_ATTR_DEVICE, VFIO_SUBREGION_ATTR_WC
};

/* ... or as WC. */
FIXTURE_VARIANT_ADD(alien, write_combining) {
	"_wc", MEMTYPE_WC, VFIO_SUBREGION_ATTR_WC, VFIO_SUBREGION_ATTR_DEVICE
};

FIXTURE_SETUP(alien)
{
	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	if (!memtype_tracked())
		SKIP(return, NO_MEMTYPES);
	self->bdf = fixture_bdf(_metadata, "DEV_IVSHMEM");
	if (!self->bdf)
		return;
	fixture_bind(_metadata, self->bdf, vfio_driver());
	ASSERT_EQ(0, pci_bar(self->bdf, 2, &self->bar));
	self->map = pci_map_resource(self->bdf, 2, variant->suffix, 4 * MIB, MIB);
	ASSERT_NE(MAP_FAILED, self->map) TH_LOG("resource2%s: %s", variant->suffix,
						strerror(errno));
	ASSERT_MEMTYPE(variant->memtype, self->bar.start + 4 * MIB, self->bar.start + 5 * MIB);
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->bdf));
}

FIXTURE_TEARDOWN(alien)
{
	vfio_device_close(&self->dev);
}

/* contract: create.other-mapping */
TEST_F(alien, mapping_of_another_type_makes_it_ebusy)
{
	struct vfio_subregion_create create;

	create = subregion_init(BAR2, variant->other, 4 * MIB, MIB);
	expect_refused(_metadata, &self->dev, &self->bar, &create, EBUSY);
	create = subregion_init(BAR2, variant->other, 3 * MIB, 2 * MIB);
	expect_refused(_metadata, &self->dev, &self->bar, &create, EBUSY);
}

/* contract: create.other-mapping */
TEST_F(alien, mapping_that_is_gone_is_no_obstacle)
{
	struct vfio_subregion_create create = subregion_init(BAR2, variant->other, 4 * MIB, MIB);
	const char *want = attribute_pte(variant->other);
	char *map;

	expect_refused(_metadata, &self->dev, &self->bar, &create, EBUSY);
	vfio_device_close(&self->dev);
	munmap(self->map, MIB);
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->bdf));
	ASSERT_EQ(0, subregion_create(&self->dev, &create));
	map = fixture_map(_metadata, &self->dev, create.mmap_offset, MIB, 2 * MIB);
	EXPECT_TOUCH(map, want, SHIFT_4K);
}

/* A mapping by /dev/mem reserves a part of the BAR as write-back, which no attribute allows. */
FIXTURE(write_back) {
	struct vfio_device dev;
	const char *bdf;
	struct pci_bar bar;
	void *map;
};

FIXTURE_SETUP(write_back)
{
	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	if (!memtype_tracked())
		SKIP(return, NO_MEMTYPES);
	self->bdf = fixture_bdf(_metadata, "DEV_IVSHMEM");
	if (!self->bdf)
		return;
	fixture_bind(_metadata, self->bdf, vfio_driver());
	ASSERT_EQ(0, pci_bar(self->bdf, 2, &self->bar));
}

FIXTURE_TEARDOWN(write_back)
{
	vfio_device_close(&self->dev);
}

/* Maps 64 KiB at 4 MiB of the BAR write-back; returns NULL if that is impossible. */
static void *map_write_back(struct __test_metadata *_metadata, FIXTURE_DATA(write_back) * self)
{
	uint64_t at = self->bar.start + 4 * MIB;
	int mem = open("/dev/mem", O_RDWR | O_CLOEXEC);
	void *map;

	ASSERT_LE(0, mem) TH_LOG("/dev/mem: %s", strerror(errno));
	map = mmap(NULL, 64 * KIB, PROT_READ | PROT_WRITE, MAP_SHARED, mem, at);
	close(mem);
	if (map == MAP_FAILED)
		SKIP(return NULL, "/dev/mem: %s (iomem=relaxed is missing?)", strerror(errno));
	if (strcmp(memtype(at, at + 64 * KIB), MEMTYPE_WB)) {
		munmap(map, 64 * KIB);
		SKIP(return NULL, "the MTRRs do not allow write-back for this memory");
	}
	return map;
}

/*
 * Opens the device while a part of the BAR is write-back, and returns that mapping; NULL if it is
 * impossible. vfio-pci-core cannot map the BAR then.
 */
static void *open_conflicting(struct __test_metadata *_metadata, FIXTURE_DATA(write_back) * self)
{
	void *map = map_write_back(_metadata, self);

	if (!map)
		return NULL;
	fixture_conflicts(_metadata, "begin");
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->bdf));
	fixture_conflicts(_metadata, "end");
	return map;
}

/* contract: create.other-mapping busy.reason busy.query */
TEST_F(write_back, mapping_made_before_the_device_was_opened_makes_its_pages_ebusy)
{
	struct vfio_subregion_create create;
	struct vfio_subregion_query query;
	unsigned int i;
	void *map;

	map = open_conflicting(_metadata, self);
	if (!map)
		return;
	for (i = 0; i < SUBREGION_ATTRIBUTES; i++) {
		create = subregion_init(BAR2, subregion_attributes[i].number, 4 * MIB, MIB);
		expect_refused(_metadata, &self->dev, &self->bar, &create, EBUSY);
		EXPECT_EQ(VFIO_SUBREGION_BUSY_STRAY, create.busy);
	}
	EXPECT_EQ(-EBUSY, region_set_attr(&self->dev, BAR2, VFIO_SUBREGION_ATTR_WC));
	ASSERT_EQ(0, subregion_query(&self->dev, BAR2, &query));
	EXPECT_EQ(ATTR_ALL, query.attributes);
	EXPECT_EQ(VFIO_SUBREGION_BUSY_STRAY, query.busy);
	munmap(map, 64 * KIB);
}

/* contract: create.other-mapping stray.several-types */
TEST_F(write_back, mapping_made_before_the_device_was_opened_leaves_the_other_pages)
{
	uint64_t start = 0, kept, behind;
	struct vfio_subregion_create sub;
	uint32_t value;
	void *alien;
	char *map;

	alien = open_conflicting(_metadata, self);
	if (!alien)
		return;
	start = vfio_offset(&self->dev, BAR2, 0);
	kept = vfio_offset(&self->dev, BAR2, 4 * MIB);
	behind = vfio_offset(&self->dev, BAR2, 4 * MIB + 64 * KIB);
	map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	EXPECT_TOUCH(map, PTE_NONCACHED, SHIFT_2M);
	EXPECT_TOUCH(map + 4 * MIB + 64 * KIB, PTE_NONCACHED, SHIFT_4K);
	EXPECT_SIGBUS(map + 4 * MIB);
	EXPECT_EQ(sizeof(value), pread(self->dev.fd, &value, sizeof(value), start));
	EXPECT_EQ(sizeof(value), pread(self->dev.fd, &value, sizeof(value), behind));
	EXPECT_EQ(-1, pread(self->dev.fd, &value, sizeof(value), kept));
	EXPECT_EQ(EBUSY, errno);
	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC,
			     4 * MIB + 64 * KIB, 64 * KIB);
	fixture_destroy(_metadata, &self->dev, sub.index);
	munmap(alien, 64 * KIB);
}

/* contract: create.other-mapping set-attr.other-mapping stray.ends */
TEST_F(write_back, mapping_that_is_gone_is_no_obstacle_even_without_another_open)
{
	uint64_t offset;
	uint32_t value;
	unsigned int i;
	void *alien;
	char *map;

	alien = open_conflicting(_metadata, self);
	if (!alien)
		return;
	offset = vfio_offset(&self->dev, BAR2, 4 * MIB);
	EXPECT_EQ(-EBUSY, region_set_attr(&self->dev, BAR2, VFIO_SUBREGION_ATTR_WC));
	munmap(alien, 64 * KIB);
	EXPECT_EQ(sizeof(value), pread(self->dev.fd, &value, sizeof(value), offset));
	for (i = 0; i < SUBREGION_ATTRIBUTES; i++) {
		uint32_t attribute = subregion_attributes[i].number;
		struct vfio_subregion_create sub;

		sub = fixture_create(_metadata, &self->dev, BAR2, attribute, 4 * MIB, MIB);
		map = fixture_map(_metadata, &self->dev, sub.mmap_offset, MIB, 2 * MIB);
		EXPECT_TOUCH(map, attribute_pte(attribute), 0);
		munmap(map, MIB);
		fixture_destroy(_metadata, &self->dev, sub.index);
		fixture_set_attr(_metadata, &self->dev, BAR2, attribute);
	}
	vfio_device_close(&self->dev);
	EXPECT_MEMTYPE(MEMTYPE_NONE, self->bar.start, self->bar.start + self->bar.size);
}

/* The BAR can get a subregion after another mapping that kept pages write-combining has gone. */
/* contract: create.other-mapping */
TEST_F(write_back, mapping_made_in_between_makes_read_and_create_ebusy)
{
	struct vfio_subregion_create create;
	uint64_t offset;
	uint32_t value;
	void *map;

	ASSERT_EQ(0, vfio_device_open(&self->dev, self->bdf));
	offset = vfio_offset(&self->dev, BAR2, 4 * MIB);
	create = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 4 * MIB,
				64 * KIB);
	map = fixture_map_resource(_metadata, self->bdf, "_wc", 4 * MIB, 64 * KIB);
	if (!map)
		return;

	fixture_destroy(_metadata, &self->dev, create.index);
	munmap(map, 64 * KIB);
	map = map_write_back(_metadata, self);
	if (!map)
		return;
	/* None of this may add a line to the kernel log. */
	EXPECT_EQ(-1, pread(self->dev.fd, &value, sizeof(value), offset));
	EXPECT_EQ(EBUSY, errno);
	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, 4 * MIB, 64 * KIB);
	EXPECT_EQ(-EBUSY, subregion_create(&self->dev, &create));
	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_NONCACHED, 4 * MIB, 64 * KIB);
	EXPECT_EQ(-EBUSY, subregion_create(&self->dev, &create));

	munmap(map, 64 * KIB);
	EXPECT_EQ(sizeof(value), pread(self->dev.fd, &value, sizeof(value), offset));
	EXPECT_EQ(0, subregion_create(&self->dev, &create));
}

FIXTURE(nvme) {
	struct vfio_device dev;
	struct pci_bar bar;
};

/* BAR 0 of QEMU's NVMe controller is 16 KiB with the MSI-X table at 0x2000. */
FIXTURE_SETUP(nvme)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_NVME", vfio_driver()) ||
	    !fixture_has_4k(_metadata))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, 0);
	ASSERT_LE(16 * KIB, self->bar.size);
}

FIXTURE_TEARDOWN(nvme)
{
	vfio_device_close(&self->dev);
}

/* contract: create.msix */
TEST_F(nvme, wc_over_the_msix_table_is_eperm)
{
	struct vfio_subregion_create create;

	create = subregion_init(0, VFIO_SUBREGION_ATTR_WC, 0x2000, GRANULE);
	expect_refused(_metadata, &self->dev, &self->bar, &create, EPERM);
	create = subregion_init(0, VFIO_SUBREGION_ATTR_WC, 0x1000, 12 * KIB);
	expect_refused(_metadata, &self->dev, &self->bar, &create, EPERM);
}

/* contract: create.msix */
TEST_F(nvme, device_over_the_msix_table_is_accepted)
{
	struct vfio_subregion_create sub;
	char *map;

	sub = fixture_create(_metadata, &self->dev, 0, VFIO_SUBREGION_ATTR_DEVICE, 0x2000, GRANULE);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, GRANULE, GRANULE);
	EXPECT_TOUCH(map, PTE_DEVICE, SHIFT_4K);
}

/* contract: create.msix */
TEST_F(nvme, wc_beside_the_msix_table_is_accepted)
{
	struct vfio_subregion_create sub;
	char *map;

	sub = fixture_create(_metadata, &self->dev, 0, VFIO_SUBREGION_ATTR_WC, 0x1000, 4 * KIB);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, GRANULE, GRANULE);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_4K);
}

/* Expects that 16 bytes at @offset, before the end of the table, are ones whatever is written. */
static void expect_hidden(struct __test_metadata *_metadata, int fd, uint64_t offset)
{
	const uint64_t ones = UINT64_MAX;
	uint64_t bytes[2] = {};

	EXPECT_EQ(sizeof(bytes), pwrite(fd, bytes, sizeof(bytes), offset));
	EXPECT_EQ(sizeof(bytes), pread(fd, bytes, sizeof(bytes), offset));
	EXPECT_EQ(ones, bytes[0]);
	EXPECT_EQ(ones, bytes[1]);
}

/* Of the BAR as the core transfers it, as the driver does, and of an export. */
/* contract: read-write.msix */
TEST_F(nvme, read_and_write_do_not_reach_the_msix_table)
{
	struct vfio_subregion_create sub;
	struct vfio_region_info info;
	uint32_t version = 0;
	int fd;

	ASSERT_EQ(0, vfio_region_info(&self->dev, 0, &info));
	expect_hidden(_metadata, self->dev.fd, info.offset + 0x2000);
	fixture_create(_metadata, &self->dev, 0, VFIO_SUBREGION_ATTR_WC, 0x1000, 4 * KIB);
	expect_hidden(_metadata, self->dev.fd, info.offset + 0x2000);
	EXPECT_EQ(4, pread(self->dev.fd, &version, 4, info.offset + 8));
	EXPECT_NE(0, version);
	EXPECT_NE(UINT32_MAX, version);
	sub = fixture_create(_metadata, &self->dev, 0, VFIO_SUBREGION_ATTR_DEVICE, 0x2000, GRANULE);
	expect_hidden(_metadata, self->dev.fd, sub.mmap_offset);
	fd = fixture_export(_metadata, &self->dev, sub.index, O_RDWR);
	expect_hidden(_metadata, fd, 0);
	close(fd);
}

FIXTURE(limit) {
	struct vfio_device dev;
	struct pci_bar bar;
};

FIXTURE_SETUP(limit)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM_BIG", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
}

FIXTURE_TEARDOWN(limit)
{
	vfio_device_close(&self->dev);
}

static void create_up_to_the_limit(struct __test_metadata *_metadata, struct vfio_device *dev)
{
	unsigned int i;

	for (i = 0; i < SUBREGION_LIMIT; i++)
		fixture_create(_metadata, dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, i * 2 * GRANULE,
			       GRANULE);
	ASSERT_EQ(SUBREGION_LIMIT, subregion_count(dev));
}

/* contract: create.limit */
TEST_F(limit, one_subregion_more_than_the_limit_is_enospc)
{
	struct vfio_subregion_create create;
	const uint32_t last = VFIO_PCI_NUM_REGIONS + SUBREGION_LIMIT - 1;
	struct vfio_region_info info;

	create_up_to_the_limit(_metadata, &self->dev);
	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_DEVICE, GIB, GRANULE);
	expect_refused(_metadata, &self->dev, &self->bar, &create, ENOSPC);
	/* Overlaps are checked before the limit. */
	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_DEVICE, 2 * GRANULE, GRANULE);
	expect_refused(_metadata, &self->dev, &self->bar, &create, EEXIST);
	EXPECT_EQ(last + 1, vfio_num_regions(&self->dev));
	ASSERT_EQ(0, vfio_region_info(&self->dev, last, &info));
	EXPECT_EQ(GRANULE, info.size);
	vfio_device_close(&self->dev);
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->dev.bdf));
	EXPECT_EQ(VFIO_PCI_NUM_REGIONS, vfio_num_regions(&self->dev));
}

/* contract: create.limit */
TEST_F(limit, it_is_on_those_that_exist_at_a_time)
{
	struct vfio_subregion_create create;
	unsigned int i;

	create_up_to_the_limit(_metadata, &self->dev);
	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, GIB, GRANULE);
	for (i = 0; i < 10; i++) {
		expect_refused(_metadata, &self->dev, &self->bar, &create, ENOSPC);
		fixture_destroy(_metadata, &self->dev, VFIO_PCI_NUM_REGIONS + i * 1000);
		EXPECT_EQ(SUBREGION_LIMIT - 1, subregion_count(&self->dev));
		ASSERT_EQ(0, subregion_create(&self->dev, &create));
		EXPECT_EQ(VFIO_PCI_NUM_REGIONS + SUBREGION_LIMIT + i, create.index);
		create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, GIB + (i + 1) * MIB,
					GRANULE);
	}
}

/* An index is not used twice, and indices do not run out. */
/* contract: create.limit */
TEST_F(limit, more_than_it_can_be_created_one_after_the_other)
{
	unsigned int i;

	for (i = 0; i < 2 * SUBREGION_LIMIT; i++)
		fixture_destroy(_metadata, &self->dev,
				fixture_create(_metadata, &self->dev, BAR2,
					       VFIO_SUBREGION_ATTR_DEVICE, 0, GRANULE).index);
	EXPECT_EQ(0, subregion_count(&self->dev));
	EXPECT_EQ(VFIO_PCI_NUM_REGIONS + 2 * SUBREGION_LIMIT, vfio_num_regions(&self->dev));
}

/* Userspace probes for the driver in this way: other drivers do not have these ioctls. */
FIXTURE(stock) {
	struct vfio_device dev;
};

FIXTURE_SETUP(stock)
{
	fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", DRIVER_STOCK);
}

FIXTURE_TEARDOWN(stock)
{
	vfio_device_close(&self->dev);
}

/* contract: args.enotty */
TEST_F(stock, vfio_pci_answers_enotty)
{
	struct vfio_subregion_create create;
	unsigned int number;

	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	EXPECT_EQ(-ENOTTY, subregion_create(&self->dev, &create));
	for (number = 0; number < 256; number++)
		EXPECT_EQ(ENOTTY, errno_of(self->dev.fd, _IO(VFIO_SUBREGION_IOC, number)));
	EXPECT_EQ(VFIO_PCI_NUM_REGIONS, vfio_num_regions(&self->dev));
}

TEST_HARNESS_MAIN
