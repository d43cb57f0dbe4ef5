// SPDX-License-Identifier: GPL-2.0-only
/* A library whose constructor calls ioctl(), for the test of vfio-wc. */
#include <sys/ioctl.h>
#include <unistd.h>

__attribute__((constructor)) static void early(void)
{
	int bytes;

	ioctl(STDIN_FILENO, FIONREAD, &bytes);
}
