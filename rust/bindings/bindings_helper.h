/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The input of bindgen, which generates bindings only for the items that the file `parameters` in
 * this folder lists.
 */

/* Before vfio_pci_core.h, which declares accesses of 64 bits only then. */
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/mman.h>
#include <linux/pgtable.h>
#include <linux/pm_runtime.h>
#include <linux/vfio_pci_core.h>
#include <linux/vfio_subregion.h>
#include "helpers.h"

/* Macros that bindgen cannot evaluate. Kbuild removes the prefix from the generated names. */
const unsigned int RUST_CONST_HELPER_PMD_ORDER = PMD_ORDER;
const unsigned int RUST_CONST_HELPER_VFIO_DEVICE_GET_INFO = VFIO_DEVICE_GET_INFO;
const unsigned int RUST_CONST_HELPER_VFIO_DEVICE_IOEVENTFD = VFIO_DEVICE_IOEVENTFD;
const unsigned int RUST_CONST_HELPER_VFIO_DEVICE_RESET = VFIO_DEVICE_RESET;
const unsigned int RUST_CONST_HELPER_VFIO_DEVICE_SET_IRQS = VFIO_DEVICE_SET_IRQS;
const unsigned int RUST_CONST_HELPER_VFIO_SUBREGION_CREATE = VFIO_SUBREGION_CREATE;
const unsigned int RUST_CONST_HELPER_VFIO_SUBREGION_DESTROY = VFIO_SUBREGION_DESTROY;
const unsigned int RUST_CONST_HELPER_VFIO_SUBREGION_QUERY = VFIO_SUBREGION_QUERY;
const unsigned int RUST_CONST_HELPER_VFIO_REGION_SET_ATTR = VFIO_REGION_SET_ATTR;
const unsigned int RUST_CONST_HELPER_VFIO_SUBREGION_EXPORT = VFIO_SUBREGION_EXPORT;
