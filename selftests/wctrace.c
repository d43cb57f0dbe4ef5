// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts by the plugin wctrace of stores to a device, from the program's instruction to the PCIe
 * write: the model's own unit tests know neither QEMU nor page tables.
 */
#include <sched.h>
#include <sys/wait.h>

#include <vfio_subregion_helpers.h>

#include "crate_copies.h"
#include "fixture.h"
#include "wctrace.h"

#define CLAIM		(1 * MIB)
#define CLAIM_SIZE	(2 * MIB)
#define LINE		64
#define RING_ENTRIES	65536
#define ATTRIBUTES	3

#if defined(__x86_64__)
/* Every order fills a line, and a broken line leaves in parts of 8 bytes. */
#define X86			true
#define STORE_4(offset)		"movl $0, " offset "(%0)\n\t"
#define STORE_8(offset)		"movq $0, " offset "(%0)\n\t"
#else
/* Only adjacent stores gather, and what they gathered leaves as one write. */
#define X86			false
#define STORE_4(offset)		"str wzr, [%0, #" offset "]\n\t"
#define STORE_8(offset)		"stur xzr, [%0, #" offset "]\n\t"
#endif

/* A whole line. */
#define SIXTEEN_STORES_OF_4									\
	STORE_4("0") STORE_4("4") STORE_4("8") STORE_4("12") STORE_4("16") STORE_4("20")	\
	STORE_4("24") STORE_4("28") STORE_4("32") STORE_4("36") STORE_4("40") STORE_4("44")	\
	STORE_4("48") STORE_4("52") STORE_4("56") STORE_4("60")

/* The compiler may neither merge these stores nor put anything between them. */
#define STORES(stores, at)	({ __asm__ volatile(stores : : "r"(at) : "memory"); })

/* The number that the rules of this machine's architecture give. */
static uint64_t either(uint64_t on_x86, uint64_t on_arm64)
{
	return X86 ? on_x86 : on_arm64;
}

FIXTURE(wctrace) {
	struct vfio_device dev;
	char *line;
	volatile uint32_t *doorbell;
	bool started;
};

static uint64_t count(enum wctrace_count what)
{
	return wctrace(WCTRACE_COUNT, what, 0);
}

static void stay_on(struct __test_metadata *_metadata, int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpus), &cpus));
}

/* Has the plugin trace the whole of BAR 2. */
static void start(struct __test_metadata *_metadata, struct vfio_device *dev)
{
	struct pci_bar bar = fixture_bar(_metadata, dev, BAR2);

	ASSERT_EQ(1, wctrace(WCTRACE_START, bar.start, bar.size));
	ASSERT_EQ(2, wctrace(WCTRACE_STATE, 0, 0));
}

FIXTURE_SETUP(wctrace)
{
	struct vfio_subregion_create sub;
	uint32_t value;

	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	self->started = false;
	if (!wctrace(WCTRACE_STATE, 0, 0))
		SKIP(return, "QEMU has no plugin wctrace: use rig/vm --trace");
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	stay_on(_metadata, 0);
	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, CLAIM,
			     CLAIM_SIZE);
	self->line = fixture_map(_metadata, &self->dev, sub.mmap_offset, CLAIM_SIZE, 2 * MIB);
	self->doorbell = (void *)fixture_map(_metadata, &self->dev,
					     vfio_offset(&self->dev, BAR2, 0), 4096, 4096);
	/* A fault in the middle of a line would break it. */
	ASSERT_EQ(0, touch_read((void *)self->line, &value));
	ASSERT_EQ(0, touch_read(self->doorbell, &value));
	start(_metadata, &self->dev);
	self->started = true;
	wctrace(WCTRACE_CLEAR, 0, 0);
}

FIXTURE_TEARDOWN(wctrace)
{
	if (self->started)
		wctrace(WCTRACE_STOP, 0, 0);
	vfio_device_close(&self->dev);
}

/* contract: wctrace.counts */
TEST_F(wctrace, sixteen_stores_of_4_bytes_are_one_write)
{
	STORES(SIXTEEN_STORES_OF_4, self->line);
	EXPECT_EQ(16, count(WCTRACE_STORES));
	EXPECT_EQ(1, count(WCTRACE_WRITES));
	EXPECT_EQ(1, count(WCTRACE_BY_FULL));
	EXPECT_EQ(LINE, count(WCTRACE_BYTES));
	EXPECT_EQ(88, count(WCTRACE_LINK_BYTES));
}

/* contract: wctrace.counts */
TEST_F(wctrace, sixteen_strict_stores_of_4_bytes_are_sixteen_writes)
{
	STORES(SIXTEEN_STORES_OF_4, self->doorbell);
	EXPECT_EQ(16, count(WCTRACE_STORES));
	EXPECT_EQ(16, count(WCTRACE_WRITES));
	EXPECT_EQ(16, count(WCTRACE_BY_TYPE));
	EXPECT_EQ(448, count(WCTRACE_LINK_BYTES));
}

/* contract: wctrace.counts */
TEST_F(wctrace, a_fence_after_three_stores_breaks_a_line)
{
	STORES(STORE_4("0") STORE_4("4") STORE_4("8"), self->line);
	EXPECT_EQ(0, count(WCTRACE_WRITES));
	vfio_subregion_order_stores();
	EXPECT_EQ(either(2, 1), count(WCTRACE_BY_FENCE));
	EXPECT_EQ(1, count(WCTRACE_BROKEN_LINES));
	EXPECT_EQ(12, count(WCTRACE_BYTES));
	vfio_subregion_order_stores();
	EXPECT_EQ(2, count(WCTRACE_FENCES));
	EXPECT_EQ(1, count(WCTRACE_IDLE_FENCES));
}

/* contract: wctrace.counts */
TEST_F(wctrace, descending_stores_fill_a_line_on_x86_only)
{
	STORES(STORE_8("56") STORE_8("48") STORE_8("40") STORE_8("32") STORE_8("24")
	       STORE_8("16") STORE_8("8") STORE_8("0"), self->line);
	vfio_subregion_order_stores();
	EXPECT_EQ(either(1, 0), count(WCTRACE_BY_FULL));
	EXPECT_EQ(either(0, 7), count(WCTRACE_BY_GAP));
	EXPECT_EQ(either(1, 8), count(WCTRACE_WRITES));
}

/* contract: wctrace.counts */
TEST_F(wctrace, stores_in_disorder_fill_a_line_on_x86_only)
{
	STORES(STORE_8("24") STORE_8("0") STORE_8("56") STORE_8("32") STORE_8("8")
	       STORE_8("48") STORE_8("16") STORE_8("40"), self->line);
	vfio_subregion_order_stores();
	EXPECT_EQ(either(1, 8), count(WCTRACE_WRITES));
	EXPECT_EQ(LINE, count(WCTRACE_BYTES));
}

/* contract: wctrace.counts */
TEST_F(wctrace, a_store_over_two_lines_is_two_writes)
{
	STORES(STORE_8("60"), self->line);
	vfio_subregion_order_stores();
	EXPECT_EQ(1, count(WCTRACE_STORES));
	EXPECT_EQ(2, count(WCTRACE_WRITES));
	EXPECT_EQ(2, count(WCTRACE_BROKEN_LINES));
}

/* contract: wctrace.counts */
TEST_F(wctrace, a_copy_over_two_lines_fills_neither)
{
	STORES(STORE_8("0") STORE_8("8") STORE_8("16") STORE_8("24") STORE_8("32")
	       STORE_8("40") STORE_8("48") STORE_8("56"), self->line + LINE / 2);
	vfio_subregion_order_stores();
	EXPECT_EQ(0, count(WCTRACE_BY_FULL));
	EXPECT_EQ(either(8, 2), count(WCTRACE_WRITES));
}

/* contract: wctrace.counts */
TEST_F(wctrace, two_cpus_do_not_fill_a_line_together)
{
	STORES(STORE_8("0") STORE_8("8") STORE_8("16") STORE_8("24"), self->line);
	/* The system call makes the first half leave. */
	stay_on(_metadata, 1);
	STORES(STORE_8("32") STORE_8("40") STORE_8("48") STORE_8("56"), self->line);
	EXPECT_EQ(either(4, 1), count(WCTRACE_BY_TRAP));
	vfio_subregion_order_stores();
	EXPECT_EQ(either(4, 1), count(WCTRACE_BY_FENCE));
	EXPECT_EQ(0, count(WCTRACE_BY_FULL));
}

/* contract: wctrace.counts */
TEST_F(wctrace, a_doorbell_without_a_fence_is_told)
{
	STORES(STORE_8("0"), self->line);
	*self->doorbell = 1;
	EXPECT_EQ(1, count(WCTRACE_UNFENCED_DOORBELLS));
	EXPECT_EQ(either(1, 0), count(WCTRACE_BY_STRICT));
	EXPECT_EQ(either(0, 1), count(WCTRACE_OVERTAKING_DOORBELLS));
	vfio_subregion_order_stores();
	*self->doorbell = 2;
	EXPECT_EQ(1, count(WCTRACE_UNFENCED_DOORBELLS));
	EXPECT_EQ(2, count(WCTRACE_BY_TYPE));
	EXPECT_EQ(3, count(WCTRACE_WRITES));
}

/* contract: wctrace.counts */
TEST_F(wctrace, a_load_from_a_line_breaks_it)
{
	STORES(STORE_8("0") STORE_8("8"), self->line);
	(void)*(volatile uint32_t *)(self->line + 32);
	EXPECT_EQ(either(2, 1), count(WCTRACE_BY_LOAD));
	EXPECT_EQ(1, count(WCTRACE_BROKEN_LINES));
}

/* contract: wctrace.counts */
TEST_F(wctrace, an_atomic_operation_breaks_a_line)
{
	static int word;

	STORES(STORE_8("0"), self->line);
	__atomic_fetch_add(&word, 1, __ATOMIC_SEQ_CST);
	EXPECT_EQ(1, count(either(WCTRACE_BY_LOCKED, WCTRACE_BY_RELEASE)));
	EXPECT_EQ(1, count(WCTRACE_WRITES));
}

/* contract: wctrace.counts */
TEST_F(wctrace, memcpy_of_a_line_is_one_write)
{
	static char from[LINE] __attribute__((aligned(LINE)));
	void *(*volatile copy)(void *, const void *, size_t) = memcpy;

	from[0] = 1;
	copy(self->line, from, sizeof(from));
	vfio_subregion_order_stores();
	EXPECT_EQ(LINE, count(WCTRACE_BYTES));
	EXPECT_EQ(1, count(WCTRACE_WRITES));
}

/* The number of aligned words of 8 bytes that @size bytes at @offset touch besides whole lines. */
static uint64_t words_of_ends(size_t offset, size_t size)
{
	size_t first = (offset + LINE - 1) / LINE * LINE, end = (offset + size) / LINE * LINE;

	if (first >= end)
		return (offset + size + 7) / 8 - offset / 8;
	return (first - offset + 7) / 8 + (offset + size - end + 7) / 8;
}

static uint64_t whole_lines(size_t offset, size_t size)
{
	size_t first = (offset + LINE - 1) / LINE, end = (offset + size) / LINE;

	return first < end ? end - first : 0;
}

static uint64_t touched_lines(size_t offset, size_t size)
{
	return (offset + size + LINE - 1) / LINE - offset / LINE;
}

/* The fewest writes of a copy to write-combining memory, by stores that fill whole lines. */
static uint64_t fewest_writes(size_t offset, size_t size)
{
	return either(whole_lines(offset, size) + words_of_ends(offset, size),
		      touched_lines(offset, size));
}

/*
 * The writes of a copy to memory of any type. On arm64, bytes before the first multiple of 8 are a
 * run of their own, unless fewer than 8 bytes are before the next line.
 */
static uint64_t aligned_writes(size_t offset, size_t size)
{
	size_t room = LINE - offset % LINE, head = size < room ? size : room;

	return fewest_writes(offset, size) + either(0, offset % 8 && head >= 8);
}

/* Sizes of copies. */
static size_t nth_size(size_t n)
{
	static const size_t large[] = { 256, 1000, 4096, 65536 };

	return n <= 130 ? n : large[n - 131];
}

#define SIZES	134

/* contract: wctrace.helpers */
TEST_F(wctrace, the_copy_for_wc_memory_makes_the_fewest_writes_at_every_alignment)
{
	static char from[65536];
	size_t offset, size, i;

	memset(from, 1, sizeof(from));
	for (offset = 0; offset < LINE; offset++) {
		for (i = 1; i <= SIZES; i++) {
			size = nth_size(i);
			wctrace(WCTRACE_CLEAR, 0, 0);
			vfio_subregion_copy_wc(self->line + offset, from, size);
			vfio_subregion_order_stores();
			ASSERT_EQ(size, count(WCTRACE_BYTES));
			ASSERT_EQ(fewest_writes(offset, size), count(WCTRACE_WRITES))
				TH_LOG("%zu bytes at %zu", size, offset);
		}
	}
}

/* contract: wctrace.helpers */
TEST_F(wctrace, the_copy_of_the_crate_makes_the_fewest_writes_at_every_alignment)
{
	struct crate_copies crate;
	size_t offset, size, i;
	int try;

	ASSERT_EQ(0, crate_copies_start(&crate, self->dev.fd));
	for (offset = 0; offset < LINE; offset++) {
		for (i = 1; i <= SIZES; i++) {
			size = nth_size(i);
			/* If another program runs in the middle, it breaks a line. */
			for (try = 0; try < 3; try++) {
				wctrace(WCTRACE_CLEAR, 0, 0);
				ASSERT_EQ(0, crate_copies_copy(&crate, false, offset, size));
				ASSERT_EQ(size, count(WCTRACE_BYTES));
				if (fewest_writes(offset, size) == count(WCTRACE_WRITES))
					break;
			}
			ASSERT_EQ(fewest_writes(offset, size), count(WCTRACE_WRITES))
				TH_LOG("%zu bytes at %zu", size, offset);
		}
	}
	EXPECT_EQ(0, crate_copies_end(&crate));
}

/* contract: wctrace.helpers */
TEST_F(wctrace, the_copy_for_any_memory_makes_one_write_of_each_whole_line)
{
	static char from[65536 + 8] __attribute__((aligned(LINE)));
	size_t offset, size, i;

	memset(from, 1, sizeof(from));
	for (offset = 0; offset < LINE; offset++) {
		for (i = 1; i <= SIZES; i++) {
			size = nth_size(i);
			wctrace(WCTRACE_CLEAR, 0, 0);
			vfio_subregion_copy(self->line + offset, from + offset % 8, size);
			vfio_subregion_order_stores();
			ASSERT_EQ(size, count(WCTRACE_BYTES));
			ASSERT_EQ(whole_lines(offset, size), count(WCTRACE_FULL_LINES));
			ASSERT_EQ(aligned_writes(offset, size), count(WCTRACE_WRITES))
				TH_LOG("%zu bytes at %zu", size, offset);
		}
	}
}

/* contract: wctrace.helpers */
TEST_F(wctrace, the_slots_of_a_queue_make_the_fewest_writes)
{
	struct vfio_subregion_queue queue;
	uint64_t entry[24] = { 1 };
	size_t words, slot;

	for (words = 1; words <= ARRAY_SIZE(entry); words++) {
		ASSERT_EQ(0, vfio_subregion_queue_init(&queue, self->line, words * 8, 16,
						       self->doorbell));
		for (slot = 0; slot < 16; slot++) {
			size_t at = slot * words * 8;

			wctrace(WCTRACE_CLEAR, 0, 0);
			vfio_subregion_queue_push(&queue, entry);
			vfio_subregion_order_stores();
			ASSERT_EQ(fewest_writes(at, words * 8), count(WCTRACE_WRITES))
				TH_LOG("slot %zu of %zu words", slot, words);
		}
	}
}

/* contract: wctrace.helpers */
TEST_F(wctrace, the_ring_of_the_sample_leaves_as_whole_lines)
{
	int status;
	pid_t pid;

	/* The sample opens the device. */
	ASSERT_EQ(0, munmap(self->line, CLAIM_SIZE));
	ASSERT_EQ(0, munmap((void *)self->doorbell, 4096));
	vfio_device_close(&self->dev);
	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	wctrace(WCTRACE_CLEAR, 0, 0);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (freopen("/dev/null", "w", stdout))
			execl("/samples/wc_ring", "wc_ring", getenv("DEV_IVSHMEM"),
			      NULL);
		_exit(127);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status) && !WEXITSTATUS(status));
	EXPECT_EQ(RING_ENTRIES, count(WCTRACE_BY_FULL));
	EXPECT_EQ(RING_ENTRIES + 1, count(WCTRACE_WRITES));
	EXPECT_EQ(1, count(WCTRACE_BY_TYPE));
	EXPECT_EQ(0, count(WCTRACE_UNFENCED_DOORBELLS));
	EXPECT_EQ(RING_ENTRIES * LINE + 4, count(WCTRACE_BYTES));
}

/* contract: wctrace.wcbench */
TEST_F(wctrace, wcbench_expects_the_writes_that_the_plugin_counts)
{
	/* QEMU performs the two stores of a line by AVX as four. */
	const size_t split = vfio_subregion_detect_line_store() == VFIO_SUBREGION_LINE_AVX ? 2 : 0;
	size_t size, strict, combined, kinds = 0;
	uint64_t expected_strict = 0, expected_combined = 0, transfers, whole;
	char command[128], line[256];
	char aligned[8];
	FILE *wcbench;

	ASSERT_EQ(0, munmap(self->line, CLAIM_SIZE));
	ASSERT_EQ(0, munmap((void *)self->doorbell, 4096));
	vfio_device_close(&self->dev);
	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	wctrace(WCTRACE_CLEAR, 0, 0);
	snprintf(command, sizeof(command), "exec /bench/wcbench %s", getenv("DEV_IVSHMEM"));
	wcbench = popen(command, "re");
	ASSERT_NE(NULL, wcbench);
	while (fgets(line, sizeof(line), wcbench)) {
		if (sscanf(line, "%zu %7s %zu %zu", &size, aligned, &strict, &combined) != 4)
			continue;
		kinds++;
		/* The amount of data of a batch, and the largest number of transfers. */
		transfers = 256 * KIB / size < 4096 ? 256 * KIB / size : 4096;
		whole = whole_lines(strcmp(aligned, "yes") ? 4 : 0, size);
		expected_strict += transfers * (strict + split * whole);
		expected_combined += transfers * combined;
	}
	ASSERT_EQ(0, pclose(wcbench));
	EXPECT_EQ(60, kinds);
	EXPECT_EQ(expected_strict, count(WCTRACE_BY_TYPE));
	EXPECT_EQ(expected_combined, count(WCTRACE_WRITES) - count(WCTRACE_BY_TYPE));
}

/* contract: wctrace.oracle */
TEST_F(wctrace, finds_the_memory_types_that_the_oracle_finds)
{
	static const uint32_t attributes[ATTRIBUTES] = {
		VFIO_SUBREGION_ATTR_NONCACHED, VFIO_SUBREGION_ATTR_DEVICE, VFIO_SUBREGION_ATTR_WC,
	};
	struct vfio_subregion_create sub;
	struct pte_oracle pte;
	uint32_t value;
	char *map;
	size_t i;

	for (i = 0; i < ATTRIBUTES; i++) {
		sub = fixture_create(_metadata, &self->dev, BAR2, attributes[i],
				     (4 + 2 * i) * MIB, 2 * MIB);
		map = fixture_map(_metadata, &self->dev, sub.mmap_offset, 2 * MIB, 2 * MIB);
		ASSERT_EQ(0, pte_read(map, &pte));
		EXPECT_EQ(0, pte.present);
		EXPECT_EQ(1, wctrace(WCTRACE_CHECK, (uintptr_t)map, (uintptr_t)&pte));
		ASSERT_EQ(0, touch_read((void *)map, &value));
		ASSERT_EQ(0, pte_read(map + 4096, &pte));
		EXPECT_EQ(1, pte.present);
		EXPECT_STREQ(attribute_pte(attributes[i]), pte.name);
		EXPECT_EQ(1, wctrace(WCTRACE_CHECK, (uintptr_t)map + 4096, (uintptr_t)&pte));
		/* The plugin does compare. */
		pte.pfn++;
		EXPECT_EQ(0, wctrace(WCTRACE_CHECK, (uintptr_t)map + 4096, (uintptr_t)&pte));
		pte.pfn--;
		pte.name[0]++;
		EXPECT_EQ(0, wctrace(WCTRACE_CHECK, (uintptr_t)map + 4096, (uintptr_t)&pte));
	}
}

TEST_HARNESS_MAIN
