// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The functions of the headers once more, out of line, for languages that cannot include headers.
 * Programs in C and C++ have their own copies of them.
 */

#define VFIO_SUBREGION_INLINE __attribute__((visibility("default")))

#include <vfio_subregion_helpers.h>
