// SPDX-License-Identifier: GPL-2.0-only
/*
 * The messages of programs in C when a device cannot be opened: what failed, why, what to do. The
 * table in Documentation/userspace.rst has the texts.
 */
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "fixture.h"
#include "vfio_bar.h"

/* A user without rights. */
#define USER	1000
/* The mount point of the cgroup for devices. */
#define DEVICES	"/tmp/devices"

FIXTURE(messages) {
	struct vfio_device dev;
	const char *bdf;
	char group[64];
};

FIXTURE_SETUP(messages)
{
	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	self->bdf = fixture_bdf(_metadata, "DEV_IVSHMEM");
	if (!self->bdf)
		return;
	fixture_bind(_metadata, self->bdf, vfio_driver());
	snprintf(self->group, sizeof(self->group), "/dev/vfio/%d", pci_iommu_group(self->bdf));
}

FIXTURE_TEARDOWN(messages)
{
	vfio_device_close(&self->dev);
}

/* Expects that opening of @address by its group fails with @error, and a message that has @text. */
#define EXPECT_MESSAGE(address, error_number, text) do {				\
	struct vfio_device failing;							\
	EXPECT_EQ(-(error_number), vfio_open_group(&failing, address, NULL));		\
	EXPECT_NE(NULL, strstr(failing.error, text))					\
		TH_LOG("the message is: %s", failing.error);				\
} while (0)

/* Writes a line to a file that exists; returns 0 or less on failure. */
__attribute__((format(printf, 2, 3)))
static int write_line(const char *path, const char *format, ...)
{
	int fd = open(path, O_WRONLY), length = -1;
	va_list args;

	va_start(args, format);
	if (fd >= 0)
		length = vdprintf(fd, format, args);
	va_end(args);
	close(fd);
	return length;
}

/* contract: userspace.messages */
TEST_F(messages, an_address_that_is_none_is_named)
{
	EXPECT_MESSAGE("3", EINVAL, "'3' is no PCI address");
}

/* contract: userspace.messages */
TEST_F(messages, a_device_that_does_not_exist_is_named)
{
	EXPECT_MESSAGE("fe:1f.7", ENODEV,
		       "there is no PCI device 0000:fe:1f.7; lspci -D lists those");
}

/* contract: userspace.messages */
TEST_F(messages, a_device_without_a_driver_needs_one)
{
	ASSERT_EQ(0, pci_unbind(self->bdf));
	EXPECT_MESSAGE(self->bdf, ENOENT, "it has no driver; bind it to subregion_vfio_pci");
	ASSERT_EQ(0, pci_bind(self->bdf, vfio_driver()));
}

/* contract: userspace.messages */
TEST_F(messages, a_container_without_the_file_needs_it)
{
	char away[80];

	snprintf(away, sizeof(away), "%s.away", self->group);
	ASSERT_EQ(0, rename(self->group, away));
	EXPECT_MESSAGE(self->bdf, ENOENT, self->group);
	EXPECT_MESSAGE(self->bdf, ENOENT, "a container must be given that file (--device)");
	ASSERT_EQ(0, rename("/dev/vfio/vfio", "/dev/vfio/away"));
	ASSERT_EQ(0, rename(away, self->group));
	EXPECT_MESSAGE(self->bdf, ENOENT, "/dev/vfio/vfio does not exist: modprobe vfio");
	ASSERT_EQ(0, rename("/dev/vfio/away", "/dev/vfio/vfio"));
	EXPECT_EQ(0, vfio_device_open(&self->dev, self->bdf));
}

/* contract: userspace.messages */
TEST_F(messages, a_file_of_another_user_has_an_owner)
{
	ASSERT_EQ(0, seteuid(USER));
	EXPECT_MESSAGE(self->bdf, EACCES, self->group);
	EXPECT_MESSAGE(self->bdf, EACCES,
		       "it belongs to user 0 and group 0 with mode 600; chown it to your user");
	ASSERT_EQ(0, seteuid(0));
}

/* contract: userspace.messages */
TEST_F(messages, a_container_without_the_right_needs_it)
{
	struct stat status;

	if (mkdir(DEVICES, 0700) || mount("none", DEVICES, "cgroup", 0, "devices"))
		SKIP(return, "the kernel has no cgroup for devices");
	ASSERT_EQ(0, stat(self->group, &status));
	ASSERT_EQ(0, mkdir(DEVICES "/container", 0700));
	ASSERT_LT(0, write_line(DEVICES "/container/devices.deny", "c %u:%u rwm",
				major(status.st_rdev), minor(status.st_rdev)));
	ASSERT_LT(0, write_line(DEVICES "/container/cgroup.procs", "%d", getpid()));
	EXPECT_MESSAGE(self->bdf, EPERM, self->group);
	EXPECT_MESSAGE(self->bdf, EPERM, "a container must be given that file (--device)");
	ASSERT_LT(0, write_line(DEVICES "/cgroup.procs", "%d", getpid()));
	EXPECT_EQ(0, rmdir(DEVICES "/container"));
	EXPECT_EQ(0, umount(DEVICES));
	EXPECT_EQ(0, rmdir(DEVICES));
}

/* contract: userspace.messages */
TEST_F(messages, a_device_in_use_has_a_process)
{
	char text[128];

	ASSERT_EQ(0, vfio_device_open(&self->dev, self->bdf));
	snprintf(text, sizeof(text), "process %d has %s open; end that process", getpid(),
		 self->group);
	EXPECT_MESSAGE(self->bdf, EBUSY, text);
}

/* contract: userspace.messages */
TEST_F(messages, a_group_with_a_sibling_in_use_has_a_process)
{
	const char *first = fixture_bdf(_metadata, "DEV_PAIR_0");
	const char *second = fixture_bdf(_metadata, "DEV_PAIR_1");
	char text[128], file[64];

	if (!first || !second)
		return;
	if (access("/dev/iommu", F_OK))
		SKIP(return, "the kernel has no iommufd");
	fixture_bind(_metadata, first, vfio_driver());
	fixture_bind(_metadata, second, vfio_driver());
	ASSERT_EQ(0, vfio_device_open_cdev(&self->dev, second));
	ASSERT_EQ(0, pci_vfio_file(second, file, sizeof(file)));
	snprintf(text, sizeof(text), "process %d has %s open; end that process", getpid(), file);
	EXPECT_MESSAGE(first, EBUSY, text);
}

/* contract: userspace.messages */
TEST_F(messages, a_group_with_a_device_of_another_driver_has_that_device)
{
	const char *first = fixture_bdf(_metadata, "DEV_PAIR_0");
	const char *second = fixture_bdf(_metadata, "DEV_PAIR_1");
	char text[128];

	if (!first || !second)
		return;
	if (access(PCI_BUS "/drivers/uio_pci_generic", F_OK))
		SKIP(return, "the kernel has no driver that takes any device");
	fixture_bind(_metadata, first, vfio_driver());
	fixture_bind(_metadata, second, "uio_pci_generic");
	snprintf(text, sizeof(text),
		 "in use outside of VFIO, by %s (uio_pci_generic); bind all of", second);
	EXPECT_MESSAGE(first, EPERM, text);
	fixture_bind(_metadata, second, vfio_driver());
}

/* Expects that a user opens the device by its own file, or by its group. */
static void expect_user_opens(struct __test_metadata *_metadata, const char *bdf, bool by_file)
{
	struct vfio_device dev;
	int status;
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (setresuid(USER, USER, USER) || vfio_open(&dev, bdf))
			_exit(1);
		_exit((dev.iommufd >= 0) == by_file && (dev.group < 0) == by_file ? 0 : 2);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

/* contract: userspace.messages */
TEST_F(messages, a_user_who_may_not_use_the_device_file_gets_the_group)
{
	ASSERT_EQ(0, chown(self->group, USER, USER));
	expect_user_opens(_metadata, self->bdf, false);
	ASSERT_EQ(0, chown(self->group, 0, 0));
}

/* contract: userspace.messages */
TEST_F(messages, a_user_who_may_not_use_the_group_gets_the_device_file)
{
	char file[64];

	if (access("/dev/iommu", F_OK) || pci_vfio_file(self->bdf, file, sizeof(file)))
		SKIP(return, "the kernel gives devices no files of their own");
	ASSERT_EQ(0, chown(file, USER, USER));
	ASSERT_EQ(0, chown("/dev/iommu", USER, USER));
	expect_user_opens(_metadata, self->bdf, true);
	ASSERT_EQ(0, chown("/dev/iommu", 0, 0));
	ASSERT_EQ(0, chown(file, 0, 0));
	/* Root may use both. */
	ASSERT_EQ(0, vfio_open(&self->dev, self->bdf));
	EXPECT_LE(0, self->dev.group);
}

/* A range that the kernel refuses, and the reason. */
FIXTURE(reason) {
	struct vfio_device dev;
};

FIXTURE_VARIANT(reason) {
	const char *device;
	uint32_t bar;
	uint64_t offset;
	uint64_t size;
	int error;
	const char *text;
};

FIXTURE_VARIANT_ADD(reason, no_number_of_a_bar) {
	"DEV_TESTDEV", 6, 0, 4 * KIB, EINVAL,
	"there is no BAR 6: BARs have the numbers 0 to 5; name one of these"
};

FIXTURE_VARIANT_ADD(reason, no_bar) {
	"DEV_TESTDEV", 5, 0, 4 * KIB, EINVAL, "has no BAR 5; lspci -vv -s 0"
};

FIXTURE_VARIANT_ADD(reason, upper_half) {
	"DEV_TESTDEV", 3, 0, 4 * KIB, EINVAL,
	"is the upper half of BAR 2, which has 64 bits; name BAR 2"
};

FIXTURE_VARIANT_ADD(reason, ports) {
	"DEV_TESTDEV", 1, 0, 4 * KIB, EINVAL,
	"has I/O ports, which cannot be mapped; name a memory BAR"
};

FIXTURE_VARIANT_ADD(reason, less_than_a_page) {
	"DEV_IVSHMEM", 0, 0, 4 * KIB, EINVAL,
	"has 0x100 bytes, and a subregion is whole pages of 0x1000 bytes; "
};

FIXTURE_VARIANT_ADD(reason, no_whole_pages) {
	"DEV_IVSHMEM", 2, 0x800, 4 * KIB, EINVAL, "are no whole pages, of 0x1000 bytes each; change"
};

FIXTURE_VARIANT_ADD(reason, beyond_the_end) {
	"DEV_IVSHMEM", 2, 12 * MIB, 8 * MIB, EINVAL, "which has 0x1000000 bytes; change the range"
};

FIXTURE_VARIANT_ADD(reason, msix_table) {
	"DEV_NVME", 0, 0, 16 * KIB, EPERM,
	"have the MSI-X table, which must stay strict; leave them out"
};

FIXTURE_VARIANT_ADD(reason, msix_table_everywhere) {
	"DEV_MSIX", 1, 0, 4 * KIB, EPERM,
	"has a part of the MSI-X table, which must stay strict; name another BAR"
};

FIXTURE_SETUP(reason)
{
	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	if (fixture_open(_metadata, &self->dev, variant->device, vfio_driver()))
		fixture_has_4k(_metadata);
}

FIXTURE_TEARDOWN(reason)
{
	vfio_device_close(&self->dev);
}

static int check_range(struct vfio_device *dev, const struct vfio_subregion_create *create)
{
	return vfio_check_range(dev, create->parent, create->attribute, create->offset,
				create->size);
}

/* contract: userspace.messages */
TEST_F(reason, is_told_for_a_range_that_the_kernel_refuses)
{
	struct vfio_subregion_create create = subregion_init(variant->bar, VFIO_SUBREGION_ATTR_WC,
							     variant->offset, variant->size);

	if (self->dev.fd < 0)
		return;
	EXPECT_EQ(-variant->error, subregion_create(&self->dev, &create));
	EXPECT_EQ(-variant->error, check_range(&self->dev, &create));
	EXPECT_NE(NULL, strstr(self->dev.error, variant->text))
		TH_LOG("the message is: %s", self->dev.error);
	/* Without its address, as if it was opened by its file. */
	self->dev.bdf[0] = '\0';
	self->dev.error[0] = '\0';
	EXPECT_EQ(-variant->error, check_range(&self->dev, &create));
	EXPECT_NE(NULL, strstr(self->dev.error, variant->text))
		TH_LOG("without the address, the message is: %s", self->dev.error);
}

/* contract: userspace.messages */
TEST_F(messages, a_range_that_can_be_a_subregion_has_no_reason)
{
	const char *bdf = fixture_bdf(_metadata, "DEV_NVME");

	if (!bdf || !fixture_has_4k(_metadata))
		return;
	fixture_bind(_metadata, bdf, vfio_driver());
	ASSERT_EQ(0, vfio_device_open(&self->dev, bdf));
	EXPECT_EQ(0, vfio_check_range(&self->dev, 0, VFIO_SUBREGION_ATTR_DEVICE, 0, 16 * KIB));
	EXPECT_EQ(0, vfio_check_range(&self->dev, 0, VFIO_SUBREGION_ATTR_WC, 0, 8 * KIB));
	EXPECT_EQ(0, vfio_check_range(&self->dev, 2, VFIO_SUBREGION_ATTR_WC, 0, 16 * MIB));
}

/* The machine has no such BARs, so a file has what sysfs would show, and no device is open. */
/* contract: userspace.messages */
TEST_F(messages, a_bar_without_an_address_or_mappings_has_a_reason)
{
	struct vfio_device dev = VFIO_DEVICE_CLOSED;
	FILE *resource;

	ASSERT_TRUE(!mkdir("/tmp/bars", 0700) || errno == EEXIST);
	resource = fopen("/tmp/bars/resource", "we");
	ASSERT_NE(NULL, resource);
	fputs("0x0 0xffff 0x20040200\n0xfe000000 0xfe00ffff 0x40200\n", resource);
	fputs("0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n", resource);
	ASSERT_EQ(0, fclose(resource));
	snprintf(dev.bdf, sizeof(dev.bdf), "../../../../tmp/bars");
	EXPECT_EQ(-EINVAL, vfio_check_range(&dev, 0, VFIO_SUBREGION_ATTR_WC, 0, 4 * KIB));
	EXPECT_NE(NULL, strstr(dev.error, "BAR 0 of bars has no address: neither the firmware"));
	EXPECT_EQ(-EINVAL, vfio_check_range(&dev, 1, VFIO_SUBREGION_ATTR_WC, 0, 4 * KIB));
	EXPECT_STREQ("VFIO does not map BAR 1 of bars; access it by pread() and pwrite()",
		     dev.error);
	snprintf(dev.bdf, sizeof(dev.bdf), "none");
	EXPECT_EQ(-EINVAL, vfio_check_range(&dev, 1, VFIO_SUBREGION_ATTR_WC, 0, 4 * KIB));
	EXPECT_STREQ("BAR 1 cannot be mapped, and sysfs is not there to say why; name another BAR",
		     dev.error);
}

TEST_HARNESS_MAIN
