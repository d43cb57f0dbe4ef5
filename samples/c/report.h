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
	/* The attribute, and the effective type that the driver reported; "-" without one. */
	const char *asked;
	const char *effective;
	const void *map;
	/* The oracle's name of the expected type. */
	const char *want;
};

/* The type of a BAR's own mappings. */
#if defined(__aarch64__)
#define STRICT_TYPE	VFIO_SUBREGION_TYPE_ARM64_NGNRNE
#else
#define STRICT_TYPE	VFIO_SUBREGION_TYPE_X86_UC_MINUS
#endif

/** type_name() - returns the name of a VFIO_SUBREGION_TYPE_*, which the oracle uses as well */
const char *type_name(uint32_t type);

/**
 * report() - prints the table
 *
 * With @oracle it looks up the live page-table entries of each mapping. Returns STATUS_TYPE if one
 * has another type than the expected one.
 */
int report(const struct row *rows, size_t count, bool oracle);

#endif /* REPORT_H */
