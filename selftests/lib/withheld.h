/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages that do not come: an access to one waits, in userspace or in the kernel, until the test
 * gives the page (userfaultfd).
 */
#ifndef WITHHELD_H
#define WITHHELD_H

#include <linux/userfaultfd.h>
#include <sys/syscall.h>

#include "fixture.h"

/**
 * withhold() - withholds @size bytes of anonymous memory that nobody has accessed yet
 *
 * Returns the userfaultfd, or -1 after marking the test as skipped.
 */
static inline int withhold(struct __test_metadata *_metadata, void *memory, size_t size)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register absent = {
		.range = { (uintptr_t)memory, size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (uffd < 0)
		SKIP(return -1, "userfaultfd: %s", strerror(errno));
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_API, &api));
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_REGISTER, &absent));
	return uffd;
}

/** await_access() - returns when an access waits for a page */
static inline void await_access(struct __test_metadata *_metadata, int uffd)
{
	struct uffd_msg message;

	ASSERT_EQ(sizeof(message), read(uffd, &message, sizeof(message)));
}

/** give() - gives pages of zeros, and lets the accesses to them go on */
static inline void give(struct __test_metadata *_metadata, int uffd, void *memory, size_t size)
{
	struct uffdio_zeropage zero = { .range = { (uintptr_t)memory, size } };

	ASSERT_EQ(0, ioctl(uffd, UFFDIO_ZEROPAGE, &zero));
}

#endif /* WITHHELD_H */
