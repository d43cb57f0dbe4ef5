/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether what is measured here would be a device's and a CPU's, or an emulator's.
 */
#ifndef EMULATOR_H
#define EMULATOR_H

#include <stddef.h>
#include <stdint.h>

/** enum machine - what the program runs on, as far as it can be told */
enum machine {
	MACHINE_REAL,
	/* Virtualized, but by the CPU itself, and the device is not the emulator's. */
	MACHINE_VIRTUAL,
	/* Stores, or the device that takes them, are emulated, or this cannot be excluded. */
	MACHINE_EMULATED,
};

/**
 * machine_kind() - finds out which, and writes why into @reason
 *
 * @id: PCI device id in the high half, vendor id in the low half
 * @subsystem: the same of the subsystem
 */
enum machine machine_kind(uint32_t id, uint32_t subsystem, char *reason, size_t length);

#endif /* EMULATOR_H */
