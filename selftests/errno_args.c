// SPDX-License-Identifier: GPL-2.0
/*
 * VFIO_SUBREGION_CREATE: the argument itself. One error a test, all other input is valid.
 */
#include "refusal.h"

#define SIZE	sizeof(struct vfio_subregion_create)

FIXTURE(args) {
	struct vfio_device dev;
	struct pci_bar bar;
	struct vfio_subregion_create create;
	/* Two pages; the one after them cannot be accessed. */
	char *buffer;
	size_t page;
};

FIXTURE_SETUP(args)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	self->page = sysconf(_SC_PAGESIZE);
	self->buffer = mmap(NULL, 3 * self->page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->buffer);
	ASSERT_EQ(0, mprotect(self->buffer + 2 * self->page, self->page, PROT_NONE));
}

/* Whatever was refused before, a valid request works afterwards. */
FIXTURE_TEARDOWN(args)
{
	expect_still_works(_metadata, &self->dev, BAR2, &self->bar);
	vfio_device_close(&self->dev);
}

/* Issues the call with the argument in the buffer, where more may follow it. */
static int create_in_buffer(int fd, char *buffer, struct vfio_subregion_create *create,
			    uint32_t argsz)
{
	create->argsz = argsz;
	memcpy(buffer, create, SIZE);
	return ioctl(fd, VFIO_SUBREGION_CREATE, buffer) ? -errno : 0;
}

#define CREATE_IN_BUFFER(argsz) \
	create_in_buffer(self->dev.fd, self->buffer, &self->create, (argsz))

TEST_F(args, every_argsz_below_the_structure_is_einval)
{
	uint32_t argsz;

	for (argsz = 0; argsz < SIZE; argsz++) {
		self->create.argsz = argsz;
		expect_refused(_metadata, &self->dev, &self->bar, &self->create, EINVAL);
	}
}

TEST_F(args, the_exact_argsz_is_accepted)
{
	EXPECT_EQ(0, CREATE_IN_BUFFER(SIZE));
}

TEST_F(args, a_longer_argsz_with_a_zero_tail_is_accepted)
{
	EXPECT_EQ(0, CREATE_IN_BUFFER(SIZE + 1));
	self->create.offset += 2 * MIB;
	EXPECT_EQ(0, CREATE_IN_BUFFER(SIZE + 8));
	self->create.offset += 2 * MIB;
	EXPECT_EQ(0, CREATE_IN_BUFFER(4096));
}

TEST_F(args, outputs_are_written_within_the_structure_only)
{
	struct vfio_subregion_create *out = (void *)self->buffer;
	unsigned int i;

	memset(self->buffer + SIZE, 0x5a, 64);
	ASSERT_EQ(0, CREATE_IN_BUFFER(SIZE));
	for (i = 0; i < 64; i++)
		EXPECT_EQ(0x5a, self->buffer[SIZE + i]);
	EXPECT_EQ(self->create.offset, out->offset);
	EXPECT_EQ(self->create.size, out->size);
	EXPECT_EQ(BAR2, out->parent);
}

TEST_F(args, a_tail_that_is_not_zero_is_e2big)
{
	struct state before = state_of(&self->dev, &self->bar);
	size_t at;

	for (at = SIZE; at < 4096; at += at < SIZE + 8 ? 1 : 509) {
		self->buffer[at] = 1;
		EXPECT_EQ(-E2BIG, CREATE_IN_BUFFER(4096)) TH_LOG("byte %zu", at);
		self->buffer[at] = 0;
	}
	self->buffer[SIZE] = 1;
	EXPECT_EQ(-E2BIG, CREATE_IN_BUFFER(SIZE + 1));
	expect_unchanged(_metadata, &self->dev, &self->bar, before);
}

TEST_F(args, an_argsz_above_a_page_is_e2big)
{
	struct state before = state_of(&self->dev, &self->bar);

	EXPECT_EQ(-E2BIG, CREATE_IN_BUFFER(4097));
	EXPECT_EQ(-E2BIG, CREATE_IN_BUFFER(0x80000000));
	EXPECT_EQ(-E2BIG, CREATE_IN_BUFFER(UINT32_MAX));
	expect_unchanged(_metadata, &self->dev, &self->bar, before);
}

TEST_F(args, every_flag_is_einval)
{
	unsigned int bit;

	for (bit = 0; bit < 32; bit++) {
		self->create.flags = 1U << bit;
		expect_refused(_metadata, &self->dev, &self->bar, &self->create, EINVAL);
	}
}

TEST_F(args, every_bit_of_reserved_is_einval)
{
	unsigned int bit;

	for (bit = 0; bit < 64; bit++) {
		self->create.reserved = 1ULL << bit;
		expect_refused(_metadata, &self->dev, &self->bar, &self->create, EINVAL);
	}
}

TEST_F(args, an_unknown_attribute_is_einval)
{
	const uint32_t unknown[] = { 4, 5, 255, 256, 0x80000000, UINT32_MAX };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(unknown); i++) {
		self->create.attribute = unknown[i];
		expect_refused(_metadata, &self->dev, &self->bar, &self->create, EINVAL);
	}
}

TEST_F(args, a_null_argument_is_efault)
{
	struct state before = state_of(&self->dev, &self->bar);

	EXPECT_EQ(-1, ioctl(self->dev.fd, VFIO_SUBREGION_CREATE, NULL));
	EXPECT_EQ(EFAULT, errno);
	expect_unchanged(_metadata, &self->dev, &self->bar, before);
}

/* The last @missing bytes of the structure cannot be accessed. */
TEST_F(args, an_argument_cut_off_by_a_page_edge_is_efault)
{
	struct state before = state_of(&self->dev, &self->bar);
	char *edge = self->buffer + 2 * self->page;
	size_t missing;

	for (missing = 1; missing <= SIZE; missing++) {
		memcpy(edge - (SIZE - missing), &self->create, SIZE - missing);
		EXPECT_EQ(-1, ioctl(self->dev.fd, VFIO_SUBREGION_CREATE, edge - (SIZE - missing)));
		EXPECT_EQ(EFAULT, errno) TH_LOG("with %zu bytes missing", missing);
	}
	expect_unchanged(_metadata, &self->dev, &self->bar, before);
}

TEST_F(args, a_tail_cut_off_by_a_page_edge_is_efault)
{
	struct state before = state_of(&self->dev, &self->bar);
	char *edge = self->buffer + 2 * self->page;

	self->create.argsz = SIZE + 8;
	memcpy(edge - SIZE, &self->create, SIZE);
	EXPECT_EQ(-1, ioctl(self->dev.fd, VFIO_SUBREGION_CREATE, edge - SIZE));
	EXPECT_EQ(EFAULT, errno);
	expect_unchanged(_metadata, &self->dev, &self->bar, before);
}

TEST_F(args, an_argument_that_cannot_be_written_is_efault_and_creates_nothing)
{
	struct state before = state_of(&self->dev, &self->bar);

	memcpy(self->buffer, &self->create, SIZE);
	ASSERT_EQ(0, mprotect(self->buffer, self->page, PROT_READ));
	EXPECT_EQ(-1, ioctl(self->dev.fd, VFIO_SUBREGION_CREATE, self->buffer));
	EXPECT_EQ(EFAULT, errno);
	expect_unchanged(_metadata, &self->dev, &self->bar, before);
	/* The same range is still free. */
	EXPECT_EQ(0, subregion_create(&self->dev, &self->create));
}

TEST_F(args, a_request_at_the_last_bytes_of_a_page_is_accepted)
{
	char *edge = self->buffer + 2 * self->page;

	memcpy(edge - SIZE, &self->create, SIZE);
	EXPECT_EQ(0, ioctl(self->dev.fd, VFIO_SUBREGION_CREATE, edge - SIZE));
}

TEST_HARNESS_MAIN
