// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lack of memory: for each call of the driver, each of its allocations fails once
 * (/proc/self/fail-nth, in the debug kernel). A call that fails for this reason returns ENOMEM and
 * has changed nothing, and the same call succeeds when there is memory again.
 *
 * Binding a device is not among the calls: VFIO itself warns when it removes a group that it could
 * create only in part.
 */
#include "failnth.h"

static void expect_same_state(struct __test_metadata *_metadata, FIXTURE_DATA(failnth) * self,
			      struct state before)
{
	expect_unchanged(_metadata, &self->dev, &self->bar, before);
}

/* contract: args.enomem */
TEST_F_TIMEOUT(failnth, fails_without_effect_and_works_again, 600)
{
	const struct shortage shortage = {
		.fail = fail,
		.expect_unchanged = expect_same_state,
		.besides = "",
	};

	fail_each(_metadata, self, variant, &shortage);
}

TEST_HARNESS_MAIN
