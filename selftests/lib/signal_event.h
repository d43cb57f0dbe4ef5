/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The effects of ioeventfds on the memory of BAR 2.
 */
#ifndef SIGNAL_EVENT_H
#define SIGNAL_EVENT_H

#include <sys/eventfd.h>

#include "fixture.h"

/* Signals @event. */
static inline void signal_event(struct __test_metadata *_metadata, int event)
{
	uint64_t one = 1;

	ASSERT_EQ(sizeof(one), write(event, &one, sizeof(one)));
}

/*
 * Returns the 8 bytes at @at of BAR 2 when they are @want, or after a second. If another thread
 * holds a lock, a kernel thread makes the write of an ioeventfd, a moment later.
 */
static inline uint64_t wait_for_value(struct __test_metadata *_metadata, struct vfio_device *dev,
				      uint64_t at, uint64_t want)
{
	uint64_t value, offset = vfio_offset(dev, BAR2, at);
	unsigned int tries;

	for (tries = 0; tries < 1000; tries++) {
		ASSERT_EQ(8, pread(dev->fd, &value, 8, offset));
		if (value == want)
			break;
		usleep(1000);
	}
	return value;
}

/* Expects the ioeventfd at byte @at of BAR 2 to write 4 bytes with the value 1, and no others. */
static inline void expect_write(struct __test_metadata *_metadata, struct vfio_device *dev,
				int event, uint64_t at)
{
	uint64_t value = UINT64_MAX, want = 0xffffffff00000001;

	ASSERT_EQ(8, pwrite(dev->fd, &value, 8, vfio_offset(dev, BAR2, at)));
	signal_event(_metadata, event);
	EXPECT_EQ(want, wait_for_value(_metadata, dev, at, want))
		TH_LOG("the ioeventfd at %#llx did not write", (unsigned long long)at);
}

#endif /* SIGNAL_EVENT_H */
