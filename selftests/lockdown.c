// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kernel lockdown, as with Secure Boot: subregions work, mappings by sysfs are refused, and only a
 * signed module can be loaded. It needs a machine of its own: what it raises stays until the next
 * boot.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fixture.h"

#define LEVEL		"/sys/kernel/security/lockdown"
#define ENFORCE		"/sys/module/module/parameters/sig_enforce"
#define MODULE		"/modules/subregion_vfio_pci.ko"

/* Writes @text to the file @path of the kernel; returns an errno. */
static int tell(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), error = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) < 0)
		error = errno;
	close(fd);
	return error;
}

/*
 * Loads the driver's module again, which has no signature. The kernel looks for one before it finds
 * that the module is loaded. Returns an errno.
 */
static int load_again(void)
{
	int fd = open(MODULE, O_RDONLY | O_CLOEXEC), error;

	if (fd < 0)
		return errno;
	error = syscall(SYS_finit_module, fd, "", 0) ? errno : 0;
	close(fd);
	return error;
}

FIXTURE(lockdown) {
	struct vfio_device dev;
};

/* In this order, because a level can only be raised. */
FIXTURE_VARIANT(lockdown) {
	const char *level;
	int sysfs;
	int load;
};

FIXTURE_VARIANT_ADD(lockdown, none) { "none", 0, EEXIST };
FIXTURE_VARIANT_ADD(lockdown, integrity) { "integrity", EPERM, EPERM };
FIXTURE_VARIANT_ADD(lockdown, confidentiality) { "confidentiality", EPERM, EPERM };

FIXTURE_SETUP(lockdown)
{
	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	if (access(LEVEL, F_OK))
		mount("securityfs", "/sys/kernel/security", "securityfs", 0, NULL);
	if (access(LEVEL, F_OK))
		SKIP(return, "the kernel has no lockdown");
	if (access(MODULE, R_OK))
		SKIP(return, "there is no " MODULE);
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	/* Another test can have raised it already; the first test looks at what holds. */
	if (strcmp(variant->level, "none"))
		tell(LEVEL, variant->level);
}

FIXTURE_TEARDOWN(lockdown)
{
	vfio_device_close(&self->dev);
}

/* contract: type.lockdown */
TEST_F(lockdown, write_combining_works_and_sysfs_is_refused)
{
	struct vfio_subregion_create create;
	char level[64] = "", expected[32];
	FILE *file;
	void *map;

	file = fopen(LEVEL, "re");
	ASSERT_NE(NULL, file);
	ASSERT_NE(NULL, fgets(level, sizeof(level), file));
	fclose(file);
	snprintf(expected, sizeof(expected), "[%s]", variant->level);
	ASSERT_NE(NULL, strstr(level, expected)) TH_LOG("the levels are %s", level);

	create = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	map = fixture_map(_metadata, &self->dev, create.mmap_offset, MIB, 0);
	EXPECT_TOUCH(map, PTE_WC, 0);

	errno = 0;
	map = pci_map_resource(self->dev.bdf, 2, "_wc", 8 * MIB, MIB);
	EXPECT_EQ(variant->sysfs != 0, map == MAP_FAILED);
	EXPECT_EQ(variant->sysfs, errno);
}

/* contract: type.lockdown */
TEST_F(lockdown, an_unsigned_module_is_refused)
{
	EXPECT_EQ(variant->load, load_again());
}

/* A fixture runs after those before it; the parameter cannot be cleared. */
FIXTURE(signatures) {
};

FIXTURE_SETUP(signatures)
{
}

FIXTURE_TEARDOWN(signatures)
{
}

/* contract: type.lockdown */
TEST_F(signatures, are_enforced_on_the_module)
{
	if (access(ENFORCE, W_OK))
		SKIP(return, "the kernel checks no signatures");
	if (access(MODULE, R_OK))
		SKIP(return, "there is no " MODULE);
	ASSERT_EQ(0, tell(ENFORCE, "1"));
	EXPECT_EQ(EKEYREJECTED, load_again());
}

TEST_HARNESS_MAIN
