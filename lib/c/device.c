// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The functions of vfio_subregion_device.h. */

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include <vfio_subregion_device.h>

#include "vfio_bar.h"
#include "vfio_dma.h"
#include "vfio_open.h"

#define EXPORT __attribute__((visibility("default")))

struct vfio_subregion_device {
	struct vfio_device vfio;
	/* The configuration space in the device file. */
	uint64_t config, config_size;
};

static __thread char message[sizeof(((struct vfio_device *)NULL)->error)] = "nothing has failed";

/* Describes a failure; returns -1. @error is positive. */
__attribute__((format(printf, 2, 3)))
static int fail(int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	errno = error;
	return -1;
}

/* The result of a function of lib/open as one of this library's. */
static int result(const struct vfio_device *vfio, int ret)
{
	return ret ? fail(-ret, "%s", vfio->error) : 0;
}

static struct vfio_subregion_device *no_memory(void)
{
	fail(ENOMEM, "no memory for a device: %s", strerror(ENOMEM));
	return NULL;
}

/* Completes the opening of a device, whose result is @ret. */
static struct vfio_subregion_device *opened(struct vfio_subregion_device *device, int ret)
{
	struct vfio_region_info config = {
		.argsz = sizeof(config),
		.index = VFIO_PCI_CONFIG_REGION_INDEX,
	};
	int error;

	if (result(&device->vfio, ret)) {
		error = errno;
		free(device);
		errno = error;
		return NULL;
	}
	if (ioctl(device->vfio.fd, VFIO_DEVICE_GET_REGION_INFO, &config)) {
		error = errno;
		vfio_subregion_close(device);
		fail(error, "the device has no configuration space: %s", strerror(error));
		return NULL;
	}
	device->config = config.offset;
	device->config_size = config.size;
	return device;
}

EXPORT struct vfio_subregion_device *vfio_subregion_open(const char *name)
{
	struct vfio_subregion_device *device = calloc(1, sizeof(*device));

	return device ? opened(device, vfio_open(&device->vfio, name)) : no_memory();
}

EXPORT struct vfio_subregion_device *vfio_subregion_open_group(const char *address,
							       const char *options)
{
	struct vfio_subregion_device *device = calloc(1, sizeof(*device));

	return device ? opened(device, vfio_open_group(&device->vfio, address, options)) :
			no_memory();
}

EXPORT struct vfio_subregion_device *vfio_subregion_open_file(const char *name)
{
	struct vfio_subregion_device *device = calloc(1, sizeof(*device));

	return device ? opened(device, vfio_open_file(&device->vfio, name)) : no_memory();
}

EXPORT void vfio_subregion_close(struct vfio_subregion_device *device)
{
	if (!device)
		return;
	vfio_device_close(&device->vfio);
	free(device);
}

EXPORT int vfio_subregion_fd(const struct vfio_subregion_device *device)
{
	return device->vfio.fd;
}

EXPORT const char *vfio_subregion_error(void)
{
	return message;
}

EXPORT int vfio_subregion_check_range(struct vfio_subregion_device *device, uint32_t bar,
				      uint32_t attribute, uint64_t offset, uint64_t size)
{
	return result(&device->vfio,
		      vfio_check_range(&device->vfio, bar, attribute, offset, size));
}

/* Whether @size bytes at @offset are within configuration space. */
static bool has_config(const struct vfio_subregion_device *device, uint32_t offset, size_t size)
{
	return offset <= device->config_size && size <= device->config_size - offset;
}

/* The result of an access to configuration space, which moved @moved of @size bytes. */
static int accessed(const char *access, uint32_t offset, size_t size, ssize_t moved)
{
	if (moved >= 0 && (size_t)moved == size)
		return 0;
	return fail(moved < 0 ? errno : EIO,
		    "%zu bytes at %#x of configuration space cannot be %s: %s", size, offset,
		    access, strerror(moved < 0 ? errno : EIO));
}

static int no_config(const struct vfio_subregion_device *device, uint32_t offset, size_t size)
{
	return fail(EINVAL,
		    "%zu bytes at %#x are outside of configuration space, which has %#llx bytes",
		    size, offset, (unsigned long long)device->config_size);
}

EXPORT int vfio_subregion_config_read(struct vfio_subregion_device *device, uint32_t offset,
				      void *data, size_t size)
{
	if (!has_config(device, offset, size))
		return no_config(device, offset, size);
	return accessed("read", offset, size,
			pread(device->vfio.fd, data, size, (off_t)(device->config + offset)));
}

EXPORT int vfio_subregion_config_write(struct vfio_subregion_device *device, uint32_t offset,
				       const void *data, size_t size)
{
	if (!has_config(device, offset, size))
		return no_config(device, offset, size);
	return accessed("written", offset, size,
			pwrite(device->vfio.fd, data, size, (off_t)(device->config + offset)));
}

EXPORT int vfio_subregion_enable(struct vfio_subregion_device *device)
{
	uint16_t command;

	if (vfio_subregion_config_read(device, PCI_COMMAND, &command, sizeof(command)))
		return -1;
	/* All architectures of this library are little-endian. */
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	return vfio_subregion_config_write(device, PCI_COMMAND, &command, sizeof(command));
}

EXPORT int vfio_subregion_dma_map(struct vfio_subregion_device *device, void *memory, size_t size,
				  uint64_t iova)
{
	return result(&device->vfio, vfio_dma_map(&device->vfio, memory, size, iova));
}

EXPORT int vfio_subregion_dma_unmap(struct vfio_subregion_device *device, uint64_t iova,
				    size_t size)
{
	return result(&device->vfio, vfio_dma_unmap(&device->vfio, iova, size));
}

static int set_irqs(struct vfio_subregion_device *device, uint32_t index, uint32_t flags,
		    const int *eventfds, uint32_t count)
{
	const size_t size = sizeof(struct vfio_irq_set) + count * sizeof(*eventfds);
	struct vfio_irq_set *set = calloc(1, size);
	int ret, error;

	if (!set)
		return fail(ENOMEM, "no memory for %u interrupts: %s", count, strerror(ENOMEM));
	set->argsz = (uint32_t)size;
	set->flags = flags;
	set->index = index;
	set->count = count;
	if (eventfds)
		memcpy(set->data, eventfds, count * sizeof(*eventfds));
	ret = ioctl(device->vfio.fd, VFIO_DEVICE_SET_IRQS, set);
	error = errno;
	free(set);
	if (!ret)
		return 0;
	return fail(error, "%u vectors of interrupt %u cannot be set: %s%s", count, index,
		    strerror(error),
		    error == EINVAL ? "; VFIO_DEVICE_GET_IRQ_INFO says how many there are" : "");
}

EXPORT int vfio_subregion_irq_enable(struct vfio_subregion_device *device, uint32_t index,
				     const int *eventfds, uint32_t count)
{
	int ret;

	if (!count)
		return fail(EINVAL,
			    "no interrupt was named; vfio_subregion_irq_disable() ends them");
	ret = vfio_dma_attach(&device->vfio);
	if (ret)
		return fail(-ret, "the device cannot be attached to an address space: %s",
			    strerror(-ret));
	return set_irqs(device, index, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			eventfds, count);
}

EXPORT int vfio_subregion_irq_unmask(struct vfio_subregion_device *device)
{
	return set_irqs(device, VFIO_PCI_INTX_IRQ_INDEX,
			VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, NULL, 1);
}

EXPORT int vfio_subregion_irq_disable(struct vfio_subregion_device *device, uint32_t index)
{
	return set_irqs(device, index, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, NULL,
			0);
}
