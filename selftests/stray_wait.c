// SPDX-License-Identifier: GPL-2.0-only
/*
 * A touch of a page that was a stray, while another thread reads from the device.
 *
 * Only a thread that has the device's mappings for itself can end a stray. The other thread reads
 * to a page that does not come.
 */
#include <signal.h>

#include "withheld.h"

#define STRAY		(4 * MIB)

FIXTURE(stray_wait) {
	struct vfio_device dev;
	char *map;
	char *page;
	struct withheld_read reader;
	/* The task that touches the page; shared with children. */
	volatile pid_t *toucher;
	/* The signal that the thread got. */
	int raised;
};

/* Makes the page a stray, starts the read, and then lets the other mapping of the page go. */
FIXTURE_SETUP(stray_wait)
{
	struct vfio_subregion_create sub;
	char *alien;

	if (!memtype_tracked())
		SKIP(return, NO_MEMTYPES);
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, STRAY, GRANULE);
	alien = fixture_map_resource(_metadata, self->dev.bdf, "_wc", STRAY, GRANULE);
	if (!alien)
		return;
	EXPECT_TOUCH(alien, PTE_WC, 0);
	fixture_destroy(_metadata, &self->dev, sub.index);
	self->map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	self->page = self->map + STRAY;
	EXPECT_SIGBUS(self->page);
	self->toucher = mmap(NULL, GRANULE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			     0);
	ASSERT_NE(MAP_FAILED, self->toucher);
	if (!withheld_read_begin(_metadata, &self->reader, self->dev.fd,
				 vfio_offset(&self->dev, BAR2, 0)))
		return;
	munmap(alien, GRANULE);
}

FIXTURE_TEARDOWN(stray_wait)
{
	vfio_device_close(&self->dev);
}

/* Expects that the task which is about to touch the page is still at it a second later. */
static void expect_wait(struct __test_metadata *_metadata, FIXTURE_DATA(stray_wait) * self)
{
	char state;

	while (!*self->toucher)
		usleep(1000);
	sleep(1);
	state = state_of_task(*self->toucher);
	EXPECT_TRUE(state != 'Z' && state != '?') TH_LOG("the touch does not wait");
	*self->toucher = 0;
}

static void end_well(int signal)
{
	(void)signal;
	_exit(0);
}

/* Starts a process that touches the page, and expects that it waits. */
static pid_t touch_by_child(struct __test_metadata *_metadata, FIXTURE_DATA(stray_wait) * self)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		signal(SIGUSR1, end_well);
		*self->toucher = getpid();
		EXPECT_TOUCH(self->page, PTE_NONCACHED, 0);
		_exit(0);
	}
	expect_wait(_metadata, self);
	return child;
}

/* contract: stray.waits */
TEST_F(stray_wait, a_touch_finds_the_page_when_the_read_has_ended)
{
	pid_t child = touch_by_child(_metadata, self);

	withheld_read_end(_metadata, &self->reader);
	fixture_join(_metadata, child);
	EXPECT_TOUCH(self->page, PTE_NONCACHED, 0);
}

/* contract: stray.waits */
TEST_F(stray_wait, a_signal_is_handled_while_a_touch_waits)
{
	pid_t child = touch_by_child(_metadata, self);
	int status;

	ASSERT_EQ(0, kill(child, SIGUSR1));
	fixture_join(_metadata, child);
	child = touch_by_child(_metadata, self);
	ASSERT_EQ(0, kill(child, SIGKILL));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		TH_LOG("the status is 0x%x", status);
	withheld_read_end(_metadata, &self->reader);
	EXPECT_TOUCH(self->page, PTE_NONCACHED, 0);
}

static void *touch_by_thread(void *data)
{
	FIXTURE_DATA(stray_wait) * self = data;
	uint32_t value;

	*self->toucher = gettid();
	self->raised = touch_read((void *)self->page, &value);
	return NULL;
}

/*
 * A touch that waited with the memory manager's locks would stop this call, which would then stop
 * the thread that reads: its page needs these locks, too.
 */
/* contract: stray.waits */
TEST_F(stray_wait, the_page_can_be_unmapped_while_a_touch_waits)
{
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, touch_by_thread, self));
	expect_wait(_metadata, self);
	ASSERT_EQ(0, munmap(self->page, GRANULE));
	withheld_read_end(_metadata, &self->reader);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(SIGSEGV, self->raised);
}

/* contract: stray.waits */
TEST_F(stray_wait, a_read_or_write_of_the_device_with_the_page_does_not_wait_for_itself)
{
	uint64_t offset = vfio_offset(&self->dev, BAR2, 0);
	ssize_t done;

	withheld_read_end(_metadata, &self->reader);
	done = pread(self->dev.fd, self->page, sizeof(uint32_t), offset);
	EXPECT_TRUE(done == sizeof(uint32_t) || (done < 0 && errno == EFAULT))
		TH_LOG("pread(): %zd, %s", done, strerror(errno));
	done = pwrite(self->dev.fd, self->page, sizeof(uint32_t), offset);
	EXPECT_TRUE(done == sizeof(uint32_t) || (done < 0 && errno == EFAULT))
		TH_LOG("pwrite(): %zd, %s", done, strerror(errno));
	EXPECT_TOUCH(self->page, PTE_NONCACHED, 0);
}

TEST_HARNESS_MAIN
