// SPDX-License-Identifier: GPL-2.0-only

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm.h"

static int add_slot(struct vm *vm, uint64_t gpa, void *map, size_t size)
{
	struct kvm_userspace_memory_region slot = {
		.slot = vm->slots,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)map,
	};

	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot))
		return -errno;
	vm->slots++;
	return 0;
}

static int create(struct vm *vm)
{
	int size, ret;

	vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0)
		return -errno;
	vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		return -errno;
	vm->ram = mmap(NULL, VM_RAM_SIZE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (vm->ram == MAP_FAILED) {
		vm->ram = NULL;
		return -errno;
	}
	ret = add_slot(vm, vm_arch_ram(), vm->ram, VM_RAM_SIZE);
	if (ret)
		return ret;
	vm->vcpu = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
	if (vm->vcpu < 0)
		return -errno;
	size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < 0)
		return -errno;
	vm->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu, 0);
	if (vm->run == MAP_FAILED) {
		vm->run = NULL;
		return -errno;
	}
	vm->run_size = size;
	return vm_arch_init(vm);
}

int vm_create(struct vm *vm)
{
	int ret;

	*vm = (struct vm)VM_NONE;
	ret = create(vm);
	if (ret)
		vm_destroy(vm);
	return ret;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void vm_destroy(struct vm *vm)
{
	if (vm->run)
		munmap(vm->run, vm->run_size);
	if (vm->ram)
		munmap(vm->ram, VM_RAM_SIZE);
	close_fd(vm->vcpu);
	close_fd(vm->fd);
	close_fd(vm->kvm);
	*vm = (struct vm)VM_NONE;
}

int vm_add(struct vm *vm, uint64_t at, void *map, size_t size)
{
	return add_slot(vm, VM_DEVICE_MEMORY + at, map, size);
}

static int run(struct vm *vm)
{
	return ioctl(vm->vcpu, KVM_RUN, NULL) ? -errno : 0;
}

int vm_store(struct vm *vm, enum guest_type type, uint64_t at, uint64_t value)
{
	int ret = vm_arch_start(vm, false, type, at, value), result;

	if (!ret)
		ret = run(vm);
	if (ret)
		return ret;
	result = vm_arch_result(vm);
	/* KVM must complete the exit of the guest before its registers are set again. */
	vm->run->immediate_exit = 1;
	ret = run(vm);
	vm->run->immediate_exit = 0;
	return ret == -EINTR ? result : -EIO;
}

int vm_count(struct vm *vm, enum guest_type type, uint64_t at)
{
	int ret = vm_arch_start(vm, true, type, at, 0);

	if (!ret)
		ret = run(vm);
	vm->run->immediate_exit = 0;
	return ret ? ret : -EIO;
}

void vm_stop(struct vm *vm)
{
	vm->run->immediate_exit = 1;
}
