// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the events that end an export for ever, in every process that has it or a part of it.
 * The process may have nothing else.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fixture.h"

#define CLAIM		(4 * MIB)
#define CLAIM_SIZE	(4 * MIB)
#define VALUE		0x5ab0a55a

#define RW		(PROT_READ | PROT_WRITE)

/* An export, its mapping, and an owner who may end it. */
FIXTURE(export_end) {
	struct vfio_device dev;
	const char *bdf;
	struct pci_bar bar;
	struct vfio_subregion_create sub;
	char *map;
	int fd;
};

FIXTURE_SETUP(export_end)
{
	self->fd = -1;
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bdf = getenv("DEV_IVSHMEM");
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, CLAIM,
				   CLAIM_SIZE);
	self->fd = fixture_export(_metadata, &self->dev, self->sub.index, O_RDWR);
	self->map = fixture_map_export(_metadata, self->fd, RW, CLAIM_SIZE);
	EXPECT_TOUCH(self->map, PTE_WC, SHIFT_2M);
	ASSERT_EQ(0, touch_write((uint32_t *)self->map, VALUE));
}

FIXTURE_TEARDOWN(export_end)
{
	vfio_device_close(&self->dev);
	if (self->bdf)
		fixture_bind(_metadata, self->bdf, vfio_driver());
}

/* Neither the mapping nor a call nor a new mapping reaches anything. */
static void expect_dead(struct __test_metadata *_metadata, int fd, const char *map)
{
	uint32_t value;

	EXPECT_SIGBUS(map);
	EXPECT_SIGBUS(map + CLAIM_SIZE - 4);
	EXPECT_EQ(-1, pread(fd, &value, 4, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, pwrite(fd, &value, 4, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, GRANULE, RW, MAP_SHARED, fd, 0));
	EXPECT_EQ(ENODEV, errno);
}

/* contract: export.destroyed */
TEST_F(export_end, by_destroy_is_for_ever)
{
	struct vfio_subregion_create sub;
	char *map;
	int fd;

	fixture_destroy(_metadata, &self->dev, self->sub.index);
	EXPECT_STREQ(PTE_NONE, pte_type(self->map));
	expect_dead(_metadata, self->fd, self->map);
	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, CLAIM,
			     CLAIM_SIZE);
	fd = fixture_export(_metadata, &self->dev, sub.index, O_RDWR);
	map = fixture_map_export(_metadata, fd, RW, CLAIM_SIZE);
	EXPECT_TOUCH(map, PTE_DEVICE, SHIFT_2M);
	EXPECT_EQ(VALUE, *(volatile uint32_t *)map);
	expect_dead(_metadata, self->fd, self->map);
	ASSERT_EQ(0, vfio_device_reset(&self->dev));
	ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
	expect_dead(_metadata, self->fd, self->map);
	EXPECT_TOUCH(map, PTE_DEVICE, SHIFT_2M);
}

/* contract: export.closed */
TEST_F(export_end, by_the_last_close_is_for_ever)
{
	struct vfio_subregion_create sub;
	char *map;
	int fd;

	vfio_device_close(&self->dev);
	EXPECT_STREQ(PTE_NONE, pte_type(self->map));
	EXPECT_STREQ(PTE_NONE, pte_type(self->map + 2 * MIB));
	expect_dead(_metadata, self->fd, self->map);
	expect_reservations(_metadata, &self->bar, "");
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->bdf));
	expect_dead(_metadata, self->fd, self->map);
	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, CLAIM,
			     CLAIM_SIZE);
	/* It has the same index and the same offset as the one before. */
	ASSERT_EQ(self->sub.index, sub.index);
	ASSERT_EQ(self->sub.mmap_offset, sub.mmap_offset);
	expect_dead(_metadata, self->fd, self->map);
	fd = fixture_export(_metadata, &self->dev, sub.index, O_RDWR);
	map = fixture_map_export(_metadata, fd, RW, CLAIM_SIZE);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	EXPECT_EQ(VALUE, *(volatile uint32_t *)map);
	expect_dead(_metadata, self->fd, self->map);
}

/* contract: export.not-busy */
TEST_F(export_end, does_not_keep_the_device)
{
	struct vfio_device other = VFIO_DEVICE_CLOSED;
	char *bar;

	vfio_device_close(&self->dev);
	/* The limit of the test is that of the wait. */
	ASSERT_EQ(0, pci_unbind(self->bdf));
	expect_dead(_metadata, self->fd, self->map);
	fixture_bind(_metadata, self->bdf, DRIVER_STOCK);
	ASSERT_EQ(0, vfio_device_open(&other, self->bdf));
	bar = fixture_map_bar(_metadata, &other, BAR2, 2 * MIB);
	EXPECT_TOUCH(bar + CLAIM, PTE_NONCACHED, 0);
	EXPECT_EQ(VALUE, *(volatile uint32_t *)(bar + CLAIM));
	ASSERT_EQ(0, vfio_device_reset(&other));
	expect_dead(_metadata, self->fd, self->map);
	munmap(bar, self->bar.size);
	vfio_device_close(&other);
	fixture_bind(_metadata, self->bdf, vfio_driver());
	expect_dead(_metadata, self->fd, self->map);
}

/* contract: export.not-busy */
TEST_F(export_end, lets_the_device_be_removed)
{
	vfio_device_close(&self->dev);
	ASSERT_EQ(0, pci_remove(self->bdf));
	expect_dead(_metadata, self->fd, self->map);
	ASSERT_EQ(0, pci_rescan());
	expect_dead(_metadata, self->fd, self->map);
	munmap(self->map, CLAIM_SIZE);
	EXPECT_EQ(0, close(self->fd));
}

static int module_users(struct __test_metadata *_metadata)
{
	char path[96];
	int users = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/module/%s/refcnt", vfio_driver());
	file = fopen(path, "r");
	ASSERT_NE(NULL, file);
	ASSERT_EQ(1, fscanf(file, "%d", &users));
	fclose(file);
	return users;
}

/* contract: export.module */
TEST_F(export_end, keeps_the_module_loaded_while_a_mapping_or_the_file_is_left)
{
	int open = module_users(_metadata);

	vfio_device_close(&self->dev);
	EXPECT_EQ(-1, syscall(SYS_delete_module, vfio_driver(), O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
	close(self->fd);
	EXPECT_EQ(-1, syscall(SYS_delete_module, vfio_driver(), O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
	EXPECT_SIGBUS(self->map);
	munmap(self->map, CLAIM_SIZE);
	EXPECT_EQ(open - 2, module_users(_metadata));
}

/* Sends @fd, or receives one when it is negative. */
static int pass(int socket, int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char byte = 0;
	struct iovec data = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	if (fd < 0) {
		if (recvmsg(socket, &message, 0) != 1 || !CMSG_FIRSTHDR(&message))
			return -1;
		memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
		return fd;
	}
	control.header = (struct cmsghdr) { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	return sendmsg(socket, &message, 0) == 1 ? 0 : -1;
}

/* The work of a process without files, rights and, after a byte of the owner's, a device. */
static int work(int socket)
{
	uint32_t value = VALUE + 1;
	char byte;
	int fd;
	char *map;

	if (mkdir("/tmp/empty", 0700) && errno != EEXIST)
		return 1;
	if (chroot("/tmp/empty") || chdir("/") || setgid(65534) || setuid(65534))
		return 2;
	fd = pass(socket, -1);
	if (fd < 0)
		return 3;
	map = mmap(NULL, CLAIM_SIZE, RW, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED || touch_write((uint32_t *)map, value))
		return 4;
	if (pwrite(fd, &value, 4, CLAIM_SIZE - 4) != 4 || pread(fd, &value, 4, 0) != 4 ||
	    value != VALUE + 1)
		return 5;
	/* The owner looks, and closes the device. */
	if (write(socket, "", 1) != 1 || read(socket, &byte, 1) != 1)
		return 6;
	if (touch_write((uint32_t *)map, value) != SIGBUS)
		return 7;
	return pread(fd, &value, 4, 0) == -1 && errno == ENODEV ? 0 : 8;
}

/* contract: export.passed */
TEST_F(export_end, a_process_without_rights_uses_the_export_that_it_was_given)
{
	int sockets[2], status;
	uint32_t value = 0;
	pid_t child;
	char byte;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		SKIP(return, "the kernel has no local sockets: %s", strerror(errno));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		munmap(self->map, CLAIM_SIZE);
		close(self->fd);
		vfio_device_close(&self->dev);
		close(sockets[0]);
		_exit(work(sockets[1]));
	}
	close(sockets[1]);
	ASSERT_EQ(0, pass(sockets[0], self->fd));
	if (read(sockets[0], &byte, 1) == 1) {
		EXPECT_EQ(VALUE + 1, *(volatile uint32_t *)self->map);
		EXPECT_EQ(4, pread(self->fd, &value, 4, CLAIM_SIZE - 4));
		EXPECT_EQ(VALUE + 1, value);
		vfio_device_close(&self->dev);
		EXPECT_EQ(1, write(sockets[0], "", 1));
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status) TH_LOG("step %d failed", WEXITSTATUS(status));
}

/* contract: export.passed */
TEST_F(export_end, a_program_that_is_executed_reads_from_it)
{
	int pipes[2], status;
	uint32_t value = 0;
	pid_t child;

	if (access("/bin/busybox", X_OK))
		SKIP(return, "there is no /bin/busybox");
	ASSERT_EQ(0, pipe(pipes));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		dup2(self->fd, 0);
		dup2(pipes[1], 1);
		execl("/bin/busybox", "dd", "bs=4", "count=1", NULL);
		_exit(1);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(4, read(pipes[0], &value, 4));
	EXPECT_EQ(VALUE, value);
}

/* Mappings that were split, moved and inherited are mappings of the export. */
/* contract: export.copies */
TEST_F(export_end, ends_every_part_and_copy_of_a_mapping)
{
	char *map = self->map, *moved, *hole;
	int status;
	pid_t child;

	hole = mmap(NULL, MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, hole);
	moved = mremap(map + 2 * MIB, MIB, MIB, MREMAP_MAYMOVE | MREMAP_FIXED, hole);
	ASSERT_EQ(hole, moved);
	ASSERT_EQ(0, mprotect(map + 64 * KIB, 64 * KIB, PROT_READ));
	ASSERT_EQ(0, munmap(map + MIB, 64 * KIB));
	EXPECT_TOUCH(map, PTE_WC, 0);
	EXPECT_TOUCH(map + 64 * KIB, PTE_WC, 0);
	EXPECT_TOUCH(moved, PTE_WC, 0);
	EXPECT_EQ(self->bar.start + CLAIM + 2 * MIB, pte_phys(moved));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		/* The device is open in the parent still. */
		vfio_device_close(&self->dev);
		EXPECT_TOUCH(map, PTE_WC, 0);
		EXPECT_TOUCH(moved, PTE_WC, 0);
		kill(getpid(), SIGSTOP);
		EXPECT_SIGBUS(map);
		EXPECT_SIGBUS(map + 64 * KIB);
		EXPECT_SIGBUS(moved);
		EXPECT_SIGBUS(map + 3 * MIB);
		ASSERT_EQ(0, munmap(map + 3 * MIB, 64 * KIB));
		_exit(_metadata->exit_code);
	}
	ASSERT_EQ(child, waitpid(child, &status, WUNTRACED));
	vfio_device_close(&self->dev);
	EXPECT_SIGBUS(map);
	EXPECT_SIGBUS(map + 64 * KIB);
	EXPECT_SIGBUS(moved);
	ASSERT_EQ(0, kill(child, SIGCONT));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_HARNESS_MAIN
