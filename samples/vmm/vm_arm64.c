// SPDX-License-Identifier: GPL-2.0-only
/*
 * The arm64 parts of vm.h: EL1, a granule of 4 KiB, addresses of 39 bits, blocks of 1 GiB.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vm.h"

/* Physical and virtual addresses of the guest. The port has no memory, so a store there exits. */
#define PORT		0x00001000ull
#define RAM		0x40000000ull
#define NORMAL		0x80000000ull
#define DEVICE		0xc0000000ull

/* Offsets in RAM. */
#define TABLE		0x0000
#define CODE		0x1000
#define VECTORS		0x1800
/* A synchronous exception from EL1 itself. */
#define VECTOR_SYNC	(VECTORS + 0x200)

/*
 * x0 is the address to store to, x1 the value, x2 the port. After the store, the guest writes 0 to
 * the port; after an exception, it writes the syndrome to the port + 8.
 */
__asm__(".pushsection .rodata\n"
	".globl	guest_store, guest_count, guest_vector, guest_end\n"
	".balign 4\n"
	"guest_store:\n"
	"	str	x1, [x0]\n"
	"	str	xzr, [x2]\n"
	"	b	.\n"
	"guest_count:\n"
	"	add	x1, x1, #1\n"
	"	str	x1, [x0]\n"
	"	b	guest_count\n"
	"guest_vector:\n"
	"	mrs	x3, esr_el1\n"
	"	str	x3, [x2, #8]\n"
	"	b	.\n"
	"guest_end:\n"
	".popsection\n");

/* Arm ARM D8.3: a block descriptor, with the access flag, inner shareable, for EL1 only. */
#define BLOCK(address, attribute) \
	((address) | 1 | (attribute) << 2 | 3 << 8 | 1 << 10)
/* Indices into MAIR_EL1. */
#define ATTR_WB		0ull
#define ATTR_NC		1ull
#define ATTR_DEVICE	2ull
#define MAIR		(0xffull << (8 * ATTR_WB) | 0x44ull << (8 * ATTR_NC) | \
			 0x04ull << (8 * ATTR_DEVICE))

/* T0SZ 25, walks by cacheable, inner shareable accesses, no TTBR1, 40 bits of physical address. */
#define TCR		(25ull | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | 2ull << 32)
/* MMU and caches on, no alignment check of its own; the rest are bits that are always one. */
#define SCTLR		(0x30d00800ull | 1 | 1 << 2 | 1 << 12)
/* EL1 with its own stack pointer, all interrupts masked. */
#define PSTATE		0x3c5ull

#define CORE(field)	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | \
			 KVM_REG_ARM_CORE_REG(field))

/* ESR_EL1: the class of a data abort from the same level, and the status of an alignment fault. */
#define ESR_CLASS(esr)	((esr) >> 26)
#define CLASS_ABORT	0x25
#define ESR_STATUS(esr)	((esr) & 0x3f)
#define STATUS_ALIGN	0x21

static int set_reg(struct vm *vm, uint64_t id, uint64_t value)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)&value };

	return ioctl(vm->vcpu, KVM_SET_ONE_REG, &reg) ? -errno : 0;
}

/* Sets the registers of a list that ends with an id of zero. */
static int set_regs(struct vm *vm, const uint64_t (*regs)[2])
{
	int ret = 0;

	for (; (*regs)[0] && !ret; regs++)
		ret = set_reg(vm, (*regs)[0], (*regs)[1]);
	return ret;
}

uint64_t vm_arch_ram(void)
{
	return RAM;
}

uint64_t vm_arch_code(void)
{
	return RAM + CODE;
}

int vm_arch_init(struct vm *vm)
{
	const uint64_t regs[][2] = {
		{ ARM64_SYS_REG(3, 0, 10, 2, 0), MAIR },
		{ ARM64_SYS_REG(3, 0, 2, 0, 2), TCR },
		{ ARM64_SYS_REG(3, 0, 2, 0, 0), RAM + TABLE },
		{ ARM64_SYS_REG(3, 0, 12, 0, 0), RAM + VECTORS },
		{ ARM64_SYS_REG(3, 0, 1, 0, 0), SCTLR },
		{}
	};
	uint64_t *table = (uint64_t *)(vm->ram + TABLE);
	struct kvm_vcpu_init init;

	if (ioctl(vm->fd, KVM_ARM_PREFERRED_TARGET, &init) ||
	    ioctl(vm->vcpu, KVM_ARM_VCPU_INIT, &init))
		return -errno;
	table[0] = BLOCK(0, ATTR_DEVICE);
	table[1] = BLOCK(RAM, ATTR_WB);
	table[2] = BLOCK(VM_DEVICE_MEMORY, ATTR_NC);
	table[3] = BLOCK(VM_DEVICE_MEMORY, ATTR_DEVICE);
	memcpy(vm->ram + CODE, guest_store, guest_vector - guest_store);
	memcpy(vm->ram + VECTOR_SYNC, guest_vector, guest_end - guest_vector);
	__builtin___clear_cache(vm->ram, vm->ram + VM_RAM_SIZE);
	return set_regs(vm, regs);
}

int vm_arch_start(struct vm *vm, bool count, enum guest_type type, uint64_t at, uint64_t value)
{
	const uint64_t regs[][2] = {
		{ CORE(regs.pstate), PSTATE },
		{ CORE(regs.pc), RAM + CODE + (count ? guest_count - guest_store : 0) },
		{ CORE(regs.regs[0]), (type == GUEST_NORMAL ? NORMAL : DEVICE) + at },
		{ CORE(regs.regs[1]), value },
		{ CORE(regs.regs[2]), PORT },
		{}
	};

	return set_regs(vm, regs);
}

int vm_arch_result(struct vm *vm)
{
	uint64_t esr;

	if (vm->run->exit_reason != KVM_EXIT_MMIO || !vm->run->mmio.is_write)
		return -EIO;
	if (vm->run->mmio.phys_addr == PORT)
		return VM_DONE;
	if (vm->run->mmio.phys_addr != PORT + 8)
		return -EIO;
	memcpy(&esr, vm->run->mmio.data, sizeof(esr));
	if (ESR_CLASS(esr) == CLASS_ABORT && ESR_STATUS(esr) == STATUS_ALIGN)
		return VM_UNALIGNED;
	return VM_EXCEPTION;
}
