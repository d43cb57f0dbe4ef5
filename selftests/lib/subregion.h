/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ioctls under test, and the device's information about its subregions.
 *
 * Functions that return int return 0 on success and a negative errno on failure.
 */
#ifndef SUBREGION_H
#define SUBREGION_H

#include <linux/vfio_subregion.h>

#include "vfio_device.h"

/* The expected limits of VFIO_SUBREGION_QUERY. The granule is the page of the kernel. */
#define SUBREGION_LIMIT		16384
#define GRANULE			((uint64_t)sysconf(_SC_PAGESIZE))

/* The bits of attributes in struct vfio_subregion_query. */
#define ATTR_BIT(attribute)	(1U << (attribute))
#define ATTR_NONE		0U
#define ATTR_UNCACHED \
	(ATTR_BIT(VFIO_SUBREGION_ATTR_NONCACHED) | ATTR_BIT(VFIO_SUBREGION_ATTR_DEVICE) | \
	 ATTR_BIT(VFIO_SUBREGION_ATTR_GUEST_ANY))
#define ATTR_ALL		(ATTR_UNCACHED | ATTR_BIT(VFIO_SUBREGION_ATTR_WC))

#define SUBREGION_ATTRIBUTES	4

/** subregion_attributes - the attributes that a subregion can have, with their names */
extern const struct subregion_attribute {
	const char *name;
	uint32_t number;
} subregion_attributes[SUBREGION_ATTRIBUTES];

/** subregion_init() - returns a valid request, which a test can then modify */
struct vfio_subregion_create subregion_init(uint32_t bar, uint32_t attribute, uint64_t offset,
					    uint64_t size);

/** subregion_create() - VFIO_SUBREGION_CREATE; its outputs are in @create */
int subregion_create(struct vfio_device *dev, struct vfio_subregion_create *create);

/** subregion_destroy() - VFIO_SUBREGION_DESTROY */
int subregion_destroy(struct vfio_device *dev, uint32_t index);

/** subregion_export() - VFIO_SUBREGION_EXPORT; a file descriptor or a negative errno */
int subregion_export(struct vfio_device *dev, uint32_t index, uint32_t open_flags);

/** subregion_query() - VFIO_SUBREGION_QUERY; fills in all of @query */
int subregion_query(struct vfio_device *dev, uint32_t index, struct vfio_subregion_query *query);

/** subregion_count() - the number of subregions of the device, or a negative errno */
int subregion_count(struct vfio_device *dev);

/** region_set_attr() - VFIO_REGION_SET_ATTR without its output */
int region_set_attr(struct vfio_device *dev, uint32_t index, uint32_t attribute);

/**
 * subregion_claims() - the claims and the attribute of each BAR, by VFIO_DEVICE_GET_REGION_INFO
 *
 * The caller frees the text. It has a line for each BAR that is not in its initial state, and one
 * for each of its claims.
 */
char *subregion_claims(struct vfio_device *dev);

#endif /* SUBREGION_H */
