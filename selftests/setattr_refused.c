// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_REGION_SET_ATTR: the conditions under which a BAR cannot be given an attribute, and the
 * operations that an attribute prevents. Each test has one error; all other input is valid.
 */
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "refusal.h"

FIXTURE(refused) {
	struct vfio_device dev;
	struct pci_bar bar;
	uint64_t window;
	int eventfd;
};

FIXTURE_SETUP(refused)
{
	self->eventfd = eventfd(0, EFD_CLOEXEC);
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->window = vfio_offset(&self->dev, BAR2, 0);
}

FIXTURE_TEARDOWN(refused)
{
	EXPECT_EQ(0, region_set_attr(&self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED));
	expect_still_works(_metadata, &self->dev, BAR2, &self->bar);
	vfio_device_close(&self->dev);
}

static void expect_set_refused(struct __test_metadata *_metadata, struct vfio_device *dev,
			       const struct pci_bar *bar, uint32_t index, uint32_t attribute,
			       int error)
{
	struct vfio_region_set_attr set = {
		.argsz = sizeof(set), .index = index, .attribute = attribute,
	};

	expect_call_refused(_metadata, dev, bar, VFIO_REGION_SET_ATTR, &set, error);
}

/* BAR 2 must refuse each attribute except the initial one. */
#define EXPECT_BUSY() do { \
	uint32_t __which; \
	for (__which = 1; __which < 4; __which++) \
		expect_set_refused(_metadata, &self->dev, &self->bar, BAR2, __which, EBUSY); \
	EXPECT_EQ(0, region_set_attr(&self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED)); \
} while (0)

/* BAR 2 must accept each attribute. */
#define EXPECT_FREE() do { \
	uint32_t __which; \
	for (__which = 0; __which < 4; __which++) \
		EXPECT_EQ(0, region_set_attr(&self->dev, BAR2, __which)); \
	EXPECT_EQ(0, region_set_attr(&self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED)); \
} while (0)

/* contract: set-attr.mapped */
TEST_F(refused, while_the_bar_is_mapped_it_is_ebusy)
{
	char *map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);

	/* Whether a page was touched or not makes no difference. */
	EXPECT_BUSY();
	EXPECT_TOUCH(map, PTE_NONCACHED, SHIFT_2M);
	EXPECT_BUSY();
	munmap(map, self->bar.size);
	EXPECT_FREE();
}

/* contract: set-attr.mapped */
TEST_F(refused, while_a_part_of_it_is_mapped_it_is_ebusy)
{
	char *map;

	map = fixture_map(_metadata, &self->dev, self->window + self->bar.size - 2 * GRANULE,
			  2 * GRANULE, GRANULE);
	EXPECT_BUSY();
	munmap(map, GRANULE);
	EXPECT_BUSY();
	munmap(map + GRANULE, GRANULE);
	EXPECT_FREE();
}

/* contract: set-attr.mapped */
TEST_F(refused, while_one_half_of_a_split_mapping_is_left_it_is_ebusy)
{
	char *map = fixture_map(_metadata, &self->dev, self->window, 3 * GRANULE, GRANULE);

	munmap(map + GRANULE, GRANULE);
	EXPECT_BUSY();
	munmap(map, GRANULE);
	EXPECT_BUSY();
	munmap(map + 2 * GRANULE, GRANULE);
	EXPECT_FREE();
}

/* contract: set-attr.mapped */
TEST_F(refused, while_a_moved_mapping_exists_it_is_ebusy)
{
	char *map = fixture_map(_metadata, &self->dev, self->window, 2 * GRANULE, GRANULE), *moved;
	void *hole = mmap(NULL, 2 * GRANULE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	moved = mremap(map, 2 * GRANULE, 2 * GRANULE, MREMAP_MAYMOVE | MREMAP_FIXED, hole);
	ASSERT_EQ(hole, moved);
	EXPECT_BUSY();
	munmap(moved, 2 * GRANULE);
	EXPECT_FREE();
}

/* contract: set-attr.mapped */
TEST_F(refused, while_a_mapping_that_cannot_be_accessed_exists_it_is_ebusy)
{
	char *map = fixture_map(_metadata, &self->dev, self->window, 2 * GRANULE, GRANULE);

	ASSERT_EQ(0, mprotect(map, 2 * GRANULE, PROT_NONE));
	EXPECT_BUSY();
	munmap(map, 2 * GRANULE);
}

/* contract: set-attr.mapped */
TEST_F(refused, while_a_child_has_the_mapping_it_is_ebusy)
{
	char *map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB), byte;
	int status, go[2];
	pid_t child;

	ASSERT_EQ(0, pipe(go));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		close(go[1]);
		(void)!read(go[0], &byte, 1);
		_exit(0);
	}
	close(go[0]);
	munmap(map, self->bar.size);
	EXPECT_BUSY();
	close(go[1]);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_FREE();
}

/* contract: set-attr.not-mapped */
TEST_F(refused, a_mapping_of_a_device_that_was_closed_and_opened_again_is_no_obstacle)
{
	char *map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);

	munmap(map, self->bar.size);
	vfio_device_close(&self->dev);
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->dev.bdf));
	EXPECT_FREE();
}

/* contract: set-attr.exclusive */
TEST_F(refused, wc_while_it_has_a_subregion_is_ebusy)
{
	struct vfio_subregion_create sub;
	uint32_t attribute;

	for (attribute = 0; attribute < 4; attribute++) {
		sub = fixture_create(_metadata, &self->dev, BAR2, attribute, MIB, GRANULE);
		expect_set_refused(_metadata, &self->dev, &self->bar, BAR2, VFIO_SUBREGION_ATTR_WC,
				   EBUSY);
		/* The strict attributes need no change of the subregion. */
		fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE);
		fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_GUEST_ANY);
		fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED);
		fixture_destroy(_metadata, &self->dev, sub.index);
		EXPECT_FREE();
	}
}

/* contract: set-attr.exclusive */
TEST_F(refused, the_end_of_wc_while_it_has_a_subregion_is_ebusy)
{
	struct vfio_subregion_create sub;
	uint32_t attribute;

	for (attribute = 0; attribute < 4; attribute++) {
		fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
		sub = fixture_create(_metadata, &self->dev, BAR2, attribute, MIB, GRANULE);
		expect_set_refused(_metadata, &self->dev, &self->bar, BAR2,
				   VFIO_SUBREGION_ATTR_NONCACHED, EBUSY);
		expect_set_refused(_metadata, &self->dev, &self->bar, BAR2,
				   VFIO_SUBREGION_ATTR_DEVICE, EBUSY);
		fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
		fixture_destroy(_metadata, &self->dev, sub.index);
		EXPECT_FREE();
	}
}

/* contract: vfio.ioeventfd-type */
TEST_F(refused, wc_while_the_bar_has_an_ioeventfd_is_ebusy)
{
	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, self->window, self->eventfd));
	expect_set_refused(_metadata, &self->dev, &self->bar, BAR2, VFIO_SUBREGION_ATTR_WC, EBUSY);
	/* The other attributes need no change of the type. */
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE);
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_GUEST_ANY);
	expect_set_refused(_metadata, &self->dev, &self->bar, BAR2, VFIO_SUBREGION_ATTR_WC, EBUSY);
	EXPECT_EQ(0, vfio_add_ioeventfd(&self->dev, self->window, -1));
	EXPECT_FREE();
}

/* contract: vfio.ioeventfd-type */
TEST_F(refused, the_end_of_wc_while_the_bar_has_an_ioeventfd_is_ebusy)
{
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
	EXPECT_EQ(0, vfio_add_ioeventfd(&self->dev, self->window, self->eventfd));
	expect_set_refused(_metadata, &self->dev, &self->bar, BAR2, VFIO_SUBREGION_ATTR_DEVICE,
			   EBUSY);
	EXPECT_EQ(0, vfio_add_ioeventfd(&self->dev, self->window, -1));
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED);
}

/* contract: set-attr.einval */
TEST_F(refused, of_a_region_that_is_not_a_bar_is_einval)
{
	const uint32_t others[] = {
		VFIO_PCI_ROM_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_VGA_REGION_INDEX,
		VFIO_PCI_NUM_REGIONS, 100, 0x80000000, 0x80000002, UINT32_MAX,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(others); i++)
		expect_set_refused(_metadata, &self->dev, &self->bar, others[i],
				   VFIO_SUBREGION_ATTR_WC, EINVAL);
}

/* contract: set-attr.einval */
TEST_F(refused, of_a_subregion_is_einval)
{
	struct vfio_subregion_create sub;

	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	expect_set_refused(_metadata, &self->dev, &self->bar, sub.index,
			   VFIO_SUBREGION_ATTR_DEVICE, EINVAL);
	fixture_destroy(_metadata, &self->dev, sub.index);
}

/* contract: set-attr.einval */
TEST_F(refused, of_an_empty_bar_is_einval)
{
	const uint32_t empty[] = { 1, 3, 4, 5 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(empty); i++)
		expect_set_refused(_metadata, &self->dev, &self->bar, empty[i],
				   VFIO_SUBREGION_ATTR_WC, EINVAL);
}

/* contract: set-attr.einval */
TEST_F(refused, of_a_bar_below_a_page_is_einval)
{
	ASSERT_GT(GRANULE, fixture_bar(_metadata, &self->dev, 0).size);
	expect_set_refused(_metadata, &self->dev, &self->bar, 0, VFIO_SUBREGION_ATTR_DEVICE,
			   EINVAL);
}

/* A mapping that the kernel made for another process before VFIO mapped the BAR. */
/* contract: set-attr.other-mapping */
TEST_F(refused, while_another_mapping_in_the_kernel_has_another_type_it_is_ebusy)
{
	void *map;

	if (!memtype_tracked())
		SKIP(return, NO_MEMTYPES);
	vfio_device_close(&self->dev);
	map = pci_map_resource(self->dev.bdf, 2, "", 4 * MIB, MIB);
	ASSERT_NE(MAP_FAILED, map) TH_LOG("resource2: %s", strerror(errno));
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->dev.bdf));
	expect_set_refused(_metadata, &self->dev, &self->bar, BAR2, VFIO_SUBREGION_ATTR_WC, EBUSY);
	munmap(map, MIB);
	EXPECT_FREE();
}

/* A sysfs mapping that was made while the BAR was write-combining. */
/* contract: set-attr.other-mapping */
TEST_F(refused, while_another_mapping_in_the_kernel_keeps_the_type_it_is_ebusy)
{
	char *map, *alien;

	if (!memtype_tracked())
		SKIP(return, NO_MEMTYPES);
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
	alien = fixture_map_resource(_metadata, self->dev.bdf, "_wc", 4 * MIB, MIB);
	if (!alien)
		return;
	EXPECT_TOUCH(alien, PTE_WC, 0);

	EXPECT_EQ(-EBUSY, region_set_attr(&self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED));
	map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	munmap(map, self->bar.size);
	munmap(alien, MIB);
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED);
	EXPECT_FREE();
}

FIXTURE(refused_elsewhere) {
	struct vfio_device dev;
	struct pci_bar bar;
};

FIXTURE_SETUP(refused_elsewhere)
{
	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
}

FIXTURE_TEARDOWN(refused_elsewhere)
{
	vfio_device_close(&self->dev);
}

/* contract: set-attr.einval */
TEST_F(refused_elsewhere, an_io_bar_is_einval)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_TESTDEV", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	expect_set_refused(_metadata, &self->dev, &self->bar, 1, VFIO_SUBREGION_ATTR_DEVICE,
			   EINVAL);
}

/* contract: set-attr.not-mapped */
TEST_F(refused_elsewhere, a_mapping_of_another_bar_is_no_obstacle)
{
	char *map, *other;

	if (!fixture_open(_metadata, &self->dev, "DEV_TESTDEV", vfio_driver()) ||
	    !fixture_has_4k(_metadata))
		return;
	other = fixture_map_bar(_metadata, &self->dev, 0, GRANULE);
	fixture_create(_metadata, &self->dev, 0, VFIO_SUBREGION_ATTR_WC, 0, GRANULE);
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
	map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	EXPECT_SIGBUS(other);
}

/* contract: set-attr.msix */
TEST_F(refused_elsewhere, wc_on_a_bar_with_the_msix_table_is_eperm)
{
	char *map;

	if (!fixture_open(_metadata, &self->dev, "DEV_NVME", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, 0);
	expect_set_refused(_metadata, &self->dev, &self->bar, 0, VFIO_SUBREGION_ATTR_WC, EPERM);
	fixture_set_attr(_metadata, &self->dev, 0, VFIO_SUBREGION_ATTR_DEVICE);
	map = fixture_map_bar(_metadata, &self->dev, 0, GRANULE);
	EXPECT_TOUCH(map, PTE_DEVICE, SHIFT_4K);
}

TEST_HARNESS_MAIN
