/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events that make VFIO revoke the mappings of a device's memory.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include "fixture.h"

static inline int memory_off(struct vfio_device *dev)
{
	return vfio_set_memory(dev, false);
}

static inline int memory_on(struct vfio_device *dev)
{
	return vfio_set_memory(dev, true);
}

static inline int enter_d3hot(struct vfio_device *dev)
{
	return vfio_set_power(dev, 3);
}

/* A device without No_Soft_Reset returns with its configuration restored. */
static inline int leave_d3hot(struct vfio_device *dev)
{
	int ret = vfio_set_power(dev, 0);

	return ret ? ret : vfio_set_memory(dev, true);
}

static inline int enter_low_power(struct vfio_device *dev)
{
	return vfio_set_low_power(dev, true);
}

static inline int leave_low_power(struct vfio_device *dev)
{
	return vfio_set_low_power(dev, false);
}

/*
 * As with vfio-pci, a hot reset fails with EBUSY while a fault is in progress; it is tried again.
 */
static inline int hot_reset_under_load(struct vfio_device *dev)
{
	unsigned int tries;
	int ret;

	ret = vfio_device_hot_reset(dev);
	for (tries = 0; ret == -EBUSY && tries < 5000; tries++) {
		usleep(200);
		ret = vfio_device_hot_reset(dev);
	}
	return ret;
}

/*
 * Resets that others start. QEMU's ports do not report that the link to a PCI Express device is up
 * again after a reset of their bus, so the kernel reports such a reset as failed although it was
 * done.
 */
static inline int sysfs_reset_by_bus(struct vfio_device *dev)
{
	int ret = pci_reset(dev->bdf, "bus");

	return ret == -ENOTTY ? 0 : ret;
}

static inline int sysfs_reset_by_flr(struct vfio_device *dev)
{
	return pci_reset(dev->bdf, "flr");
}

static inline int sysfs_reset_by_pm(struct vfio_device *dev)
{
	return pci_reset(dev->bdf, "pm");
}

static inline int sysfs_reset_subordinate(struct vfio_device *dev)
{
	return pci_reset_subordinate(dev->bdf);
}

/**
 * struct event - a way to make a device revoke its mappings, and the part of it that a test uses
 * @device: the environment variable that names the device
 * @bar: the BAR that is mapped
 * @unit: a third of the used size of the BAR
 * @revoke: causes the event
 * @restore: makes the memory accessible again if it is not
 * @error: the errno of read() and write() on the BAR during the event; 0 if they succeed
 */
struct event {
	const char *device;
	uint32_t bar;
	uint64_t unit;
	int (*revoke)(struct vfio_device *dev);
	int (*restore)(struct vfio_device *dev);
	int error;
};

/**
 * struct scene - an open device with a mapping of each kind
 *
 * The first of three units of the BAR stays plain, the second is DEVICE, and the third is WC, which
 * is @sub.
 */
struct scene {
	struct vfio_device dev;
	struct pci_bar bar;
	struct vfio_subregion_create sub;
	char *plain;
	char *device;
	char *wc;
};

/** set_scene() - opens the device of @event, or marks the test as skipped and returns false */
static inline bool set_scene(struct __test_metadata *_metadata, struct scene *scene,
			     const struct event *event)
{
	struct vfio_subregion_create device;
	struct vfio_device *dev = &scene->dev;
	uint64_t unit = event->unit;

	if (!fixture_open(_metadata, dev, event->device, vfio_driver()))
		return false;
	scene->bar = fixture_bar(_metadata, dev, event->bar);
	ASSERT_LE(3 * unit, scene->bar.size);
	device = fixture_create(_metadata, dev, event->bar, VFIO_SUBREGION_ATTR_DEVICE, unit, unit);
	scene->sub = fixture_create(_metadata, dev, event->bar, VFIO_SUBREGION_ATTR_WC, 2 * unit,
				    unit);
	scene->plain = fixture_map(_metadata, dev, vfio_offset(dev, event->bar, 0), unit, 2 * MIB);
	scene->device = fixture_map(_metadata, dev, device.mmap_offset, unit, 2 * MIB);
	scene->wc = fixture_map(_metadata, dev, scene->sub.mmap_offset, unit, 2 * MIB);
	EXPECT_TOUCH(scene->plain, PTE_NONCACHED, 0);
	EXPECT_TOUCH(scene->device, PTE_DEVICE, 0);
	EXPECT_TOUCH(scene->wc, PTE_WC, 0);
	EXPECT_TOUCH(scene->wc + unit - 4, PTE_WC, 0);
	return true;
}

#endif /* EVENTS_H */
