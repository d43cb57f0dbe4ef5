/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The BARs that vfio-wc names to its library, in the environment:
 *
 *	ADDRESS=BAR[,strict=START-END]...[,ADDRESS=BAR[,strict=START-END]...]...
 */
#ifndef WC_BARS_H
#define WC_BARS_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pci.h"

#define WC_BARS_VARIABLE	"VFIO_WC_BARS"
#define WC_BARS			32
/* The maximum number of strict ranges of a BAR. */
#define WC_RANGES		8
#define WC_STRICT		",strict="
/* Enough for WC_RANGES times WC_STRICT and two numbers of 64 bits. */
#define WC_RANGES_LEN		(WC_RANGES * 48 + 1)

/**
 * struct wc_range - the range of a BAR from @start to just before @end, in bytes
 */
struct wc_range {
	uint64_t start;
	uint64_t end;
};

/**
 * struct wc_bar - one BAR
 * @address: the device, as the kernel writes its address
 * @bar: from 0 to 5
 * @ranges: number of elements of @strict
 * @strict: the ranges that do not become write-combining
 */
struct wc_bar {
	char address[PCI_ADDRESS_LEN];
	unsigned int bar;
	unsigned int ranges;
	struct wc_range strict[WC_RANGES];
};

/* Parses a number of bytes, such as 65536, 0x10000 or 64K. Returns the rest of @text, or NULL. */
static inline const char *wc_size_parse(uint64_t *size, const char *text)
{
	static const char units[] = "KMG";
	unsigned int shift = 0;
	const char *unit;
	char *rest;

	/* strtoull() would also accept signs and white space. */
	if (*text < '0' || *text > '9')
		return NULL;
	*size = strtoull(text, &rest, strncmp(text, "0x", 2) ? 10 : 16);
	unit = *rest ? strchr(units, *rest) : NULL;
	if (unit) {
		shift = 10 * (unit - units + 1);
		rest++;
	}
	if (*size > UINT64_MAX >> shift)
		return NULL;
	*size <<= shift;
	return rest;
}

/* Parses START-END. Returns the rest of @text, or NULL. */
static inline const char *wc_range_parse(struct wc_range *range, const char *text)
{
	text = wc_size_parse(&range->start, text);
	if (!text || *text != '-')
		return NULL;
	text = wc_size_parse(&range->end, text + 1);
	return text && range->start < range->end ? text : NULL;
}

/**
 * wc_bar_parse() - parses the first BAR of a list
 *
 * Returns the rest of the list, which is empty after the last one, or NULL if @text is malformed.
 */
static inline const char *wc_bar_parse(struct wc_bar *bar, const char *text)
{
	char address[PCI_ADDRESS_LEN];
	int length = 0;

	if (sscanf(text, "%31[^=,]=%1u%n", address, &bar->bar, &length) != 2 || !length ||
	    bar->bar > 5 || pci_address(bar->address, address))
		return NULL;
	text += length;
	for (bar->ranges = 0; !strncmp(text, WC_STRICT, strlen(WC_STRICT)); bar->ranges++) {
		if (bar->ranges == WC_RANGES)
			return NULL;
		text = wc_range_parse(&bar->strict[bar->ranges], text + strlen(WC_STRICT));
		if (!text)
			return NULL;
	}
	if (*text == ',')
		return text[1] ? text + 1 : NULL;
	return *text ? NULL : text;
}

/* wc_bar_is_among() - whether @bar is one of the first @count elements of @bars */
static inline bool wc_bar_is_among(const struct wc_bar *bars, size_t count,
				   const struct wc_bar *bar)
{
	for (size_t i = 0; i < count; i++)
		if (bars[i].bar == bar->bar && !strcmp(bars[i].address, bar->address))
			return true;
	return false;
}

/* wc_ranges_format() - writes the strict ranges of a BAR, each with @before in front of it */
static inline void wc_ranges_format(char text[WC_RANGES_LEN], const struct wc_bar *bar,
				    const char *before)
{
	int length = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < bar->ranges; i++)
		length += snprintf(text + length, WC_RANGES_LEN - length,
				   "%s0x%" PRIx64 "-0x%" PRIx64, before, bar->strict[i].start,
				   bar->strict[i].end);
}

#endif /* WC_BARS_H */
