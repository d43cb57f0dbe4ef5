// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gives a guest one BAR in parts, as a virtual machine monitor does: the guest may choose the
 * memory type of some parts, and gets Device memory in the others.
 *
 *	vmm [--oracle] PCI-ADDRESS
 *
 * The registers are a DEVICE subregion, the data area is a GUEST_ANY subregion, and the rest is
 * mapped through the BAR itself. Each part is a memory slot at its offset in the BAR, so the guest
 * sees one BAR. The guest of this sample (vm.c) stores to each part once.
 *
 * The device must have at least 8 MiB of plain memory in BAR 2, as QEMU's ivshmem-plain. A real
 * monitor knows the parts from its device model.
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
/* Mapped through the BAR itself. */
#define UNCLAIMED	-1
#define VALUE		0x8877665544332211ull

/* The type in the guest if it may choose, and if it must have Device, which x86 cannot enforce. */
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
	/* The type that the guest should get if it asks for Normal-NC, or on x86 for WC. */
	const char *meant;
	/* Its mapping in this process, and its memory slot. */
	void *map;
	unsigned int slot;
};

static const char usage_text[] =
	"Usage: vmm [--oracle] PCI-ADDRESS\n"
	"\n"
	"Gives the parts of BAR 2 to a guest of KVM, with different attributes, and prints the\n"
	"memory type that the guest gets for each part.\n"
	"\n"
	"  --oracle  asks the tests' module (pte_oracle) what the page tables hold\n";

/*
 * This does not touch the memory. The kernel maps a page at the first access, also if the guest
 * makes it.
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
 * When the guest first touches a page, KVM reads from the mapping which types the guest may have. A
 * memory slot has no flag for that.
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

/* Lets the guest store to the part, and reads it back from the device. */
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

/* Returns the type that the guest got when it asked for Normal-NC, or on x86 for WC. */
static const char *guest_has(struct vm *vm, const struct part *part)
{
	/* On x86, stores of every type behave alike. */
	if (!strcmp(CHOICE, NO_CHOICE))
		return CHOICE;
	/*
	 * An unaligned store shows the type, because it fails on Device memory. KVM cannot handle
	 * the fault and ends KVM_RUN; a processor may also report the fault to the guest.
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

/* Asks the oracle by @cmd for the type of an entry. */
static const char *entry(int oracle, unsigned long cmd, struct pte_oracle *pte)
{
	if (ioctl(oracle, cmd, pte))
		return strerror(errno);
	return pte->present ? pte->name : "none";
}

/* Prints the line of a part; returns whether the guest got the expected type. */
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
	return ret ? fail(ret, "the guest got a different memory type") : STATUS_OK;
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
		return fail(STATUS_SYSTEM, "no virtual machine: %s%s", strerror(-status),
			    status == -EACCES ? "; add your user to the group of /dev/kvm" :
			    status == -ENOENT ? "; load the modules of KVM, which make /dev/kvm" :
						"");
	status = device_open(&dev, name);
	if (!status)
		status = run(&dev, &vm, oracle);
	vm_destroy(&vm);
	vfio_device_close(&dev);
	return status;
}
