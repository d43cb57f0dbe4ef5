// SPDX-License-Identifier: GPL-2.0-only

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "device.h"
#include "options.h"

#define OPTIONS_MOST	15
/* The value of --help for getopt_long(); that of the other options is their index. */
#define HELP		'h'

static int parse_number(const char *name, const char *text, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 0);
	if (errno || end == text || *end || *text == '-')
		return fail(STATUS_USAGE, "--%s: '%s' is not a number", name, text);
	return STATUS_OK;
}

static int take(const struct command_option *option, const char *argument)
{
	if (option->number)
		return parse_number(option->name, argument, option->number);
	if (option->text)
		*option->text = argument;
	else
		*option->given = true;
	return STATUS_OK;
}

int parse_options(int argc, char **argv, const char *usage, const struct command_option *options,
		  const char **device)
{
	struct option known[OPTIONS_MOST + 2] = { };
	int value, count, ret;

	for (count = 0; options[count].name && count < OPTIONS_MOST; count++)
		known[count] = (struct option) {
			.name = options[count].name,
			.has_arg = options[count].given ? no_argument : required_argument,
			.val = count,
		};
	known[count] = (struct option) { "help", no_argument, NULL, HELP };
	while ((value = getopt_long(argc, argv, "h", known, NULL)) != -1) {
		if (value == HELP) {
			fputs(usage, stdout);
			return STATUS_OK;
		}
		if (value >= count) {
			fprintf(stderr, "Try '%s --help'.\n", program_invocation_short_name);
			return STATUS_USAGE;
		}
		ret = take(&options[value], optarg);
		if (ret)
			return ret;
	}
	if (optind + 1 != argc)
		return fail(STATUS_USAGE, "name exactly one device; see --help");
	*device = argv[optind];
	return -1;
}
