// SPDX-License-Identifier: GPL-2.0-only
/*
 * A reset of several functions, one of which belongs to a driver of the host.
 *
 * Between the hooks of the driver under test, accesses to its device wait. The other driver's hooks
 * need a lock that the kernel also holds while it copies to and from user memory. If that memory is
 * a mapping of the device, the copy must not wait for the end of the reset, because the reset waits
 * for the lock. Nor must a thread that holds the mmap lock, for which the copy can wait.
 *
 * DEV_PAIR_0 and DEV_PAIR_1 are two functions on one bus, whose hooks are called in this order.
 * reset_hooks.ko is the other driver.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "fixture.h"
#include "reset_hooks.h"

#define ROUNDS		10

/* In seconds: how long a reset may take. An access by the kernel waits for about 10 of them. */
#define PATIENCE	35

/* What the process that copies has seen; only it writes these counters. */
struct copies {
	volatile unsigned long done;
	/* The number of copies that failed with EFAULT. */
	volatile unsigned long refused;
	/* How often another thread has mapped and unmapped the device. */
	volatile unsigned long maps;
	/* The errno of another failure. */
	volatile int unexpected;
	volatile bool stop;
};

FIXTURE(reset_locks) {
	struct vfio_device dev;
	const char *other;
	char *map;
	/* The offset of the mapping in the file of the device. */
	uint64_t offset;
	/* The file of the other driver. */
	int hooks;
	int oracle;
	struct copies *copies;
	pid_t copier;
	/* How often a hook was waiting for the lock, and how often there was an entry then. */
	unsigned long looks;
	unsigned long present;
	/* The counter of maps at the first and the last of these looks in a reset. */
	unsigned long first_maps;
	unsigned long last_maps;
};

FIXTURE_VARIANT(reset_locks) {
	const char *device;
	const char *other;
	/* RESET_HOOKS_STEP, modulo 4, while the other driver's hook runs between this one's. */
	int hook;
	bool wc;
	uint64_t size;
	/* Whether other threads of the process that copies use the mapping and map the device. */
	bool crowd;
};

FIXTURE_VARIANT_ADD(reset_locks, wc_before_the_reset) {
	"DEV_PAIR_0", "DEV_PAIR_1", 1, true, 2 * MIB, false
};

FIXTURE_VARIANT_ADD(reset_locks, bar_after_the_reset) {
	"DEV_PAIR_1", "DEV_PAIR_0", 3, false, 32 * KIB, false
};

FIXTURE_VARIANT_ADD(reset_locks, bar_with_a_lock_of_the_memory_manager) {
	"DEV_PAIR_0", "DEV_PAIR_1", 1, false, 32 * KIB, true
};

FIXTURE_VARIANT_ADD(reset_locks, wc_with_a_lock_of_the_memory_manager) {
	"DEV_PAIR_0", "DEV_PAIR_1", 1, true, 2 * MIB, true
};

/* Touches the mapping, and waits during resets. */
static void *touch(void *data)
{
	FIXTURE_DATA(reset_locks) * self = data;

	while (!self->copies->stop)
		touch_write((uint32_t *)self->map, 1);
	return NULL;
}

/*
 * Needs the mmap lock for writing. A thread that waits for it keeps others from reading. The driver
 * counts the mappings, in mmap(), when munmap() splits one, and at the end of each part.
 */
static void *map_device(void *data)
{
	FIXTURE_DATA(reset_locks) * self = data;
	char *map;

	while (!self->copies->stop) {
		map = mmap(NULL, 3 * GRANULE, PROT_READ, MAP_SHARED, self->dev.fd, self->offset);
		if (map == MAP_FAILED) {
			self->copies->unexpected = errno;
			break;
		}
		munmap(map + GRANULE, GRANULE);
		munmap(map, 3 * GRANULE);
		self->copies->maps++;
		usleep(100);
	}
	return NULL;
}

/* Changes a futex in the mapping. The kernel keeps the mmap lock during its fault. */
static void *wake(void *data)
{
	FIXTURE_DATA(reset_locks) * self = data;
	int op = FUTEX_OP(FUTEX_OP_SET, 0, FUTEX_OP_CMP_EQ, 0);

	while (!self->copies->stop) {
		syscall(SYS_futex, self->map, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 1, NULL,
			self->map, op);
		usleep(1000);
	}
	return NULL;
}

static void copy(FIXTURE_DATA(reset_locks) * self)
{
	struct copies *copies = self->copies;
	ssize_t done;
	bool out;

	for (out = false; !copies->stop; out = !out) {
		if (out)
			done = read(self->hooks, self->map, RESET_HOOKS_BYTES);
		else
			done = write(self->hooks, self->map, RESET_HOOKS_BYTES);
		if (done == RESET_HOOKS_BYTES) {
			copies->done++;
		} else if (done == -1 && errno == EFAULT) {
			copies->refused++;
			/* The hook gets the lock before the next copy. */
			usleep(100000);
		} else {
			copies->unexpected = done == -1 ? errno : EIO;
		}
	}
}

static int copier(FIXTURE_DATA(reset_locks) * self, bool crowd)
{
	static void *(*const others[])(void *) = { touch, map_device, wake };
	unsigned int count = crowd ? ARRAY_SIZE(others) : 0, n;
	pthread_t threads[ARRAY_SIZE(others)];

	for (n = 0; n < count; n++)
		if (pthread_create(&threads[n], NULL, others[n], self))
			return 1;
	copy(self);
	for (n = 0; n < count; n++)
		pthread_join(threads[n], NULL);
	return 0;
}

/* Waits until copies that begin now succeed, or fails the test. */
static void expect_copy(struct __test_metadata *_metadata, struct copies *copies)
{
	unsigned long before = copies->done;
	unsigned int waits;

	for (waits = 0; copies->done < before + 2 && waits < PATIENCE * 1000; waits++)
		usleep(1000);
	EXPECT_LE(before + 2, copies->done);
}

FIXTURE_SETUP(reset_locks)
{
	struct vfio_subregion_create sub;

	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	if (access(PCI_BUS "/drivers/" RESET_HOOKS_DRIVER, F_OK))
		SKIP(return, "reset_hooks.ko is not loaded");
	self->other = fixture_bdf(_metadata, variant->other);
	if (!self->other)
		return;
	fixture_bind(_metadata, self->other, RESET_HOOKS_DRIVER);
	if (!fixture_open(_metadata, &self->dev, variant->device, vfio_driver()))
		return;
	self->hooks = open(RESET_HOOKS_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->hooks) TH_LOG(RESET_HOOKS_DEVICE ": %s", strerror(errno));
	self->oracle = open(PTE_ORACLE_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->oracle) TH_LOG(PTE_ORACLE_DEVICE ": %s", strerror(errno));

	self->offset = vfio_offset(&self->dev, BAR2, 0);
	if (variant->wc) {
		sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 0,
				     variant->size);
		self->offset = sub.mmap_offset;
	}
	self->map = fixture_map(_metadata, &self->dev, self->offset, variant->size, 2 * MIB);
	self->copies = mmap(NULL, GRANULE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			    0);
	ASSERT_NE(MAP_FAILED, self->copies);
	self->copier = fork();
	ASSERT_LE(0, self->copier);
	if (!self->copier) {
		/* The harness tears nothing down if an assertion fails here. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(copier(self, variant->crowd));
	}
	expect_copy(_metadata, self->copies);
}

FIXTURE_TEARDOWN(reset_locks)
{
	if (self->copier > 0) {
		self->copies->stop = true;
		fixture_join(_metadata, self->copier);
	}
	vfio_device_close(&self->dev);
	if (self->other)
		fixture_bind(_metadata, self->other, vfio_driver());
}

/* Looks for the entry of the process that copies, if the hook runs before and after the look. */
static void look(struct __test_metadata *_metadata, FIXTURE_DATA(reset_locks) * self,
		 const FIXTURE_VARIANT(reset_locks) * variant)
{
	struct pte_oracle pte = { .address = (uintptr_t)self->map, .pid = self->copier };
	int step = ioctl(self->hooks, RESET_HOOKS_STEP);

	ASSERT_LE(0, step);
	if (step % 4 != variant->hook)
		return;
	/* With the crowd, the oracle could wait for the mmap lock until the end of the reset. */
	if (!variant->crowd)
		ASSERT_EQ(0, ioctl(self->oracle, PTE_ORACLE_READ, &pte));
	if (ioctl(self->hooks, RESET_HOOKS_STEP) != step)
		return;
	self->looks++;
	self->present += pte.present;
	self->last_maps = self->copies->maps;
	if (!self->first_maps)
		self->first_maps = self->last_maps;
}

/*
 * Has a child reset the port, and looks meanwhile. Kills the child after PATIENCE; the hook then no
 * longer waits for the lock.
 */
static void reset_port(struct __test_metadata *_metadata, FIXTURE_DATA(reset_locks) * self,
		       const FIXTURE_VARIANT(reset_locks) * variant)
{
	unsigned long looks = self->looks;
	time_t begin = time(NULL);
	bool killed = false;
	int status;
	pid_t child;

	self->first_maps = 0;
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(-pci_reset_subordinate(self->dev.bdf));
	while (waitpid(child, &status, WNOHANG) == 0) {
		if (!killed && time(NULL) > begin + PATIENCE) {
			killed = true;
			kill(child, SIGKILL);
		}
		look(_metadata, self, variant);
		usleep(1000);
	}
	TH_LOG("a reset took %ld seconds; %lu copies done, %lu refused; %lu looks",
	       (long)(time(NULL) - begin), self->copies->done, self->copies->refused, self->looks);
	ASSERT_FALSE(killed)
		TH_LOG("neither the reset nor the copy ended; step %d",
		       ioctl(self->hooks, RESET_HOOKS_STEP));
	ASSERT_EQ(0, status);
	if (variant->crowd && self->looks > looks + 500)
		EXPECT_LT(self->first_maps + 10, self->last_maps);
}

/* contract: reset.locks */
TEST_F(reset_locks, a_reset_ends_although_a_copy_holds_the_lock_of_a_hook)
{
	unsigned int round;

	/* Not every reset finds the crowd at the right moment. */
	for (round = 0; round < ROUNDS; round++) {
		if (self->copies->refused && self->looks && round >= (variant->crowd ? 3 : 1))
			break;
		reset_port(_metadata, self, variant);
		expect_copy(_metadata, self->copies);
	}
	/* The hook waited for the lock, and the copy that held it failed. */
	EXPECT_LT(0, self->looks);
	EXPECT_LT(0, self->copies->refused);
	EXPECT_EQ(0, self->present);
	EXPECT_EQ(0, self->copies->unexpected) TH_LOG("%s", strerror(self->copies->unexpected));
	EXPECT_TOUCH(self->map, variant->wc ? PTE_WC : PTE_NONCACHED, 0);
}

TEST_HARNESS_MAIN
