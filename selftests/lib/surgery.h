/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The calls by which surgery.c cuts a mapping, and the expected state of the mapping afterwards.
 */
#ifndef SURGERY_H
#define SURGERY_H

#include <sys/wait.h>

#include "fixture.h"
#include "mappings.h"

#define VIEWS_MOST	6

/* The mapped region: the BAR itself, or a subregion. */
static const struct place {
	const char *name;
	bool is_subregion;
	uint32_t attribute;
} places[] = {
	{ "BAR", false, VFIO_SUBREGION_ATTR_NONCACHED },
	{ "WC", true, VFIO_SUBREGION_ATTR_WC },
	{ "DEVICE", true, VFIO_SUBREGION_ATTR_DEVICE },
};

/* A part of the mapping. */
struct cut {
	const char *name;
	uint64_t at;
	uint64_t len;
};

/* A mapping of a range of BAR 2 of @dev. */
struct subject {
	struct vfio_device dev;
	struct pci_bar bar;
	/* The range of the BAR. */
	uint64_t at;
	uint64_t size;
	/* The number of subregions that exist all the time. */
	int kept;

	/* The state of the current round. */
	const struct place *place;
	const struct cut *cut;
	struct vfio_subregion_create sub;
	char *map;
	/* The current views; the last one added comes first (view_add()). */
	struct view views[VIEWS_MOST];
	unsigned int count;
};

/* Adds a view: @size bytes of the device file from @offset are those of the BAR from @at. */
static inline void view_add(struct subject *subject, uint64_t offset, uint64_t size, uint64_t at,
			    const char *type)
{
	memmove(subject->views + 1, subject->views, subject->count * sizeof(*subject->views));
	subject->views[0] = (struct view) { offset, size, subject->bar.start + at, type };
	subject->count++;
}

static inline void view_drop(struct subject *subject)
{
	subject->count--;
	memmove(subject->views, subject->views + 1, subject->count * sizeof(*subject->views));
}

/* At least one mapping exists, and all are as expected. */
static inline void expect_right(struct __test_metadata *_metadata, struct subject *subject)
{
	char complaint[COMPLAINT_LEN];

	EXPECT_NE(0, mappings_audit(subject->views, subject->count, complaint));
	EXPECT_STREQ("", complaint)
		TH_LOG("through %s, %s", subject->place->name, subject->cut->name);
}

/* Nothing is mapped there, and the TLB has no old entry that still reaches the device. */
static inline void expect_gone(struct __test_metadata *_metadata, struct subject *subject,
			       const char *map, uint64_t len)
{
	uint64_t at[] = { 0, len / 2 & -GRANULE, len - 4 };
	uint32_t value;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(at); i++)
		EXPECT_EQ(SIGSEGV, touch_read((uint32_t *)(map + at[i]), &value))
			TH_LOG("through %s, %s", subject->place->name, subject->cut->name);
}

/* The part that the calls cut. */
static inline char *cut_map(struct subject *subject)
{
	return subject->map + subject->cut->at;
}

/*
 * A write-combining subregion of bytes of the BAR is possible, and every entry has the right type.
 */
static inline void expect_claim(struct __test_metadata *_metadata, struct subject *subject,
				uint64_t at, uint64_t size)
{
	uint64_t window = vfio_offset(&subject->dev, BAR2, at);
	struct vfio_subregion_create wc;
	char *map;

	wc = fixture_create(_metadata, &subject->dev, BAR2, VFIO_SUBREGION_ATTR_WC, at, size);
	view_add(subject, window, size, at, NULL);
	view_add(subject, wc.mmap_offset, size, at, PTE_WC);
	map = fixture_map(_metadata, &subject->dev, wc.mmap_offset, size, 2 * MIB);
	expect_right(_metadata, subject);
	fixture_destroy(_metadata, &subject->dev, wc.index);
	view_drop(subject);
	view_drop(subject);
	EXPECT_SIGBUS(map);
	munmap(map, size);
}

/* After the call: claims from before the cut to behind it, and then of the whole mapping. */
static inline void expect_claims(struct __test_metadata *_metadata, struct subject *subject)
{
	uint64_t at = subject->at + subject->cut->at;

	if (subject->place->is_subregion) {
		fixture_destroy(_metadata, &subject->dev, subject->sub.index);
		view_drop(subject);
		view_drop(subject);
		view_add(subject, subject->sub.mmap_offset, subject->size, subject->at, NULL);
		expect_right(_metadata, subject);
	}
	expect_claim(_metadata, subject, at - GRANULE, 2 * GRANULE);
	expect_claim(_metadata, subject, subject->at, subject->size);
	expect_right(_metadata, subject);
}

/* Maps the region and touches it. */
static inline void begin(struct __test_metadata *_metadata, struct subject *subject)
{
	uint64_t window = vfio_offset(&subject->dev, BAR2, 0), offset = window + subject->at, at;

	subject->count = 0;
	view_add(subject, window, subject->bar.size, 0, PTE_NONCACHED);
	if (subject->place->is_subregion) {
		subject->sub = fixture_create(_metadata, &subject->dev, BAR2,
					      subject->place->attribute, subject->at,
					      subject->size);
		offset = subject->sub.mmap_offset;
		view_add(subject, window + subject->at, subject->size, subject->at, NULL);
		view_add(subject, offset, subject->size, subject->at,
			 attribute_pte(subject->place->attribute));
	}
	subject->map = fixture_map(_metadata, &subject->dev, offset, subject->size, GIB);
	for (at = 0; at < subject->size; at += 2 * MIB)
		(void)*(volatile char *)(subject->map + at);
	expect_right(_metadata, subject);
}

typedef void surgeon(struct __test_metadata *_metadata, struct subject *subject);

/* A process of its own cuts its mapping, and exits with the rest of it mapped. */
static inline void operate(struct __test_metadata *_metadata, struct subject *subject, surgeon *cut)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		begin(_metadata, subject);
		cut(_metadata, subject);
		expect_right(_metadata, subject);
		expect_claims(_metadata, subject);
		_exit(0);
	}
	fixture_join(_metadata, child);
	ASSERT_EQ(subject->kept, subregion_count(&subject->dev));
}

/*
 * Does this to each part of a BAR, and of subregions of 8 MiB. Of subregions of 1 GiB, only to the
 * first and the last part, because the debug kernel takes a second for each: a page within an entry
 * of 2 MiB, and half of what an entry of 1 GiB would map.
 */
static inline void operate_on_all(struct __test_metadata *_metadata, struct subject *subject,
				  surgeon *cut)
{
	const struct cut cuts[] = {
		{ "page within an entry", 3 * MIB + GRANULE, GRANULE },
		{ "middle", MIB, 4 * MIB },
		{ "first page", 0, GRANULE },
		{ "entry", 2 * MIB, 2 * MIB },
		{ "second half", subject->size / 2, subject->size / 2 },
	};
	unsigned int i, j, step;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		subject->place = &places[i];
		step = 1;
		if (subject->place->is_subregion && subject->size >= GIB)
			step = ARRAY_SIZE(cuts) - 1;
		for (j = 0; j < ARRAY_SIZE(cuts); j += step) {
			subject->cut = &cuts[j];
			operate(_metadata, subject, cut);
		}
	}
}

#endif /* SURGERY_H */
