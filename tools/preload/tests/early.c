// SPDX-License-Identifier: GPL-2.0-only
/*
 * A library whose constructor calls ioctl(), and whose getenv() calls mmap(), as malloc() of some
 * libraries does, for the test of vfio-wc: its library calls getenv() when it begins.
 */
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

char *getenv(const char *name)
{
	size_t length = strlen(name);

	munmap(mmap(NULL, 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1);
	for (char **at = environ; *at; at++)
		if (!strncmp(*at, name, length) && (*at)[length] == '=')
			return *at + length + 1;
	return NULL;
}

__attribute__((constructor)) static void early(void)
{
	int bytes;

	ioctl(STDIN_FILENO, FIONREAD, &bytes);
}
