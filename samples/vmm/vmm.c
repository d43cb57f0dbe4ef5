// SPDX-License-Identifier: GPL-2.0-only
/*
 * How a virtual machine monitor gives a guest one BAR in parts: of some the guest may choose the
 * memory type, in others it is held to Device.
 *
 *	vmm [--oracle] PCI-ADDRESS
 *
 * The registers are a DEVICE subregion, the data window is a GUEST_ANY subregion, and what nothing
 * claims is mapped by the BAR's own window. Each is a memory slot at the place that it has in the
 * BAR, so the guest sees one BAR. The guest here (vm.c) stores to each part once.
 *
 * It is made for a device whose BAR 2 is plain memory of 8 MiB at least, such as QEMU's
 * ivshmem-plain. A real monitor knows from its device model what is where.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "device.h"
#include "options.h"
#include "pte_oracle.h"
#include "vm.h"

#define BAR		VFIO_PCI_BAR2_REGION_INDEX
#define MIB		(1ull << 20)
#define PARTS		3
/* Mapped by the BAR's own window. */
#define UNCLAIMED	-1
#define VALUE		0x8877665544332211ull

/* What a guest has, when it may choose and when it is held to Device, which x86 cannot do. */
#if defined(__aarch64__)
#define CHOICE		"Normal-NC"
#define NO_CHOICE	"Device"
#else
#define CHOICE		"what its PAT says"
#define NO_CHOICE	CHOICE
#endif

/** struct part - a part of the BAR */
struct part {
	uint64_t offset;
	uint64_t size;
	/* VFIO_SUBREGION_ATTR_*, or UNCLAIMED. */
	int attribute;
	const char *name;
	/* What the guest is meant to have where it asks for Normal-NC, or on x86 for WC. */
	const char *meant;
	/* Where it is mapped in this process, and the memory slot that it is. */
	void *map;
	unsigned int slot;
};

static const char usage_text[] =
	"Usage: vmm [--oracle] PCI-ADDRESS\n"
	"\n"
	"Gives the parts of BAR 2 to a guest of KVM, by different attributes, and tells what it has.\n"
	"\n"
	"  --oracle  asks the tests' module (pte_oracle) what the page tables hold\n";

/*
 * Nothing is touched here: the kernel maps pages when they are touched, which the guest's stores do
 * as well.
 */
static int map_part(struct vfio_device *dev, const struct vfio_region_info *bar, struct part *part)
{
	struct vfio_subregion_create created;

	if (part->attribute == UNCLAIMED)
		return device_map(dev, bar->offset + part->offset, part->size, &part->map);
	return device_create(dev, BAR, part->attribute, part->offset, part->size, &created,
			     &part->map);
}

/*
 * KVM reads off the mapping what the guest may have, when the guest first touches a page. There is
 * no flag to be given with the slot.
 */
static int give_part(struct vm *vm, struct part *part)
{
	int ret;

	part->slot = vm->slots;
	ret = vm_add(vm, part->offset, part->map, part->size);
	if (ret)
		return fail(STATUS_SYSTEM, "no memory slot for %s: %s", part->name, strerror(-ret));
	return STATUS_OK;
}

/* Has the guest store to the part, and looks for it in the device. */
static int try_part(struct vfio_device *dev, struct vm *vm, const struct vfio_region_info *bar,
		    const struct part *part)
{
	uint64_t value = VALUE + part->slot, seen;
	int ret;

	ret = vm_store(vm, GUEST_NORMAL, part->offset, value);
	if (ret)
		return fail(STATUS_SYSTEM, "the guest cannot write to %s: %s", part->name,
			    ret < 0 ? strerror(-ret) : "an exception");
	if (pread(dev->fd, &seen, sizeof(seen), bar->offset + part->offset) != sizeof(seen))
		return fail(STATUS_SYSTEM, "read of the BAR: %s", strerror(errno));
	if (seen != value)
		return fail(STATUS_DATA, "what the guest wrote to %s did not arrive", part->name);
	return STATUS_OK;
}

/* What the guest has of the part where it asks for Normal-NC, or on x86 for WC. */
static const char *guest_has(struct vm *vm, const struct part *part)
{
	/* On x86 no store behaves differently by its type. */
	if (!strcmp(CHOICE, NO_CHOICE))
		return CHOICE;
	/*
	 * A store that is not aligned tells: as Device it is not done. KVM has no answer to the
	 * fault and ends KVM_RUN; a processor may give the fault to the guest.
	 */
	switch (vm_store(vm, GUEST_NORMAL, part->offset + 3, VALUE)) {
	case VM_DONE:
		return CHOICE;
	case VM_UNALIGNED:
	case -EFAULT:
		return NO_CHOICE;
	default:
		return "?";
	}
}

/* The type of an entry, after the question @cmd to the oracle. */
static const char *entry(int oracle, unsigned long cmd, struct pte_oracle *pte)
{
	if (ioctl(oracle, cmd, pte))
		return strerror(errno);
	return pte->present ? pte->name : "none";
}

/* Prints the line of a part; whether the guest has what was meant. */
static bool print_part(int oracle, struct vm *vm, const struct part *part)
{
	struct pte_oracle host = { .address = (uintptr_t)part->map };
	struct pte_oracle guest = { .address = VM_DEVICE_MEMORY + part->offset, .vcpu = vm->vcpu };
	const char *has = guest_has(vm, part);

	printf("0x%08" PRIx64 "-0x%08" PRIx64 "  %-5u %-10s", part->offset,
	       part->offset + part->size - 1, part->slot, part->name);
	if (oracle >= 0)
		printf(" %-15s %-15s", entry(oracle, PTE_ORACLE_READ, &host),
		       entry(oracle, PTE_ORACLE_READ_GUEST, &guest));
	printf(" %s\n", has);
	return !strcmp(has, part->meant);
}

static int run(struct vfio_device *dev, struct vm *vm, int oracle)
{
	struct part parts[PARTS] = {
		{
			.offset = 0,
			.size = 2 * MIB,
			.attribute = VFIO_SUBREGION_ATTR_DEVICE,
			.name = "DEVICE",
			.meant = NO_CHOICE,
		},
		{
			.offset = 2 * MIB,
			.size = 4 * MIB,
			.attribute = VFIO_SUBREGION_ATTR_GUEST_ANY,
			.name = "GUEST_ANY",
			.meant = CHOICE,
		},
		{
			.offset = 6 * MIB,
			.attribute = UNCLAIMED,
			.name = "(BAR)",
			.meant = CHOICE,
		},
	};
	struct vfio_region_info bar;
	unsigned int i;
	int ret;

	ret = device_region(dev, BAR, &bar);
	if (ret)
		return ret;
	if (bar.size < 8 * MIB)
		return fail(STATUS_USAGE, "BAR %u is too small: it has %#" PRIx64 " bytes", BAR,
			    (uint64_t)bar.size);
	parts[PARTS - 1].size = bar.size - parts[PARTS - 1].offset;
	for (i = 0; i < PARTS && !ret; i++)
		ret = map_part(dev, &bar, &parts[i]);
	for (i = 0; i < PARTS && !ret; i++)
		ret = give_part(vm, &parts[i]);
	for (i = 0; i < PARTS && !ret; i++)
		ret = try_part(dev, vm, &bar, &parts[i]);
	if (ret)
		return ret;

	printf("part of BAR %u          slot  attribute ", BAR);
	if (oracle >= 0)
		printf(" %-15s %-15s", "host's entry", "second stage");
	printf(" the guest has\n");
	for (i = 0; i < PARTS; i++)
		if (!print_part(oracle, vm, &parts[i]))
			ret = STATUS_TYPE;
	return ret ? fail(ret, "the guest has not what was meant") : STATUS_OK;
}

int main(int argc, char **argv)
{
	bool ask = false;
	const struct command_option known[] = { { .name = "oracle", .given = &ask }, { } };
	struct vfio_device dev;
	int oracle = -1, status;
	const char *name;
	struct vm vm;

	status = parse_options(argc, argv, usage_text, known, &name);
	if (status >= 0)
		return status;
	if (ask) {
		oracle = open(PTE_ORACLE_DEVICE, O_RDWR | O_CLOEXEC);
		if (oracle < 0)
			return fail(STATUS_SYSTEM, "%s: %s (is pte_oracle.ko loaded?)",
				    PTE_ORACLE_DEVICE, strerror(errno));
	}
	status = vm_create(&vm);
	if (status)
		return fail(STATUS_SYSTEM, "no virtual machine: %s (is there /dev/kvm?)",
			    strerror(-status));
	status = device_open(&dev, name);
	if (!status)
		status = run(&dev, &vm, oracle);
	vm_destroy(&vm);
	vfio_device_close(&dev);
	return status;
}
