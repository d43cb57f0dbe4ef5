// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfio-wc: starts a program that gets BARs in write-combining memory. It checks everything that
 * would let the program run without the library, because the loader ignores a library that it
 * cannot or must not use, and the program would get uncached memory.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "pci.h"
#include "wc_bars.h"

#define LIBRARY		"libvfio_wc.so"
#define SHEBANG		256
/* A script, its interpreter, the interpreter of this, and so on: the kernel follows six files. */
#define FILES		6
#define IORESOURCE_MEM	0x200ULL
/* The kernel ignores a set-group-id bit if the group may not execute the file. */
#define SET_GROUP_ID	(S_ISGID | 0010)

static const char usage[] =
	"Usage: vfio-wc --bar DEVICE=BAR[,strict=START-END]... [--bar ...]... [--] PROGRAM\n"
	"               [ARGUMENT]...\n"
	"\n"
	"Runs PROGRAM, which opens PCI devices by VFIO, and makes the named BARs of these devices\n"
	"write-combining before PROGRAM can map them. If this fails for a BAR, PROGRAM does not get\n"
	"the device (EACCES). Other devices and BARs stay as they are.\n"
	"\n"
	"  -b, --bar DEVICE=BAR  a PCI address, such as 0000:03:00.0 or 03:00.0, and a number from\n"
	"                        0 to 5. The bytes from START to just before END stay strict,\n"
	"                        such as 0-64K for registers; a BAR can have up to 8 such ranges\n"
	"  -h, --help            prints this text\n"
	"\n"
	"The device must be bound to subregion_vfio_pci, or to this driver by the name of vfio-pci.\n"
	"PROGRAM must be linked dynamically and run without further privileges (set-id,\n"
	"capabilities): otherwise the loader would ignore the library that makes the BARs\n"
	"write-combining, " LIBRARY ".\n"
	"\n"
	"The status is that of PROGRAM, 126 if vfio-wc refuses to run it, and 127 if there is no\n"
	"such program. For example:\n"
	"\n"
	"  vfio-wc --bar 0000:03:00.0=2,strict=0-64K -- dpdk-testpmd -a 0000:03:00.0\n";

#define EXIT_REFUSED	126
#define EXIT_MISSING	127

__attribute__((noreturn, format(printf, 2, 3)))
static void fail(int status, const char *format, ...)
{
	va_list args;

	fputs("vfio-wc: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(status);
}

#define refuse(...)	fail(EXIT_REFUSED, __VA_ARGS__)

/* Fails unless the strict ranges can be subregions of a BAR of @size bytes, and leave a rest. */
static void check_ranges(const struct wc_bar *bar, uint64_t size)
{
	uint64_t page = sysconf(_SC_PAGESIZE), rest = size;

	for (unsigned int i = 0; i < bar->ranges; i++) {
		const struct wc_range *range = &bar->strict[i];
		const char *why = NULL;

		if (range->start % page || range->end % page)
			why = "it must consist of whole pages";
		else if (range->end > size)
			why = "it ends beyond the BAR";
		for (unsigned int j = 0; j < i && !why; j++)
			if (range->start < bar->strict[j].end && bar->strict[j].start < range->end)
				why = "it overlaps another strict range";
		if (why)
			fail(EXIT_REFUSED,
			     "strict=0x%llx-0x%llx: %s; a page has 0x%llx bytes, and BAR %u of %s 0x%llx",
			     (unsigned long long)range->start, (unsigned long long)range->end, why,
			     (unsigned long long)page, bar->bar, bar->address,
			     (unsigned long long)size);
		rest -= range->end - range->start;
	}
	if (!rest)
		fail(EXIT_REFUSED,
		     "the strict ranges cover all of BAR %u of %s, so nothing would be write-combining; shorten them",
		     bar->bar, bar->address);
}

/* Fails unless the device has a memory BAR of that number, with room for its strict ranges. */
static void check_bar(const struct wc_bar *bar)
{
	unsigned long long start, end, flags = 0;
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), PCI_BUS "/devices/%.31s/resource", bar->address);
	file = fopen(path, "r");
	if (!file)
		refuse("%s: %s", path, strerror(errno));
	for (unsigned int i = 0; i <= bar->bar; i++)
		if (fscanf(file, "%llx %llx %llx", &start, &end, &flags) != 3)
			refuse("%s is not as the kernel writes it", path);
	fclose(file);
	if (!flags)
		refuse("%s has no BAR %u; lspci -vv -s %s lists its BARs (\"Region\")",
		       bar->address, bar->bar, bar->address);
	if (!(flags & IORESOURCE_MEM))
		fail(EXIT_REFUSED,
		     "BAR %u of %s has I/O ports, which cannot be write-combining; name a memory BAR",
		     bar->bar, bar->address);
	check_ranges(bar, end - start + 1);
}

static void check_device(const struct wc_bar *bar)
{
	char path[128], driver[PCI_NAME_LEN];

	snprintf(path, sizeof(path), PCI_BUS "/devices/%.31s", bar->address);
	if (access(path, F_OK))
		refuse("there is no PCI device %s; lspci -D lists those of this machine",
		       bar->address);
	check_bar(bar);
	if (pci_link(bar->address, "driver", driver))
		driver[0] = '\0';
	if (strcmp(driver, "subregion_vfio_pci") && strcmp(driver, "vfio-pci"))
		fail(EXIT_REFUSED,
		     "BARs of %s cannot be write-combining: %s%s; bind it to subregion_vfio_pci, or to the drop-in vfio-pci",
		     bar->address, driver[0] ? "its driver is " : "it has no driver", driver);
}

/* Sets @path to the library in LIBDIR or, if this is empty, in the directory of this program. */
static void find_library(char path[PATH_MAX])
{
	ssize_t length;

	if (LIBDIR[0]) {
		snprintf(path, PATH_MAX, "%s/%s", LIBDIR, LIBRARY);
	} else {
		length = readlink("/proc/self/exe", path, PATH_MAX - sizeof(LIBRARY));
		if (length < 0)
			refuse("/proc/self/exe: %s", strerror(errno));
		path[length] = '\0';
		memcpy(strrchr(path, '/') + 1, LIBRARY, sizeof(LIBRARY));
	}
	if (access(path, R_OK))
		refuse("%s: %s; it belongs %s", path, strerror(errno),
		       LIBDIR[0] ? "there, so install vfio-wc again"
				 : "beside vfio-wc (make -C tools builds both)");
	/* The separators of LD_PRELOAD. */
	if (strpbrk(path, " :"))
		fail(EXIT_REFUSED,
		     "the loader cannot load %s, because of the space or colon in its path; move it",
		     path);
}

/* Sets @path to the file that execvp() would run. */
static void find_program(char path[PATH_MAX], const char *name)
{
	const char *at = getenv("PATH");
	struct stat status;
	size_t length;

	if (strchr(name, '/')) {
		if (stat(name, &status))
			fail(EXIT_MISSING, "%s: %s", name, strerror(errno));
		snprintf(path, PATH_MAX, "%s", name);
		return;
	}
	for (at = at ? at : "/bin:/usr/bin"; ; at += length + 1) {
		length = strcspn(at, ":");
		if (snprintf(path, PATH_MAX, "%.*s%s%s", (int)length, at, length ? "/" : "", name) <
		    PATH_MAX && !access(path, X_OK) && !stat(path, &status) &&
		    S_ISREG(status.st_mode))
			return;
		if (!at[length])
			fail(EXIT_MISSING, "there is no program %s in the directories of PATH",
			     name);
	}
}

/* Refuses a program that runs with more rights than its caller: the loader drops the library. */
static void check_rights(int fd, const char *path)
{
	struct stat status;

	if (fstat(fd, &status))
		refuse("%s: %s", path, strerror(errno));
	if (((status.st_mode & S_ISUID) && status.st_uid != getuid()) ||
	    ((status.st_mode & SET_GROUP_ID) == SET_GROUP_ID && status.st_gid != getgid()))
		fail(EXIT_REFUSED,
		     "%s is set-user-id or set-group-id, so the loader would ignore the library, and the BARs would not be write-combining; run it as its owner, or a copy without that bit",
		     path);
	if (getuid() && fgetxattr(fd, "security.capability", NULL, 0) > 0)
		fail(EXIT_REFUSED,
		     "%s has file capabilities (setcap), so the loader would ignore the library, and the BARs would not be write-combining; run it as root, or a copy without capabilities",
		     path);
}

/*
 * Sets @loader to the loader that the program headers in the file name, or leaves it empty if the
 * program is linked statically, or is a loader itself.
 */
static void find_loader(int fd, const Elf64_Ehdr *elf, char loader[PATH_MAX])
{
	Elf64_Phdr program;

	loader[0] = '\0';
	for (unsigned int i = 0; i < elf->e_phnum; i++) {
		if (pread(fd, &program, sizeof(program), elf->e_phoff + i * sizeof(program)) !=
		    sizeof(program))
			return;
		if (program.p_type != PT_INTERP || program.p_filesz > PATH_MAX)
			continue;
		if (program.p_filesz && pread(fd, loader, program.p_filesz, program.p_offset) ==
		    (ssize_t)program.p_filesz)
			loader[program.p_filesz - 1] = '\0';
		else
			loader[0] = '\0';
		return;
	}
}

static bool is_same_file(const char *one, const char *other)
{
	struct stat first, second;

	return !stat(one, &first) && !stat(other, &second) && first.st_dev == second.st_dev &&
	       first.st_ino == second.st_ino;
}

/*
 * Refuses a program that the loader of this one does not run: another C library could not use the
 * library. The loader itself may be the program, which then gets the library as well.
 */
static void check_loader(int fd, const Elf64_Ehdr *elf, const char *path, const char *own)
{
	char loader[PATH_MAX];

	find_loader(fd, elf, loader);
	if (is_same_file(loader[0] ? loader : path, own))
		return;
	if (!loader[0])
		fail(EXIT_REFUSED,
		     "%s is linked statically, so it would ignore the library, and the BARs would not be write-combining; link it dynamically, or call VFIO_REGION_SET_ATTR in it",
		     path);
	fail(EXIT_REFUSED,
	     "%s is for the loader %s, and the library for %s, so the BARs would not be write-combining; build the tools with the C library of that program",
	     path, loader, own);
}

/* Sets @interpreter to that of a script, whose first bytes are @head. */
static void find_interpreter(char interpreter[SHEBANG], const char *path, const char *head)
{
	if (sscanf(head + 2, " %255s", interpreter) != 1)
		refuse("%s begins with #! but names no interpreter", path);
}

/* Sets @head to the ELF header of this program, and @loader to its loader. */
static void examine_self(Elf64_Ehdr *head, char loader[PATH_MAX])
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || pread(fd, head, sizeof(*head), 0) != sizeof(*head))
		refuse("/proc/self/exe: %s", fd < 0 ? strerror(errno) : "it is too short");
	find_loader(fd, head, loader);
	close(fd);
}

/* Refuses a program that would run without the library. */
static void check_program(const char *path)
{
	union {
		Elf64_Ehdr elf;
		char text[SHEBANG];
	} head;
	char interpreter[SHEBANG], own_loader[PATH_MAX];
	Elf64_Ehdr own;
	ssize_t length;
	int fd;

	examine_self(&own, own_loader);
	for (int depth = 0; depth < FILES; depth++) {
		memset(&head, 0, sizeof(head));
		/* Without O_NONBLOCK, a FIFO would wait for a writer. */
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0)
			refuse("%s cannot be examined: %s; it must be readable", path,
			       strerror(errno));
		length = pread(fd, head.text, sizeof(head.text) - 1, 0);
		/* The rights of a script do not count, only those of its interpreter. */
		if (length > 2 && !memcmp(head.text, "#!", 2)) {
			close(fd);
			find_interpreter(interpreter, path, head.text);
			path = interpreter;
			continue;
		}
		if (length < (ssize_t)sizeof(head.elf) || memcmp(head.elf.e_ident, ELFMAG, SELFMAG))
			refuse("%s is neither an ELF program nor a script that begins with #!",
			       path);
		if (head.elf.e_ident[EI_CLASS] != own.e_ident[EI_CLASS] ||
		    head.elf.e_machine != own.e_machine)
			fail(EXIT_REFUSED,
			     "%s is for another architecture than vfio-wc, so the loader would ignore the library; build the tools for that one (CROSS_COMPILE), which must have 64 bits",
			     path);
		check_rights(fd, path);
		check_loader(fd, &head.elf, path, own_loader);
		close(fd);
		return;
	}
	refuse("%s: too many interpreters", path);
}

/* Puts @value in front of the value of the variable @name, if it has one. */
static void set_before(const char *name, const char *value, char separator)
{
	const char *old = getenv(name);
	char *both;

	if (asprintf(&both, "%s%.*s%s", value, old && *old, &separator, old ? old : "") < 0 ||
	    setenv(name, both, 1))
		refuse("%s", strerror(ENOMEM));
	free(both);
}

/* Adds the BAR of one option to the list. */
static size_t add_bar(struct wc_bar *bars, size_t count, const char *text)
{
	const char *rest;

	if (count == WC_BARS)
		refuse("more than %d BARs are named", WC_BARS);
	rest = wc_bar_parse(&bars[count], text);
	if (!rest || *rest)
		fail(EXIT_REFUSED,
		     "--bar %s: expected DEVICE=BAR, such as --bar 0000:03:00.0=2, with a BAR from 0 to 5, or --bar 0000:03:00.0=2,strict=0-64K, with up to %d ranges that stay strict",
		     text, WC_RANGES);
	if (wc_bar_is_among(bars, count, &bars[count]))
		refuse("--bar %s: this BAR is named twice; name its ranges in one option", text);
	check_device(&bars[count]);
	return count + 1;
}

int main(int argc, char **argv)
{
	char list[WC_BARS * (PCI_ADDRESS_LEN + 3 + WC_RANGES_LEN)] = "", ranges[WC_RANGES_LEN];
	char program[PATH_MAX], library[PATH_MAX];
	struct wc_bar bars[WC_BARS];
	size_t count = 0, length = 0;
	const char *text;
	int at;

	for (at = 1; at < argc && argv[at][0] == '-'; at++) {
		if (!strcmp(argv[at], "--")) {
			at++;
			break;
		}
		if (!strcmp(argv[at], "--help") || !strcmp(argv[at], "-h")) {
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		}
		if (!strncmp(argv[at], "--bar=", 6))
			text = argv[at] + 6;
		else if (!strcmp(argv[at], "--bar") || !strcmp(argv[at], "-b"))
			text = argv[++at];
		else
			refuse("unknown option %s; see vfio-wc --help", argv[at]);
		if (!text)
			refuse("--bar needs DEVICE=BAR; see vfio-wc --help");
		count = add_bar(bars, count, text);
	}
	if (!count)
		refuse("no BAR is named; see vfio-wc --help");
	if (at >= argc)
		refuse("no program is named; see vfio-wc --help");

	if (getauxval(AT_SECURE))
		fail(EXIT_REFUSED,
		     "this launcher runs with more rights than its caller (set-id, capabilities), so the loader would ignore the library in the program as well; run it without them");
	if (getenv(WC_BARS_VARIABLE))
		fail(EXIT_REFUSED,
		     "%s is set, which is how vfio-wc names BARs to its library; unset it, and name them by --bar",
		     WC_BARS_VARIABLE);
	find_library(library);
	find_program(program, argv[at]);
	check_program(program);
	for (size_t i = 0; i < count; i++) {
		wc_ranges_format(ranges, &bars[i], WC_STRICT);
		length += snprintf(list + length, sizeof(list) - length, "%s%s=%u%s", i ? "," : "",
				   bars[i].address, bars[i].bar, ranges);
	}
	if (setenv(WC_BARS_VARIABLE, list, 1))
		refuse("%s", strerror(errno));
	set_before("LD_PRELOAD", library, ':');
	execv(program, argv + at);
	fail(errno == ENOENT ? EXIT_MISSING : EXIT_REFUSED, "%s: %s", program, strerror(errno));
}
