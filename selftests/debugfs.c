// SPDX-License-Identifier: GPL-2.0-only
/*
 * The administrator sees in debugfs whether a device is open and what it has, while the program
 * that opened it runs and knows nothing of it. Neither read() nor an open file gets in the way of
 * the program, or of the administrator who unbinds the device.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "withheld.h"

#define TEXT	(64 * KIB)

FIXTURE(debugfs) {
	struct vfio_device dev;
	char path[128];
	char text[TEXT];
};

FIXTURE_SETUP(debugfs)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	snprintf(self->path, sizeof(self->path), "/sys/kernel/debug/%s/%s/state", vfio_driver(),
		 self->dev.bdf);
}

FIXTURE_TEARDOWN(debugfs)
{
	vfio_device_close(&self->dev);
}

/* Reads the file anew; returns its text. */
static const char *state(struct __test_metadata *_metadata, FIXTURE_DATA(debugfs) * self)
{
	fixture_read(_metadata, self->path, self->text, sizeof(self->text));
	return self->text;
}

static void expect_line(struct __test_metadata *_metadata, FIXTURE_DATA(debugfs) * self,
			const char *line)
{
	EXPECT_NE(NULL, strstr(state(_metadata, self), line))
		TH_LOG("no %s in: %s", line, self->text);
}

static void expect_no_line(struct __test_metadata *_metadata, FIXTURE_DATA(debugfs) * self,
			   const char *line)
{
	EXPECT_EQ(NULL, strstr(state(_metadata, self), line))
		TH_LOG("%s in: %s", line, self->text);
}

/* contract: outside.state */
TEST_F(debugfs, shows_the_subregions_and_the_process_that_opened_the_device)
{
	struct vfio_subregion_create sub, share;
	char line[256], *map, *bar;
	int fd;

	snprintf(line, sizeof(line), "opened pid=%d comm=", getpid());
	expect_line(_metadata, self, line);
	expect_line(_metadata, self, "exports files=0\n");
	expect_no_line(_metadata, self, "bar ");
	bar = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	expect_line(_metadata, self, "bar number=2 attribute=NONCACHED type=");
	expect_line(_metadata, self, " mappings=1\n");

	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 4 * MIB, 2 * MIB);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, 2 * MIB, 2 * MIB);
	fd = fixture_export(_metadata, &self->dev, sub.index, O_RDWR);
	snprintf(line, sizeof(line), "subregion index=%u bar=2 offset=0x400000 size=0x200000 ",
		 sub.index);
	expect_line(_metadata, self, line);
	snprintf(line, sizeof(line), " attribute=WC type=%s mmap_offset=%#llx mappings=1 ", PTE_WC,
		 (unsigned long long)sub.mmap_offset);
	expect_line(_metadata, self, line);
	expect_line(_metadata, self, "exports files=1\n");
	close(fd);
	expect_line(_metadata, self, "exports files=0\n");
	munmap(map, MIB);
	munmap(map + MIB, MIB);
	expect_line(_metadata, self, " mappings=0 requests=1\n");
	fixture_destroy(_metadata, &self->dev, sub.index);
	expect_no_line(_metadata, self, "subregion ");
	munmap(bar, fixture_bar(_metadata, &self->dev, BAR2).size);
	expect_no_line(_metadata, self, "bar ");

	share = subregion_init(BAR2, VFIO_SUBREGION_ATTR_GUEST_ANY, 0, GRANULE);
	share.flags = VFIO_SUBREGION_CREATE_SHARED;
	ASSERT_EQ(0, subregion_create(&self->dev, &share));
	ASSERT_EQ(0, subregion_create(&self->dev, &share));
	expect_line(_metadata, self, "attribute=GUEST_ANY type=");
	expect_line(_metadata, self, " requests=2\n");
}

/* contract: outside.state */
TEST_F(debugfs, shows_a_name_that_looks_like_a_line_as_a_name)
{
	vfio_device_close(&self->dev);
	ASSERT_EQ(0, prctl(PR_SET_NAME, "a\nexports"));
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->dev.bdf));
	expect_line(_metadata, self, " comm=a\\nexports\n");
	expect_no_line(_metadata, self, "\nexports\n");
}

/* contract: outside.state */
TEST_F(debugfs, shows_the_attribute_of_a_bar)
{
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
	expect_line(_metadata, self, "bar number=2 attribute=WC type=" PTE_WC " mappings=0\n");
}

/* contract: outside.state */
TEST_F(debugfs, shows_a_stray)
{
	const char *line = "stray bar=2 offset=0x401000 size=0x1000\n";
	struct vfio_subregion_create sub;
	char *kept;

	if (!memtype_tracked())
		SKIP(return, NO_MEMTYPES);
	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 4 * MIB, 2 * MIB);
	kept = fixture_map_resource(_metadata, self->dev.bdf, "_wc", 4 * MIB + GRANULE, GRANULE);
	if (!kept)
		return;
	EXPECT_TOUCH(kept, PTE_WC, 0);
	expect_no_line(_metadata, self, "stray ");
	fixture_destroy(_metadata, &self->dev, sub.index);
	expect_line(_metadata, self, line);
	munmap(kept, GRANULE);
	EXPECT_EQ(0, region_set_attr(&self->dev, BAR2, VFIO_SUBREGION_ATTR_WC));
	expect_no_line(_metadata, self, line);
}

/* contract: outside.state */
TEST_F(debugfs, shows_as_many_subregions_as_there_are)
{
	unsigned int i, lines = 0;
	const char *at;

	for (i = 0; i < 300; i++)
		fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE,
			       i * 2 * GRANULE, GRANULE);
	for (at = state(_metadata, self); (at = strstr(at, "subregion index=")); at++)
		lines++;
	EXPECT_EQ(300, lines);
}

static void expect_no_file(struct __test_metadata *_metadata, FIXTURE_DATA(debugfs) * self)
{
	EXPECT_EQ(-1, access(self->path, F_OK));
	EXPECT_EQ(ENOENT, errno);
}

static void expect_module_in_use(struct __test_metadata *_metadata)
{
	EXPECT_EQ(-1, syscall(SYS_delete_module, vfio_driver(), O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
}

/* contract: outside.state */
TEST_F(debugfs, says_that_a_device_is_closed)
{
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
	expect_line(_metadata, self, "opened pid=");
	vfio_device_close(&self->dev);
	EXPECT_STREQ("closed\n", state(_metadata, self));
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->dev.bdf));
	expect_line(_metadata, self, "exports files=0\n");
	expect_no_line(_metadata, self, "bar ");
	expect_no_line(_metadata, self, "closed");
}

/* contract: outside.lifetime */
TEST_F(debugfs, exists_while_the_device_is_bound_and_an_open_file_keeps_its_text)
{
	char before[64], after[64];
	int fd = open(self->path, O_RDONLY | O_CLOEXEC);

	ASSERT_LE(0, fd);
	EXPECT_EQ(10, pread(fd, before, 10, 5));
	vfio_device_close(&self->dev);
	EXPECT_EQ(10, pread(fd, after, 10, 5));
	EXPECT_EQ(0, memcmp(before, after, 10));
	/* The kernel uses the module's operations when the file is closed. */
	expect_module_in_use(_metadata);
	ASSERT_EQ(0, pci_unbind(self->dev.bdf));
	expect_no_file(_metadata, self);
	EXPECT_EQ(10, pread(fd, after, 10, 5));
	EXPECT_EQ(0, memcmp(before, after, 10));
	expect_module_in_use(_metadata);
	/* The next binding has a file of its own. */
	fixture_bind(_metadata, self->dev.bdf, vfio_driver());
	EXPECT_STREQ("closed\n", state(_metadata, self));
	close(fd);
}

/* contract: outside.lifetime */
TEST_F(debugfs, shows_which_process_delays_unbinding)
{
	char line[64];
	pid_t child;
	int status;

	snprintf(line, sizeof(line), "opened pid=%d comm=", getpid());
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		vfio_device_close(&self->dev);
		_exit(pci_unbind(self->dev.bdf) ? 1 : 0);
	}
	usleep(300 * 1000);
	EXPECT_EQ(0, waitpid(child, &status, WNOHANG)) TH_LOG("the unbind did not wait");
	expect_line(_metadata, self, line);
	vfio_device_close(&self->dev);
	fixture_join(_metadata, child);
	expect_no_file(_metadata, self);
	fixture_bind(_metadata, self->dev.bdf, vfio_driver());
}

/* Returns false after marking the test as skipped. */
static bool stall(struct __test_metadata *_metadata, FIXTURE_DATA(debugfs) * self,
		  struct withheld_read *reader)
{
	int file = open(self->path, O_RDONLY | O_CLOEXEC);

	ASSERT_LE(0, file);
	return withheld_read_begin(_metadata, reader, file, 0);
}

/* Lets the thread have the page. It reads the text from the time of its open(). */
static void go_on(struct __test_metadata *_metadata, struct withheld_read *reader)
{
	withheld_read_end(_metadata, reader);
	EXPECT_EQ(0, strncmp(reader->page, "opened pid=", 11));
	close(reader->file);
}

/* contract: outside.lifetime */
TEST_F(debugfs, the_last_close_does_not_wait_for_a_page_of_a_reader)
{
	struct withheld_read reader;

	if (!stall(_metadata, self, &reader))
		return;
	vfio_device_close(&self->dev);
	EXPECT_STREQ("closed\n", state(_metadata, self));
	go_on(_metadata, &reader);
}

/* contract: outside.lifetime */
TEST_F(debugfs, unbinding_does_not_wait_for_a_page_of_a_reader)
{
	struct withheld_read reader;

	if (!stall(_metadata, self, &reader))
		return;
	vfio_device_close(&self->dev);
	ASSERT_EQ(0, pci_unbind(self->dev.bdf));
	expect_no_file(_metadata, self);
	go_on(_metadata, &reader);
	fixture_bind(_metadata, self->dev.bdf, vfio_driver());
}

/* contract: outside.lifetime */
TEST_F(debugfs, is_for_root_only)
{
	struct stat status;

	ASSERT_EQ(0, stat(self->path, &status));
	EXPECT_EQ(0400, status.st_mode & 07777);
	EXPECT_EQ(0, status.st_uid);
}

struct reader {
	const char *path;
	pthread_t thread;
	atomic_bool stop;
	atomic_uint opened;
	atomic_uint closed;
	atomic_uint absent;
	atomic_uint wrong;
};

static void *read_again(void *data)
{
	struct reader *reader = data;
	char text[4096];
	ssize_t length;
	int fd;

	while (!reader->stop) {
		fd = open(reader->path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			reader->absent++;
			continue;
		}
		length = read(fd, text, sizeof(text));
		if (length == 7 && !memcmp(text, "closed\n", 7))
			reader->closed++;
		else if (length > 11 && !memcmp(text, "opened pid=", 11))
			reader->opened++;
		else
			reader->wrong++;
		close(fd);
	}
	return NULL;
}

/* contract: outside.lifetime */
TEST_F(debugfs, is_read_while_subregions_open_devices_and_bindings_come_and_go)
{
	struct reader reader = { .path = self->path };
	struct vfio_subregion_create sub;
	unsigned int round, i;

	ASSERT_EQ(0, pthread_create(&reader.thread, NULL, read_again, &reader));
	for (round = 0; round < 20 || !reader.opened || !reader.closed || !reader.absent; round++) {
		for (i = 0; i < 5; i++) {
			sub = fixture_create(_metadata, &self->dev, BAR2, i % SUBREGION_ATTRIBUTES,
					     i * MIB, MIB);
			fixture_destroy(_metadata, &self->dev, sub.index);
		}
		sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 0, MIB);
		close(fixture_export(_metadata, &self->dev, sub.index, O_RDWR));
		vfio_device_close(&self->dev);
		if (round % 2) {
			ASSERT_EQ(0, pci_unbind(self->dev.bdf));
			fixture_bind(_metadata, self->dev.bdf, vfio_driver());
		}
		ASSERT_EQ(0, vfio_device_open(&self->dev, self->dev.bdf));
	}
	reader.stop = true;
	ASSERT_EQ(0, pthread_join(reader.thread, NULL));
	EXPECT_EQ(0, reader.wrong);
}

TEST_HARNESS_MAIN
