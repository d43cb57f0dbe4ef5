/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is measured, on BAR 2 of one open device; each function says its own figures.
 */
#ifndef MEASUREMENTS_H
#define MEASUREMENTS_H

#include "subregion.h"

/* Whether the device's driver is the one with subregions. */
bool has_subregions(struct vfio_device *dev);

/** measure_open() - opening a device and closing it; nothing else may have it open */
void measure_open(const char *bdf);

/** measure_calls() - what any driver is asked: info, reads, writes */
void measure_calls(struct vfio_device *dev);

/** measure_maps() - mapping and touching, of the BAR and of subregions by every attribute */
void measure_maps(struct vfio_device *dev);

/** measure_growth() - what costs what when there are many subregions; or what of it there is */
void measure_growth(struct vfio_device *dev);

/**
 * measure_strict_memory() - what the kernel keeps for subregions that leave the BAR as it is
 *
 * measure_growth() tells it of write-combining ones.
 */
void measure_strict_memory(struct vfio_device *dev);

/** measure_reset() - a reset while there are many mappings, of subregions or else of the BAR */
void measure_reset(struct vfio_device *dev, bool subregions);

/** measure_memory() - what the kernel keeps for an open device, and for windows of it */
void measure_memory(const char *bdf);

#endif /* MEASUREMENTS_H */
