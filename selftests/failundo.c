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
	const struct shortage shortage = {
		.fail = fail_from,
		.expect_unchanged = expect_same_claims,
		.expect_closed = expect_nothing_reserved,
		.besides = " and all later ones",
	};

	fail_each(_metadata, self, variant, &shortage);
}

TEST_HARNESS_MAIN
