/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * Subregions of PCI BARs: the user interface of subregion_vfio_pci.
 *
 * This file is the only definition of the interface. Programs issue the ioctls on a VFIO device
 * file descriptor. Drivers that do not implement them fail with ENOTTY, so a program can test for
 * them with VFIO_SUBREGION_QUERY.
 */
#ifndef _LINUX_VFIO_SUBREGION_H
#define _LINUX_VFIO_SUBREGION_H

#include <linux/ioctl.h>
#include <linux/types.h>
#include <linux/vfio.h>

/**
 * DOC: Errors
 *
 * Each ioctl takes a structure that begins with @argsz and @flags. The caller sets @argsz to the
 * number of bytes that it provides. A later version can add fields at the end of a structure, whose
 * first version remains the minimum. A kernel that knows a shorter structure accepts a longer one
 * if all bytes that it does not know are zero. An ioctl that fails changes nothing. After a failure
 * the output fields are undefined, unless an error below defines one. An error with names of
 * ioctls is an error of these only.
 *
 * * EINVAL: @argsz is smaller than the first version of the structure; a flag or an attribute is
 *   unknown; a reserved field is not zero; the parent is not a memory BAR of whole pages that can
 *   be mmapped; @size is zero; @offset or @size is not a multiple of the granule; or the range
 *   leaves the BAR
 * * E2BIG: @argsz is larger than the structure and a byte beyond it is not zero, or @argsz is
 *   larger than 4096
 * * EOVERFLOW (CREATE): the sum of @offset and @size overflows
 * * EEXIST (CREATE): the range overlaps a subregion, which the call does not share; @index is the
 *   index of that subregion
 * * EBUSY (CREATE, SET_ATTR, DESTROY): another user of the range, or of the BAR, excludes the
 *   attribute; @busy says which, except for DESTROY
 * * EOPNOTSUPP (CREATE, SET_ATTR): this platform does not support the memory type, or the BAR is
 *   larger than 512 GiB
 * * EPERM (CREATE, SET_ATTR): write combining, and the range includes a page of the MSI-X table
 * * ENOSPC (CREATE): the device has the maximum number of subregions, the subregion is shared the
 *   maximum number of times, no free range of mmap offsets is left among the 512 GiB of the BAR, or
 *   the device has used up its 2^30 indices
 * * ENOENT (DESTROY, EXPORT): no subregion has this index
 * * EMFILE, ENFILE (EXPORT): the process or the machine has the maximum number of open files
 * * EFAULT: the address of the structure is invalid
 * * ENOMEM: the kernel has no memory
 * * EINTR: a fatal signal arrived
 * * ENOTTY: the driver does not implement the ioctl
 */

/* The ioctl type of this interface. VFIO's own type is ';'. */
#define VFIO_SUBREGION_IOC	0xD5

/**
 * DOC: Attributes
 *
 * The memory attribute that userspace asks for. It determines the effective type on the host, and
 * the memory types that a guest may use if the range is passed to a virtual machine. The numbers
 * are below 32, because VFIO_SUBREGION_QUERY has a bit for each.
 *
 * * VFIO_SUBREGION_ATTR_NONCACHED: pgprot_noncached(), as vfio-pci maps BARs. A guest gets device
 *   memory in a subregion. In a BAR with this attribute, which every BAR has at first, it may use
 *   any uncached type, as with vfio-pci.
 * * VFIO_SUBREGION_ATTR_DEVICE: pgprot_device(). A guest gets device memory.
 * * VFIO_SUBREGION_ATTR_WC: pgprot_writecombine(). The CPU may merge, delay and reorder stores
 *   until a fence. A guest may use any uncached type.
 * * VFIO_SUBREGION_ATTR_GUEST_ANY: pgprot_device() on the host. A guest may use any uncached type.
 */
#define VFIO_SUBREGION_ATTR_NONCACHED	0
#define VFIO_SUBREGION_ATTR_DEVICE	1
#define VFIO_SUBREGION_ATTR_WC		2
#define VFIO_SUBREGION_ATTR_GUEST_ANY	3

/**
 * DOC: Effective types
 *
 * The memory type in the page-table entries, as the architecture names it.
 *
 * * VFIO_SUBREGION_TYPE_X86_UC_MINUS: UC-
 * * VFIO_SUBREGION_TYPE_X86_WC: WC
 * * VFIO_SUBREGION_TYPE_ARM64_NGNRNE: Device-nGnRnE
 * * VFIO_SUBREGION_TYPE_ARM64_NGNRE: Device-nGnRE
 * * VFIO_SUBREGION_TYPE_ARM64_NORMAL_NC: Normal-NC
 */
#define VFIO_SUBREGION_TYPE_X86_UC_MINUS	1
#define VFIO_SUBREGION_TYPE_X86_WC		2
#define VFIO_SUBREGION_TYPE_ARM64_NGNRNE	16
#define VFIO_SUBREGION_TYPE_ARM64_NGNRE		17
#define VFIO_SUBREGION_TYPE_ARM64_NORMAL_NC	18

/**
 * DOC: Reasons for EBUSY
 *
 * After EBUSY, @busy has one of these bits. VFIO_SUBREGION_QUERY sets all bits that apply at that
 * moment, except VFIO_SUBREGION_BUSY_TYPE, which only an attempt shows. @busy need not be
 * initialised. A program that sets it to zero can tell a kernel which does not report reasons: the
 * field stays zero.
 *
 * * VFIO_SUBREGION_BUSY_IOEVENTFD: an ioeventfd writes to a page of the range, whose memory type
 *   would change
 * * VFIO_SUBREGION_BUSY_BAR: vfio-pci could not reserve the BAR when the device was opened, because
 *   another driver (such as one for a framebuffer) uses it
 * * VFIO_SUBREGION_BUSY_TYPE: another mapping gives a page of the range another memory type
 * * VFIO_SUBREGION_BUSY_STRAY: another mapping determines the memory type of a page of the range,
 *   and the driver cannot choose it
 * * VFIO_SUBREGION_BUSY_SUBREGION: the BAR has a subregion, so VFIO_REGION_SET_ATTR cannot begin
 *   or end write combining
 * * VFIO_SUBREGION_BUSY_MAPPED: a process maps the BAR itself
 *
 * The bit 0x10 was VFIO_SUBREGION_BUSY_ATTRIBUTE in the release 0.1.0. Later versions do not use
 * it.
 */
#define VFIO_SUBREGION_BUSY_IOEVENTFD	0x01
#define VFIO_SUBREGION_BUSY_BAR		0x02
#define VFIO_SUBREGION_BUSY_TYPE	0x04
#define VFIO_SUBREGION_BUSY_STRAY	0x08
#define VFIO_SUBREGION_BUSY_SUBREGION	0x20
#define VFIO_SUBREGION_BUSY_MAPPED	0x40

/* A flag of VFIO_SUBREGION_CREATE: share the subregion with identical requests. */
#define VFIO_SUBREGION_CREATE_SHARED	0x01

/**
 * struct vfio_subregion_create - VFIO_SUBREGION_CREATE
 * @argsz: in: size of the structure in bytes
 * @flags: in: zero, or VFIO_SUBREGION_CREATE_SHARED
 * @parent: in: region index of a memory BAR (VFIO_PCI_BAR0_REGION_INDEX and following)
 * @attribute: in: one of VFIO_SUBREGION_ATTR_*
 * @offset: in: offset in the BAR of the first byte of the range, a multiple of the granule
 * @size: in: size of the range in bytes, a multiple of the granule and not zero
 * @reserved: in: must be zero
 * @busy: out: after EBUSY, one of VFIO_SUBREGION_BUSY_*
 * @index: out: region index of the new subregion; after EEXIST, the index of the subregion that the
 *	range overlaps (if it overlaps several, of the one that begins first)
 * @effective_type: out: one of VFIO_SUBREGION_TYPE_*
 * @mmap_offset: out: file offset of the first byte, for mmap(), pread() and pwrite()
 *
 * Creates a subregion: a range of a BAR that has a region index, an mmap offset and a memory
 * attribute of its own. While the subregion exists, userspace can map the pages of the range only
 * through it. Mappings of the BAR lose these pages, and a later access raises SIGBUS. read() and
 * write() on the BAR still reach them. The effective type is the one that the attribute has on this
 * architecture, or the ioctl fails. The subregion exists until it is destroyed or the device is
 * closed for the last time.
 *
 * With VFIO_SUBREGION_CREATE_SHARED, the ioctl returns an existing subregion that has the same
 * parent, offset, size and attribute, if it was created with this flag too. The kernel counts the
 * calls, up to 65535; VFIO_SUBREGION_DESTROY must be called as often, and the last call destroys
 * the subregion. Any other overlap is EEXIST: nobody shares a subregion that was created without
 * the flag, since its creator expects VFIO_SUBREGION_DESTROY to destroy it, and a request without
 * the flag shares none. The count belongs to the open device. It does not fall when a process ends.
 *
 * Every process that has the device can create subregions, and destroy those of others, as it can
 * reset the device. The kernel does not know whose call a count is from. VFIO_SUBREGION_EXPORT is
 * for processes that must not do this.
 *
 * An index is not used again while the device is open. VFIO_DEVICE_GET_INFO counts the new region,
 * and VFIO_DEVICE_GET_REGION_INFO describes it. The number of regions never falls: a destroyed
 * subregion leaves an empty region, and indices that are used up come back after the last close.
 *
 * An mmap offset is used again only after the subregion has been destroyed and its last mapping
 * through the device file has ended in every process. The search for a free range goes on from the
 * last one until the new range does not fit into the rest of the 512 GiB of the BAR's offsets, so
 * small ranges are not used again for a long time. An offset that a program still has without a
 * mapping can lead to another subregion then, as a closed file descriptor can.
 *
 * The ioctl fails with EBUSY if
 *
 * * @attribute is write combining and the BAR is not, or the reverse, and an ioeventfd writes to a
 *   page of the range (VFIO_SUBREGION_BUSY_IOEVENTFD);
 * * another driver prevented vfio-pci from using the BAR (VFIO_SUBREGION_BUSY_BAR); or
 * * another mapping gives a page of the range another memory type (VFIO_SUBREGION_BUSY_TYPE), or
 *   determines the type (VFIO_SUBREGION_BUSY_STRAY).
 *
 * @attribute does not depend on the attribute of the BAR (VFIO_REGION_SET_ATTR). A write-combining
 * BAR can have a strict subregion, for registers whose stores must not be merged. After
 * VFIO_SUBREGION_DESTROY the pages have the attribute of the BAR again.
 *
 * VFIO_DEVICE_IOEVENTFD works on pages of every attribute, with their offset in the BAR. The memory
 * type of these pages does not change while the ioeventfd exists.
 */
struct vfio_subregion_create {
	__u32		argsz;
	__u32		flags;
	__u32		parent;
	__u32		attribute;
	__aligned_u64	offset;
	__aligned_u64	size;
	__u32		reserved;
	__u32		busy;
	__u32		index;
	__u32		effective_type;
	__aligned_u64	mmap_offset;
};

#define VFIO_SUBREGION_CREATE	_IO(VFIO_SUBREGION_IOC, 0)

/**
 * struct vfio_subregion_destroy - VFIO_SUBREGION_DESTROY
 * @argsz: in: size of the structure in bytes
 * @flags: in: must be zero
 * @index: in: region index of the subregion
 * @reserved: in: must be zero
 *
 * Destroys a subregion. If VFIO_SUBREGION_CREATE_SHARED has returned it several times, each call
 * but the last one only reduces the count. The mappings of a destroyed subregion lose their pages,
 * and a later access raises SIGBUS, even if a new subregion claims the range. Userspace can map the
 * pages through the BAR again. Afterwards VFIO_DEVICE_GET_REGION_INFO describes an empty region for
 * @index: size and flags are zero. A dma-buf of the subregion (VFIO_DEVICE_FEATURE_DMA_BUF) remains
 * until the last close of the device, because vfio-pci-core cannot revoke a single one.
 *
 * The ioctl fails with ENOENT if @index is not the index of a subregion, or if the subregion has
 * been destroyed before. It fails with EBUSY if an ioeventfd writes to a page of the subregion, and
 * either the subregion or the BAR is write-combining but not both. VFIO_DEVICE_IOEVENTFD with fd -1
 * removes the ioeventfd.
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
 * @argsz: in: size of the structure in bytes
 * @flags: in: must be zero
 * @index: in: region index of a BAR or of a subregion
 * @attributes: out: bit n is set if attribute n would be effective at this moment
 * @granule: out: the unit of offsets and sizes, in bytes
 * @limit: out: the maximum number of subregions that the device can have at a time
 * @count: out: the number of subregions that the device has
 * @busy: out: the VFIO_SUBREGION_BUSY_* bits of the BAR
 * @reserved: in: must be zero
 *
 * Reports the available attributes, so that programs need not know the page size or the
 * architecture. For a BAR, @attributes has the attributes that VFIO_SUBREGION_CREATE could give a
 * part of it, as far as the kernel can tell without an attempt. It is zero for a BAR that cannot
 * have subregions. For a subregion, @attributes has the attribute of the subregion only.
 *
 * For a BAR that can have subregions, @busy has a bit for each reason for which
 * VFIO_SUBREGION_CREATE of some part of it, or VFIO_REGION_SET_ATTR, would fail with EBUSY for some
 * attribute, as far as the kernel can tell without an attempt. It is zero for any other region.
 *
 * The ioctl fails with EINVAL if @index is not the index of a BAR or of a subregion.
 */
struct vfio_subregion_query {
	__u32		argsz;
	__u32		flags;
	__u32		index;
	__u32		attributes;
	__aligned_u64	granule;
	__u32		limit;
	__u32		count;
	__u32		busy;
	__u32		reserved;
};

#define VFIO_SUBREGION_QUERY	_IO(VFIO_SUBREGION_IOC, 2)

/**
 * struct vfio_region_set_attr - VFIO_REGION_SET_ATTR
 * @argsz: in: size of the structure in bytes
 * @flags: in: must be zero
 * @index: in: region index of a memory BAR that can be mmapped
 * @attribute: in: one of VFIO_SUBREGION_ATTR_*
 * @effective_type: out: one of VFIO_SUBREGION_TYPE_*
 * @busy: out: after EBUSY, one of VFIO_SUBREGION_BUSY_*
 *
 * Sets the attribute of a whole BAR before it is mmapped, for programs whose mapping code cannot be
 * changed. It applies to all pages of the BAR that no subregion claims. Every BAR has
 * VFIO_SUBREGION_ATTR_NONCACHED at first; setting it again makes the BAR like any other. Setting
 * the present attribute changes nothing, and succeeds even while the BAR is mapped; it fails only
 * with VFIO_SUBREGION_BUSY_STRAY and VFIO_SUBREGION_BUSY_BAR.
 *
 * The ioctl fails with EBUSY if
 *
 * * the BAR is mapped (VFIO_SUBREGION_BUSY_MAPPED);
 * * write combining of the BAR would begin or end, and the BAR has a subregion
 *   (VFIO_SUBREGION_BUSY_SUBREGION); a program sets the attribute before it creates subregions;
 * * write combining of the BAR would begin or end, and the BAR has an ioeventfd
 *   (VFIO_SUBREGION_BUSY_IOEVENTFD);
 * * another driver prevented vfio-pci from using the BAR (VFIO_SUBREGION_BUSY_BAR); or
 * * another mapping gives a page of the BAR another memory type (VFIO_SUBREGION_BUSY_TYPE), or
 *   determines the type (VFIO_SUBREGION_BUSY_STRAY).
 *
 * It fails with EPERM if @attribute is write combining and the BAR contains the MSI-X table.
 */
struct vfio_region_set_attr {
	__u32		argsz;
	__u32		flags;
	__u32		index;
	__u32		attribute;
	__u32		effective_type;
	__u32		busy;
};

#define VFIO_REGION_SET_ATTR	_IO(VFIO_SUBREGION_IOC, 3)

/**
 * struct vfio_subregion_export - VFIO_SUBREGION_EXPORT
 * @argsz: in: size of the structure in bytes
 * @flags: in: must be zero
 * @index: in: region index of the subregion
 * @open_flags: in: O_RDONLY or O_RDWR, and O_CLOEXEC or not
 * @fd: out: the new file descriptor
 * @reserved: in: must be zero
 *
 * Opens a file for one subregion, for a process that must not have the device. Offset 0 of the file
 * is the first byte of the subregion. The file supports mmap() (MAP_SHARED, with the subregion's
 * memory type), pread(), pwrite(), read() and write(); it gives access to nothing else of the
 * device. A file opened with O_RDONLY permits neither pwrite() nor writable mappings.
 *
 * The file works in any process, whatever rights this has. It does not keep the device open. It is
 * dead after VFIO_SUBREGION_DESTROY and after the last close of the device, and remains dead if the
 * range gets a new subregion or the device is opened again: mappings lose their pages, an access
 * raises SIGBUS, and calls fail with ENODEV. Whatever makes mappings of the device lose their pages
 * for a time, such as a reset, does so to mappings of the file.
 *
 * The ioctl fails with ENOENT if @index is not the index of a subregion, or if the subregion has
 * been destroyed; and with EINVAL if @open_flags has another flag or O_WRONLY.
 *
 * mmap() of the file fails with EINVAL if the range leaves the subregion or the mapping is private,
 * and with EACCES if it is writable and the file is not. pread() and pwrite() fail with EINVAL at
 * or after the end of the subregion, with EBADF if the file does not permit them, with EIO while
 * memory decoding is off or after the failed recovery from an error, with EINTR if a signal arrives
 * while they wait and its handler does not restart calls, with EBUSY if another mapping determines
 * the memory type, and with ENOMEM.
 */
struct vfio_subregion_export {
	__u32		argsz;
	__u32		flags;
	__u32		index;
	__u32		open_flags;
	__s32		fd;
	__u32		reserved;
};

#define VFIO_SUBREGION_EXPORT	_IO(VFIO_SUBREGION_IOC, 4)

/* Id of the capability of a subregion in VFIO_DEVICE_GET_REGION_INFO. */
#define VFIO_REGION_INFO_CAP_SUBREGION		0xD501

/**
 * struct vfio_region_info_cap_subregion - capability of a subregion
 * @header: id VFIO_REGION_INFO_CAP_SUBREGION, version 1
 * @parent: region index of the BAR
 * @attribute: one of VFIO_SUBREGION_ATTR_*
 * @effective_type: one of VFIO_SUBREGION_TYPE_*
 * @reserved: zero
 * @offset: offset in the BAR of the first byte of the subregion
 */
struct vfio_region_info_cap_subregion {
	struct vfio_info_cap_header header;
	__u32		parent;
	__u32		attribute;
	__u32		effective_type;
	__u32		reserved;
	__aligned_u64	offset;
};

/* Id of the capability of a BAR with subregions or an attribute in VFIO_DEVICE_GET_REGION_INFO. */
#define VFIO_REGION_INFO_CAP_CLAIMS		0xD502

/**
 * struct vfio_region_claim - a range of a BAR that a subregion claims
 * @offset: offset in the BAR of the first byte of the range
 * @size: size of the range in bytes
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
 * struct vfio_region_info_cap_claims - claims and attribute of a BAR
 * @header: id VFIO_REGION_INFO_CAP_CLAIMS, version 1
 * @nr_claims: number of elements of @claims
 * @attribute: attribute of mappings of the BAR itself, one of VFIO_SUBREGION_ATTR_*
 * @effective_type: effective type of mappings of the BAR itself, one of VFIO_SUBREGION_TYPE_*
 * @reserved: zero
 * @claims: the claims of subregions, ordered by offset
 *
 * A BAR has this capability if it has a subregion, or an attribute other than
 * VFIO_SUBREGION_ATTR_NONCACHED.
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
