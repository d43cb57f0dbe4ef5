// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioeventfd_unaligned BDF BAR - makes an ioeventfd of 4 bytes at byte 1 of a BAR, and signals it
 *
 * On arm64 the store to the BAR is an alignment fault of the kernel, which may end the
 * machine. A kernel without the fault refuses the ioeventfd.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "device.h"

/* Makes an ioeventfd of 4 bytes at @offset of the device file; returns 0 or the errno. */
static int add(int device, uint64_t offset, int event)
{
	struct vfio_device_ioeventfd ioeventfd = {
		.argsz = sizeof(ioeventfd),
		.flags = VFIO_DEVICE_IOEVENTFD_32,
		.offset = offset,
		.data = 0x12345678,
		.fd = event,
	};

	return ioctl(device, VFIO_DEVICE_IOEVENTFD, &ioeventfd) ? errno : 0;
}

int main(int argc, char **argv)
{
	int device, event = eventfd(0, EFD_CLOEXEC), error;
	uint64_t bar, one = 1;

	if (argc < 3)
		return 2;
	device = device_open(argv[1]);
	bar = device_region(device, atoi(argv[2])).offset;
	/* Whether the BAR can have one at all. */
	errno = add(device, bar, event);
	if (errno)
		cannot("make an ioeventfd");
	errno = add(device, bar, -1);
	if (errno)
		cannot("remove an ioeventfd");
	error = add(device, bar + 1, event);
	if (error == EINVAL)
		right("an ioeventfd that is not aligned is refused");
	if (error) {
		errno = error;
		cannot("make an ioeventfd that is not aligned");
	}
	printf("an ioeventfd that is not aligned was made; it is signalled now\n");
	fsync(STDOUT_FILENO);
	if (write(event, &one, sizeof(one)) != sizeof(one))
		cannot("signal the eventfd");
	fault("the kernel has made an access that is not aligned");
}
