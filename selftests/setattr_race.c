// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_REGION_SET_ATTR against mmap(), fork() and munmap(): a mapping has one attribute and its
 * type for as long as it exists.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "fixture.h"

#define MAPPERS		2
#define SECONDS		4
/*
 * On a slow machine the BAR is mapped most of the time, so the test runs until enough calls
 * succeeded.
 */
#define MOST_SECONDS	200
#define ENOUGH		10
#define SIZE		(2 * GRANULE)

FIXTURE(set_attr_race) {
	struct vfio_device dev;
	struct pci_bar bar;
	uint64_t window;
	char *plain;
	pthread_t mapper[MAPPERS];
	volatile bool stop;
	volatile unsigned long mapped;
	/* The number of mappings whose type differed from that of the BAR, or changed. */
	volatile unsigned long wrong;
	volatile unsigned long failed;
};

FIXTURE_SETUP(set_attr_race)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->window = vfio_offset(&self->dev, BAR2, 0);
	self->plain = memtype_lines(self->bar.start, self->bar.start + self->bar.size);
}

FIXTURE_TEARDOWN(set_attr_race)
{
	free(self->plain);
	vfio_device_close(&self->dev);
}

/* The memory type of the attribute of BAR 2. */
static const char *type_of_bar(struct vfio_device *dev)
{
	struct vfio_region_info *info = vfio_region_info_caps(dev, BAR2);
	const struct vfio_region_info_cap_claims *cap;
	const char *type;

	if (!info)
		return "unknown";
	cap = vfio_region_cap(info, VFIO_REGION_INFO_CAP_CLAIMS);
	type = cap ? attribute_pte(cap->attribute) : PTE_NONCACHED;
	free(info);
	return type;
}

/* Touches a page and checks its type. */
static bool is_of_type(char *address, const char *type)
{
	uint32_t value;

	return !touch_read((uint32_t *)address, &value) && !strcmp(type, pte_type(address));
}

/* Maps the BAR and checks that its type does not change, in a child too. */
static void *map_and_look(void *data)
{
	FIXTURE_DATA(set_attr_race) * self = data;
	const char *type;
	size_t kept;
	pid_t child;
	int status;
	char *map;

	while (!self->stop) {
		map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->dev.fd,
			   self->window);
		if (map == MAP_FAILED) {
			self->failed++;
			continue;
		}
		kept = SIZE;
		type = type_of_bar(&self->dev);
		if (!is_of_type(map, type))
			self->wrong++;
		if (++self->mapped % 8 == 0) {
			child = fork();
			if (!child)
				_exit(is_of_type(map + GRANULE, type) ? 0 : 1);
			/* For some time one of its pages belongs to the child alone. */
			munmap(map, GRANULE);
			kept = GRANULE;
			if (waitpid(child, &status, 0) == child && status)
				self->wrong++;
		}
		if (!is_of_type(map + GRANULE, type) || strcmp(type, type_of_bar(&self->dev)))
			self->wrong++;
		/* Another thread may have mapped something there in the meantime. */
		munmap(map + SIZE - kept, kept);
		usleep(1000);
	}
	return NULL;
}

/* contract: set-attr.race */
TEST_F(set_attr_race, a_mapping_has_one_type_as_long_as_it_is_there)
{
	unsigned long changed = 0, busy = 0, tries = 0;
	uint32_t attribute, last = 0;
	struct timespec now, begin;
	time_t seconds;
	unsigned int i;
	bool enough;
	int ret;

	for (i = 0; i < MAPPERS; i++)
		ASSERT_EQ(0, pthread_create(&self->mapper[i], NULL, map_and_look, self));
	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		attribute = tries++ % 4;
		ret = region_set_attr(&self->dev, BAR2, attribute);
		if (!ret && attribute != last) {
			changed++;
			last = attribute;
		}
		busy += ret == -EBUSY;
		clock_gettime(CLOCK_MONOTONIC, &now);
		enough = changed > ENOUGH && self->mapped > ENOUGH && busy;
		seconds = enough ? SECONDS : MOST_SECONDS;
	} while (now.tv_sec - begin.tv_sec < seconds && (!ret || ret == -EBUSY));
	self->stop = true;
	for (i = 0; i < MAPPERS; i++)
		pthread_join(self->mapper[i], NULL);
	TH_LOG("%lu mapped; %lu changed, %lu busy", self->mapped, changed, busy);
	EXPECT_TRUE(!ret || ret == -EBUSY);
	EXPECT_EQ(0, self->wrong);
	EXPECT_EQ(0, self->failed);
	/* Otherwise nothing was tested. */
	EXPECT_LT(ENOUGH, self->mapped);
	EXPECT_LT(ENOUGH, changed);
	EXPECT_LT(0, busy);
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED);
	expect_reservations(_metadata, &self->bar, self->plain);
}

TEST_HARNESS_MAIN
