// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes BARs write-combining for a program that does not support it, such as one of DPDK. vfio-wc
 * beside it starts programs with it; by hand it is
 *
 *	VFIO_WC_BARS=0000:03:00.0=2,0000:04:00.0=4 LD_PRELOAD=libvfio_wc.so dpdk-testpmd ...
 *
 * When the program gets the file of a named device, from its group or by binding it to an iommufd,
 * the library calls VFIO_REGION_SET_ATTR on it before the program can map anything. If that fails,
 * the program does not get the device: each request is fulfilled or an error. A program can also
 * receive the file from another process, so mmap() of the BAR does the same. The library changes
 * nothing else in the program, and no other device.
 *
 * A range of the BAR can stay strict, such as one with registers:
 *
 *	VFIO_WC_BARS=0000:03:00.0=2,strict=0-64K LD_PRELOAD=libvfio_wc.so dpdk-testpmd ...
 *
 * The library makes it a strict subregion, and maps this over each mapping of the BAR that the
 * program makes with mmap().
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/vfio.h>
#include <vfio_subregion_helpers.h>

#include "iommufd.h"
#include "pci.h"
#include "wc_bars.h"

/* Enough for what the kernel writes about a file (fdinfo), and for a reason why one is denied. */
#define INFO_LEN	4096
#define WHY_LEN		512

/* Only begin() writes to bars, count and whole_pages. */
static struct wc_bar bars[WC_BARS];
static size_t count;
static char whole_pages[80];
static atomic_bool granted[WC_BARS], refused[WC_BARS], saw_device;
static int (*next_ioctl)(int fd, unsigned long request, ...);
static void *(*next_mmap)(void *addr, size_t length, int prot, int flags, int fd, off64_t offset);

/*
 * Gets the address of the device that @fd is a file of. Returns -1 if it is not one, or if there is
 * no /proc. The number of a descriptor is not enough: programs duplicate and send descriptors.
 */
static int address_of(int fd, char address[PCI_ADDRESS_LEN])
{
	static const char key[] = "\nvfio-device-syspath: ";
	char path[64], text[INFO_LEN], *at;
	struct stat status;
	ssize_t length;
	int info;

	/* Most files that a program maps are regular ones, and need no look at /proc. */
	if (fstat(fd, &status) || S_ISREG(status.st_mode))
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	if (info < 0)
		return -1;
	length = read(info, text, sizeof(text) - 1);
	close(info);
	if (length < 0)
		return -1;
	text[length] = '\0';
	at = strstr(text, key);
	if (!at)
		return -1;
	at += strlen(key);
	at[strcspn(at, "\n")] = '\0';
	at = strrchr(at, '/');
	return at ? pci_address(address, at + 1) : -1;
}

/*
 * Prints a line, unless the program has closed stderr and got a device under its number: the device
 * would take the text for data.
 */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	char address[PCI_ADDRESS_LEN];
	va_list args;

	if (!address_of(STDERR_FILENO, address))
		return;
	flockfile(stderr);
	fputs("vfio-wc: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	funlockfile(stderr);
}

/* Parses the variable; an error is fatal, because a request would otherwise be ignored. */
static void begin(void)
{
	const char *at = getenv(WC_BARS_VARIABLE);

	next_ioctl = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	next_mmap = (void *(*)(void *, size_t, int, int, int, off64_t))dlsym(RTLD_NEXT, "mmap64");
	if (!next_ioctl || !next_mmap) {
		say("the C library has no ioctl() or no mmap64()");
		_exit(EXIT_FAILURE);
	}
	snprintf(whole_pages, sizeof(whole_pages),
		 "it must consist of whole pages of the BAR; a page has 0x%lx bytes",
		 (unsigned long)sysconf(_SC_PAGESIZE));
	while (at && *at) {
		if (count == WC_BARS) {
			say(WC_BARS_VARIABLE " names more than %d BARs", WC_BARS);
			_exit(EXIT_FAILURE);
		}
		at = wc_bar_parse(&bars[count], at);
		if (!at || wc_bar_is_among(bars, count, &bars[count])) {
			say(WC_BARS_VARIABLE " must be ADDRESS=BAR[" WC_STRICT
			    "START-END]...[,ADDRESS=BAR...]..., each BAR once, not \"%s\"",
			    getenv(WC_BARS_VARIABLE));
			_exit(EXIT_FAILURE);
		}
		count++;
	}
}

/* Whether this thread is in begin(). */
static __thread bool begins;

/*
 * Calls begin() once: at the first call of ioctl() or mmap(), because the constructor of another
 * library can run before that of this one. Returns false inside of begin(), whose dlsym() can
 * allocate memory, and another library's malloc() can call mmap().
 */
static bool has_begun(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (begins)
		return false;
	begins = true;
	pthread_once(&once, begin);
	begins = false;
	return true;
}

__attribute__((constructor)) static void load(void)
{
	has_begun();
}

/* If the program opened devices but not the named ones, the variable is probably wrong. */
__attribute__((destructor)) static void end(void)
{
	for (size_t i = 0; saw_device && i < count; i++)
		if (!granted[i] && !refused[i])
			say("%s was never opened, so BAR %u of it is not write-combining",
			    bars[i].address, bars[i].bar);
}

/* Describes the failure @error of VFIO_REGION_SET_ATTR, and what to do about it. */
static const char *reason(int error, uint32_t busy)
{
	switch (error) {
	case ENOTTY:
		return "its driver has no subregions; use subregion_vfio_pci or the drop-in";
	case EBUSY:
		return vfio_subregion_busy(busy);
	case EPERM:
		return "it holds the MSI-X table, which must stay strict; name another BAR";
	case EINVAL:
		return "it is no memory BAR that can be mapped; name another (see lspci -vv)";
	case EOPNOTSUPP:
		return "this machine cannot give that type (nopat?), or the BAR exceeds 512 GiB";
	default:
		return strerror(error);
	}
}

/* Whether the subregion @index is strict and has exactly this range; sets @offset if so. */
static bool is_strict(int device, uint32_t index, const struct wc_bar *bar,
		      const struct wc_range *range, uint64_t *offset)
{
	struct {
		struct vfio_region_info info;
		struct vfio_region_info_cap_subregion subregion;
	} reply = {
		.info = { .argsz = sizeof(reply), .index = index },
	};

	if (next_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &reply) ||
	    reply.info.cap_offset != sizeof(reply.info) ||
	    reply.subregion.header.id != VFIO_REGION_INFO_CAP_SUBREGION)
		return false;
	*offset = reply.info.offset;
	return reply.subregion.attribute == VFIO_SUBREGION_ATTR_NONCACHED &&
	       reply.subregion.parent == VFIO_PCI_BAR0_REGION_INDEX + bar->bar &&
	       reply.subregion.offset == range->start &&
	       reply.info.size == range->end - range->start;
}

/*
 * Creates a strict subregion, or finds the one that an earlier call or another process has created.
 * Sets @offset to its mmap offset. Returns the reason of a failure, or NULL.
 */
static const char *keep_strict(int device, const struct wc_bar *bar, const struct wc_range *range,
			       uint64_t *offset)
{
	struct vfio_subregion_create create = {
		.argsz = sizeof(create),
		.parent = VFIO_PCI_BAR0_REGION_INDEX + bar->bar,
		.attribute = VFIO_SUBREGION_ATTR_NONCACHED,
		.offset = range->start,
		.size = range->end - range->start,
	};

	if (!next_ioctl(device, VFIO_SUBREGION_CREATE, &create)) {
		*offset = create.mmap_offset;
		return NULL;
	}
	switch (errno) {
	case EEXIST:
		if (is_strict(device, create.index, bar, range, offset))
			return NULL;
		return "it overlaps another range or a subregion of the program";
	case EBUSY:
		return vfio_subregion_busy(create.busy);
	case EINVAL:
	case EOVERFLOW:
		return whole_pages;
	default:
		return strerror(errno);
	}
}

/*
 * Makes a BAR write-combining but for its strict ranges, and sets @offsets to the mmap offsets of
 * these. This changes nothing in a BAR that is so already. On a failure sets @why and returns -1.
 */
static int make_write_combining(int device, const struct wc_bar *bar, uint64_t offsets[WC_RANGES],
				char why[WHY_LEN])
{
	struct vfio_region_set_attr set = {
		.argsz = sizeof(set),
		.index = VFIO_PCI_BAR0_REGION_INDEX + bar->bar,
		.attribute = VFIO_SUBREGION_ATTR_WC,
	};

	if (next_ioctl(device, VFIO_REGION_SET_ATTR, &set)) {
		snprintf(why, WHY_LEN,
			 "BAR %u of %s cannot be write-combining, so access is denied: %s",
			 bar->bar, bar->address, reason(errno, set.busy));
		return -1;
	}
	for (unsigned int i = 0; i < bar->ranges; i++) {
		const struct wc_range *range = &bar->strict[i];
		const char *text = keep_strict(device, bar, range, &offsets[i]);

		if (text) {
			snprintf(why, WHY_LEN,
				 "0x%llx-0x%llx of BAR %u of %s cannot stay strict, so access is denied: %s",
				 (unsigned long long)range->start, (unsigned long long)range->end,
				 bar->bar, bar->address, text);
			return -1;
		}
	}
	return 0;
}

/* Prints that a BAR is write-combining, once: DPDK opens a device again after a detach. */
static void grant(size_t i)
{
	char ranges[WC_RANGES_LEN];

	if (atomic_exchange(&granted[i], true))
		return;
	wc_ranges_format(ranges, &bars[i], ", except ");
	say("BAR %u of %s is write-combining%s", bars[i].bar, bars[i].address, ranges);
}

/*
 * Whether the program may have the device. All named BARs of it are write-combining or the program
 * does not get it, so the one line about each BAR comes last.
 */
static bool may_have(int device)
{
	char address[PCI_ADDRESS_LEN], why[WHY_LEN];
	uint64_t offsets[WC_RANGES];
	bool failed = false;

	saw_device = true;
	if (address_of(device, address)) {
		say("/proc does not tell which device this is, so access is denied; mount /proc");
		return false;
	}
	for (size_t i = 0; i < count && !failed; i++)
		failed = !strcmp(bars[i].address, address) &&
			 make_write_combining(device, &bars[i], offsets, why);
	if (failed)
		say("%s", why);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(bars[i].address, address))
			continue;
		if (failed)
			refused[i] = true;
		else
			grant(i);
	}
	return !failed;
}

/*
 * Takes the device from the program, which has bound its file to an iommufd: closes it, so that it
 * is no longer bound, and leaves a file that is no device under its number.
 */
static void take_away(int device)
{
	int flags = fcntl(device, F_GETFD);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup3(null, device, flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0) {
		say("the program cannot be denied the device (/dev/null: %s), so it ends",
		    strerror(errno));
		_exit(EXIT_FAILURE);
	}
	close(null);
}

/* Maps the strict subregions over their pages of @map, which maps the BAR from @start to @end. */
static int map_strict(char *map, uint64_t start, uint64_t end, int prot, int flags, int fd,
		      const struct wc_bar *bar, const uint64_t offsets[WC_RANGES])
{
	for (unsigned int i = 0; i < bar->ranges; i++) {
		const struct wc_range *range = &bar->strict[i];
		uint64_t from = range->start > start ? range->start : start;
		uint64_t to = range->end < end ? range->end : end;

		if (from < to && next_mmap(map + (from - start), to - from, prot,
					   (flags & ~MAP_FIXED_NOREPLACE) | MAP_FIXED, fd,
					   offsets[i] + (from - range->start)) == MAP_FAILED)
			return -1;
	}
	return 0;
}

/* mmap() of the device's file: if this maps a named BAR, the BAR must be write-combining first. */
static void *map_device(const char *address, void *addr, size_t length, int prot, int flags,
			int fd, uint64_t offset)
{
	for (size_t i = 0; i < count; i++) {
		struct vfio_region_info info = {
			.argsz = sizeof(info),
			.index = VFIO_PCI_BAR0_REGION_INDEX + bars[i].bar,
		};
		uint64_t offsets[WC_RANGES], start;
		char why[WHY_LEN];
		void *map;

		if (strcmp(bars[i].address, address) ||
		    next_ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, &info) ||
		    offset < info.offset || offset - info.offset >= info.size)
			continue;
		if (make_write_combining(fd, &bars[i], offsets, why)) {
			refused[i] = true;
			say("%s", why);
			errno = EACCES;
			return MAP_FAILED;
		}
		grant(i);
		map = next_mmap(addr, length, prot, flags, fd, offset);
		start = offset - info.offset;
		if (map != MAP_FAILED && map_strict(map, start, start + length, prot, flags, fd,
						    &bars[i], offsets)) {
			int error = errno;

			munmap(map, length);
			errno = error;
			return MAP_FAILED;
		}
		return map;
	}
	return next_mmap(addr, length, prot, flags, fd, offset);
}

/* These are the only symbols that other programs see. The C library has mmap() by two names. */
__attribute__((visibility("default"))) void *mmap64(void *addr, size_t length, int prot, int flags,
						    int fd, off64_t offset)
{
	char address[PCI_ADDRESS_LEN];
	int error = errno;
	void *map;

	if (!has_begun())
		return (void *)syscall(SYS_mmap, addr, length, prot, flags, fd, offset);
	if (!count || flags & MAP_ANONYMOUS || address_of(fd, address)) {
		errno = error;
		return next_mmap(addr, length, prot, flags, fd, offset);
	}
	map = map_device(address, addr, length, prot, flags, fd, offset);
	/* The program's mmap() succeeded, even if other calls here did not. */
	if (map != MAP_FAILED)
		errno = error;
	return map;
}

__attribute__((visibility("default"))) void *mmap(void *addr, size_t length, int prot, int flags,
						  int fd, off_t offset)
{
	return mmap64(addr, length, prot, flags, fd, offset);
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
	int ret, error = errno;
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);

	if (!has_begun())
		return syscall(SYS_ioctl, fd, request, argument);
	ret = next_ioctl(fd, request, argument);
	if (ret < 0 || !count)
		return ret;
	if (request == VFIO_GROUP_GET_DEVICE_FD && !may_have(ret)) {
		close(ret);
	} else if (request == VFIO_DEVICE_BIND_IOMMUFD && !may_have(fd)) {
		take_away(fd);
	} else {
		errno = error;
		return ret;
	}
	errno = EACCES;
	return -1;
}
