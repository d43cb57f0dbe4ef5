// SPDX-License-Identifier: GPL-2.0-only
/*
 * A daemon that owns a device, and a worker that gets a doorbell page and a write-combining
 * subregion of it and nothing else.
 *
 * The daemon creates the two subregions, exports a file for each (VFIO_SUBREGION_EXPORT), and sends
 * them to the worker over a socket. The worker runs as the user nobody, in an empty root directory
 * without /dev/vfio. It writes descriptors and rings the doorbell by itself. At the end the daemon
 * takes the subregion back: the worker's mapping then raises SIGBUS.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vfio_subregion_helpers.h>

#include "device.h"
#include "options.h"

#define BAR		VFIO_PCI_BAR2_REGION_INDEX
#define DOORBELL	0
#define DOORBELL_SIZE	4096
#define RING_AT		(1ULL << 20)
#define RING_SIZE	(1ULL << 20)
#define DESCRIPTORS	4096
#define DESCRIPTOR	64
#define NOBODY		65534

static const char usage_text[] =
	"Usage: c_worker DEVICE\n"
	"\n"
	"Hands a worker process, which has no other right to the device, a doorbell page and a\n"
	"write-combining subregion of BAR 2, has it write a ring, and takes it back.\n"
	"\n"
	"DEVICE is a PCI address (0000:01:00.0 or 01:00.0) or /dev/vfio/devices/vfioN; without one\n"
	"it is that in the variable DEV_IVSHMEM. BAR 2 is\n"
	"overwritten, so it must be memory, of 2 MiB or more. The program must run as root, because\n"
	"it gives up its rights in the worker.\n"
	"\n"
	"The status is 0 on success, 1 when the device cannot be used, 2 for a wrong command\n"
	"line, 3 when its driver has no subregions, 4 when it refused these, 5 when the device\n"
	"does not have what the worker wrote, or the worker still had what was taken back.\n";

/* The message with the files, because the worker cannot ask the device. */
struct grant {
	uint64_t ring_size;
	/* For large page-table entries. */
	uint64_t ring_place;
};

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(2 * sizeof(int))];
};

static int send_grant(int socket, const struct grant *grant, const int files[2])
{
	union control control = { 0 };
	struct iovec data = { (void *)grant, sizeof(*grant) };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	control.header = (struct cmsghdr) {
		.cmsg_len = CMSG_LEN(2 * sizeof(int)),
		.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
	};
	memcpy(CMSG_DATA(&control.header), files, 2 * sizeof(int));
	return sendmsg(socket, &message, 0) == (ssize_t)sizeof(*grant) ? 0 : -1;
}

static int receive_grant(int socket, struct grant *grant, int files[2])
{
	union control control;
	struct iovec data = { grant, sizeof(*grant) };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(*grant) ||
	    message.msg_flags & MSG_CTRUNC || message.msg_controllen < sizeof(control.header) ||
	    control.header.cmsg_level != SOL_SOCKET || control.header.cmsg_type != SCM_RIGHTS ||
	    control.header.cmsg_len != CMSG_LEN(2 * sizeof(int)))
		return -1;
	memcpy(files, CMSG_DATA(&control.header), 2 * sizeof(int));
	return 0;
}

/* Gives up all rights and all that can be opened by a name. */
static int confine(void)
{
	char root[] = "/tmp/worker.XXXXXX";

	if (!mkdtemp(root) || chdir(root) || rmdir(root) || chroot("."))
		return -1;
	return setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY) ? -1 : 0;
}

static sigjmp_buf revoked;

static void bus_error(int signal)
{
	siglongjmp(revoked, signal);
}

/* The descriptors of one batch, each as long as a write-combining buffer. */
static void write_ring(char *ring, volatile uint32_t *doorbell)
{
	uint64_t descriptor[DESCRIPTOR / sizeof(uint64_t)] = { 0 };
	unsigned int i;

	for (i = 0; i < DESCRIPTORS; i++) {
		descriptor[0] = i;
		descriptor[7] = ~(uint64_t)i;
		vfio_subregion_copy(ring + i * DESCRIPTOR, descriptor, DESCRIPTOR);
	}
	vfio_subregion_order_stores();
	*doorbell = DESCRIPTORS;
}

/* The worker; returns its exit status. */
static int work(int socket)
{
	volatile uint32_t *doorbell;
	struct grant grant;
	int files[2];
	char *ring;
	char byte;

	if (confine())
		return fail(STATUS_SYSTEM, "worker: cannot give up its rights: %s; run as root",
			    strerror(errno));
	if (receive_grant(socket, &grant, files))
		return fail(STATUS_SYSTEM, "worker: no files came");
	doorbell = vfio_subregion_map_at(files[0], PROT_READ | PROT_WRITE, 0, DOORBELL_SIZE, 0);
	ring = vfio_subregion_map_at(files[1], PROT_READ | PROT_WRITE, 0, grant.ring_size,
				     grant.ring_place);
	if (doorbell == MAP_FAILED || ring == MAP_FAILED)
		return fail(STATUS_SYSTEM, "worker: mmap: %s", strerror(errno));
	write_ring(ring, doorbell);
	/* The daemon destroys the subregion, and cannot flush the stores of this process. */
	vfio_subregion_flush_stores();
	/* The daemon looks, and takes the subregion back. */
	if (write(socket, "", 1) != 1 || read(socket, &byte, 1) != 1)
		return fail(STATUS_SYSTEM, "worker: the daemon is gone");
	signal(SIGBUS, bus_error);
	if (!sigsetjmp(revoked, 1)) {
		*(volatile char *)ring = 0;
		return fail(STATUS_DATA, "worker: the subregion can still be written");
	}
	/* The doorbell is another export. */
	*doorbell = 0;
	return STATUS_OK;
}

struct owner {
	struct vfio_device dev;
	struct vfio_subregion_create doorbell;
	struct vfio_subregion_create ring;
	void *registers;
	void *memory;
	int files[2];
};

static int set_up(struct owner *owner)
{
	int ret;

	ret = device_create(&owner->dev, BAR, VFIO_SUBREGION_ATTR_DEVICE, DOORBELL, DOORBELL_SIZE,
			    &owner->doorbell, &owner->registers);
	if (!ret)
		ret = device_create(&owner->dev, BAR, VFIO_SUBREGION_ATTR_WC, RING_AT, RING_SIZE,
				    &owner->ring, &owner->memory);
	if (ret)
		return ret;
	owner->files[0] = vfio_subregion_export(owner->dev.fd, owner->doorbell.index,
						O_RDWR | O_CLOEXEC);
	owner->files[1] = vfio_subregion_export(owner->dev.fd, owner->ring.index,
						O_RDWR | O_CLOEXEC);
	if (owner->files[0] < 0 || owner->files[1] < 0)
		return fail(STATUS_REFUSED, "VFIO_SUBREGION_EXPORT: %s", strerror(errno));
	return STATUS_OK;
}

/* Whether the device has what the worker should have written. */
static int verify(struct owner *owner)
{
	const volatile uint64_t *words = owner->memory;
	unsigned int i;

	if (*(volatile uint32_t *)owner->registers != DESCRIPTORS)
		return fail(STATUS_DATA, "the doorbell was not rung");
	for (i = 0; i < DESCRIPTORS; i++, words += DESCRIPTOR / sizeof(*words))
		if (words[0] != i || words[7] != ~(uint64_t)i)
			return fail(STATUS_DATA, "descriptor %u has not reached the device", i);
	return STATUS_OK;
}

/* Hands out the files, waits for the worker, and takes the subregion back. */
static int serve(struct owner *owner, int socket)
{
	const struct grant grant = { RING_SIZE, RING_AT };
	struct vfio_subregion_destroy destroy = {
		.argsz = sizeof(destroy),
		.index = owner->ring.index,
	};
	char byte;
	int ret;

	if (send_grant(socket, &grant, owner->files))
		return fail(STATUS_SYSTEM, "cannot send the files: %s", strerror(errno));
	if (read(socket, &byte, 1) != 1)
		return fail(STATUS_SYSTEM, "the worker is gone");
	ret = verify(owner);
	if (ret)
		return ret;
	printf("%u descriptors of a worker without rights have reached the device\n", DESCRIPTORS);
	if (ioctl(owner->dev.fd, VFIO_SUBREGION_DESTROY, &destroy))
		return fail(STATUS_REFUSED, "VFIO_SUBREGION_DESTROY: %s", strerror(errno));
	if (write(socket, "", 1) != 1)
		return fail(STATUS_SYSTEM, "the worker is gone");
	return STATUS_OK;
}

int main(int argc, char **argv)
{
	const struct command_option known[] = { { } };
	struct owner owner = { .files = { -1, -1 } };
	const char *device = getenv("DEV_IVSHMEM");
	int sockets[2], status, ended = 0;
	pid_t worker;

	if (argc > 1 || !device) {
		status = parse_options(argc, argv, usage_text, known, &device);
		if (status >= 0)
			return status;
	}
	/* A message tells that the other process is gone. */
	signal(SIGPIPE, SIG_IGN);
	/* The worker is there before the device is open, so it inherits nothing of it. */
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		return fail(STATUS_SYSTEM, "socketpair: %s", strerror(errno));
	worker = fork();
	if (worker < 0)
		return fail(STATUS_SYSTEM, "fork: %s", strerror(errno));
	if (!worker) {
		close(sockets[0]);
		_exit(work(sockets[1]));
	}
	close(sockets[1]);
	status = device_open(&owner.dev, device);
	if (!status)
		status = set_up(&owner);
	if (!status)
		status = serve(&owner, sockets[0]);
	/* A worker that waits finds the socket closed. */
	if (status)
		close(sockets[0]);
	waitpid(worker, &ended, 0);
	if (!status)
		status = WIFEXITED(ended) ? WEXITSTATUS(ended) : STATUS_DATA;
	if (!status)
		printf("the subregion was taken back; the worker's next store raised SIGBUS\n");
	vfio_device_close(&owner.dev);
	return status;
}
