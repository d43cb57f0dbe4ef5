// SPDX-License-Identifier: GPL-2.0-only

#include <errno.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "vfio_config.h"

int vfio_read16(struct vfio_device *dev, unsigned int reg)
{
	uint64_t offset = vfio_offset(dev, VFIO_PCI_CONFIG_REGION_INDEX, reg);
	uint16_t value;
	ssize_t done;

	done = pread(dev->fd, &value, sizeof(value), offset);
	if (done < 0)
		return -errno;
	return done == sizeof(value) ? value : -EIO;
}

int vfio_write16(struct vfio_device *dev, unsigned int reg, uint16_t value)
{
	uint64_t offset = vfio_offset(dev, VFIO_PCI_CONFIG_REGION_INDEX, reg);
	ssize_t done;

	done = pwrite(dev->fd, &value, sizeof(value), offset);
	if (done < 0)
		return -errno;
	return done == sizeof(value) ? 0 : -EIO;
}

int vfio_set_memory(struct vfio_device *dev, bool on)
{
	int command = vfio_read16(dev, PCI_COMMAND);

	if (command < 0)
		return command;
	command &= ~PCI_COMMAND_MEMORY;
	return vfio_write16(dev, PCI_COMMAND, command | (on ? PCI_COMMAND_MEMORY : 0));
}

/* The offset of a capability in configuration space, or a negative errno. */
static int find_capability(struct vfio_device *dev, unsigned int id)
{
	int at, header, left = 48;

	at = vfio_read16(dev, PCI_CAPABILITY_LIST);
	for (; at >= 0 && (at & 0xfc) && left--; at = header >> 8) {
		header = vfio_read16(dev, at & 0xfc);
		if (header < 0)
			return header;
		if ((header & 0xff) == (int)id)
			return at & 0xfc;
	}
	return at < 0 ? at : -ENOENT;
}

/* Sets the bits of @mask in the register @reg of the capability @id to @value. */
static int change16(struct vfio_device *dev, unsigned int id, unsigned int reg, uint16_t mask,
		    uint16_t value)
{
	int at, old;

	at = find_capability(dev, id);
	if (at < 0)
		return at;
	old = vfio_read16(dev, at + reg);
	if (old < 0)
		return old;
	return vfio_write16(dev, at + reg, (old & ~mask) | value);
}

int vfio_set_power(struct vfio_device *dev, unsigned int state)
{
	return change16(dev, PCI_CAP_ID_PM, PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK, state);
}

int vfio_config_flr(struct vfio_device *dev)
{
	return change16(dev, PCI_CAP_ID_EXP, PCI_EXP_DEVCTL, 0, PCI_EXP_DEVCTL_BCR_FLR);
}
