// SPDX-License-Identifier: GPL-2.0-only
/*
 * The effect of a memory type on the CPU, independent of the page tables: on arm64 an unaligned
 * store raises SIGBUS if the memory is Device, and succeeds if it is Normal. QEMU implements this
 * from version 11 on.
 */
#include "fixture.h"

#define CLAIM		(4 * MIB)
#define CLAIM_SIZE	(2 * MIB)
#define VALUE		0x8877665544332211ull

FIXTURE(unaligned) {
	struct vfio_device dev;
	char *map;
};

FIXTURE_VARIANT(unaligned) {
	/* The mapped region: the BAR of this driver or of vfio-pci, maybe with an attribute, ... */
	bool stock;
	bool set_attr;
	/* ... or a subregion. */
	bool subregion;
	uint32_t attribute;
	bool allowed;
};

FIXTURE_VARIANT_ADD(unaligned, bar_of_vfio_pci) { .stock = true };
FIXTURE_VARIANT_ADD(unaligned, bar) { .stock = false };
FIXTURE_VARIANT_ADD(unaligned, noncached_bar) {
	.set_attr = true, .attribute = VFIO_SUBREGION_ATTR_NONCACHED,
};

FIXTURE_VARIANT_ADD(unaligned, device_bar) {
	.set_attr = true, .attribute = VFIO_SUBREGION_ATTR_DEVICE,
};

FIXTURE_VARIANT_ADD(unaligned, wc_bar) {
	.set_attr = true, .attribute = VFIO_SUBREGION_ATTR_WC, .allowed = true,
};

FIXTURE_VARIANT_ADD(unaligned, guest_any_bar) {
	.set_attr = true, .attribute = VFIO_SUBREGION_ATTR_GUEST_ANY,
};

FIXTURE_VARIANT_ADD(unaligned, noncached) {
	.subregion = true, .attribute = VFIO_SUBREGION_ATTR_NONCACHED,
};

FIXTURE_VARIANT_ADD(unaligned, device) {
	.subregion = true, .attribute = VFIO_SUBREGION_ATTR_DEVICE,
};

FIXTURE_VARIANT_ADD(unaligned, wc) {
	.subregion = true, .attribute = VFIO_SUBREGION_ATTR_WC, .allowed = true,
};

FIXTURE_VARIANT_ADD(unaligned, guest_any) {
	.subregion = true, .attribute = VFIO_SUBREGION_ATTR_GUEST_ANY,
};

FIXTURE_SETUP(unaligned)
{
	struct vfio_subregion_create sub;

	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
#if !defined(__aarch64__)
	SKIP(return, "this CPU stores at any address, whatever the memory's type");
#endif
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM",
			  variant->stock ? DRIVER_STOCK : vfio_driver()))
		return;
	if (variant->set_attr)
		fixture_set_attr(_metadata, &self->dev, BAR2, variant->attribute);
	if (!variant->subregion) {
		self->map = fixture_map(_metadata, &self->dev,
					vfio_offset(&self->dev, BAR2, CLAIM), CLAIM_SIZE, 2 * MIB);
		return;
	}
	sub = fixture_create(_metadata, &self->dev, BAR2, variant->attribute, CLAIM, CLAIM_SIZE);
	self->map = fixture_map(_metadata, &self->dev, sub.mmap_offset, CLAIM_SIZE, 2 * MIB);
}

FIXTURE_TEARDOWN(unaligned)
{
	vfio_device_close(&self->dev);
}

/* contract: type.cpu */
TEST_F(unaligned, a_store_succeeds_in_normal_memory_and_raises_sigbus_in_device_memory)
{
	uint64_t *aligned = (uint64_t *)self->map;
	int code;

	/* An aligned store succeeds everywhere. */
	EXPECT_EQ(0, touch_write64(aligned, 0, &code));
	EXPECT_EQ(0, touch_write64(aligned + 1, 0, &code));
	if (variant->allowed) {
		EXPECT_EQ(0, touch_write64(self->map + 3, VALUE, &code));
		EXPECT_EQ(VALUE << 24, *(volatile uint64_t *)aligned);
		EXPECT_EQ(VALUE >> 40, *(volatile uint64_t *)(aligned + 1));
	} else {
		EXPECT_EQ(SIGBUS, touch_write64(self->map + 3, VALUE, &code));
		EXPECT_EQ(BUS_ADRALN, code);
		EXPECT_EQ(0, *(volatile uint64_t *)aligned);
		EXPECT_EQ(0, *(volatile uint64_t *)(aligned + 1));
	}
}

TEST_HARNESS_MAIN
