/* SPDX-License-Identifier: GPL-2.0-only */
/* Common declarations of the examples in uapi.rst. @device is an open VFIO device file. */
#ifndef EXAMPLES_H
#define EXAMPLES_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vfio.h>
#include <linux/vfio_subregion.h>

/**
 * open_device() - opens the device at @address, which is bound and in the group /dev/vfio/N
 *
 * Returns -1 and sets errno on failure.
 */
int open_device(const char *address, const char *group);

/** wc_supported() - returns whether the driver has subregions and BAR @bar can be WC */
bool wc_supported(int device, uint32_t bar);

/**
 * wc_create() - maps @size bytes of @bar write-combining
 *
 * Returns MAP_FAILED and sets errno on failure. @index is valid once the subregion exists.
 */
void *wc_create(int device, uint32_t bar, uint64_t offset, uint64_t size, uint32_t *index);

/** wc_destroy() - destroys a subregion of wc_create(); returns 0 or a negative errno */
int wc_destroy(int device, void *data, uint64_t size, uint32_t index);

/** open_dma_buf() - opens all of a subregion as a dma-buf; returns -1 on failure */
int open_dma_buf(int device, const struct vfio_subregion_create *window);

/** export_subregion() - opens a file for a subregion, to be sent; returns -1 on failure */
int export_subregion(int device, uint32_t index);

/** bar_set_wc() - makes all mappings of a BAR write-combining; returns 0 or a negative errno */
int bar_set_wc(int device, uint32_t bar);

/** region_info() - returns a region with its capabilities, for free(); NULL on failure */
struct vfio_region_info *region_info(int device, uint32_t index);

/** region_cap() - returns the capability @id of a region, or NULL */
const void *region_cap(const struct vfio_region_info *info, uint16_t id);

/** each_subregion() - calls @found for every subregion; returns 0 or a negative errno */
int each_subregion(int device, void (*found)(uint32_t index, const struct vfio_region_info *info,
					     const struct vfio_region_info_cap_subregion *sub));

/** bar_is_claimed() - returns whether a subregion contains byte @offset of a BAR */
bool bar_is_claimed(int device, uint32_t bar, uint64_t offset);

/**
 * send_packet() - writes a packet to write-combining memory and rings the doorbell
 *
 * Returns 0 or a negative errno.
 */
int send_packet(int device, uint32_t bar, volatile uint32_t *doorbell, const uint64_t packet[8]);

/**
 * send_by_queue() - writes a descriptor to the best memory that the driver offers
 *
 * Returns 0 or a negative errno.
 */
int send_by_queue(int device, uint32_t bar, const uint64_t descriptor[8]);

/** drive() - opens and runs a device; @memory is whole pages for its DMA; returns -1 on failure */
int drive(const char *address, void *memory, size_t size, int eventfd);

/** run() - the driver itself, which waits for @eventfd */
int run(int device, int eventfd);

#endif /* EXAMPLES_H */
