// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process that waits in a call for another thread can be killed, and the call has changed
 * nothing.
 *
 * The other thread reads from the BAR to a page that does not come, and the driver cannot change
 * the kernel's mappings of the BAR meanwhile.
 */
#include <signal.h>
#include <sys/eventfd.h>

#include "dma_buf.h"
#include "refusal.h"
#include "withheld.h"

/* In tenths of a second: how long a process may take until it waits. */
#define PATIENCE	300

FIXTURE(killable) {
	struct vfio_device dev;
	struct pci_bar bar;
	/* The offset of BAR 2 in the device file. */
	uint64_t window;
	struct vfio_subregion_create sub;
	int eventfd;
	struct withheld_read reader;
};

FIXTURE_SETUP(killable)
{
	self->eventfd = eventfd(0, EFD_CLOEXEC);
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->window = vfio_offset(&self->dev, BAR2, 0);
	self->sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, self->window + 4 * MIB, self->eventfd));
}

FIXTURE_TEARDOWN(killable)
{
	vfio_device_close(&self->dev);
	close(self->eventfd);
}

/* The calls that wait for the io lock. */
static int create(FIXTURE_DATA(killable) * self)
{
	struct vfio_subregion_create create =
		subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, 8 * MIB, MIB);

	return subregion_create(&self->dev, &create);
}

static int destroy(FIXTURE_DATA(killable) * self)
{
	return subregion_destroy(&self->dev, self->sub.index);
}

static int set_attr(FIXTURE_DATA(killable) * self)
{
	return region_set_attr(&self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE);
}

static int export(FIXTURE_DATA(killable) * self)
{
	struct dma_buf_request request = dma_buf_init(BAR2);

	return dma_buf(&self->dev, &request);
}

/* The kernel has not mapped these bytes yet. */
static int read_more(FIXTURE_DATA(killable) * self)
{
	uint32_t value;

	return pread(self->dev.fd, &value, sizeof(value), self->sub.mmap_offset);
}

static int query(FIXTURE_DATA(killable) * self)
{
	struct vfio_subregion_query query;

	return subregion_query(&self->dev, BAR2, &query);
}

static int read_again(FIXTURE_DATA(killable) * self)
{
	uint32_t value;

	return pread(self->dev.fd, &value, sizeof(value), self->window);
}

static int add_ioeventfd(FIXTURE_DATA(killable) * self)
{
	return vfio_add_ioeventfd(&self->dev, self->window + 5 * MIB, self->eventfd);
}

static int remove_ioeventfd(FIXTURE_DATA(killable) * self)
{
	return vfio_add_ioeventfd(&self->dev, self->window + 4 * MIB, -1);
}

struct call {
	const char *name;
	int (*make)(FIXTURE_DATA(killable) * self);
};

/* They change the mappings, so they wait for the reader. */
static const struct call writers[] = {
	{ "CREATE", create },
	{ "DESTROY", destroy },
	{ "SET_ATTR", set_attr },
	{ "a dma-buf", export },
	{ "read() of bytes that are not mapped", read_more },
};

/* They wait for a thread that waits for the reader. */
static const struct call readers[] = {
	{ "QUERY", query },
	{ "read()", read_again },
	{ "a dma-buf", export },
	{ "a new ioeventfd", add_ioeventfd },
	{ "the removal of an ioeventfd", remove_ioeventfd },
};

/* Starts a process that makes @call, and expects that it waits. */
static pid_t start(struct __test_metadata *_metadata, FIXTURE_DATA(killable) * self,
		   const struct call *call)
{
	pid_t child = fork();
	unsigned int i;

	ASSERT_LE(0, child);
	if (!child) {
		call->make(self);
		_exit(0);
	}
	for (i = 0; i < PATIENCE && state_of_task(child) != 'D'; i++)
		usleep(100000);
	EXPECT_EQ('D', state_of_task(child)) TH_LOG("%s does not wait", call->name);
	return child;
}

static void end(struct __test_metadata *_metadata, pid_t child, const struct call *call)
{
	int status;

	ASSERT_EQ(0, kill(child, SIGKILL));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status)) TH_LOG("%s was not interrupted", call->name);
}

/* contract: args.fatal-signal */
TEST_F(killable, while_it_waits_to_change_the_mappings)
{
	const struct call *call;
	struct state before;
	unsigned int i;

	if (!withheld_read_begin(_metadata, &self->reader, self->dev.fd, self->window))
		return;
	before = state_of(&self->dev, &self->bar);
	for (i = 0; i < ARRAY_SIZE(writers); i++) {
		call = &writers[i];
		/* There vfio-pci-core makes the dma-buf, without a change of the mappings. */
		if (call->make == export && driver_in_tree())
			continue;
		end(_metadata, start(_metadata, self, call), call);
	}
	withheld_read_end(_metadata, &self->reader);
	expect_unchanged(_metadata, &self->dev, &self->bar, before);
	expect_still_works(_metadata, &self->dev, BAR2, &self->bar);
}

/* contract: args.fatal-signal */
TEST_F(killable, while_it_waits_behind_such_a_process)
{
	const struct call *call;
	struct state before;
	unsigned int i;
	pid_t writer;

	if (!withheld_read_begin(_metadata, &self->reader, self->dev.fd, self->window))
		return;
	before = state_of(&self->dev, &self->bar);
	writer = start(_metadata, self, &writers[0]);
	for (i = 0; i < ARRAY_SIZE(readers); i++) {
		call = &readers[i];
		end(_metadata, start(_metadata, self, call), call);
	}
	end(_metadata, writer, &writers[0]);
	withheld_read_end(_metadata, &self->reader);
	expect_unchanged(_metadata, &self->dev, &self->bar, before);
	expect_still_works(_metadata, &self->dev, BAR2, &self->bar);
}

TEST_HARNESS_MAIN
