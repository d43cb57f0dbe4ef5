// SPDX-License-Identifier: GPL-2.0-only
/*
 * The x86-64 parts of vm.h: long mode, pages of 2 MiB, a PAT with WC at index 1.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vm.h"

/* Physical and virtual addresses of the guest; RAM is at 0. */
#define NORMAL		0x80000000ull
#define DEVICE		0xc0000000ull

/* Offsets in RAM. */
#define PML4		0x1000
#define PDPT		0x2000
#define PD_RAM		0x3000
#define PD_NORMAL	0x4000
#define PD_DEVICE	0x5000
#define CODE		0x6000

/* rdi is the address to store to, rsi the value. The guest halts after the store. */
__asm__(".pushsection .rodata\n"
	".globl	guest_store, guest_count, guest_end\n"
	"guest_store:\n"
	"	mov	%rsi, (%rdi)\n"
	"	hlt\n"
	"guest_count:\n"
	"	inc	%rsi\n"
	"	mov	%rsi, (%rdi)\n"
	"	jmp	guest_count\n"
	"guest_end:\n"
	".popsection\n");

/* Intel SDM volume 3, 5.5: present and writable; a large page; PAT's index 1 and 3. */
#define TABLE		3ull
#define LARGE		(3ull | 1 << 7)
#define INDEX_1		(1ull << 3)
#define INDEX_3		(1ull << 3 | 1ull << 4)
#define LARGE_SIZE	0x200000ull
#define ENTRIES		512

#define MSR_PAT		0x277
/* As at reset, but WC (1) in place of WT at index 1. */
#define PAT		0x0007040600070106ull

static void map_large(struct vm *vm, uint64_t directory, uint64_t physical, uint64_t flags)
{
	uint64_t *entry = (uint64_t *)(vm->ram + directory), i;

	for (i = 0; i < ENTRIES; i++)
		entry[i] = (physical + i * LARGE_SIZE) | LARGE | flags;
}

/* Gives the guest all features of KVM; it needs long mode. */
static int set_cpuid(struct vm *vm)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[256];
	} cpuid = { .head.nent = 256 };

	if (ioctl(vm->kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) ||
	    ioctl(vm->vcpu, KVM_SET_CPUID2, &cpuid))
		return -errno;
	return 0;
}

static int set_mode(struct vm *vm)
{
	struct kvm_segment segment = {
		.limit = 0xffffffff, .selector = 0x10, .type = 3, .present = 1, .s = 1, .db = 1,
		.g = 1,
	};
	struct kvm_sregs sregs;

	if (ioctl(vm->vcpu, KVM_GET_SREGS, &sregs))
		return -errno;
	sregs.ds = segment;
	sregs.es = segment;
	sregs.ss = segment;
	segment.selector = 8;
	segment.type = 11;
	segment.db = 0;
	segment.l = 1;
	sregs.cs = segment;
	/* Protected mode with paging, physical address extension, long mode enabled and active. */
	sregs.cr0 = 1ull << 31 | 1;
	sregs.cr3 = PML4;
	sregs.cr4 = 1 << 5;
	sregs.efer = 1 << 8 | 1 << 10;
	return ioctl(vm->vcpu, KVM_SET_SREGS, &sregs) ? -errno : 0;
}

static int set_pat(struct vm *vm)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry pat;
	} msrs = { .head.nmsrs = 1, .pat = { .index = MSR_PAT, .data = PAT } };
	int ret = ioctl(vm->vcpu, KVM_SET_MSRS, &msrs);

	if (ret < 0)
		return -errno;
	return ret == 1 ? 0 : -EIO;
}

uint64_t vm_arch_ram(void)
{
	return 0;
}

uint64_t vm_arch_code(void)
{
	return CODE;
}

int vm_arch_init(struct vm *vm)
{
	uint64_t *pdpt = (uint64_t *)(vm->ram + PDPT);
	int ret;

	*(uint64_t *)(vm->ram + PML4) = PDPT | TABLE;
	pdpt[0] = PD_RAM | TABLE;
	pdpt[NORMAL >> 30] = PD_NORMAL | TABLE;
	pdpt[DEVICE >> 30] = PD_DEVICE | TABLE;
	map_large(vm, PD_RAM, 0, 0);
	map_large(vm, PD_NORMAL, VM_DEVICE_MEMORY, INDEX_1);
	map_large(vm, PD_DEVICE, VM_DEVICE_MEMORY, INDEX_3);
	memcpy(vm->ram + CODE, guest_store, guest_end - guest_store);
	ret = set_cpuid(vm);
	if (!ret)
		ret = set_mode(vm);
	return ret ? ret : set_pat(vm);
}

int vm_arch_start(struct vm *vm, bool count, enum guest_type type, uint64_t at, uint64_t value)
{
	struct kvm_regs regs = {
		.rip = CODE + (count ? guest_count - guest_store : 0),
		.rdi = (type == GUEST_NORMAL ? NORMAL : DEVICE) + at,
		.rsi = value,
		/* This bit is always one. */
		.rflags = 2,
	};
	struct kvm_mp_state running = { .mp_state = KVM_MP_STATE_RUNNABLE };

	if (ioctl(vm->vcpu, KVM_SET_REGS, &regs) || ioctl(vm->vcpu, KVM_SET_MP_STATE, &running))
		return -errno;
	return 0;
}

int vm_arch_result(struct vm *vm)
{
	switch (vm->run->exit_reason) {
	case KVM_EXIT_HLT:
		return VM_DONE;
	/* The guest has no handlers. */
	case KVM_EXIT_SHUTDOWN:
		return VM_EXCEPTION;
	default:
		return -EIO;
	}
}
