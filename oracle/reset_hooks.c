// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver of the host whose reset hooks need a lock that is also held in copies to and from user
 * memory. Drivers of network cards are like this: their hooks take the lock of all network devices,
 * and SIOCETHTOOL copies with it.
 */
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/uaccess.h>

#include "reset_hooks.h"

static DEFINE_MUTEX(lock);

/* What the file is read from and written to. */
static char bytes[RESET_HOOKS_BYTES];

/* Only a hook changes it. */
static unsigned int step;

/*
 * Real hooks wait until they have the lock. This one gives up if the process that resets the device
 * is killed, so that a test which finds a deadlock can end it.
 */
static void take_lock(struct pci_dev *pdev)
{
	WRITE_ONCE(step, step + 1);
	if (!mutex_lock_killable(&lock))
		mutex_unlock(&lock);
	WRITE_ONCE(step, step + 1);
}

static const struct pci_error_handlers reset_hooks_handlers = {
	.reset_prepare = take_lock,
	.reset_done = take_lock,
};

static int reset_hooks_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	return 0;
}

static struct pci_driver reset_hooks_driver = {
	.name = RESET_HOOKS_DRIVER,
	.probe = reset_hooks_probe,
	.err_handler = &reset_hooks_handlers,
	/* There is no DMA, so VFIO may have the other devices of the IOMMU group. */
	.driver_managed_dma = true,
};

/* Takes the lock for long enough that a reset and other threads come between this and the copy. */
static int lock_for_copy(void)
{
	int ret = mutex_lock_killable(&lock);

	if (!ret)
		msleep(50);
	return ret;
}

static ssize_t reset_hooks_read(struct file *file, char __user *to, size_t size, loff_t *pos)
{
	size_t left;

	size = min(size, sizeof(bytes));
	if (lock_for_copy())
		return -EINTR;
	left = copy_to_user(to, bytes, size);
	mutex_unlock(&lock);
	return left ? -EFAULT : size;
}

static ssize_t reset_hooks_write(struct file *file, const char __user *from, size_t size,
				 loff_t *pos)
{
	size_t left;

	size = min(size, sizeof(bytes));
	if (lock_for_copy())
		return -EINTR;
	left = copy_from_user(bytes, from, size);
	mutex_unlock(&lock);
	return left ? -EFAULT : size;
}

static long reset_hooks_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return cmd == RESET_HOOKS_STEP ? (long)READ_ONCE(step) : -ENOTTY;
}

static const struct file_operations reset_hooks_fops = {
	.owner = THIS_MODULE,
	.read = reset_hooks_read,
	.write = reset_hooks_write,
	.unlocked_ioctl = reset_hooks_ioctl,
};

static struct miscdevice reset_hooks_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = RESET_HOOKS_DRIVER,
	.fops = &reset_hooks_fops,
	.mode = 0600,
};

static int __init reset_hooks_init(void)
{
	int ret = misc_register(&reset_hooks_device);

	if (ret)
		return ret;
	ret = pci_register_driver(&reset_hooks_driver);
	if (ret)
		misc_deregister(&reset_hooks_device);
	return ret;
}
module_init(reset_hooks_init);

static void __exit reset_hooks_exit(void)
{
	pci_unregister_driver(&reset_hooks_driver);
	misc_deregister(&reset_hooks_device);
}
module_exit(reset_hooks_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test-only PCI driver whose reset hooks take a lock");
