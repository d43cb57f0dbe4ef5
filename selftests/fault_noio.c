// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory for a page table that a page fault needs while it holds the locks that a reset waits
 * for.
 *
 * If the kernel wrote other pages to a disk to get this memory, and the reset had stopped that
 * disk, neither would end. So there must be no such allocation, or it must not do I/O.
 */
/* All sizes below are computed from the size of a page. */
#define ANY_GRANULE

#include "tracing.h"

#define EVENT	"kmem/mm_page_alloc"

FIXTURE(fault_noio) {
	struct vfio_device dev;
	size_t page;
	/* A page of the BAR that nobody has touched. */
	char *map;
	char text[64 * KIB];
};

FIXTURE_VARIANT(fault_noio) {
	bool stock;
	bool subregion;
	const char *type;
};

FIXTURE_VARIANT_ADD(fault_noio, bar) { .type = PTE_NONCACHED };
FIXTURE_VARIANT_ADD(fault_noio, subregion) { .subregion = true, .type = PTE_WC };
FIXTURE_VARIANT_ADD(fault_noio, of_stock_vfio_pci) { .stock = true, .type = PTE_NONCACHED };

/*
 * Maps @page bytes from @offset where no other page has this page's table. The table above exists,
 * because a page of memory close by was touched.
 */
static char *map_alone(struct __test_metadata *_metadata, FIXTURE_DATA(fault_noio) * self,
		       uint64_t offset)
{
	size_t page = self->page, table = page / 8 * page, above = page / 8 * table;
	char *hole, *map;

	hole = mmap(NULL, 4 * table, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, hole);
	hole += -(uintptr_t)hole & (table - 1);
	if (!(((uintptr_t)hole + table) & (above - 1)))
		hole += table;
	ASSERT_EQ(hole, mmap(hole, page, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	ASSERT_EQ(0, touch_write((uint32_t *)hole, 1));
	map = mmap(hole + table, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		   self->dev.fd, offset);
	ASSERT_EQ(hole + table, map) TH_LOG("cannot map the BAR: %s", strerror(errno));
	return map;
}

FIXTURE_SETUP(fault_noio)
{
	uint64_t offset;

	self->page = sysconf(_SC_PAGESIZE);
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM",
			  variant->stock ? DRIVER_STOCK : vfio_driver()))
		return;
	offset = vfio_offset(&self->dev, BAR2, 0);
	if (variant->subregion)
		offset = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 0,
					self->page).mmap_offset;
	if (!tracing_begin(_metadata))
		return;
	if (access(INSTANCE "/events/" EVENT, F_OK)) {
		tracing_end();
		SKIP(return, "the kernel does not trace " EVENT);
	}
	self->map = map_alone(_metadata, self, offset);
}

FIXTURE_TEARDOWN(fault_noio)
{
	tracing_end();
	vfio_device_close(&self->dev);
}

/*
 * The memory manager allocates a table before it calls the driver, when the fault holds none of
 * these locks. vfio-pci needs another one, because vmf_insert_pfn() does not use the first.
 */
/* contract: reset.no-io controls.no-io */
TEST_F(fault_noio, the_page_table_is_allocated_without_io_or_before_the_locks)
{
	unsigned int io = 0, noio = 0;
	char filter[64], *line, *rest;
	uint32_t value;

	snprintf(filter, sizeof(filter), "common_pid == %d && order == 0", getpid());
	tracing_set(_metadata, EVENT, "filter", filter);
	tracing_set(_metadata, EVENT, "enable", "1");
	EXPECT_EQ(0, touch_read((uint32_t *)self->map, &value));
	tracing_set(_metadata, EVENT, "enable", "0");
	EXPECT_STREQ(variant->type, pte_type(self->map));
	fixture_read(_metadata, INSTANCE "/trace", self->text, sizeof(self->text));
	for (line = strtok_r(self->text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		/* Of a user's pages, only page tables are charged and zeroed by these flags. */
		if (*line == '#' || !strstr(line, "ACCOUNT") || !strstr(line, "__GFP_ZERO"))
			continue;
		TH_LOG("%s", line);
		/* The name of both flags of reclaim without __GFP_IO. */
		if (strstr(line, "GFP_NOIO"))
			noio++;
		else
			io++;
	}
	/* In the kernel's tree, vfio-pci has the patches. */
	EXPECT_EQ(variant->stock && !driver_in_tree() ? 2 : 1, io);
	if (variant->stock)
		EXPECT_EQ(driver_in_tree(), noio);
}

TEST_HARNESS_MAIN
