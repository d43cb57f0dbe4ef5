/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table that wc_ring prints.
 */
#ifndef REPORT_H
#define REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/vfio_subregion.h>

/** struct row - one mapping */
struct row {
	uint32_t region;
	uint32_t bar;
	uint64_t offset;
	uint64_t size;
	/* What was asked for, and what the driver says it became; "-" when there is neither. */
	const char *asked;
	const char *effective;
	const void *map;
	/* The oracle's name of the type that has to be found. */
	const char *want;
};

/* What a BAR's own window is mapped with. */
#if defined(__aarch64__)
#define STRICT_TYPE	VFIO_SUBREGION_TYPE_ARM64_NGNRNE
#else
#define STRICT_TYPE	VFIO_SUBREGION_TYPE_X86_UC_MINUS
#endif

/** type_name() - the name of a VFIO_SUBREGION_TYPE_*, which is also the oracle's */
const char *type_name(uint32_t type);

/**
 * report() - prints the table
 *
 * With @oracle each mapping's live page-table entries are looked up, and a type other than the one
 * that is wanted makes the status STATUS_TYPE.
 */
int report(const struct row *rows, size_t count, bool oracle);

#endif /* REPORT_H */
