/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Parsing of a command line with options and one device.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** struct command_option - an option --@name with a number, with a text, or without argument */
struct command_option {
	const char *name;
	/* The place for the value; exactly one of these is set. */
	uint64_t *number;
	const char **text;
	bool *given;
};

/**
 * parse_options() - reads the command line
 *
 * @usage: what --help prints
 * @options: the options besides --help; an option without a name ends the list
 * @device: set to the argument that is no option
 *
 * Returns -1 to continue, or the exit status after it has printed the reason.
 */
int parse_options(int argc, char **argv, const char *usage, const struct command_option *options,
		  const char **device);

#endif /* OPTIONS_H */
