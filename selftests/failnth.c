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

/* contract: args.enomem */
TEST_F_TIMEOUT(failnth, fails_without_effect_and_works_again, 600)
{
	unsigned int nth, refused = 0, again = 0;
	struct state before;
	bool failed;
	int ret;

	for (nth = 1; nth < NTH_MAX; nth++) {
		if (!begin(_metadata, self, variant))
			return;
		before = state_of(&self->dev, &self->bar);

		fail(self, nth);
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
			expect_unchanged(_metadata, &self->dev, &self->bar, before);
			if (variant->type)
				expect_types(_metadata, self, variant->type);
			ret = variant->issue(self);
			EXPECT_EQ(0, ret) TH_LOG("again, with memory: %s", strerror(-ret));
		}
		if (!ret && variant->finish)
			variant->finish(self);
		vfio_device_close(&self->dev);
		if (_metadata->exit_code == KSFT_FAIL) {
			TH_LOG("this was with allocation %u failing", nth);
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
