// SPDX-License-Identifier: GPL-2.0-only

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include "emulator.h"

/* The ids of QEMU's devices: a vendor of its own, or this subsystem. */
#define QEMU_VENDOR	0x1b36
#define QEMU_SUBSYSTEM	0x11001af4

/* Whether the file contains @text, even if it holds several strings. */
static bool file_says(const char *path, const char *text)
{
	char content[4096];
	ssize_t length;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	length = read(fd, content, sizeof(content));
	close(fd);
	return length > 0 && memmem(content, length, text, strlen(text));
}

#if defined(__x86_64__) || defined(__i386__)

/* A bit of ECX in CPUID leaf 1. */
#define CPU_OF_HYPERVISOR	(1U << 31)

/* Hypervisors that run the guest's instructions on the CPU. */
static const char *const virtualizers[] = {
	"KVMKVMKVM", "Microsoft Hv", "VMwareVMware", "XenVMMXenVMM", "bhyve bhyve ", "ACRNACRNACRN",
	NULL,
};

static enum machine cpu_kind(char *reason, size_t length)
{
	unsigned int eax, ebx, ecx, edx, i;
	char name[13] = "";

	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & CPU_OF_HYPERVISOR))
		return MACHINE_REAL;
	__cpuid(0x40000000, eax, ebx, ecx, edx);
	memcpy(name, &ebx, 4);
	memcpy(name + 4, &ecx, 4);
	memcpy(name + 8, &edx, 4);
	snprintf(reason, length, "the CPU belongs to the hypervisor \"%s\"", name);
	for (i = 0; virtualizers[i]; i++)
		if (!strcmp(name, virtualizers[i]))
			return MACHINE_VIRTUAL;
	return MACHINE_EMULATED;
}

#else

/* This does not show whether QEMU emulates the CPU or KVM runs the guest. */
static enum machine cpu_kind(char *reason, size_t length)
{
	if (!file_says("/proc/device-tree/compatible", "linux,dummy-virt"))
		return MACHINE_REAL;
	snprintf(reason, length, "the machine is virtual and may be emulated");
	return MACHINE_EMULATED;
}

#endif

enum machine machine_kind(uint32_t id, uint32_t subsystem, char *reason, size_t length)
{
	enum machine kind;

	*reason = '\0';
	if ((id & 0xffff) == QEMU_VENDOR || subsystem == QEMU_SUBSYSTEM) {
		snprintf(reason, length, "the device is one of QEMU's");
		return MACHINE_EMULATED;
	}
	kind = cpu_kind(reason, length);
	if (kind == MACHINE_REAL && file_says("/sys/class/dmi/id/sys_vendor", "QEMU")) {
		snprintf(reason, length, "the machine says that it is QEMU");
		return MACHINE_EMULATED;
	}
	if (kind == MACHINE_REAL && file_says("/sys/class/dmi/id/sys_vendor", "Amazon EC2")) {
		snprintf(reason, length, "the machine may be virtual");
		return MACHINE_VIRTUAL;
	}
	return kind;
}
