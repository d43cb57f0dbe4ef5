/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages that do not come: an access to one waits, in userspace or in the kernel, until the test
 * gives the page (userfaultfd).
 */
#ifndef WITHHELD_H
#define WITHHELD_H

#include <linux/userfaultfd.h>
#include <pthread.h>
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

/* The number of bytes that the thread below reads. */
#define WITHHELD_READ	32

/* A thread that reads from @offset of @file to a page that does not come. */
struct withheld_read {
	int file;
	uint64_t offset;
	char *page;
	int uffd;
	pthread_t thread;
	ssize_t done;
};

static inline void *withheld_reader(void *data)
{
	struct withheld_read *read = data;

	read->done = pread(read->file, read->page, WITHHELD_READ, read->offset);
	return NULL;
}

/**
 * withheld_read_begin() - starts the thread, and returns when it waits
 *
 * Returns false after marking the test as skipped.
 */
static inline bool withheld_read_begin(struct __test_metadata *_metadata,
				       struct withheld_read *read, int file, uint64_t offset)
{
	read->file = file;
	read->offset = offset;
	read->page = mmap(NULL, GRANULE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0);
	ASSERT_NE(MAP_FAILED, read->page);
	read->uffd = withhold(_metadata, read->page, GRANULE);
	if (read->uffd < 0)
		return false;
	ASSERT_EQ(0, pthread_create(&read->thread, NULL, withheld_reader, read));
	await_access(_metadata, read->uffd);
	return true;
}

/** withheld_read_end() - gives the thread its page, and waits for its end */
static inline void withheld_read_end(struct __test_metadata *_metadata, struct withheld_read *read)
{
	give(_metadata, read->uffd, read->page, GRANULE);
	ASSERT_EQ(0, pthread_join(read->thread, NULL));
	EXPECT_EQ(WITHHELD_READ, read->done);
	close(read->uffd);
}

/**
 * state_of_task() - the state of a process or thread, as /proc has it
 *
 * S while it sleeps, D while only a fatal signal can wake it, Z or ? after its end.
 */
static inline char state_of_task(pid_t task)
{
	char path[64], text[512], *end;
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", task);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (length <= 0)
		return '?';
	text[length] = '\0';
	end = strrchr(text, ')');
	return end && end[1] == ' ' ? end[2] : '?';
}

#endif /* WITHHELD_H */
