// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory that a thread needs while it holds the locks that a reset waits for: for a page table
 * in a page fault, and for a change of a memory type.
 *
 * If the kernel wrote other pages to a disk to get this memory, and the reset had stopped that
 * disk, neither would end. So there must be no such allocation, or it must not do I/O.
 */
/* All sizes below are computed from the size of a page. */

#include <pthread.h>

#include "tracing.h"

#define EVENT	"kmem/mm_page_alloc"

/* PF_MEMALLOC_NOIO of the kernel, in the flags of a thread: its allocations do no I/O. */
#define FLAG_NOIO	0x00080000u
/* In seconds. A thread has the lock for a part of each call only. */
#define PATIENCE	30

FIXTURE(fault_noio) {
	struct vfio_device dev;
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
	size_t page = GRANULE, table = page / 8 * page, above = page / 8 * table;
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

	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM",
			  variant->stock ? DRIVER_STOCK : vfio_driver()))
		return;
	offset = vfio_offset(&self->dev, BAR2, 0);
	if (variant->subregion)
		offset = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 0,
					GRANULE).mmap_offset;
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

/* A thread that makes pages write-combining and back again. */
FIXTURE(change_noio) {
	struct vfio_device dev;
	pthread_t thread;
	volatile pid_t tid;
	volatile unsigned long done;
	volatile bool stop;
	int error;
	/* The flags of the thread after its last call. */
	unsigned int at_end;
};

FIXTURE_SETUP(change_noio)
{
	fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver());
}

FIXTURE_TEARDOWN(change_noio)
{
	vfio_device_close(&self->dev);
}

/* Returns the kernel's flags of the thread @tid, or ~0. */
static unsigned int flags_of(pid_t tid)
{
	unsigned int flags = ~0u;
	char path[48];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	file = fopen(path, "re");
	if (!file)
		return flags;
	/* The name of the program, in parentheses, has no space. */
	if (fscanf(file, "%*d %*s %*c %*d %*d %*d %*d %*d %u", &flags) != 1)
		flags = ~0u;
	fclose(file);
	return flags;
}

static void *change(void *data)
{
	FIXTURE_DATA(change_noio) * self = data;
	struct vfio_subregion_create create;

	self->tid = gettid();
	while (!self->stop && !self->error) {
		create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, 0, GRANULE);
		self->error = subregion_create(&self->dev, &create);
		if (!self->error)
			self->error = subregion_destroy(&self->dev, create.index);
		self->done++;
	}
	self->at_end = flags_of(self->tid);
	return NULL;
}

/* contract: reset.no-io */
TEST_F_TIMEOUT(change_noio, a_change_of_the_type_allocates_without_io_under_the_lock, 2 * PATIENCE)
{
	unsigned long with = 0, without = 0;
	time_t end = time(NULL) + PATIENCE;
	unsigned int flags;

	ASSERT_EQ(0, pthread_create(&self->thread, NULL, change, self));
	while ((!with || !without) && time(NULL) < end) {
		flags = self->done ? flags_of(self->tid) : ~0u;
		if (flags == ~0u)
			continue;
		if (flags & FLAG_NOIO)
			with++;
		else
			without++;
	}
	self->stop = true;
	pthread_join(self->thread, NULL);
	TH_LOG("%lu changes; seen with the flag %lu times, without it %lu times", self->done, with,
	       without);
	EXPECT_EQ(0, self->error) TH_LOG("%s", strerror(-self->error));
	EXPECT_LT(0, with);
	EXPECT_LT(0, without);
	EXPECT_NE(~0u, self->at_end);
	EXPECT_EQ(0, self->at_end & FLAG_NOIO);
}

TEST_HARNESS_MAIN
