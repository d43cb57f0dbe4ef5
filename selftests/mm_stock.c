// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every operation on a mapping of a subregion, or of a BAR of this driver, has the same result as
 * on a mapping of a BAR of vfio-pci; and no page changes its type.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "fixture.h"

#define AT		(4 * MIB)
#define SIZE		(2 * MIB)

/* The mapping: its offset in the device file, and its address. */
struct subject {
	int fd;
	uint64_t offset;
	char *map;
};

static long result(long ret)
{
	return ret < 0 ? -errno : ret;
}

/* 0, or the errno of mmap() or mremap(). Removes the mapping that the call made. */
static long result_map(void *map, size_t size)
{
	if (map == MAP_FAILED)
		return -errno;
	munmap(map, size);
	return 0;
}

static long try_madvise(struct subject *subject, long advice)
{
	return result(madvise(subject->map, SIZE, advice));
}

static long try_mprotect(struct subject *subject, long prot)
{
	return result(mprotect(subject->map, SIZE, prot));
}

static long try_mlock(struct subject *subject, long flags)
{
	return result(mlock2(subject->map, SIZE, flags));
}

static long try_msync(struct subject *subject, long flags)
{
	return result(msync(subject->map, SIZE, flags));
}

static long try_mincore(struct subject *subject, long pages)
{
	unsigned char in_core[SIZE / 4096];

	return result(mincore(subject->map, pages * GRANULE, in_core));
}

static long try_mbind(struct subject *subject, long mode)
{
	return result(syscall(SYS_mbind, subject->map, SIZE, mode, NULL, 0, 0));
}

/* A second mapping of the same offset, with other flags or protection. */
static long try_flags(struct subject *subject, long flags)
{
	return result_map(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, flags, subject->fd,
			       subject->offset), SIZE);
}

static long try_prot(struct subject *subject, long prot)
{
	return result_map(mmap(NULL, SIZE, prot, MAP_SHARED, subject->fd, subject->offset), SIZE);
}

static long try_grow(struct subject *subject, long flags)
{
	return result_map(mremap(subject->map, SIZE, 2 * SIZE, flags), 2 * SIZE);
}

static long try_shrink(struct subject *subject, long size)
{
	return result(mremap(subject->map, SIZE, size, 0) == subject->map ? 0 : -1);
}

static long try_duplicate(struct subject *subject, long size)
{
	return result_map(mremap(subject->map, 0, size, MREMAP_MAYMOVE), size);
}

static long try_dont_unmap(struct subject *subject, long flags)
{
	return result_map(mremap(subject->map, SIZE, SIZE, flags), SIZE);
}

static long try_remap_pages(struct subject *subject, long page)
{
	return result(syscall(SYS_remap_file_pages, subject->map, GRANULE, 0,
			      subject->offset / (GRANULE) + page, 0));
}

/* The kernel reads the mapping like other memory of the program. */
static long try_write_to_pipe(struct subject *subject, long count)
{
	int ends[2];
	long ret;

	if (pipe(ends))
		return -errno;
	ret = result(write(ends[1], subject->map, count));
	close(ends[0]);
	close(ends[1]);
	return ret;
}

static long try_read_from_zero(struct subject *subject, long count)
{
	int fd = open("/dev/zero", O_RDONLY);
	long ret = result(read(fd, subject->map, count));

	close(fd);
	return ret;
}

/* The kernel needs the struct page, which device memory does not have. */
static long try_vmsplice(struct subject *subject, long flags)
{
	struct iovec data = { .iov_base = subject->map, .iov_len = GRANULE };
	int ends[2];
	long ret;

	if (pipe(ends))
		return -errno;
	ret = result(vmsplice(ends[1], &data, 1, flags));
	close(ends[0]);
	close(ends[1]);
	return ret;
}

static long try_process_vm(struct subject *subject, long write)
{
	char buffer[64] = {};
	struct iovec local = { .iov_base = buffer, .iov_len = sizeof(buffer) };
	struct iovec remote = { .iov_base = subject->map, .iov_len = sizeof(buffer) };

	if (write)
		return result(process_vm_writev(getpid(), &local, 1, &remote, 1, 0));
	return result(process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
}

static long try_proc_mem(struct subject *subject, long write)
{
	int fd = open("/proc/self/mem", O_RDWR);
	off_t at = (uintptr_t)subject->map;
	char buffer[64] = {};
	long ret;

	ret = result(write ? pwrite(fd, buffer, sizeof(buffer), at) :
			     pread(fd, buffer, sizeof(buffer), at));
	close(fd);
	return ret;
}

static long try_futex(struct subject *subject, long operation)
{
	return result(syscall(SYS_futex, subject->map, operation, 1, NULL, NULL, 0));
}

static long try_userfaultfd(struct subject *subject, long mode)
{
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)subject->map, .len = SIZE },
		.mode = mode,
	};
	struct uffdio_api api = { .api = UFFD_API };
	long ret, fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		return -errno;
	ret = result(ioctl(fd, UFFDIO_API, &api));
	if (!ret)
		ret = result(ioctl(fd, UFFDIO_REGISTER, &range));
	close(fd);
	return ret;
}

struct attempt {
	char name[64];
	long (*run)(struct subject *subject, long argument);
	long argument;
};

#define ATTEMPT(run, argument)	{ #run " " #argument, run, argument }

static const struct attempt attempts[] = {
	ATTEMPT(try_madvise, MADV_NORMAL), ATTEMPT(try_madvise, MADV_RANDOM),
	ATTEMPT(try_madvise, MADV_WILLNEED), ATTEMPT(try_madvise, MADV_DONTNEED),
	ATTEMPT(try_madvise, MADV_FREE), ATTEMPT(try_madvise, MADV_REMOVE),
	ATTEMPT(try_madvise, MADV_DONTFORK), ATTEMPT(try_madvise, MADV_DOFORK),
	ATTEMPT(try_madvise, MADV_MERGEABLE), ATTEMPT(try_madvise, MADV_UNMERGEABLE),
	ATTEMPT(try_madvise, MADV_HUGEPAGE), ATTEMPT(try_madvise, MADV_NOHUGEPAGE),
	ATTEMPT(try_madvise, MADV_DONTDUMP), ATTEMPT(try_madvise, MADV_DODUMP),
	ATTEMPT(try_madvise, MADV_WIPEONFORK), ATTEMPT(try_madvise, MADV_KEEPONFORK),
	ATTEMPT(try_madvise, MADV_COLD), ATTEMPT(try_madvise, MADV_PAGEOUT),
	ATTEMPT(try_madvise, MADV_POPULATE_READ), ATTEMPT(try_madvise, MADV_POPULATE_WRITE),
	ATTEMPT(try_madvise, 24 /* MADV_DONTNEED_LOCKED */),
	ATTEMPT(try_madvise, 25 /* MADV_COLLAPSE */),
	ATTEMPT(try_madvise, 102 /* MADV_GUARD_INSTALL */),
	ATTEMPT(try_madvise, 103 /* MADV_GUARD_REMOVE */),
	ATTEMPT(try_mprotect, PROT_NONE), ATTEMPT(try_mprotect, PROT_READ),
	ATTEMPT(try_mprotect, PROT_READ | PROT_EXEC),
	ATTEMPT(try_mprotect, PROT_READ | PROT_WRITE | PROT_EXEC),
	ATTEMPT(try_mlock, 0), ATTEMPT(try_mlock, MLOCK_ONFAULT),
	ATTEMPT(try_msync, MS_SYNC), ATTEMPT(try_msync, MS_ASYNC),
	ATTEMPT(try_msync, MS_INVALIDATE),
	ATTEMPT(try_mincore, 1), ATTEMPT(try_mincore, 512),
	ATTEMPT(try_mbind, MPOL_DEFAULT), ATTEMPT(try_mbind, MPOL_LOCAL),
	ATTEMPT(try_flags, MAP_SHARED), ATTEMPT(try_flags, MAP_PRIVATE),
	ATTEMPT(try_flags, MAP_SHARED_VALIDATE), ATTEMPT(try_flags, MAP_SHARED_VALIDATE | MAP_SYNC),
	ATTEMPT(try_flags, MAP_SHARED | MAP_POPULATE), ATTEMPT(try_flags, MAP_SHARED | MAP_LOCKED),
	ATTEMPT(try_flags, MAP_SHARED | MAP_HUGETLB),
#ifdef MAP_32BIT
	ATTEMPT(try_flags, MAP_SHARED | MAP_32BIT),
#endif
	ATTEMPT(try_prot, PROT_NONE), ATTEMPT(try_prot, PROT_READ), ATTEMPT(try_prot, PROT_WRITE),
	ATTEMPT(try_prot, PROT_EXEC), ATTEMPT(try_prot, PROT_READ | PROT_EXEC),
	ATTEMPT(try_grow, 0), ATTEMPT(try_grow, MREMAP_MAYMOVE),
	ATTEMPT(try_shrink, SIZE / 2), ATTEMPT(try_shrink, 4096),
	ATTEMPT(try_duplicate, 4096), ATTEMPT(try_duplicate, SIZE),
	ATTEMPT(try_dont_unmap, MREMAP_MAYMOVE), ATTEMPT(try_dont_unmap, MREMAP_MAYMOVE | 4),
	ATTEMPT(try_remap_pages, 0), ATTEMPT(try_remap_pages, 1),
	ATTEMPT(try_write_to_pipe, 1), ATTEMPT(try_write_to_pipe, 4096),
	ATTEMPT(try_read_from_zero, 1), ATTEMPT(try_read_from_zero, 4096),
	ATTEMPT(try_vmsplice, 0), ATTEMPT(try_vmsplice, SPLICE_F_GIFT),
	ATTEMPT(try_process_vm, 0), ATTEMPT(try_process_vm, 1),
	ATTEMPT(try_proc_mem, 0), ATTEMPT(try_proc_mem, 1),
	ATTEMPT(try_futex, FUTEX_WAKE), ATTEMPT(try_futex, FUTEX_WAKE | FUTEX_PRIVATE_FLAG),
	ATTEMPT(try_userfaultfd, UFFDIO_REGISTER_MODE_MISSING),
	ATTEMPT(try_userfaultfd, UFFDIO_REGISTER_MODE_WP),
	ATTEMPT(try_userfaultfd, UFFDIO_REGISTER_MODE_MINOR),
};

/* The results of the operations, and the kernel's description of the mapping. */
struct results {
	long of[ARRAY_SIZE(attempts)];
	char flags[VM_FLAGS_LEN];
};

/* Does each operation on a mapping of its own, whose pages must then have @type. */
static void try_all(struct __test_metadata *_metadata, struct vfio_device *dev, uint64_t offset,
		    const char *type, struct results *results)
{
	struct subject subject = { .fd = dev->fd, .offset = offset };
	uint32_t value;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(attempts); i++) {
		subject.map = fixture_map(_metadata, dev, offset, SIZE, 2 * MIB);
		EXPECT_TOUCH(subject.map, type, SHIFT_2M);
		results->of[i] = attempts[i].run(&subject, attempts[i].argument);
		if (!touch_read((uint32_t *)subject.map, &value)) {
			EXPECT_STREQ(type, pte_type(subject.map))
				TH_LOG("%s", attempts[i].name);
		}
		munmap(subject.map, SIZE);
	}
	subject.map = fixture_map(_metadata, dev, offset, SIZE, 2 * MIB);
	vm_flags(subject.map, results->flags);
	munmap(subject.map, SIZE);
}

FIXTURE(as_stock) {
	struct vfio_device dev;
	struct results stock;
};

FIXTURE_VARIANT(as_stock) {
	bool subregion;
	uint32_t attribute;
	const char *type;
	/* Whether a guest may choose the type, as with a BAR. */
	bool guest_chooses;
};

FIXTURE_VARIANT_ADD(as_stock, bar) { false, 0, PTE_NONCACHED, true };
FIXTURE_VARIANT_ADD(as_stock, noncached) {
	true, VFIO_SUBREGION_ATTR_NONCACHED, PTE_NONCACHED, false
};

FIXTURE_VARIANT_ADD(as_stock, device) { true, VFIO_SUBREGION_ATTR_DEVICE, PTE_DEVICE, false };
FIXTURE_VARIANT_ADD(as_stock, wc) { true, VFIO_SUBREGION_ATTR_WC, PTE_WC, true };
FIXTURE_VARIANT_ADD(as_stock, guest_any) {
	true, VFIO_SUBREGION_ATTR_GUEST_ANY, PTE_DEVICE, true
};

FIXTURE_SETUP(as_stock)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", DRIVER_STOCK))
		return;
	try_all(_metadata, &self->dev, vfio_offset(&self->dev, BAR2, AT), PTE_NONCACHED,
		&self->stock);
	vfio_device_close(&self->dev);
	fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver());
}

FIXTURE_TEARDOWN(as_stock)
{
	vfio_device_close(&self->dev);
}

/* contract: mmap.other-calls */
TEST_F(as_stock, everything_gives_the_same)
{
	uint64_t offset = vfio_offset(&self->dev, BAR2, AT);
	struct results results;
	unsigned int i;

	if (variant->subregion)
		offset = fixture_create(_metadata, &self->dev, BAR2, variant->attribute, AT,
					SIZE).mmap_offset;
	try_all(_metadata, &self->dev, offset, variant->type, &results);
	for (i = 0; i < ARRAY_SIZE(attempts); i++) {
		EXPECT_EQ(self->stock.of[i], results.of[i])
			TH_LOG("%s", attempts[i].name);
	}
	ASSERT_NE(NULL, strstr(self->stock.flags, VM_FLAG_GUEST_CHOOSES))
		TH_LOG("%s", self->stock.flags);
	if (!variant->guest_chooses)
		*strstr(self->stock.flags, VM_FLAG_GUEST_CHOOSES) = '\0';
	EXPECT_STREQ(self->stock.flags, results.flags);
}

TEST_HARNESS_MAIN
