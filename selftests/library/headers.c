// SPDX-License-Identifier: GPL-2.0-only
/* A program that uses the headers alone, and is not linked with the library. */
#include <vfio_subregion_helpers.h>

int main(void)
{
	return !vfio_subregion_busy(VFIO_SUBREGION_BUSY_BAR);
}
