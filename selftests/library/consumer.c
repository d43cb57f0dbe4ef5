// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program that a user would write, in C or C++, with an installed libvfio-subregion. It needs no
 * device: it checks that a failure is described, and that bytes are copied.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <vfio_subregion_device.h>
#include <vfio_subregion_helpers.h>

/* The structures are part of the ABI. */
#if defined(__LP64__)
#define HAS_SIZE(name, bytes) extern char name##_has_size[sizeof(struct name) == (bytes) ? 1 : -1]
HAS_SIZE(vfio_subregion_mapping, 32);
HAS_SIZE(vfio_subregion_part, 32);
HAS_SIZE(vfio_subregion_queue, 64);
#endif

int main(void)
{
	static const char text[] = "as in a unit test of a driver, memory in place of a device's";
	char memory[sizeof(text)] = "";

	vfio_subregion_copy(memory, text, sizeof(text));
	vfio_subregion_order_stores();
	if (strcmp(memory, text)) {
		fprintf(stderr, "the copy differs\n");
		return 1;
	}
	if (vfio_subregion_open("fe:1f.7") || errno != ENODEV ||
	    !strstr(vfio_subregion_error(), "there is no PCI device 0000:fe:1f.7")) {
		fprintf(stderr, "the error is: %s\n", vfio_subregion_error());
		return 1;
	}
	return 0;
}
