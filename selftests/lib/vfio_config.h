/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The configuration space of a VFIO device, and operations on the device through it.
 *
 * Functions that return int return 0 (or the documented value) on success and a negative errno on
 * failure.
 */
#ifndef VFIO_CONFIG_H
#define VFIO_CONFIG_H

#include "vfio_device.h"

/**
 * vfio_read16() - reads a register of configuration space; returns its value or a negative errno
 */
int vfio_read16(struct vfio_device *dev, unsigned int reg);
int vfio_write16(struct vfio_device *dev, unsigned int reg, uint16_t value);

/** vfio_set_memory() - sets or clears Memory Space Enable in the command register */
int vfio_set_memory(struct vfio_device *dev, bool on);

/** vfio_set_power() - writes power state @state (0 to 3) to the PM capability */
int vfio_set_power(struct vfio_device *dev, unsigned int state);

/** vfio_config_flr() - starts a function-level reset through the PCI Express capability */
int vfio_config_flr(struct vfio_device *dev);

#endif /* VFIO_CONFIG_H */
