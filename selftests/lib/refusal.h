/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A failing call: it returns the errno of the contract and changes nothing.
 */
#ifndef REFUSAL_H
#define REFUSAL_H

#include "fixture.h"

/* Every test leaves this range unclaimed, so that a valid request can follow each failing one. */
#define SPARE_SIZE	GRANULE

/** struct state - the state that a failing call must not change */
struct state {
	int regions;
	int count;
	char *claims;
	char *reserved;
};

static inline struct state state_of(struct vfio_device *dev, const struct pci_bar *bar)
{
	return (struct state) {
		.regions = vfio_num_regions(dev),
		.count = subregion_count(dev),
		.claims = subregion_claims(dev),
		.reserved = memtype_lines(bar->start, bar->start + bar->size),
	};
}

/** expect_same_claims() - compares @before without the reservations, and frees it */
static inline void expect_same_claims(struct __test_metadata *_metadata, struct vfio_device *dev,
				      const struct pci_bar *bar, struct state before)
{
	struct state now = state_of(dev, bar);

	EXPECT_EQ(before.regions, now.regions);
	EXPECT_EQ(before.count, now.count);
	EXPECT_STREQ(before.claims, now.claims);
	free(before.claims);
	free(now.claims);
	free(before.reserved);
	free(now.reserved);
}

/** expect_unchanged() - compares @before with the current state, and frees it */
static inline void expect_unchanged(struct __test_metadata *_metadata, struct vfio_device *dev,
				    const struct pci_bar *bar, struct state before)
{
	expect_reservations(_metadata, bar, before.reserved);
	expect_same_claims(_metadata, dev, bar, before);
}

/* The lowest descriptor that the process has not opened. */
static inline int lowest_descriptor(void)
{
	int fd = open("/", O_PATH | O_CLOEXEC);

	close(fd);
	return fd;
}

/** expect_call_refused() - issues an ioctl that must fail with @error and change nothing */
static inline void expect_call_refused(struct __test_metadata *_metadata, struct vfio_device *dev,
				       const struct pci_bar *bar, unsigned long request, void *arg,
				       int error)
{
	struct state before = state_of(dev, bar);
	int lowest = lowest_descriptor();
	int ret = ioctl(dev->fd, request, arg) ? errno : 0;

	EXPECT_EQ(error, ret)
		TH_LOG("expected %s, got %s", strerror(error), ret ? strerror(ret) : "success");
	EXPECT_EQ(lowest, lowest_descriptor()) TH_LOG("the call leaves a descriptor");
	expect_unchanged(_metadata, dev, bar, before);
}

/** expect_refused() - tries @create, which must fail with @error and change nothing */
static inline void expect_refused(struct __test_metadata *_metadata, struct vfio_device *dev,
				  const struct pci_bar *bar, struct vfio_subregion_create *create,
				  int error)
{
	int failed = _metadata->exit_code;

	expect_call_refused(_metadata, dev, bar, VFIO_SUBREGION_CREATE, create, error);
	if (_metadata->exit_code != failed)
		TH_LOG("for parent %u, attribute %u, offset %#llx, size %#llx", create->parent,
		       create->attribute, (unsigned long long)create->offset,
		       (unsigned long long)create->size);
}

/** expect_still_works() - a valid request in the spare range of @bar succeeds and is mapped WC */
static inline void expect_still_works(struct __test_metadata *_metadata, struct vfio_device *dev,
				      uint32_t index, const struct pci_bar *bar)
{
	struct vfio_subregion_create sub;
	char *map;

	sub = fixture_create(_metadata, dev, index, VFIO_SUBREGION_ATTR_WC, bar->size - SPARE_SIZE,
			     SPARE_SIZE);
	map = fixture_map(_metadata, dev, sub.mmap_offset, SPARE_SIZE, SPARE_SIZE);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_4K);
}

#endif /* REFUSAL_H */
