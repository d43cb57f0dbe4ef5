// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_SUBREGION_EXPORT: a file that reaches the bytes of one subregion in its type, and nothing
 * else of the device. What ends it is in export_end.c.
 */
#include <sys/resource.h>

#include "refusal.h"

/* With neighbours that touch it on either side. */
#define CLAIM		(4 * MIB)
#define CLAIM_SIZE	(4 * MIB)

#define RW		(PROT_READ | PROT_WRITE)

FIXTURE(export) {
	struct vfio_device dev;
	struct pci_bar bar;
	struct vfio_subregion_create sub;
	uint64_t window;
	int fd;
};

FIXTURE_SETUP(export)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->window = vfio_offset(&self->dev, BAR2, 0);
	self->sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, CLAIM,
				   CLAIM_SIZE);
	self->fd = fixture_export(_metadata, &self->dev, self->sub.index, O_RDWR | O_CLOEXEC);
}

FIXTURE_TEARDOWN(export)
{
	vfio_device_close(&self->dev);
}

static void expect_export_refused(struct __test_metadata *_metadata, struct vfio_device *dev,
				  const struct pci_bar *bar, uint32_t index, uint32_t open_flags,
				  int error)
{
	struct vfio_subregion_export export = {
		.argsz = sizeof(export),
		.index = index,
		.open_flags = open_flags,
	};

	expect_call_refused(_metadata, dev, bar, VFIO_SUBREGION_EXPORT, &export, error);
}

/* contract: export.enoent */
TEST_F(export, of_an_index_without_subregion_is_enoent)
{
	const uint32_t unknown[] = { self->sub.index + 1, 16384, 0x80000000, UINT32_MAX };
	uint32_t index;
	unsigned int i;

	for (index = 0; index < VFIO_PCI_NUM_REGIONS; index++)
		expect_export_refused(_metadata, &self->dev, &self->bar, index, O_RDWR, ENOENT);
	for (i = 0; i < ARRAY_SIZE(unknown); i++)
		expect_export_refused(_metadata, &self->dev, &self->bar, unknown[i], O_RDWR,
				      ENOENT);
	fixture_destroy(_metadata, &self->dev, self->sub.index);
	expect_export_refused(_metadata, &self->dev, &self->bar, self->sub.index, O_RDWR, ENOENT);
}

/* contract: export.open-flags */
TEST_F(export, every_other_open_flag_is_einval)
{
	const uint32_t known = O_RDWR | O_CLOEXEC;
	unsigned int bit;

	for (bit = 0; bit < 32; bit++)
		if (!(known & 1U << bit))
			expect_export_refused(_metadata, &self->dev, &self->bar, self->sub.index,
					      1U << bit, EINVAL);
	expect_export_refused(_metadata, &self->dev, &self->bar, self->sub.index, O_ACCMODE,
			      EINVAL);
}

/* contract: export.open-flags */
TEST_F(export, the_file_has_the_flags_that_were_asked_for)
{
	const uint32_t flags[] = { O_RDONLY, O_RDWR, O_RDONLY | O_CLOEXEC, O_RDWR | O_CLOEXEC };
	unsigned int i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		fd = fixture_export(_metadata, &self->dev, self->sub.index, flags[i]);
		EXPECT_EQ(flags[i] & O_ACCMODE, fcntl(fd, F_GETFL) & O_ACCMODE);
		EXPECT_EQ(flags[i] & O_CLOEXEC ? FD_CLOEXEC : 0, fcntl(fd, F_GETFD));
		EXPECT_EQ(0, close(fd));
	}
}

/* contract: export.emfile */
TEST_F(export, beyond_the_limit_of_files_is_emfile)
{
	struct rlimit limit, lower;
	int fd = dup(self->fd);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	lower = (struct rlimit) { fd + 1, limit.rlim_max };
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &lower));
	EXPECT_EQ(-EMFILE, subregion_export(&self->dev, self->sub.index, O_RDWR));
	ASSERT_EQ(0, close(fd));
	EXPECT_EQ(fd, subregion_export(&self->dev, self->sub.index, O_RDWR));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
}

/* contract: export.type */
TEST_F(export, its_mappings_have_the_type_of_every_attribute)
{
	struct vfio_subregion_create sub;
	uint32_t i;
	char *map;
	int fd;

	for (i = 0; i < SUBREGION_ATTRIBUTES; i++) {
		fixture_destroy(_metadata, &self->dev, self->sub.index);
		self->sub = fixture_create(_metadata, &self->dev, BAR2,
					   subregion_attributes[i].number, CLAIM, CLAIM_SIZE);
		sub = self->sub;
		fd = fixture_export(_metadata, &self->dev, sub.index, O_RDWR);
		map = fixture_map_export(_metadata, fd, RW, CLAIM_SIZE);
		EXPECT_TOUCH(map, attribute_pte(sub.attribute), SHIFT_2M);
		EXPECT_TOUCH(map + CLAIM_SIZE - 4, attribute_pte(sub.attribute), SHIFT_2M);
		EXPECT_EQ(self->bar.start + CLAIM, pte_phys(map));
		EXPECT_EQ(0, munmap(map, CLAIM_SIZE));
		EXPECT_EQ(0, close(fd));
	}
}

/* contract: export.flags */
TEST_F(export, its_mappings_have_the_flags_of_the_owners)
{
	char owners[VM_FLAGS_LEN], exports[VM_FLAGS_LEN];
	uint32_t i;
	int fd;

	for (i = 0; i < SUBREGION_ATTRIBUTES; i++) {
		fixture_destroy(_metadata, &self->dev, self->sub.index);
		self->sub = fixture_create(_metadata, &self->dev, BAR2,
					   subregion_attributes[i].number, CLAIM, CLAIM_SIZE);
		vm_flags(fixture_map(_metadata, &self->dev, self->sub.mmap_offset, CLAIM_SIZE,
				     2 * MIB), owners);
		fd = fixture_export(_metadata, &self->dev, self->sub.index, O_RDWR);
		vm_flags(fixture_map_export(_metadata, fd, RW, CLAIM_SIZE), exports);
		EXPECT_NE('\0', owners[0]);
		EXPECT_STREQ(owners, exports);
		EXPECT_EQ(0, close(fd));
	}
}

/* contract: export.bytes */
TEST_F(export, reaches_the_bytes_of_the_subregion)
{
	char *map = fixture_map_export(_metadata, self->fd, RW, CLAIM_SIZE);
	const uint64_t last = CLAIM_SIZE - 4;
	uint32_t value = 0;

	ASSERT_EQ(0, touch_write((uint32_t *)map, 0x11111111));
	ASSERT_EQ(0, touch_write((uint32_t *)(map + last), 0x22222222));
	ASSERT_EQ(4, pread(self->dev.fd, &value, 4, self->window + CLAIM));
	EXPECT_EQ(0x11111111, value);
	ASSERT_EQ(4, pread(self->dev.fd, &value, 4, self->window + CLAIM + last));
	EXPECT_EQ(0x22222222, value);
	ASSERT_EQ(4, pread(self->fd, &value, 4, 0));
	EXPECT_EQ(0x11111111, value);
	ASSERT_EQ(4, pread(self->fd, &value, 4, last));
	EXPECT_EQ(0x22222222, value);
	value = 0x33333333;
	ASSERT_EQ(4, pwrite(self->fd, &value, 4, 4));
	ASSERT_EQ(0, touch_read((uint32_t *)(map + 4), &value));
	EXPECT_EQ(0x33333333, value);
	/* A page of the middle, mapped by itself. */
	map = mmap(NULL, GRANULE, RW, MAP_SHARED, self->fd, 2 * GRANULE);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, touch_write((uint32_t *)map, 0x44444444));
	EXPECT_EQ(self->bar.start + CLAIM + 2 * GRANULE, pte_phys(map));
	ASSERT_EQ(4, pread(self->fd, &value, 4, 2 * GRANULE));
	EXPECT_EQ(0x44444444, value);
}

/* In a BAR in segments, and in one that is not. */
/* contract: export.bytes */
TEST_F(export, reads_and_writes_any_length_at_any_offset)
{
	struct vfio_subregion_create sub;
	unsigned char data[1200], back[1200];
	unsigned int at, length, i, round;
	int fd = self->fd;
	void *none;

	for (round = 0; round < 2; round++) {
		for (i = 0; i < sizeof(data); i++)
			data[i] = i * 7 + round;
		for (at = 0; at < 9; at++) {
			for (length = 1; length < sizeof(data) - 16; length += 1 + length / 3) {
				memset(back, 0, sizeof(back));
				ASSERT_EQ(length, pwrite(fd, data, length, 8185 + at));
				ASSERT_EQ(length, pread(fd, back, length, 8185 + at));
				ASSERT_EQ(0, memcmp(data, back, length));
				memset(back, 0, sizeof(back));
				ASSERT_EQ(length, pread(self->dev.fd, back, length,
							self->window + CLAIM + 8185 + at));
				ASSERT_EQ(0, memcmp(data, back, length));
			}
		}
		if (round)
			break;
		fixture_destroy(_metadata, &self->dev, self->sub.index);
		sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, CLAIM,
				     CLAIM_SIZE);
		fd = fixture_export(_metadata, &self->dev, sub.index, O_RDWR);
	}
	/* read() and write() begin at 0 and go on. */
	ASSERT_EQ(300, write(fd, data, 300));
	ASSERT_EQ(3, read(fd, back, 3));
	ASSERT_EQ(300, pread(fd, back, 300, 0));
	EXPECT_EQ(0, memcmp(data, back, 300));
	none = mmap(NULL, GRANULE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, none);
	EXPECT_EQ(-1, pread(fd, none, 4, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, pwrite(fd, none, 4, 0));
	EXPECT_EQ(EFAULT, errno);
}

static void expect_no_map(struct __test_metadata *_metadata, int fd, size_t size, int prot,
			  int flags, uint64_t offset, int error)
{
	EXPECT_EQ(MAP_FAILED, mmap(NULL, size, prot, flags, fd, offset));
	EXPECT_EQ(error, errno) TH_LOG("%#zx at %#llx", size, (unsigned long long)offset);
}

/* contract: export.bounds */
TEST_F(export, ends_at_the_end_of_the_subregion)
{
	const uint64_t beyond[] = {
		CLAIM_SIZE, CLAIM_SIZE + 4, 2 * CLAIM_SIZE, self->window, self->window + CLAIM,
		self->sub.mmap_offset, 7ULL << 40, 1ULL << 62,
	};
	uint64_t value = 0;
	unsigned int i;

	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, CLAIM + CLAIM_SIZE,
		       MIB);
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, CLAIM - MIB, MIB);
	value = 0x5555555555555555;
	ASSERT_EQ(8, pwrite(self->dev.fd, &value, 8, self->window + CLAIM + CLAIM_SIZE));
	value = 0x6666666666666666;
	EXPECT_EQ(4, pwrite(self->fd, &value, 8, CLAIM_SIZE - 4));
	EXPECT_EQ(4, pread(self->fd, &value, 8, CLAIM_SIZE - 4));
	ASSERT_EQ(8, pread(self->dev.fd, &value, 8, self->window + CLAIM + CLAIM_SIZE));
	EXPECT_EQ(0x5555555555555555, value);
	for (i = 0; i < ARRAY_SIZE(beyond); i++) {
		EXPECT_EQ(-1, pread(self->fd, &value, 4, beyond[i]));
		EXPECT_EQ(EINVAL, errno);
		EXPECT_EQ(-1, pwrite(self->fd, &value, 4, beyond[i]));
		EXPECT_EQ(EINVAL, errno);
		expect_no_map(_metadata, self->fd, GRANULE, RW, MAP_SHARED, beyond[i] & ~4095ULL,
			      EINVAL);
	}
	EXPECT_EQ(-1, pread(self->fd, &value, 4, -4));
	EXPECT_EQ(EINVAL, errno);
	expect_no_map(_metadata, self->fd, CLAIM_SIZE + GRANULE, RW, MAP_SHARED, 0, EINVAL);
	expect_no_map(_metadata, self->fd, CLAIM_SIZE, RW, MAP_SHARED, GRANULE, EINVAL);
	expect_no_map(_metadata, self->fd, GRANULE, RW, MAP_PRIVATE, 0, EINVAL);
	expect_no_map(_metadata, self->fd, GRANULE, PROT_READ, MAP_PRIVATE, 0, EINVAL);
}

/* contract: export.read-only */
TEST_F(export, without_write_access_cannot_be_written)
{
	int fd = fixture_export(_metadata, &self->dev, self->sub.index, O_RDONLY);
	char *map = fixture_map_export(_metadata, fd, PROT_READ, CLAIM_SIZE), path[64];
	uint32_t value = 0x77777777;

	ASSERT_EQ(4, pwrite(self->fd, &value, 4, 0));
	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	EXPECT_EQ(0x77777777, *(volatile uint32_t *)map);
	value = 0;
	EXPECT_EQ(4, pread(fd, &value, 4, 0));
	EXPECT_EQ(0x77777777, value);
	value = 0;
	EXPECT_EQ(-1, pwrite(fd, &value, 4, 0));
	EXPECT_EQ(EBADF, errno);
	EXPECT_EQ(-1, write(fd, &value, 4));
	EXPECT_EQ(EBADF, errno);
	EXPECT_EQ(SIGSEGV, touch_write((uint32_t *)map, 0));
	EXPECT_EQ(-1, mprotect(map, CLAIM_SIZE, RW));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, mprotect(map, GRANULE, PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	expect_no_map(_metadata, fd, GRANULE, RW, MAP_SHARED, 0, EACCES);
	expect_no_map(_metadata, fd, GRANULE, PROT_WRITE, MAP_SHARED, 0, EACCES);
	/* Neither a copy nor another open makes it writable. */
	expect_no_map(_metadata, fd, GRANULE, RW, MAP_PRIVATE, 0, EINVAL);
	EXPECT_EQ(0, fcntl(fd, F_SETFL, O_RDWR));
	EXPECT_EQ(O_RDONLY, fcntl(fd, F_GETFL) & O_ACCMODE);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	EXPECT_EQ(-1, open(path, O_RDWR));
	EXPECT_EQ(ENXIO, errno);
	EXPECT_EQ(0x77777777, *(volatile uint32_t *)map);
}

/* contract: export.nothing-else */
TEST_F(export, leads_to_nothing_else_of_the_device)
{
	static const struct {
		const char *name;
		unsigned long request;
	} calls[] = {
		{ "GET_INFO", VFIO_DEVICE_GET_INFO },
		{ "GET_REGION_INFO", VFIO_DEVICE_GET_REGION_INFO },
		{ "SET_IRQS", VFIO_DEVICE_SET_IRQS },
		{ "RESET", VFIO_DEVICE_RESET },
		{ "HOT_RESET", VFIO_DEVICE_PCI_HOT_RESET },
		{ "FEATURE", VFIO_DEVICE_FEATURE },
		{ "CREATE", VFIO_SUBREGION_CREATE },
		{ "DESTROY", VFIO_SUBREGION_DESTROY },
		{ "QUERY", VFIO_SUBREGION_QUERY },
		{ "SET_ATTR", VFIO_REGION_SET_ATTR },
		{ "EXPORT", VFIO_SUBREGION_EXPORT },
	};
	uint32_t arg[64] = { sizeof(arg) };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		EXPECT_EQ(-1, ioctl(self->fd, calls[i].request, arg));
		EXPECT_EQ(ENOTTY, errno) TH_LOG("%s", calls[i].name);
	}
	EXPECT_EQ(-1, lseek(self->fd, 0, SEEK_END));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(-1, ftruncate(self->fd, 0));
}

TEST_HARNESS_MAIN
