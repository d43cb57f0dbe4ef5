/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The smallest virtual machine that can store to device memory by a memory type of its own choice:
 * KVM's plain interface, one virtual CPU, a page of code. It has an MMU that is set up from
 * outside, where all device memory is there twice, at addresses by which the guest takes it for
 * Normal-NC (x86: WC) and for Device (x86: UC).
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

/* What is free, to be given to vm_destroy() at any time. */
#define VM_NONE	{ .kvm = -1, .fd = -1, .vcpu = -1 }

/* What the guest takes the memory for. */
enum guest_type {
	GUEST_NORMAL,
	GUEST_DEVICE,
};

/* What a store came to, besides a negative errno of KVM_RUN. */
enum {
	VM_DONE,
	/* The guest itself got an alignment fault. */
	VM_UNALIGNED,
	/* It got some other exception. */
	VM_EXCEPTION,
};

/** vm_create() - makes a machine; 0 or a negative errno, which is -ENOENT where there is no KVM */
int vm_create(struct vm *vm);

void vm_destroy(struct vm *vm);

/** vm_add() - makes @size bytes at @map the guest's device memory from @at on */
int vm_add(struct vm *vm, uint64_t at, void *map, size_t size);

/** vm_store() - lets the guest store @value, 8 bytes, at @at of its device memory, as @type */
int vm_store(struct vm *vm, enum guest_type type, uint64_t at, uint64_t value);

/**
 * vm_count() - lets the guest store 1, 2, 3 and so on at @at, without end
 *
 * Returns what ended it: a negative errno of KVM_RUN, -EINTR after a signal and vm_stop().
 */
int vm_count(struct vm *vm, enum guest_type type, uint64_t at);

/** vm_stop() - makes the next, or interrupted, KVM_RUN end */
void vm_stop(struct vm *vm);

/* Within the library: what each architecture has of its own. */

/* Where device memory begins in the guest's physical address space. */
#define VM_DEVICE_MEMORY	0x80000000ull
#define VM_RAM_SIZE		0x10000

/* The guest's code, which stores once or counts, and what it does on an exception, if anything. */
extern const char guest_store[], guest_count[], guest_vector[], guest_end[];

/** vm_arch_ram() - the guest-physical address of its memory */
uint64_t vm_arch_ram(void);

/** vm_arch_code() - the guest-physical address of its code */
uint64_t vm_arch_code(void);

/** vm_arch_init() - sets up the virtual CPU's MMU and the guest's code */
int vm_arch_init(struct vm *vm);

/** vm_arch_start() - has the CPU begin to count, or to store once, at @at */
int vm_arch_start(struct vm *vm, bool count, enum guest_type type, uint64_t at, uint64_t value);

/** vm_arch_result() - what @vm->run says of a guest that has left KVM_RUN */
int vm_arch_result(struct vm *vm);

#endif /* VM_H */
