/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs share: opening a VFIO device, mapping a BAR, and telling what came of it.
 *
 * The status of each program is 0 when all was right, 1 when the fault was seen, and 2 when it
 * could not be tried.
 */
#ifndef DEVICE_H
#define DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/vfio.h>

#define KIB	1024ULL
#define MIB	(1024 * KIB)
#define GIB	(1024 * MIB)

#define BAR0	VFIO_PCI_BAR0_REGION_INDEX
#define BAR2	VFIO_PCI_BAR2_REGION_INDEX

/** cannot() - says what failed, and why by errno, and ends the program */
void cannot(const char *what) __attribute__((noreturn));

/** right() - says what is as it should be, and ends the program */
void right(const char *what) __attribute__((noreturn));

/** fault() - says what is wrong, and ends the program */
void fault(const char *what) __attribute__((noreturn));

/** device_try() - opens the device at the PCI address @bdf; its descriptor, or -1 */
int device_try(const char *bdf);

/** device_open() - opens it, or ends the program, and enables its memory */
int device_open(const char *bdf);

/** device_region() - what VFIO says about a region */
struct vfio_region_info device_region(int device, uint32_t index);

/** device_set_memory() - sets or clears Memory Space Enable in the command register */
void device_set_memory(int device, bool on);

/** device_map() - maps @size bytes of a BAR from @offset on, congruent modulo @align */
char *device_map(int device, uint32_t bar, uint64_t offset, uint64_t size, uint64_t align);

/** touch() - reads at @address; 0, or the signal that this raised */
int touch(const void *address, uint32_t *value);

/** faults() - how many page faults the program has had */
long faults(void);

/** write_text() - writes @text to the file @path; false, with errno, when that fails */
bool write_text(const char *path, const char *text);

#endif /* DEVICE_H */
