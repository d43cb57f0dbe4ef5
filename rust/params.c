// SPDX-License-Identifier: GPL-2.0
/*
 * Parts of the module that must be written in C: parameters and, for the drop-in, the id table.
 *
 * The parameters that Rust's module! declares cannot be strings, and are not in sysfs, where users
 * of vfio-pci read and set them. An id in a Rust table cannot be for driver_override alone. All
 * names and meanings are those of vfio-pci.
 */
#include <linux/module.h>
#include <linux/pci.h>

#include "bindings/helpers.h"

static char ids[1024];
module_param_string(ids, ids, sizeof(ids), 0);
MODULE_PARM_DESC(ids,
		 "Ids of devices to take: vendor:device[:subvendor[:subdevice[:class[:class_mask]]]],...");

static bool nointxmask;
module_param(nointxmask, bool, 0644);
MODULE_PARM_DESC(nointxmask, "Do not mask INTx in the device, for those that do so wrongly");

static bool disable_idle_d3;
module_param(disable_idle_d3, bool, 0644);
MODULE_PARM_DESC(disable_idle_d3, "Leave devices that nobody uses in full power");

#ifdef CONFIG_VFIO_PCI_VGA
static bool disable_vga;
module_param(disable_vga, bool, 0444);
MODULE_PARM_DESC(disable_vga, "Give no access to the legacy ranges of VGA devices");
#else
static const bool disable_vga;
#endif

#ifdef CONFIG_PCI_IOV
static bool enable_sriov;
module_param(enable_sriov, bool, 0644);
MODULE_PARM_DESC(enable_sriov, "Allow virtual functions to be enabled");
#else
static const bool enable_sriov;
#endif

static bool disable_denylist;
module_param(disable_denylist, bool, 0444);
MODULE_PARM_DESC(disable_denylist,
		 "Take devices too whose known errata let untrusted users do harm");

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
 * libvirt and others look for vfio-pci by the alias that comes of this. Under another name the
 * module must not have it, or it would be taken for the best match of every device.
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
