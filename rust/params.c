// SPDX-License-Identifier: GPL-2.0-only
/*
 * Parts of the module that must be written in C: the version, the parameters and, for the drop-in,
 * the id table.
 *
 * Rust's module! supports neither string parameters nor parameters in sysfs, where users of
 * vfio-pci read and set them. A Rust id table cannot contain an id that matches only through
 * driver_override. Names and meanings are the same as those of vfio-pci.
 */
#include <linux/module.h>
#include <linux/pci.h>

#include "bindings/helpers.h"

/* module! does not support a version. */
MODULE_VERSION("0.1.0");

static char ids[1024];
module_param_string(ids, ids, sizeof(ids), 0);
MODULE_PARM_DESC(ids,
		 "Ids of devices to bind: vendor:device[:subvendor[:subdevice[:class[:class_mask]]]],...");

static bool nointxmask;
module_param(nointxmask, bool, 0644);
MODULE_PARM_DESC(nointxmask, "Do not mask INTx in the device, for devices whose masking is broken");

static bool disable_idle_d3;
module_param(disable_idle_d3, bool, 0644);
MODULE_PARM_DESC(disable_idle_d3, "Leave unused devices in full power");

#ifdef CONFIG_VFIO_PCI_VGA
static bool disable_vga;
module_param(disable_vga, bool, 0444);
MODULE_PARM_DESC(disable_vga, "Disable access to the legacy ranges of VGA devices");
#else
static const bool disable_vga;
#endif

#ifdef CONFIG_PCI_IOV
static bool enable_sriov;
module_param(enable_sriov, bool, 0644);
MODULE_PARM_DESC(enable_sriov, "Allow the administrator to enable virtual functions");
#else
static const bool enable_sriov;
#endif

static bool disable_denylist;
module_param(disable_denylist, bool, 0444);
MODULE_PARM_DESC(disable_denylist,
		 "Bind devices even if untrusted users can cause harm through known errata");

const char *subregion_param_ids(void)
{
	return ids;
}

bool subregion_param_nointxmask(void)
{
	return READ_ONCE(nointxmask);
}

bool subregion_param_disable_idle_d3(void)
{
	return READ_ONCE(disable_idle_d3);
}

bool subregion_param_disable_vga(void)
{
	return READ_ONCE(disable_vga);
}

bool subregion_param_enable_sriov(void)
{
	return READ_ONCE(enable_sriov);
}

bool subregion_param_disable_denylist(void)
{
	return READ_ONCE(disable_denylist);
}

#ifdef SUBREGION_DROPIN
/*
 * This table gives the module the alias by which libvirt and other programs find vfio-pci. A module
 * with another name must not have the alias, because they would then select it for every device.
 */
static const struct pci_device_id any_device[] = {
	{ PCI_DRIVER_OVERRIDE_DEVICE_VFIO(PCI_ANY_ID, PCI_ANY_ID) },
	{}
};
MODULE_DEVICE_TABLE(pci, any_device);

const struct pci_device_id *subregion_id_table(void)
{
	return any_device;
}
#else
const struct pci_device_id *subregion_id_table(void)
{
	return NULL;
}
#endif
