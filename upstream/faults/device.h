/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Common code of the programs: opening a VFIO device, mapping a BAR, and reporting the result.
 *
 * The status of each program is 0 if it found no fault, 1 if it saw the fault, and 2 if the test
 * was not possible. aer_lock sees no fault: it is a report in the kernel log.
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

/** cannot() - prints the failed action and the errno, and exits */
void cannot(const char *what) __attribute__((noreturn));

/** right() - prints the correct behaviour, and exits */
void right(const char *what) __attribute__((noreturn));

/** fault() - prints the fault, and exits */
void fault(const char *what) __attribute__((noreturn));

/** device_try() - opens the device at the PCI address @bdf; returns its descriptor, or -1 */
int device_try(const char *bdf);

/** device_open() - opens the device and enables its memory, or exits */
int device_open(const char *bdf);

/** device_region() - VFIO's information about a region */
struct vfio_region_info device_region(int device, uint32_t index);

/** device_set_memory() - sets or clears Memory Space Enable in the command register */
void device_set_memory(int device, bool on);

/** device_memory() - whether the command register that sysfs reads has Memory Space Enable */
bool device_memory(const char *bdf);

/** device_reset() - resets a device through sysfs; returns false on failure */
bool device_reset(const char *bdf);

/** device_interrupt() - enables one MSI-X vector, or disables all; returns false on failure */
bool device_interrupt(int device, bool on);

/** device_map() - maps @size bytes of a BAR from @offset, congruent modulo @align */
char *device_map(int device, uint32_t bar, uint64_t offset, uint64_t size, uint64_t align);

/** touch() - reads at @address; returns 0, or the signal that was raised */
int touch(const void *address, uint32_t *value);

/** faults() - the number of page faults of the program */
long faults(void);

/** kernel_warnings() - the number of warnings in the log of the kernel since it was booted */
long kernel_warnings(void);

/** write_text() - writes @text to the file @path; returns false, with errno, on failure */
bool write_text(const char *path, const char *text);

#endif /* DEVICE_H */
