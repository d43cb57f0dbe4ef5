// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lasting lack of memory: for each call of the driver, each of its allocations fails and so do all
 * later ones, so that there is no memory to undo the call. The kernel's own mappings of the BAR may
 * then have another shape, but a user sees no difference: claims and types are as before, and the
 * same call succeeds when there is memory again.
 */
#include "failnth.h"

/* Checks that the claims are those in @before, and frees @before. */
static void expect_same_claims(struct __test_metadata *_metadata, FIXTURE_DATA(failnth) * self,
			       struct state before)
{
	struct state now = state_of(&self->dev, &self->bar);

	EXPECT_EQ(before.regions, now.regions);
	EXPECT_EQ(before.count, now.count);
	EXPECT_STREQ(before.claims, now.claims);
	free(before.claims);
	free(now.claims);
	free(before.reserved);
	free(now.reserved);
}

/* Checks that a closed device leaves nothing behind. */
static void expect_nothing_reserved(struct __test_metadata *_metadata, FIXTURE_DATA(failnth) * self)
{
	char *lines = memtype_lines(self->bar.start, self->bar.start + self->bar.size);

	if (memtype_tracked())
		EXPECT_STREQ("", lines);
	free(lines);
}

/* contract: args.no-undo */
TEST_F_TIMEOUT(failnth, lacks_memory_to_undo_it_and_leaves_nothing_that_shows, 600)
{
	unsigned int nth, refused = 0, again = 0;
	struct state before;
	bool failed;
	int ret;

	for (nth = 1; nth < NTH_MAX; nth++) {
		if (!begin(_metadata, self, variant))
			return;
		before = state_of(&self->dev, &self->bar);

		fail_from(self, nth);
		ret = variant->issue(self);
		failed = has_failed(self);

		if (ret == -ENOTTY)
			SKIP(return, "the driver does not have this ioctl");
		if (!failed || !ret) {
			EXPECT_EQ(0, ret);
			free(before.claims);
			free(before.reserved);
		} else {
			refused++;
			if (!variant->any_error)
				EXPECT_EQ(-ENOMEM, ret) TH_LOG("%s", strerror(-ret));
			expect_same_claims(_metadata, self, before);
			if (variant->type)
				expect_types(_metadata, self, variant->type);
			ret = variant->issue(self);
			EXPECT_EQ(0, ret) TH_LOG("again, with memory: %s", strerror(-ret));
		}
		if (!ret && variant->finish)
			variant->finish(self);
		vfio_device_close(&self->dev);
		expect_nothing_reserved(_metadata, self);
		if (_metadata->exit_code == KSFT_FAIL) {
			TH_LOG("allocation %u and all later ones failed", nth);
			return;
		}
		if (failed)
			continue;
		/* The kernel's other allocations vary, so the test allows one to be missed. */
		if (refused || variant->may_do_without || again++ == AGAIN_MAX)
			break;
		nth = 0;
	}
	ASSERT_GT(NTH_MAX, nth);
	TH_LOG("the call makes %u allocations and needs %u of them", nth - 1, refused);
	if (!variant->may_do_without)
		EXPECT_NE(0, refused);
}

TEST_HARNESS_MAIN
