// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device without an IOMMU, which VFIO gives to a privileged process if configured to: subregions
 * work as they do with one. On machines with an IOMMU, all tests are skipped.
 */
#include <glob.h>
#include <sys/stat.h>

#include "ways.h"

FIXTURE(noiommu) {
	struct vfio_device dev;
};

FIXTURE_SETUP(noiommu)
{
	const char *bdf = fixture_bdf(_metadata, "DEV_IVSHMEM");
	int ret;

	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	if (!bdf)
		return;
	ret = pci_bind(bdf, vfio_driver());
	if (ret == -ENXIO)
		SKIP(return, "no IOMMU, and VFIO's enable_unsafe_noiommu_mode is off");
	ASSERT_EQ(0, ret) TH_LOG("cannot bind %s: %s", bdf, strerror(-ret));
	if (vfio_group_is_noiommu(bdf) <= 0)
		SKIP(return, "the machine has an IOMMU");
	ASSERT_EQ(0, vfio_device_open(&self->dev, bdf));
}

FIXTURE_TEARDOWN(noiommu)
{
	vfio_device_close(&self->dev);
}

/* contract: lifetime.noiommu */
TEST_F(noiommu, the_main_path_works)
{
	expect_main_path(_metadata, &self->dev);
}

/* contract: lifetime.noiommu */
TEST_F(noiommu, the_last_close_leaves_nothing)
{
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	vfio_device_close(&self->dev);
	expect_nothing_left(_metadata, self->dev.bdf);
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->dev.bdf));
	EXPECT_EQ(0, subregion_count(&self->dev));
}

/* contract: userspace.hardware */
TEST_F(noiommu, a_program_in_rust_opens_it)
{
	int status = -1;
	pid_t child;

	if (access("/samples/rust_ring", X_OK))
		SKIP(return, "the machine has no samples in Rust");
	vfio_device_close(&self->dev);
	child = fork();
	if (!child) {
		execl("/samples/rust_ring", "rust_ring", self->dev.bdf, NULL);
		_exit(127);
	}
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
}

/* Expects that the tool in Rust cannot show the device, and that its message has @text. */
static void expect_in_rust(struct __test_metadata *_metadata, const char *bdf, const char *text)
{
	char command[64], said[1024];
	size_t length;
	FILE *output;

	if (access("/tools/subregionctl", X_OK)) {
		TH_LOG("the machine has no programs in Rust");
		return;
	}
	snprintf(command, sizeof(command), "/tools/subregionctl show %.31s 2>&1", bdf);
	output = popen(command, "r");
	ASSERT_NE(NULL, output);
	length = fread(said, 1, sizeof(said) - 1, output);
	said[length] = '\0';
	EXPECT_NE(0, pclose(output));
	EXPECT_NE(NULL, strstr(said, text)) TH_LOG("it says: %s", said);
}

/* contract: userspace.messages */
TEST_F(noiommu, a_device_without_a_group_needs_an_iommu)
{
	struct vfio_device failing;

	vfio_device_close(&self->dev);
	ASSERT_EQ(0, pci_unbind(self->dev.bdf));
	EXPECT_EQ(-ENODEV, vfio_open_group(&failing, self->dev.bdf, NULL));
	EXPECT_NE(NULL, strstr(failing.error, "is in no IOMMU group: this machine has no IOMMU"))
		TH_LOG("the message is: %s", failing.error);
	expect_in_rust(_metadata, self->dev.bdf,
		       "is in no IOMMU group: this machine has no IOMMU");
	ASSERT_EQ(0, pci_bind(self->dev.bdf, vfio_driver()));
}

/* Changes the modes of the group's file and, on kernels with iommufd, of the device's own. */
static void change_modes(struct __test_metadata *_metadata, mode_t mode)
{
	glob_t files;
	size_t i;

	ASSERT_EQ(0, glob("/dev/vfio/noiommu-*", 0, NULL, &files));
	glob("/dev/vfio/devices/noiommu-*", GLOB_APPEND, NULL, &files);
	for (i = 0; i < files.gl_pathc; i++)
		EXPECT_EQ(0, chmod(files.gl_pathv[i], mode));
	globfree(&files);
}

/* contract: userspace.messages */
TEST_F(noiommu, a_user_without_rights_needs_them)
{
	struct vfio_device failing;

	vfio_device_close(&self->dev);
	change_modes(_metadata, 0666);
	ASSERT_EQ(0, seteuid(1000));
	EXPECT_EQ(-EPERM, vfio_open_group(&failing, self->dev.bdf, NULL));
	EXPECT_NE(NULL, strstr(failing.error, "needs CAP_SYS_RAWIO; run this as root"))
		TH_LOG("the message is: %s", failing.error);
	expect_in_rust(_metadata, self->dev.bdf, "needs CAP_SYS_RAWIO; run this as root");
	ASSERT_EQ(0, seteuid(0));
	change_modes(_metadata, 0600);
}

TEST_HARNESS_MAIN
