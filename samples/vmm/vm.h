/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A minimal virtual machine that stores to device memory with a memory type of its own choice. It
 * has one virtual CPU and a page of code. The monitor sets up the page tables of the guest, which
 * map all device memory twice: as Normal-NC (x86: WC) and as Device (x86: UC).
 */
#ifndef VM_H
#define VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/kvm.h>

struct vm {
	int kvm;
	int fd;
	int vcpu;
	unsigned int slots;
	struct kvm_run *run;
	size_t run_size;
	char *ram;
};

/* The initial value, which vm_destroy() accepts. */
#define VM_NONE	{ .kvm = -1, .fd = -1, .vcpu = -1 }

/* The memory type that the guest asks for. */
enum guest_type {
	GUEST_NORMAL,
	GUEST_DEVICE,
};

/* The result of a store, besides a negative errno of KVM_RUN. */
enum {
	VM_DONE,
	/* The guest got an alignment fault. */
	VM_UNALIGNED,
	/* The guest got another exception. */
	VM_EXCEPTION,
};

/** vm_create() - creates a machine; returns 0 or a negative errno, -ENOENT without KVM */
int vm_create(struct vm *vm);

void vm_destroy(struct vm *vm);

/** vm_add() - makes @size bytes at @map device memory of the guest, at @at */
int vm_add(struct vm *vm, uint64_t at, void *map, size_t size);

/** vm_store() - lets the guest store the 8 bytes of @value at @at of device memory, as @type */
int vm_store(struct vm *vm, enum guest_type type, uint64_t at, uint64_t value);

/**
 * vm_count() - lets the guest store 1, 2, 3 and so on at @at, until it is stopped
 *
 * Returns the negative errno of KVM_RUN: -EINTR after a signal and vm_stop().
 */
int vm_count(struct vm *vm, enum guest_type type, uint64_t at);

/** vm_stop() - ends the current or the next KVM_RUN */
void vm_stop(struct vm *vm);

/* Within the library: the parts that each architecture implements. */

/* The start of device memory in the guest's physical address space. */
#define VM_DEVICE_MEMORY	0x80000000ull
#define VM_RAM_SIZE		0x10000

/* The code of the guest, which stores once or counts, and its exception handler, if any. */
extern const char guest_store[], guest_count[], guest_vector[], guest_end[];

/** vm_arch_ram() - returns the guest-physical address of its memory */
uint64_t vm_arch_ram(void);

/** vm_arch_code() - returns the guest-physical address of its code */
uint64_t vm_arch_code(void);

/** vm_arch_init() - sets up the virtual CPU's MMU and the guest's code */
int vm_arch_init(struct vm *vm);

/** vm_arch_start() - makes the CPU count, or store once, at @at */
int vm_arch_start(struct vm *vm, bool count, enum guest_type type, uint64_t at, uint64_t value);

/** vm_arch_result() - interprets @vm->run after the guest has left KVM_RUN */
int vm_arch_result(struct vm *vm);

#endif /* VM_H */
