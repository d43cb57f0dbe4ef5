// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs wc_client.so, which is wc_client as a library, for the test of vfio-wc: a program that loads
 * the library that opens the device.
 *
 *	wc_through LIBRARY [ARGUMENT]...
 */
#include <dlfcn.h>
#include <err.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
	int (*client)(int argc, char **argv);

	if (!library)
		errx(EXIT_FAILURE, "%s", argc > 1 ? dlerror() : "no library is named");
	client = (int (*)(int, char **))dlsym(library, "client");
	if (!client)
		errx(EXIT_FAILURE, "%s", dlerror());
	return client(argc - 1, argv + 1);
}
