// SPDX-License-Identifier: GPL-2.0-only

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "meter.h"
#include "measurements.h"

#define BAR2	VFIO_PCI_BAR2_REGION_INDEX
/* An ioeventfd writes 4 bytes here. */
#define AT	(64 * KIB)

/*
 * Adding and removing sleep until VFIO's queue has run. A signal does not: the thread that gives it
 * makes the write.
 */
static void measure(struct vfio_device *dev, const char *subject)
{
	struct least adding = { }, signalling = { }, removing = { };
	uint64_t begin, at = vfio_offset(dev, BAR2, AT), one = 1;
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint32_t value, none = 0;
	unsigned int i;
	bool done = true;

	for (i = 0; i < REPEAT; i++) {
		done &= pwrite(dev->fd, &none, 4, at) == 4;
		begin = meter_thread();
		done &= !vfio_ioeventfd(dev, at, 4, 1, event);
		least_add(&adding, meter_thread_since(begin));
		begin = meter_ticks();
		done &= write(event, &one, sizeof(one)) == sizeof(one);
		least_add(&signalling, meter_ticks_since(begin));
		/* Otherwise a kernel thread has to make the write, which is not counted. */
		done &= pread(dev->fd, &value, 4, at) == 4 && value == 1;
		begin = meter_thread();
		done &= !vfio_ioeventfd(dev, at, 4, 1, -1);
		least_add(&removing, meter_thread_since(begin));
	}
	close(event);
	if (!done)
		give_up("an ioeventfd of %s does not work", subject);
	say_least("add_ioeventfd", subject, 0, &adding);
	say_least("signal_ioeventfd", subject, 0, &signalling);
	say_least("remove_ioeventfd", subject, 0, &removing);
}

void measure_ioeventfds(struct vfio_device *dev)
{
	static const uint32_t attributes[] = { VFIO_SUBREGION_ATTR_WC, VFIO_SUBREGION_ATTR_DEVICE };
	struct vfio_subregion_create sub;
	unsigned int i;
	int ret;

	measure(dev, "bar");
	if (!has_subregions(dev))
		return;
	for (i = 0; i < ARRAY_SIZE(attributes); i++) {
		sub = subregion_init(BAR2, attributes[i], AT, 4 * KIB);
		ret = subregion_create(dev, &sub);
		if (ret)
			give_up("no subregion for an ioeventfd: %s", strerror(-ret));
		measure(dev, subregion_attributes[attributes[i]].name);
		if (subregion_destroy(dev, sub.index))
			give_up("a subregion that had an ioeventfd cannot be destroyed");
	}
}
