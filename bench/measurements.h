/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The measurements, on BAR 2 of one open device; each function prints its own figures.
 */
#ifndef MEASUREMENTS_H
#define MEASUREMENTS_H

#include "subregion.h"

/* Whether the device's driver is the one with subregions. */
bool has_subregions(struct vfio_device *dev);

/** measure_open() - opening a device and closing it; no other process may have it open */
void measure_open(const char *bdf);

/** measure_calls() - calls that every driver supports: info, reads, writes */
void measure_calls(struct vfio_device *dev);

/* The sizes of the mappings that are measured. */
#define MAP_SIZES	5
extern const uint64_t map_sizes[MAP_SIZES];

/** measure_map() - mapping and touching @size bytes of a file, with the name @subject */
void measure_map(int fd, const char *subject, uint64_t offset, uint64_t size);

/** measure_maps() - mapping and touching the BAR, and subregions with every attribute */
void measure_maps(struct vfio_device *dev);

/** measure_transfer() - pread() and pwrite() of @size bytes of a file */
void measure_transfer(int fd, const char *subject, uint64_t offset, size_t size);

/** measure_exports() - exports: making one, and all that its owner can do with the subregion too */
void measure_exports(struct vfio_device *dev);

/** measure_ioeventfds() - ioeventfds on the BAR, and on write-combining and strict subregions */
void measure_ioeventfds(struct vfio_device *dev);

/** measure_growth() - costs with many subregions; with vfio-pci, the operations that it has */
void measure_growth(struct vfio_device *dev);

/**
 * measure_strict_memory() - kernel memory for subregions that do not divide the BAR
 *
 * measure_growth() measures that for write-combining ones.
 */
void measure_strict_memory(struct vfio_device *dev);

/** measure_reset() - a reset with many mappings, of subregions or of the BAR */
void measure_reset(struct vfio_device *dev, bool subregions);

/** measure_memory() - kernel memory for an open device and for its subregions */
void measure_memory(const char *bdf);

#endif /* MEASUREMENTS_H */
