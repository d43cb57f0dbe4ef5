// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs bench/wcbench as a user does. An emulated machine can show everything but its figures.
 */
#include <sys/wait.h>

#include "fixture.h"

#define WCBENCH		"/bench/wcbench"
#define PLOT		"/tmp/wcbench.plot"
#define OUTPUT_LEN	65536

/* Exit statuses of wcbench. */
#define STATUS_NO_SUBREGIONS	3
#define STATUS_DATA		5

FIXTURE(wcbench) {
	char output[OUTPUT_LEN];
	const char *bdf;
};

FIXTURE_SETUP(wcbench)
{
	if (access(WCBENCH, X_OK))
		SKIP(return, "there is no " WCBENCH);
	self->bdf = fixture_bdf(_metadata, "DEV_IVSHMEM");
	if (self->bdf)
		fixture_bind(_metadata, self->bdf, vfio_driver());
}

FIXTURE_TEARDOWN(wcbench)
{
	unlink(PLOT);
}

/* Runs wcbench with @arguments; returns its exit status and keeps its output. */
static int run(struct __test_metadata *_metadata, char output[OUTPUT_LEN], const char *arguments)
{
	char command[256];
	size_t length;
	FILE *pipe;
	int status;

	snprintf(command, sizeof(command), "exec " WCBENCH " %s 2>&1", arguments);
	pipe = popen(command, "re");
	ASSERT_NE(NULL, pipe);
	length = fread(output, 1, OUTPUT_LEN - 1, pipe);
	output[length] = '\0';
	status = pclose(pipe);
	ASSERT_TRUE(WIFEXITED(status)) TH_LOG("%s", output);
	return WEXITSTATUS(status);
}

/* contract: userspace.wcbench */
TEST_F(wcbench, everything_reads_back_and_arrives_in_order)
{
	char arguments[128];

	snprintf(arguments, sizeof(arguments), "--verify %s", self->bdf);
	EXPECT_EQ(0, run(_metadata, self->output, arguments)) TH_LOG("%s", self->output);
	EXPECT_NE(NULL, strstr(self->output, "read back as written"));
	EXPECT_NE(NULL, strstr(self->output, "were in place when the flag told of them"));
}

/* contract: userspace.wcbench */
TEST_F(wcbench, memory_that_keeps_nothing_is_found_out)
{
	const char *bdf = fixture_bdf(_metadata, "DEV_IGB");
	char arguments[128];

	if (!bdf)
		return;
	fixture_bind(_metadata, bdf, vfio_driver());
	/* BAR 1 is meant for a flash memory, which QEMU lacks: stores there have no effect. */
	snprintf(arguments, sizeof(arguments), "--verify --bar 1 --offset 0 --size 0x20000 %s",
		 bdf);
	EXPECT_EQ(STATUS_DATA, run(_metadata, self->output, arguments));
	EXPECT_NE(NULL, strstr(self->output, "read back wrong")) TH_LOG("%s", self->output);
}

/* contract: userspace.wcbench */
TEST_F(wcbench, on_an_emulator_it_warns_and_tells_no_figure)
{
	char arguments[128], *line, *figures, *rest = self->output;
	unsigned int lines = 0;

	snprintf(arguments, sizeof(arguments), "--plot " PLOT " %s", self->bdf);
	ASSERT_EQ(0, run(_metadata, self->output, arguments)) TH_LOG("%s", self->output);
	EXPECT_NE(NULL, strstr(self->output, "warning: this is an emulator"));
	EXPECT_NE(0, access(PLOT, F_OK)) TH_LOG("a plot was made");
	while ((line = strsep(&rest, "\n"))) {
		figures = strstr(line, " each ");
		if (!figures)
			figures = strstr(line, " last ");
		if (!figures)
			continue;
		lines++;
		EXPECT_EQ(NULL, strpbrk(figures, "0123456789")) TH_LOG("%s", line);
	}
	/* Fifteen sizes, aligned or not, with each fence. */
	EXPECT_EQ(60, lines);
}

/* contract: userspace.wcbench */
TEST_F(wcbench, on_vfio_pci_it_says_that_there_are_no_subregions)
{
	char arguments[128];

	fixture_bind(_metadata, self->bdf, DRIVER_STOCK);
	snprintf(arguments, sizeof(arguments), "--verify %s", self->bdf);
	EXPECT_EQ(STATUS_NO_SUBREGIONS, run(_metadata, self->output, arguments))
		TH_LOG("%s", self->output);
}

TEST_HARNESS_MAIN
