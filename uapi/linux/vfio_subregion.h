/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Subregions of PCI BARs: the user interface of subregion_vfio_pci.
 *
 * This file is the only definition of that interface. The ioctls are issued on an ordinary VFIO
 * device file descriptor; a driver that does not have them answers ENOTTY, which is the probe.
 */
#ifndef _LINUX_VFIO_SUBREGION_H
#define _LINUX_VFIO_SUBREGION_H

#include <linux/ioctl.h>
#include <linux/types.h>
#include <linux/vfio.h>

/**
 * DOC: Errors
 *
 * Every ioctl below takes a structure that begins with @argsz and @flags. The caller sets @argsz
 * to the number of bytes that it provides; a kernel that knows a shorter structure accepts the
 * longer one when all it does not know is zero. A call that fails changes nothing. What the
 * structure's output fields hold after a failure is unspecified, except where an error says so.
 *
 * * EINVAL: @argsz is shorter than the structure, a flag or an attribute is unknown, a reserved
 *   field is not zero, the parent is not a memory BAR that can be mmapped, an offset or a size is
 *   zero (the size) or not a multiple of the granule, or the range leaves the BAR
 * * E2BIG: @argsz exceeds the structure and the excess is not all zero, or exceeds 4096
 * * EOVERFLOW: offset + size wraps around
 * * EEXIST: the range overlaps a subregion; @index says which
 * * EBUSY: something else holds the range in a way that the attribute forbids
 * * EOPNOTSUPP: this platform cannot give the type, or the BAR is larger than 512 GiB
 * * EPERM: write combining over the page that holds the MSI-X table
 * * ENOSPC: the limit on subregions is reached, or the BAR's 512 GiB of offsets are used up
 * * ENOENT: there is no such subregion
 * * EFAULT, ENOMEM, EINTR (a fatal signal arrived): as usual
 * * ENOTTY: the ioctl is not known here
 */

/** The ioctl type of this interface; VFIO's own is ';'. */
#define VFIO_SUBREGION_IOC	0xD5

/**
 * DOC: Attributes
 *
 * What userspace asks for. The type that the page tables then hold is the effective type.
 *
 * * VFIO_SUBREGION_ATTR_NONCACHED: pgprot_noncached(), what vfio-pci maps a BAR with. A guest is
 *   held to device memory.
 * * VFIO_SUBREGION_ATTR_DEVICE: pgprot_device(). A guest is held to device memory.
 * * VFIO_SUBREGION_ATTR_WC: pgprot_writecombine(). Stores may be merged, delayed and reordered
 *   until a fence; a guest may choose any uncached type.
 * * VFIO_SUBREGION_ATTR_GUEST_ANY: pgprot_device() on the host; a guest may choose any uncached
 *   type.
 */
#define VFIO_SUBREGION_ATTR_NONCACHED	0
#define VFIO_SUBREGION_ATTR_DEVICE	1
#define VFIO_SUBREGION_ATTR_WC		2
#define VFIO_SUBREGION_ATTR_GUEST_ANY	3

/**
 * DOC: Effective types
 *
 * What the page tables really hold, in the architecture's own terms.
 */
#define VFIO_SUBREGION_TYPE_X86_UC_MINUS	1
#define VFIO_SUBREGION_TYPE_X86_WC		2
#define VFIO_SUBREGION_TYPE_ARM64_NGNRNE	16
#define VFIO_SUBREGION_TYPE_ARM64_NGNRE		17
#define VFIO_SUBREGION_TYPE_ARM64_NORMAL_NC	18

/**
 * struct vfio_subregion_create - VFIO_SUBREGION_CREATE
 * @argsz: in: size of this structure in bytes
 * @flags: in: must be zero
 * @parent: in: region index of a memory BAR (VFIO_PCI_BAR0_REGION_INDEX and up)
 * @attribute: in: one of VFIO_SUBREGION_ATTR_*
 * @offset: in: first byte of the range within the BAR, a multiple of the granule
 * @size: in: length of the range in bytes, a multiple of the granule and not zero
 * @reserved: in: must be zero
 * @index: out: region index of the new subregion; after EEXIST the index of the subregion that
 *	the range overlaps (of several, the one that begins first)
 * @effective_type: out: one of VFIO_SUBREGION_TYPE_*
 * @mmap_offset: out: what to give to mmap(), pread() and pwrite() for the first byte
 *
 * Creates a subregion: a range of a BAR with a region index, an mmap offset and a memory
 * attribute of its own. From then on, and until it is destroyed or the device is closed for the
 * last time, the pages of the range can be mapped only through the subregion: mappings made
 * through the BAR lose them (a later touch raises SIGBUS), while read() and write() on the BAR
 * still reach them. The effective type is exactly what the attribute says on this architecture,
 * or the call fails.
 *
 * An index or an mmap offset is never used again while the device stays open. The new region is
 * also found through VFIO_DEVICE_GET_INFO and VFIO_DEVICE_GET_REGION_INFO.
 *
 * EBUSY means that an ioeventfd exists on the device, on whatever BAR, and this would be the
 * first write-combining subregion of its BAR; that another mapping of the same memory has a
 * different type or decides it; or that VFIO_REGION_SET_ATTR gave the BAR an attribute. A BAR that
 * has a write-combining subregion can have more of them beside ioeventfds on other BARs, but it
 * can have no ioeventfd itself: VFIO_DEVICE_IOEVENTFD says EBUSY.
 */
struct vfio_subregion_create {
	__u32		argsz;
	__u32		flags;
	__u32		parent;
	__u32		attribute;
	__aligned_u64	offset;
	__aligned_u64	size;
	__aligned_u64	reserved;
	__u32		index;
	__u32		effective_type;
	__aligned_u64	mmap_offset;
};

#define VFIO_SUBREGION_CREATE	_IO(VFIO_SUBREGION_IOC, 0)

/**
 * struct vfio_subregion_destroy - VFIO_SUBREGION_DESTROY
 * @argsz: in: size of this structure in bytes
 * @flags: in: must be zero
 * @index: in: region index of the subregion
 * @reserved: in: must be zero
 *
 * Ends a subregion: its mappings lose their pages (a later touch raises SIGBUS, even if the range
 * is claimed anew), and its range belongs to the BAR again. VFIO_DEVICE_GET_REGION_INFO of its
 * index then tells an empty region: no size, no flags.
 *
 * ENOENT: @index is no subregion, or one that was destroyed before.
 */
struct vfio_subregion_destroy {
	__u32		argsz;
	__u32		flags;
	__u32		index;
	__u32		reserved;
};

#define VFIO_SUBREGION_DESTROY	_IO(VFIO_SUBREGION_IOC, 1)

/**
 * struct vfio_subregion_query - VFIO_SUBREGION_QUERY
 * @argsz: in: size of this structure in bytes
 * @flags: in: must be zero
 * @index: in: region index of a BAR or of a subregion
 * @attributes: out: bit n is set when attribute n would be effective here and now
 * @granule: out: in bytes; offsets and sizes are multiples of it
 * @limit: out: how many subregions the device can have at a time
 * @count: out: how many it has
 * @reserved: in: must be zero
 *
 * Says what can be had, so that userspace guesses neither page size nor architecture. For a BAR,
 * @attributes is what VFIO_SUBREGION_CREATE could give some part of it, as far as that can be told
 * without trying; none for a BAR that cannot have subregions. For a subregion it is the attribute
 * that it has.
 *
 * EINVAL: @index is neither a BAR nor a subregion.
 */
struct vfio_subregion_query {
	__u32		argsz;
	__u32		flags;
	__u32		index;
	__u32		attributes;
	__aligned_u64	granule;
	__u32		limit;
	__u32		count;
	__aligned_u64	reserved;
};

#define VFIO_SUBREGION_QUERY	_IO(VFIO_SUBREGION_IOC, 2)

/**
 * struct vfio_region_set_attr - VFIO_REGION_SET_ATTR
 * @argsz: in: size of this structure in bytes
 * @flags: in: must be zero
 * @index: in: region index of a memory BAR that can be mmapped
 * @attribute: in: one of VFIO_SUBREGION_ATTR_*
 * @effective_type: out: one of VFIO_SUBREGION_TYPE_*
 * @reserved: in: must be zero
 *
 * Sets the attribute of a whole BAR's own window before it is mmapped, for programs whose mapping
 * code cannot change. VFIO_SUBREGION_ATTR_NONCACHED, which every BAR has at first, takes it back.
 * Setting the attribute that the BAR has changes nothing, and works while the BAR is mapped.
 *
 * EBUSY: the BAR is mapped, or has a subregion, or (write combining only) an ioeventfd exists on
 * the device, on whatever BAR, or another mapping of the same memory has a different type or
 * decides it. A BAR that is write-combining can have no ioeventfd: VFIO_DEVICE_IOEVENTFD then
 * says EBUSY.
 * EPERM: write combining, and the BAR holds the MSI-X table.
 */
struct vfio_region_set_attr {
	__u32		argsz;
	__u32		flags;
	__u32		index;
	__u32		attribute;
	__u32		effective_type;
	__u32		reserved;
};

#define VFIO_REGION_SET_ATTR	_IO(VFIO_SUBREGION_IOC, 3)

/** Capability of a subregion in VFIO_DEVICE_GET_REGION_INFO. */
#define VFIO_REGION_INFO_CAP_SUBREGION		0xD501

/**
 * struct vfio_region_info_cap_subregion - what a subregion is
 * @header: id VFIO_REGION_INFO_CAP_SUBREGION, version 1
 * @parent: region index of the BAR
 * @attribute: one of VFIO_SUBREGION_ATTR_*
 * @effective_type: one of VFIO_SUBREGION_TYPE_*
 * @reserved: zero
 * @offset: first byte of the range within the BAR
 */
struct vfio_region_info_cap_subregion {
	struct vfio_info_cap_header header;
	__u32		parent;
	__u32		attribute;
	__u32		effective_type;
	__u32		reserved;
	__aligned_u64	offset;
};

/** Capability of a BAR that has subregions in VFIO_DEVICE_GET_REGION_INFO. */
#define VFIO_REGION_INFO_CAP_CLAIMS		0xD502

/**
 * struct vfio_region_claim - a range of a BAR that a subregion holds
 * @offset: first byte of the range within the BAR
 * @size: length of the range in bytes
 * @index: region index of the subregion
 * @reserved: zero
 */
struct vfio_region_claim {
	__aligned_u64	offset;
	__aligned_u64	size;
	__u32		index;
	__u32		reserved;
};

/**
 * struct vfio_region_info_cap_claims - the subregions and the attribute of a BAR
 * @header: id VFIO_REGION_INFO_CAP_CLAIMS, version 1
 * @nr_claims: length of @claims
 * @attribute: what mappings of the BAR itself are made with: one of VFIO_SUBREGION_ATTR_*
 * @effective_type: one of VFIO_SUBREGION_TYPE_*
 * @reserved: zero
 * @claims: the claims, ordered by offset
 *
 * A BAR that has no subregion, and the attribute that every BAR has at first, lacks this.
 */
struct vfio_region_info_cap_claims {
	struct vfio_info_cap_header header;
	__u32		nr_claims;
	__u32		attribute;
	__u32		effective_type;
	__u32		reserved;
	/* private: strict C++ has no array without a length */
#ifdef __cplusplus
	__extension__ struct vfio_region_claim claims[0];
#else
	/* public: */
	struct vfio_region_claim claims[];
	/* private: */
#endif
};

#endif /* _LINUX_VFIO_SUBREGION_H */
