// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PCIe writes that the samples become in the model of the plugin wctrace. The numbers are those
 * of `make trace SAMPLE=figures` in performance.rst, without the fences, which libraries have too.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fixture.h"
#include "wctrace.h"

#if defined(__x86_64__)
#define X86	true
#else
#define X86	false
#endif

/* The number that the rules of this machine's architecture give. */
#define EITHER(on_x86, on_arm64)	(X86 ? (on_x86) : (on_arm64))

#define COUNTS	7
#define TRIES	3

static const char * const names[COUNTS] = {
	"stores", "bytes", "writes", "of these strict", "whole lines", "broken lines",
	"bytes on the link",
};

FIXTURE(wctrace_samples) {
	const char *device;
};

FIXTURE_VARIANT(wctrace_samples) {
	const char *sample;
	/* The variable that names its device. */
	const char *device;
	/* In the order of @names. */
	uint64_t counts[COUNTS];
};

FIXTURE_VARIANT_ADD(wctrace_samples, wc_ring) {
	"wc_ring", "DEV_IVSHMEM", { 262145, 4194308, 65537, 1, 65536, 0, 5767196 },
};

/* The one that is broken on purpose. */
FIXTURE_VARIANT_ADD(wctrace_samples, broken_ring) {
	"broken_ring", "DEV_IVSHMEM",
	{ 32769, 262148, EITHER(32769, 20481), 1, 0, EITHER(8192, 20480),
	  EITHER(1048604, 753692) },
};

FIXTURE_VARIANT_ADD(wctrace_samples, rust_ring) {
	"rust_ring", "DEV_IVSHMEM", { 4097, 65540, 1025, 1, 1024, 0, 90140 },
};

FIXTURE_VARIANT_ADD(wctrace_samples, c_igb_loop) {
	"c_igb_loop", "DEV_IGB", { 2023, 8092, 2023, 2023, 0, 0, 56644 },
};

/* It acknowledges an interrupt of each frame, for which the one in C does not ask. */
FIXTURE_VARIANT_ADD(wctrace_samples, igb_loop) {
	"igb_loop", "DEV_IGB", { 3026, 12104, 3026, 3026, 0, 0, 84728 },
};

FIXTURE_VARIANT_ADD(wctrace_samples, c_nvme_cmb) {
	"c_nvme_cmb", "DEV_NVME", { 395, 4664, 203, 139, 64, 0, 9536 },
};

FIXTURE_VARIANT_ADD(wctrace_samples, nvme_cmb) {
	"nvme_cmb", "DEV_NVME", { 395, 4664, 203, 139, 64, 0, 9536 },
};

FIXTURE_SETUP(wctrace_samples)
{
	if (!wctrace(WCTRACE_STATE, 0, 0))
		SKIP(return, "QEMU has no plugin wctrace: use rig/vm --trace");
	self->device = fixture_bdf(_metadata, variant->device);
	if (!self->device)
		return;
	fixture_bind(_metadata, self->device, vfio_driver());
}

FIXTURE_TEARDOWN(wctrace_samples)
{
}

/* Runs the sample, and puts what the plugin counted into @counts. */
static void run(struct __test_metadata *_metadata, const char *sample, const char *device,
		uint64_t counts[COUNTS])
{
	char command[128], line[256];
	int found = 0;
	FILE *output;

	snprintf(command, sizeof(command), "exec /tools/wctrace_run --count - %s /samples/%s %s",
		 device, sample, device);
	output = popen(command, "re");
	ASSERT_NE(NULL, output);
	while (fgets(line, sizeof(line), output))
		found += sscanf(line, "program - %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
				" %" SCNu64 " %" SCNu64 " %" SCNu64, &counts[0], &counts[1],
				&counts[2], &counts[3], &counts[4], &counts[5],
				&counts[6]) == COUNTS;
	ASSERT_EQ(0, pclose(output));
	ASSERT_EQ(1, found);
}

/* contract: wctrace.helpers */
TEST_F(wctrace_samples, become_the_writes_of_the_documentation)
{
	uint64_t counts[COUNTS] = { 0 };
	int try, i;

	/* If another program runs in the middle, it breaks a line. */
	for (try = 0; try < TRIES; try++) {
		run(_metadata, variant->sample, self->device, counts);
		if (!memcmp(counts, variant->counts, sizeof(counts)))
			break;
	}
	for (i = 0; i < COUNTS; i++) {
		EXPECT_EQ(variant->counts[i], counts[i])
			TH_LOG("%s: %s", variant->sample, names[i]);
	}
}

TEST_HARNESS_MAIN
