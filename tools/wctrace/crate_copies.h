/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Copies by the crate, done by the process `crate_test copies` (selftests/crate/src/copies.rs).
 * Its stdin is the device file, and its stdout is a socket. It runs on another CPU than its parent,
 * whose buffers its system calls would empty whenever the kernel switches between them.
 */
#ifndef CRATE_COPIES_H
#define CRATE_COPIES_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct crate_copies {
	pid_t child;
	int socket;
};

static inline int crate_copies_leave_cpu(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu() == 0, &cpus);
	return sched_setaffinity(0, sizeof(cpus), &cpus);
}

/** crate_copies_start() - starts the process for @device; returns -1 if it cannot copy */
static inline int crate_copies_start(struct crate_copies *copies, int device)
{
	int pair[2];
	char ready;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -1;
	copies->child = fork();
	if (copies->child < 0)
		return -1;
	if (!copies->child) {
		if (!crate_copies_leave_cpu() && dup2(device, STDIN_FILENO) >= 0 &&
		    dup2(pair[1], STDOUT_FILENO) >= 0)
			execl("/selftests/crate_test", "crate_test", "copies", NULL);
		perror("/selftests/crate_test");
		_exit(127);
	}
	close(pair[1]);
	copies->socket = pair[0];
	return read(pair[0], &ready, 1) == 1 ? 0 : -1;
}

/** crate_copies_copy() - has @size bytes copied to @offset of strict or write-combining memory */
static inline int crate_copies_copy(struct crate_copies *copies, bool strict, uint32_t offset,
				    uint32_t size)
{
	const uint32_t request[] = { strict, offset, size };
	char done;

	if (write(copies->socket, request, sizeof(request)) != sizeof(request))
		return -1;
	return read(copies->socket, &done, 1) == 1 ? 0 : -1;
}

/** crate_copies_end() - ends the process; returns its wait status */
static inline int crate_copies_end(struct crate_copies *copies)
{
	int status;

	close(copies->socket);
	return waitpid(copies->child, &status, 0) == copies->child ? status : -1;
}

#endif /* CRATE_COPIES_H */
