/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Command lines of options and one device.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** struct command_option - an option, --@name: a number, a text, or one that has no argument */
struct command_option {
	const char *name;
	/* Where it goes; one of these is set. */
	uint64_t *number;
	const char **text;
	bool *given;
};

/**
 * parse_options() - reads the command line
 *
 * @usage: what --help prints
 * @options: the options besides --help; one without a name is the last
 * @device: becomes the one argument that is no option
 *
 * Returns -1 to go on, or else the exit status, after telling why.
 */
int parse_options(int argc, char **argv, const char *usage, const struct command_option *options,
		  const char **device);

#endif /* OPTIONS_H */
