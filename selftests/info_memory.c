// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory that the kernel allocates to report the claims of a BAR. VFIO expects the list of
 * capabilities in memory of kmalloc(), so it must be physically contiguous. With the maximum number
 * of claims it has 393 KB.
 *
 * The kernel's trace events count the allocations.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"
#include "tracing.h"

/* Larger than any other allocation that the ioctl may need. */
#define LARGE		"bytes_alloc >= 16384"

/* Every other page. */
#define CLAIMS		SUBREGION_LIMIT
#define STEP		(2 * GRANULE)

FIXTURE(info_memory) {
	struct vfio_device dev;
	/* The answer: the region, the capability and its claims. */
	uint32_t size;
	struct vfio_region_info *info;
};

static int set(const char *file, const char *value)
{
	char path[128];
	int fd, ret = 0;

	snprintf(path, sizeof(path), INSTANCE "/%s", file);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* Traces large allocations of this process, if the kernel can. */
static bool prepare_tracing(void)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	return !set("tracing_on", "0") && !set("set_event_pid", pid) &&
	       !set("events/kmem/kmalloc/filter", LARGE) &&
	       !set("events/kmem/kmalloc/enable", "1");
}

FIXTURE_SETUP(info_memory)
{
	unsigned int n;

	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM_BIG", vfio_driver()))
		return;
	if (!tracing_begin(_metadata))
		return;
	if (!prepare_tracing()) {
		tracing_end();
		SKIP(return, "the kernel does not trace allocations");
	}
	for (n = 0; n < CLAIMS; n++)
		fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, n * STEP,
			       GRANULE);
	self->size = sizeof(*self->info) + sizeof(struct vfio_region_info_cap_claims) +
		     CLAIMS * sizeof(struct vfio_region_claim);
	self->info = malloc(self->size);
	ASSERT_NE(NULL, self->info);
	/* Otherwise the kernel would have to make these pages present. */
	memset(self->info, 0xff, self->size);
}

FIXTURE_TEARDOWN(info_memory)
{
	set("events/kmem/kmalloc/enable", "0");
	tracing_end();
	free(self->info);
	vfio_device_close(&self->dev);
}

/* The number of large allocations; @charged counts those that are charged to the user. */
struct allocations {
	unsigned int all;
	unsigned int charged;
};

/* Counts the allocation that @line reports, if any. An allocation can have several lines. */
static void count(struct __test_metadata *_metadata, struct allocations *large, const char *line)
{
	static char last[32];
	char where[32] = "";

	line = strstr(line, "kmalloc: ");
	if (!line || sscanf(strstr(line, "ptr="), "%31s", where) != 1)
		return;
	if (large->all && !strcmp(where, last))
		return;
	memcpy(last, where, sizeof(last));
	TH_LOG("%.*s", (int)strcspn(line, "\n"), line);
	large->all++;
	large->charged += !!strstr(line, "_ACCOUNT");
}

/* Requests the information about the BAR with room for @argsz bytes, and counts allocations. */
static struct allocations ask(struct __test_metadata *_metadata, FIXTURE_DATA(info_memory) * self,
			      uint32_t argsz)
{
	struct allocations large = {};
	char line[512];
	FILE *trace;
	int ret;

	self->info->argsz = argsz;
	self->info->index = BAR2;
	ASSERT_EQ(0, set("trace", ""));
	ASSERT_EQ(0, set("tracing_on", "1"));
	ret = ioctl(self->dev.fd, VFIO_DEVICE_GET_REGION_INFO, self->info);
	ASSERT_EQ(0, set("tracing_on", "0"));
	ASSERT_EQ(0, ret) TH_LOG("%s", strerror(errno));
	trace = fopen(INSTANCE "/trace", "re");
	ASSERT_NE(NULL, trace);
	while (fgets(line, sizeof(line), trace))
		count(_metadata, &large, line);
	fclose(trace);
	return large;
}

/* contract: info.memory */
TEST_F(info_memory, a_question_about_the_size_of_the_claims_takes_none)
{
	struct allocations large = ask(_metadata, self, sizeof(*self->info));

	EXPECT_EQ(0, large.all);
	EXPECT_EQ(self->size, self->info->argsz);
	EXPECT_EQ(0, self->info->cap_offset);
	EXPECT_NE(0, self->info->flags & VFIO_REGION_INFO_FLAG_CAPS);
	/* One byte too few has the same result as no room at all. */
	large = ask(_metadata, self, self->size - 1);
	EXPECT_EQ(0, large.all);
	EXPECT_EQ(self->size, self->info->argsz);
	EXPECT_EQ(0, self->info->cap_offset);
}

/* contract: info.memory */
TEST_F(info_memory, claims_are_told_from_memory_that_the_user_is_charged_for)
{
	struct allocations large = ask(_metadata, self, self->size);
	const struct vfio_region_info_cap_claims *cap;
	unsigned int n, wrong = 0;

	/* The list, and the buffer that it is copied from unless that is memory of vmalloc(). */
	EXPECT_LE(1, large.all);
	EXPECT_GE(2, large.all);
	EXPECT_EQ(large.all, large.charged);
	cap = vfio_region_cap(self->info, VFIO_REGION_INFO_CAP_CLAIMS);
	ASSERT_NE(NULL, cap);
	ASSERT_EQ(CLAIMS, cap->nr_claims);
	for (n = 0; n < CLAIMS; n++)
		wrong += cap->claims[n].offset != n * STEP ||
			 cap->claims[n].size != GRANULE;
	EXPECT_EQ(0, wrong);
}

TEST_HARNESS_MAIN
