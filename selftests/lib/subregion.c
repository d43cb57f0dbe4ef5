// SPDX-License-Identifier: GPL-2.0-only

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "subregion.h"

const struct subregion_attribute subregion_attributes[SUBREGION_ATTRIBUTES] = {
	{ "NONCACHED", VFIO_SUBREGION_ATTR_NONCACHED },
	{ "DEVICE", VFIO_SUBREGION_ATTR_DEVICE },
	{ "WC", VFIO_SUBREGION_ATTR_WC },
	{ "GUEST_ANY", VFIO_SUBREGION_ATTR_GUEST_ANY },
};

struct vfio_subregion_create subregion_init(uint32_t bar, uint32_t attribute, uint64_t offset,
					    uint64_t size)
{
	return (struct vfio_subregion_create) {
		.argsz = sizeof(struct vfio_subregion_create),
		.parent = bar,
		.attribute = attribute,
		.offset = offset,
		.size = size,
	};
}

int subregion_create(struct vfio_device *dev, struct vfio_subregion_create *create)
{
	return ioctl(dev->fd, VFIO_SUBREGION_CREATE, create) ? -errno : 0;
}

int subregion_destroy(struct vfio_device *dev, uint32_t index)
{
	struct vfio_subregion_destroy destroy = { .argsz = sizeof(destroy), .index = index };

	return ioctl(dev->fd, VFIO_SUBREGION_DESTROY, &destroy) ? -errno : 0;
}

int subregion_export(struct vfio_device *dev, uint32_t index, uint32_t open_flags)
{
	struct vfio_subregion_export export = {
		.argsz = sizeof(export),
		.index = index,
		.open_flags = open_flags,
	};

	return ioctl(dev->fd, VFIO_SUBREGION_EXPORT, &export) ? -errno : export.fd;
}

int subregion_query(struct vfio_device *dev, uint32_t index, struct vfio_subregion_query *query)
{
	*query = (struct vfio_subregion_query) { .argsz = sizeof(*query), .index = index };
	return ioctl(dev->fd, VFIO_SUBREGION_QUERY, query) ? -errno : 0;
}

int subregion_count(struct vfio_device *dev)
{
	struct vfio_subregion_query query;
	int ret;

	ret = subregion_query(dev, VFIO_PCI_BAR0_REGION_INDEX, &query);
	return ret ? ret : (int)query.count;
}

int region_set_attr(struct vfio_device *dev, uint32_t index, uint32_t attribute)
{
	struct vfio_region_set_attr set = {
		.argsz = sizeof(set),
		.index = index,
		.attribute = attribute,
	};

	return ioctl(dev->fd, VFIO_REGION_SET_ATTR, &set) ? -errno : 0;
}

static void print_claims(FILE *out, uint32_t bar, const struct vfio_region_info *info)
{
	const struct vfio_region_info_cap_claims *cap;
	uint32_t i;

	cap = vfio_region_cap(info, VFIO_REGION_INFO_CAP_CLAIMS);
	if (!cap)
		return;
	fprintf(out, "BAR %u: %u claims, attribute %u, type %u\n", bar, cap->nr_claims,
		cap->attribute, cap->effective_type);
	for (i = 0; i < cap->nr_claims; i++)
		fprintf(out, "  region %u: %#" PRIx64 " from %#" PRIx64 "\n", cap->claims[i].index,
			(uint64_t)cap->claims[i].size, (uint64_t)cap->claims[i].offset);
}

char *subregion_claims(struct vfio_device *dev)
{
	struct vfio_region_info *info;
	char *text = NULL;
	size_t len = 0;
	uint32_t bar;
	FILE *out;

	out = open_memstream(&text, &len);
	if (!out)
		return NULL;
	for (bar = VFIO_PCI_BAR0_REGION_INDEX; bar <= VFIO_PCI_BAR5_REGION_INDEX; bar++) {
		info = vfio_region_info_caps(dev, bar);
		if (info)
			print_claims(out, bar, info);
		free(info);
	}
	fclose(out);
	return text;
}
