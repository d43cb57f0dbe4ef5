// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tracepoints of the driver, as ftrace and perf see them.
 */
#include <inttypes.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>

#include "tracing.h"

#define TEXT		(64 * KIB)
#define LINE		256

enum { CREATE, DESTROY, ATTRIBUTE, EXPORT, REFUSED, REVOKED, EVENTS };

static const char *const names[EVENTS] = {
	[CREATE] = "subregion_create",
	[DESTROY] = "subregion_destroy",
	[ATTRIBUTE] = "subregion_attribute",
	[EXPORT] = "subregion_export",
	[REFUSED] = "subregion_fault_refused",
	[REVOKED] = "subregion_fault_revoked",
};

FIXTURE(tracepoints) {
	struct vfio_device dev;
	char system[64];
	/* The line that each event must have. */
	char lines[EVENTS][LINE];
	char text[TEXT];
};

FIXTURE_SETUP(tracepoints)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	/* The directory has the name of the module. */
	snprintf(self->system, sizeof(self->system), "%s", vfio_driver());
	for (char *at = self->system; *at; at++)
		if (*at == '-')
			*at = '_';
	tracing_begin(_metadata);
}

FIXTURE_TEARDOWN(tracepoints)
{
	tracing_end();
	vfio_device_close(&self->dev);
}

/* Switches an event on or off. */
static void set(struct __test_metadata *_metadata, const char *system, const char *name,
		const char *value)
{
	char event[128];

	snprintf(event, sizeof(event), "%s/%s", system, name);
	tracing_set(_metadata, event, "enable", value);
}

/* Causes each event, and writes down what its line must say. */
static void cause(struct __test_metadata *_metadata, FIXTURE_DATA(tracepoints) * self)
{
	struct vfio_device *dev = &self->dev;
	struct vfio_region_info info;
	struct vfio_subregion_create sub;
	char *bar, *map;
	int fd;

	ASSERT_EQ(0, vfio_region_info(dev, BAR2, &info));
	bar = fixture_map(_metadata, dev, info.offset, info.size, 2 * MIB);
	sub = fixture_create(_metadata, dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, MIB, 64 * KIB);
	fd = subregion_export(dev, sub.index, O_RDWR);
	ASSERT_LE(0, fd);
	close(fd);
	/* Claimed pages cannot be reached through the BAR. */
	EXPECT_SIGBUS(bar + MIB + GRANULE);
	map = fixture_map(_metadata, dev, sub.mmap_offset, sub.size, 0);
	ASSERT_EQ(0, vfio_set_memory(dev, false));
	EXPECT_SIGBUS(map);
	ASSERT_EQ(0, vfio_set_memory(dev, true));
	munmap(map, sub.size);
	munmap(bar, info.size);
	ASSERT_EQ(0, subregion_destroy(dev, sub.index));
	ASSERT_EQ(0, region_set_attr(dev, BAR2, VFIO_SUBREGION_ATTR_WC));
	ASSERT_EQ(0, region_set_attr(dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED));

	snprintf(self->lines[CREATE], LINE,
		 "subregion_create: device=%s index=%u bar=2 offset=0x100000 size=0x10000 attribute=DEVICE\n",
		 dev->bdf, sub.index);
	snprintf(self->lines[DESTROY], LINE,
		 "subregion_destroy: device=%s index=%u bar=2 offset=0x100000 size=0x10000 attribute=DEVICE\n",
		 dev->bdf, sub.index);
	snprintf(self->lines[ATTRIBUTE], LINE,
		 "subregion_attribute: device=%s bar=2 attribute=WC\n", dev->bdf);
	snprintf(self->lines[EXPORT], LINE, "subregion_export: device=%s index=%u flags=0x%x\n",
		 dev->bdf, sub.index, O_RDWR);
	snprintf(self->lines[REFUSED], LINE, "subregion_fault_refused: device=%s offset=0x%llx\n",
		 dev->bdf, (unsigned long long)info.offset + MIB + GRANULE);
	snprintf(self->lines[REVOKED], LINE, "subregion_fault_revoked: device=%s offset=0x%llx\n",
		 dev->bdf, (unsigned long long)sub.mmap_offset);
}

/* contract: outside.tracepoints */
TEST_F(tracepoints, each_is_seen_while_it_is_on_and_no_other)
{
	unsigned int on, other;
	char head[96];
	int fd;

	for (on = 0; on < EVENTS; on++) {
		set(_metadata, self->system, names[on], "1");
		cause(_metadata, self);
		set(_metadata, self->system, names[on], "0");
		fixture_read(_metadata, INSTANCE "/trace", self->text, sizeof(self->text));
		EXPECT_NE(NULL, strstr(self->text, self->lines[on]))
			TH_LOG("no %s in: %s", self->lines[on], self->text);
		for (other = 0; other < EVENTS; other++) {
			snprintf(head, sizeof(head), " %s: ", names[other]);
			EXPECT_EQ(other == on, !!strstr(self->text, head))
				TH_LOG("%s is on: %s", names[on], self->text);
		}
		/* This empties the buffer. */
		fd = open(INSTANCE "/trace", O_WRONLY | O_TRUNC | O_CLOEXEC);
		ASSERT_LE(0, fd);
		close(fd);
	}
}

/* contract: outside.tracepoints */
TEST_F(tracepoints, perf_counts_each)
{
	static const uint64_t counts[EVENTS] = {
		[CREATE] = 1, [DESTROY] = 1, [ATTRIBUTE] = 2,
		[EXPORT] = 1, [REFUSED] = 1, [REVOKED] = 1,
	};
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr) };
	int fds[EVENTS];
	unsigned int n;
	char path[256];
	uint64_t count;
	FILE *file;

	for (n = 0; n < EVENTS; n++) {
		snprintf(path, sizeof(path), TRACING "/events/%s/%s/id", self->system, names[n]);
		file = fopen(path, "re");
		if (!file)
			SKIP(return, "the kernel has no perf");
		ASSERT_EQ(1, fscanf(file, "%" SCNu64, &count));
		fclose(file);
		attr.config = count;
		fds[n] = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
		ASSERT_LE(0, fds[n]) TH_LOG("%s: %s", names[n], strerror(errno));
	}
	cause(_metadata, self);
	for (n = 0; n < EVENTS; n++) {
		ASSERT_EQ(sizeof(count), read(fds[n], &count, sizeof(count)));
		EXPECT_EQ(counts[n], count) TH_LOG("%s", names[n]);
		close(fds[n]);
	}
}

TEST_HARNESS_MAIN
