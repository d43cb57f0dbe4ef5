/* SPDX-License-Identifier: GPL-2.0-only */
/* The functions of params.c, which params/bindings.rs declares for Rust. */
#ifndef SUBREGION_PARAMS_H
#define SUBREGION_PARAMS_H

#include <linux/types.h>

struct pci_device_id;

const char *subregion_param_ids(void);
bool subregion_param_nointxmask(void);
bool subregion_param_disable_idle_d3(void);
bool subregion_param_disable_vga(void);
bool subregion_param_enable_sriov(void);
bool subregion_param_disable_denylist(void);
const struct pci_device_id *subregion_id_table(void);

#endif /* SUBREGION_PARAMS_H */
