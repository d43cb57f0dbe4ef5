/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The BARs that vfio-wc names to its library, in the environment: ADDRESS=BAR[,ADDRESS=BAR]...
 */
#ifndef WC_BARS_H
#define WC_BARS_H

#include <stdio.h>

#include "pci.h"

#define WC_BARS_VARIABLE	"VFIO_WC_BARS"
#define WC_BARS			32

/**
 * struct wc_bar - one BAR
 * @address: the device, as the kernel writes its address
 * @bar: from 0 to 5
 */
struct wc_bar {
	char address[PCI_ADDRESS_LEN];
	unsigned int bar;
};

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
	if (*text == ',')
		return text[1] ? text + 1 : NULL;
	return *text ? NULL : text;
}

#endif /* WC_BARS_H */
