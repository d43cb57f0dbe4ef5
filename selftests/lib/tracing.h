/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A buffer of ftrace that other users of tracing do not share.
 */
#ifndef TRACING_H
#define TRACING_H

#include <sys/mount.h>
#include <sys/stat.h>

#include "fixture.h"

#define TRACING		"/sys/kernel/tracing"
#define INSTANCE	TRACING "/instances/subregion"

/** tracing_begin() - makes the buffer, or marks the test as skipped and returns false */
static inline bool tracing_begin(struct __test_metadata *_metadata)
{
	mount("tracefs", TRACING, "tracefs", 0, NULL);
	if (access(TRACING "/events", F_OK))
		SKIP(return false, "the kernel has no tracing");
	/* A test that was killed leaves its buffer. */
	rmdir(INSTANCE);
	ASSERT_EQ(0, mkdir(INSTANCE, 0700));
	return true;
}

/** tracing_end() - removes the buffer */
static inline void tracing_end(void)
{
	rmdir(INSTANCE);
}

/** tracing_set() - writes @value to the file @name of the event @event (SYSTEM/EVENT) */
static inline void tracing_set(struct __test_metadata *_metadata, const char *event,
			       const char *name, const char *value)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), INSTANCE "/events/%s/%s", event, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ASSERT_LE(0, fd) TH_LOG("%s: %s", path, strerror(errno));
	ASSERT_EQ((ssize_t)strlen(value), write(fd, value, strlen(value)))
		TH_LOG("%s: %s", path, strerror(errno));
	close(fd);
}

#endif /* TRACING_H */
