// SPDX-License-Identifier: GPL-2.0-only
/*
 * msi_unattached BDF [TRIES] - asks for an MSI-X or MSI vector, again and again, without an address
 * space. With 0 as TRIES it shows whether another program has left a vector for the device.
 *
 * Needs a device with interrupts of these kinds, the device's own file and iommufd. The fault shows
 * where the IOMMU translates the messages of interrupts, as on arm64: the device has no vector left
 * when it has got an address space. On a machine with GICv3's ITS, the kernel log has a warning as
 * soon as the kernel removes the device's interrupts: when the program asks for the other kind, or
 * when the device is unbound.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include "device.h"
#include "iommufd.h"
#include "vfio_open.h"

/* More than the vectors that the kernel sets aside for a device with @vectors. */
#define TRIES(vectors)	(2 * (vectors) + 256)

static int vectors_of(int device, uint32_t index)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };

	return ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, &info) ? 0 : info.count;
}

/* Asks for one vector. Returns 0 or an errno. */
static int enable_vector(int device, uint32_t index)
{
	static int event = -1;
	union {
		struct vfio_irq_set set;
		char bytes[sizeof(struct vfio_irq_set) + sizeof(event)];
	} request = {
		.set = {
			.argsz = sizeof(request),
			.flags = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_EVENTFD,
			.index = index,
			.count = 1,
		},
	};

	if (event < 0)
		event = eventfd(0, EFD_CLOEXEC);
	if (event < 0)
		cannot("make an eventfd");
	memcpy(request.set.data, &event, sizeof(event));
	return ioctl(device, VFIO_DEVICE_SET_IRQS, &request) ? errno : 0;
}

static void give_space(const struct vfio_device *device)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };

	if (ioctl(device->iommufd, IOMMU_IOAS_ALLOC, &alloc))
		cannot("make an address space");
	attach.pt_id = alloc.out_ioas_id;
	if (ioctl(device->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach))
		cannot("attach the device to the address space");
}

int main(int argc, char **argv)
{
	uint32_t index = VFIO_PCI_MSIX_IRQ_INDEX, other = VFIO_PCI_MSI_IRQ_INDEX;
	int vectors, tries, try, error = 0;
	struct vfio_device device;

	if (argc < 2)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (vfio_open_file(&device, argv[1])) {
		fprintf(stderr, "%s\n", device.error);
		return 2;
	}
	vectors = vectors_of(device.fd, index);
	if (!vectors) {
		index = VFIO_PCI_MSI_IRQ_INDEX;
		other = VFIO_PCI_MSIX_IRQ_INDEX;
		vectors = vectors_of(device.fd, index);
	}
	if (!vectors) {
		fprintf(stderr, "the device has neither MSI-X nor MSI\n");
		return 2;
	}
	tries = argc > 2 ? atoi(argv[2]) : TRIES(vectors);
	for (try = 0; try < tries; try++) {
		error = enable_vector(device.fd, index);
		if (!error)
			right("interrupts need no address space here");
	}
	if (tries)
		printf("without an address space: %s\n", strerror(error));
	give_space(&device);
	error = enable_vector(device.fd, index);
	printf("with an address space: %s\n", strerror(error));
	if (!error)
		right("the failed calls have kept no vector");
	if (vectors_of(device.fd, other))
		printf("the other kind: %s\n", strerror(enable_vector(device.fd, other)));
	fault("the failed calls have kept the vectors of the device");
}
