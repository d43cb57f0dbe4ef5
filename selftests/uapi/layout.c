// SPDX-License-Identifier: GPL-2.0-only
/*
 * The layout of the ABI, in C and in C++. The header comes first, because it must not depend on
 * others.
 */
#include <linux/vfio_subregion.h>

#ifdef __cplusplus
#define ASSERT(condition)	static_assert(condition, #condition)
#elif __STDC_VERSION__ >= 201112L
#define ASSERT(condition)	_Static_assert(condition, #condition)
#else
#define ASSERT(condition)	extern char assert_holds[(condition) ? 1 : -1]
#endif

/* A member has the offset and the size given. */
#define FIELD(type, member, offset, size) \
	ASSERT(__builtin_offsetof(struct type, member) == (offset)); \
	ASSERT(sizeof(((struct type *)0)->member) == (size))

#define SIZE(type, size) \
	ASSERT(sizeof(struct type) == (size)); \
	ASSERT((size) % 8 == 0)

SIZE(vfio_subregion_create, 56);
FIELD(vfio_subregion_create, argsz, 0, 4);
FIELD(vfio_subregion_create, flags, 4, 4);
FIELD(vfio_subregion_create, parent, 8, 4);
FIELD(vfio_subregion_create, attribute, 12, 4);
FIELD(vfio_subregion_create, offset, 16, 8);
FIELD(vfio_subregion_create, size, 24, 8);
FIELD(vfio_subregion_create, reserved, 32, 4);
FIELD(vfio_subregion_create, busy, 36, 4);
FIELD(vfio_subregion_create, index, 40, 4);
FIELD(vfio_subregion_create, effective_type, 44, 4);
FIELD(vfio_subregion_create, mmap_offset, 48, 8);

SIZE(vfio_subregion_destroy, 16);
FIELD(vfio_subregion_destroy, argsz, 0, 4);
FIELD(vfio_subregion_destroy, flags, 4, 4);
FIELD(vfio_subregion_destroy, index, 8, 4);
FIELD(vfio_subregion_destroy, reserved, 12, 4);

SIZE(vfio_subregion_query, 40);
FIELD(vfio_subregion_query, argsz, 0, 4);
FIELD(vfio_subregion_query, flags, 4, 4);
FIELD(vfio_subregion_query, index, 8, 4);
FIELD(vfio_subregion_query, attributes, 12, 4);
FIELD(vfio_subregion_query, granule, 16, 8);
FIELD(vfio_subregion_query, limit, 24, 4);
FIELD(vfio_subregion_query, count, 28, 4);
FIELD(vfio_subregion_query, busy, 32, 4);
FIELD(vfio_subregion_query, reserved, 36, 4);

SIZE(vfio_region_set_attr, 24);
FIELD(vfio_region_set_attr, argsz, 0, 4);
FIELD(vfio_region_set_attr, flags, 4, 4);
FIELD(vfio_region_set_attr, index, 8, 4);
FIELD(vfio_region_set_attr, attribute, 12, 4);
FIELD(vfio_region_set_attr, effective_type, 16, 4);
FIELD(vfio_region_set_attr, busy, 20, 4);

SIZE(vfio_subregion_export, 24);
FIELD(vfio_subregion_export, argsz, 0, 4);
FIELD(vfio_subregion_export, flags, 4, 4);
FIELD(vfio_subregion_export, index, 8, 4);
FIELD(vfio_subregion_export, open_flags, 12, 4);
FIELD(vfio_subregion_export, fd, 16, 4);
FIELD(vfio_subregion_export, reserved, 20, 4);

SIZE(vfio_region_info_cap_subregion, 32);
FIELD(vfio_region_info_cap_subregion, header, 0, 8);
FIELD(vfio_region_info_cap_subregion, parent, 8, 4);
FIELD(vfio_region_info_cap_subregion, attribute, 12, 4);
FIELD(vfio_region_info_cap_subregion, effective_type, 16, 4);
FIELD(vfio_region_info_cap_subregion, reserved, 20, 4);
FIELD(vfio_region_info_cap_subregion, offset, 24, 8);

SIZE(vfio_region_claim, 24);
FIELD(vfio_region_claim, offset, 0, 8);
FIELD(vfio_region_claim, size, 8, 8);
FIELD(vfio_region_claim, index, 16, 4);
FIELD(vfio_region_claim, reserved, 20, 4);

SIZE(vfio_region_info_cap_claims, 24);
FIELD(vfio_region_info_cap_claims, header, 0, 8);
FIELD(vfio_region_info_cap_claims, nr_claims, 8, 4);
FIELD(vfio_region_info_cap_claims, attribute, 12, 4);
FIELD(vfio_region_info_cap_claims, effective_type, 16, 4);
FIELD(vfio_region_info_cap_claims, reserved, 20, 4);
ASSERT(__builtin_offsetof(struct vfio_region_info_cap_claims, claims) == 24);
ASSERT(sizeof(((struct vfio_region_info_cap_claims *)0)->claims[0]) == 24);

/* The numbers are part of the ABI too. */
ASSERT(VFIO_SUBREGION_CREATE == 0xD500);
ASSERT(VFIO_SUBREGION_DESTROY == 0xD501);
ASSERT(VFIO_SUBREGION_QUERY == 0xD502);
ASSERT(VFIO_REGION_SET_ATTR == 0xD503);
ASSERT(VFIO_SUBREGION_EXPORT == 0xD504);
ASSERT(VFIO_REGION_INFO_CAP_SUBREGION == 0xD501);
ASSERT(VFIO_REGION_INFO_CAP_CLAIMS == 0xD502);
ASSERT(VFIO_SUBREGION_ATTR_NONCACHED == 0);
ASSERT(VFIO_SUBREGION_ATTR_DEVICE == 1);
ASSERT(VFIO_SUBREGION_ATTR_WC == 2);
ASSERT(VFIO_SUBREGION_ATTR_GUEST_ANY == 3);
ASSERT(VFIO_SUBREGION_CREATE_SHARED == 1);
ASSERT(VFIO_SUBREGION_BUSY_IOEVENTFD == 1);
ASSERT(VFIO_SUBREGION_BUSY_BAR == 2);
ASSERT(VFIO_SUBREGION_BUSY_TYPE == 4);
ASSERT(VFIO_SUBREGION_BUSY_STRAY == 8);
ASSERT(VFIO_SUBREGION_BUSY_SUBREGION == 32);
ASSERT(VFIO_SUBREGION_BUSY_MAPPED == 64);
ASSERT(VFIO_SUBREGION_TYPE_X86_UC_MINUS == 1);
ASSERT(VFIO_SUBREGION_TYPE_X86_WC == 2);
ASSERT(VFIO_SUBREGION_TYPE_ARM64_NGNRNE == 16);
ASSERT(VFIO_SUBREGION_TYPE_ARM64_NGNRE == 17);
ASSERT(VFIO_SUBREGION_TYPE_ARM64_NORMAL_NC == 18);
