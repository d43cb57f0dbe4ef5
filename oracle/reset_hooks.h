/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface of reset_hooks.ko, a PCI driver with a lock that its reset hooks take. It binds the
 * devices whose driver_override names it, and does nothing with them.
 *
 * read() and write() of the file copy up to RESET_HOOKS_BYTES with the lock held, and fail with
 * EFAULT if the copy does.
 */
#ifndef RESET_HOOKS_H
#define RESET_HOOKS_H

#include <linux/ioctl.h>

#define RESET_HOOKS_DRIVER	"reset_hooks"
#define RESET_HOOKS_DEVICE	"/dev/reset_hooks"
#define RESET_HOOKS_BYTES	64

/*
 * Returns how often a hook has begun or ended. With one device, the remainder modulo 4 is 1 during
 * reset_prepare, 2 until reset_done, 3 during reset_done, and 0 otherwise.
 */
#define RESET_HOOKS_STEP	_IO(0xD6, 3)

#endif /* RESET_HOOKS_H */
