// SPDX-License-Identifier: GPL-2.0-only
/*
 * Maps a file until it is killed:
 *
 *	hold_bar FILE
 *
 * The mapping of a BAR through sysfs (resourceN) decides the memory type of the BAR.
 */
#include <err.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct stat file;
	int fd;

	if (argc != 2)
		errx(EXIT_FAILURE, "Usage: hold_bar FILE");
	fd = open(argv[1], O_RDWR);
	if (fd < 0 || fstat(fd, &file))
		err(EXIT_FAILURE, "%s", argv[1]);
	if (mmap(NULL, file.st_size, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED)
		err(EXIT_FAILURE, "%s: mmap", argv[1]);
	pause();
	return EXIT_SUCCESS;
}
