// SPDX-License-Identifier: GPL-2.0-only
/*
 * A BAR that another driver uses: vfio-pci cannot reserve it when the device is opened, and this
 * driver promises no memory type of its pages. The other driver is ramoops, which uses the physical
 * addresses that its parameters give. RAMOOPS in the environment is the file of its module.
 */
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "refusal.h"

/* The range of BAR 2 that the other driver uses. */
#define TAKEN		(4 * MIB)
#define TAKEN_SIZE	(64 * KIB)

/* Exists while ramoops uses its range. */
#define RAMOOPS_BOUND	"/sys/bus/platform/drivers/ramoops/ramoops"

/* Makes ramoops use a range of @bar, or marks the test as skipped and returns false. */
static bool take(struct __test_metadata *_metadata, const struct pci_bar *bar)
{
	const char *path = getenv("RAMOOPS");
	const char *sizes = "record_size=4096 console_size=0 ftrace_size=0 pmsg_size=0";
	char parameters[200];
	int fd;

	fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		SKIP(return false, "there is no module ramoops (CONFIG_PSTORE_RAM=m)");
	/* It may be loaded without a range. */
	syscall(SYS_delete_module, "ramoops", O_NONBLOCK);
	snprintf(parameters, sizeof(parameters),
		 "mem_address=%#llx mem_size=%llu mem_type=1 %s",
		 (unsigned long long)(bar->start + TAKEN), TAKEN_SIZE, sizes);
	ASSERT_EQ(0, syscall(SYS_finit_module, fd, parameters, 0))
		TH_LOG("ramoops: %s", strerror(errno));
	close(fd);
	ASSERT_EQ(0, access(RAMOOPS_BOUND, F_OK)) TH_LOG("ramoops does not use its range");
	return true;
}

static void give_back(struct __test_metadata *_metadata)
{
	ASSERT_EQ(0, syscall(SYS_delete_module, "ramoops", O_NONBLOCK))
		TH_LOG("ramoops: %s", strerror(errno));
}

FIXTURE(busy_bar) {
	struct vfio_device dev;
	struct pci_bar bar;
	const char *bdf;
};

FIXTURE_SETUP(busy_bar)
{
	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	self->bdf = fixture_bdf(_metadata, "DEV_IVSHMEM");
	if (!self->bdf)
		return;
	ASSERT_EQ(0, pci_bar(self->bdf, 2, &self->bar));
	if (!take(_metadata, &self->bar))
		return;
	fixture_bind(_metadata, self->bdf, vfio_driver());
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->bdf));
}

FIXTURE_TEARDOWN(busy_bar)
{
	vfio_device_close(&self->dev);
	if (!access(RAMOOPS_BOUND, F_OK))
		give_back(_metadata);
}

/* contract: busy.other-driver busy.reason busy.query */
TEST_F(busy_bar, has_no_attribute_and_no_subregion)
{
	struct vfio_subregion_create create;
	struct vfio_subregion_query query;
	struct vfio_region_set_attr set;
	uint32_t attribute;

	for (attribute = 0; attribute < SUBREGION_ATTRIBUTES; attribute++) {
		/* Beside the range of the other driver. */
		create = subregion_init(BAR2, attribute, 8 * MIB, MIB);
		expect_refused(_metadata, &self->dev, &self->bar, &create, EBUSY);
		EXPECT_EQ(VFIO_SUBREGION_BUSY_BAR, create.busy);
		set = (struct vfio_region_set_attr) {
			.argsz = sizeof(set), .index = BAR2, .attribute = attribute,
		};
		expect_call_refused(_metadata, &self->dev, &self->bar, VFIO_REGION_SET_ATTR, &set,
				    EBUSY);
		EXPECT_EQ(VFIO_SUBREGION_BUSY_BAR, set.busy);
	}
	ASSERT_EQ(0, subregion_query(&self->dev, BAR2, &query));
	EXPECT_EQ(ATTR_NONE, query.attributes);
	EXPECT_EQ(VFIO_SUBREGION_BUSY_BAR, query.busy);
}

/* The errno of each call on BAR 2, or 0. */
struct outcome {
	int read;
	int write;
	int map;
	int ioeventfd;
};

static struct outcome outcome_of(struct vfio_device *dev)
{
	uint64_t at = vfio_offset(dev, BAR2, 8 * MIB);
	uint32_t value = 0;
	struct outcome outcome = {
		.read = pread(dev->fd, &value, sizeof(value), at) < 0 ? errno : 0,
		.write = pwrite(dev->fd, &value, sizeof(value), at) < 0 ? errno : 0,
	};
	int event = eventfd(0, EFD_CLOEXEC);
	void *map = map_region(dev, at, 4 * KIB, 4 * KIB);

	outcome.map = map == MAP_FAILED ? errno : 0;
	if (map != MAP_FAILED)
		munmap(map, 4 * KIB);
	outcome.ioeventfd = -vfio_add_ioeventfd(dev, at, event);
	close(event);
	return outcome;
}

/* contract: busy.other-driver */
TEST_F(busy_bar, cannot_be_accessed_as_with_vfio_pci)
{
	struct outcome own = outcome_of(&self->dev), stock;

	vfio_device_close(&self->dev);
	fixture_bind(_metadata, self->bdf, DRIVER_STOCK);
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->bdf));
	stock = outcome_of(&self->dev);
	EXPECT_EQ(EBUSY, stock.read);
	EXPECT_EQ(stock.read, own.read);
	EXPECT_EQ(stock.write, own.write);
	EXPECT_EQ(stock.map, own.map);
	EXPECT_EQ(stock.ioeventfd, own.ioeventfd);
}

/* contract: busy.other-driver */
TEST_F(busy_bar, can_have_subregions_after_the_next_open)
{
	struct vfio_subregion_create create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, 0, MIB);

	give_back(_metadata);
	/* vfio-pci reserves BARs only when the device is opened. */
	expect_refused(_metadata, &self->dev, &self->bar, &create, EBUSY);
	EXPECT_EQ(VFIO_SUBREGION_BUSY_BAR, create.busy);
	vfio_device_close(&self->dev);
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->bdf));
	expect_still_works(_metadata, &self->dev, BAR2, &self->bar);
}

TEST_HARNESS_MAIN
