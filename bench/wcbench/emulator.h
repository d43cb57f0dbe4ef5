/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether a measurement shows the behaviour of a device and a CPU, or that of an emulator.
 */
#ifndef EMULATOR_H
#define EMULATOR_H

#include <stddef.h>
#include <stdint.h>

/** enum machine - the kind of machine, as far as it is known */
enum machine {
	MACHINE_REAL,
	/* Virtual, but the CPU runs the instructions, and the device is not emulated. */
	MACHINE_VIRTUAL,
	/* The CPU or the device is emulated, or may be. */
	MACHINE_EMULATED,
};

/**
 * machine_kind() - determines the kind, and writes the reason to @reason
 *
 * @id: PCI device id in the high half, vendor id in the low half
 * @subsystem: the same for the subsystem
 */
enum machine machine_kind(uint32_t id, uint32_t subsystem, char *reason, size_t length);

#endif /* EMULATOR_H */
