// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lasting lack of memory: for each call of the driver, each of its allocations fails and so do all
 * later ones, so that there is no memory to undo the call. The kernel's own mappings of the BAR may
 * then have another shape, but a user sees no difference: claims and types are as before, and the
 * same call succeeds when there is memory again.
 */
#include "failnth.h"

static void expect_claims(struct __test_metadata *_metadata, FIXTURE_DATA(failnth) * self,
			  struct state before)
{
	expect_same_claims(_metadata, &self->dev, &self->bar, before);
}

/* Checks that a closed device leaves nothing behind. */
static void expect_nothing_reserved(struct __test_metadata *_metadata, FIXTURE_DATA(failnth) * self)
{
	expect_reservations(_metadata, &self->bar, "");
}

/* contract: args.no-undo */
TEST_F_TIMEOUT(failnth, lacks_memory_to_undo_it_and_leaves_nothing_that_shows, 600)
{
	const struct shortage shortage = {
		.fail = fail_from,
		.expect_unchanged = expect_claims,
		.expect_closed = expect_nothing_reserved,
		.besides = " and all later ones",
	};

	fail_each(_metadata, self, variant, &shortage);
}

TEST_HARNESS_MAIN
