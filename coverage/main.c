// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records which of the driver's code runs, in any task.
 *
 * A driver that is built with SUBREGION_COVERAGE=1 calls __sanitizer_cov_trace_pc() at the start of
 * every basic block, with the same instrumentation as KCOV. KCOV records only tasks that asked for
 * it, and only in a kernel that was built with it. This module records everything, on any kernel,
 * until the machine ends. /sys/kernel/debug/coverage has a line for each call that was reached,
 */
#include <linux/bitmap.h>
#include <linux/debugfs.h>
#include <linux/kallsyms.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/seq_file.h>
#include <linux/vmalloc.h>

#include "coverage.h"

/* A part of a build of the driver. */
struct part {
	char module[MODULE_NAME_LEN];
	enum mod_mem_type type;
	/* Its address while it is loaded; otherwise 0. */
	unsigned long base;
	unsigned long size;
	/* A bit for each offset. */
	unsigned long *ran;
	/* An offset and the symbol there. */
	unsigned long anchor;
	char symbol[KSYM_SYMBOL_LEN];
};

/*
 * The driver and the drop-in have two each; so has the kernel's vfio-pci, which has the drop-in's
 * name.
 */
static struct part parts[6];
static unsigned int parts_used;
/* Protects @parts, except the fields that __sanitizer_cov_trace_pc() reads and sets. */
static DEFINE_MUTEX(parts_lock);
static struct dentry *file;

void notrace __sanitizer_cov_trace_pc(void)
{
	unsigned int i, used;

	/* Pairs with the release in find_part(). */
	used = smp_load_acquire(&parts_used);
	for (i = 0; i < used; i++) {
		unsigned long offset = _RET_IP_ - READ_ONCE(parts[i].base);

		if (offset < parts[i].size) {
			if (!test_bit(offset, parts[i].ran))
				set_bit(offset, parts[i].ran);
			return;
		}
	}
}
EXPORT_SYMBOL(__sanitizer_cov_trace_pc);

/* Returns the part of a module that was loaded before, or a new one; or NULL. */
static struct part *find_part(const struct module *module, enum mod_mem_type type)
{
	unsigned long size = module->mem[type].size;
	struct part *part;

	for (part = parts; part < parts + parts_used; part++) {
		if (!strcmp(part->module, module->name) && part->type == type && part->size == size)
			return part;
	}
	if (part == parts + ARRAY_SIZE(parts))
		return NULL;
	part->ran = vzalloc(array_size(BITS_TO_LONGS(size), sizeof(long)));
	if (!part->ran)
		return NULL;
	strscpy(part->module, module->name);
	part->type = type;
	part->size = size;
	/* Pairs with the acquire in __sanitizer_cov_trace_pc(). */
	smp_store_release(&parts_used, parts_used + 1);
	return part;
}

/* Records a symbol while the kernel still knows it. */
static void note_anchor(struct part *part)
{
	unsigned long first = find_first_bit(part->ran, part->size);

	if (part->symbol[0] || first == part->size)
		return;
	part->anchor = first;
	sprint_symbol(part->symbol, part->base + first);
}

static void part_comes(const struct module *module, enum mod_mem_type type)
{
	struct part *part;

	if (!module->mem[type].size)
		return;
	part = find_part(module, type);
	if (!part)
		pr_warn("coverage: the code of %s is not recorded\n", module->name);
	else
		WRITE_ONCE(part->base, (unsigned long)module->mem[type].base);
}

static void parts_go(const struct module *module, enum mod_mem_type type)
{
	struct part *part;

	for (part = parts; part < parts + parts_used; part++) {
		if (strcmp(part->module, module->name) || part->type != type || !part->base)
			continue;
		note_anchor(part);
		WRITE_ONCE(part->base, 0);
	}
}

static int module_changes(struct notifier_block *block, unsigned long state, void *data)
{
	struct module *module = data;

	if (strcmp(module->name, "subregion_vfio_pci") && strcmp(module->name, "vfio_pci"))
		return NOTIFY_DONE;
	guard(mutex)(&parts_lock);
	switch (state) {
	case MODULE_STATE_COMING:
		part_comes(module, MOD_TEXT);
		part_comes(module, MOD_INIT_TEXT);
		break;
	case MODULE_STATE_GOING:
		parts_go(module, MOD_TEXT);
		fallthrough;
	case MODULE_STATE_LIVE:
		parts_go(module, MOD_INIT_TEXT);
		break;
	}
	return NOTIFY_DONE;
}

static struct notifier_block watcher = { .notifier_call = module_changes };

static int coverage_show(struct seq_file *seq, void *unused)
{
	struct part *part;
	unsigned long bit;

	guard(mutex)(&parts_lock);
	for (part = parts; part < parts + parts_used; part++) {
		const char *type = part->type == MOD_TEXT ? "text" : "init";

		if (part->base)
			note_anchor(part);
		if (!part->symbol[0])
			continue;
		seq_printf(seq, "%s %s %lx %s\n", part->module, type, part->anchor, part->symbol);
		for_each_set_bit(bit, part->ran, part->size)
			seq_printf(seq, "%s %s %lx\n", part->module, type, bit);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(coverage);

static int __init coverage_init(void)
{
	int ret = register_module_notifier(&watcher);

	if (ret)
		return ret;
	file = debugfs_create_file("coverage", 0400, NULL, NULL, &coverage_fops);
	return 0;
}
module_init(coverage_init);

static void __exit coverage_exit(void)
{
	unsigned int i;

	debugfs_remove(file);
	unregister_module_notifier(&watcher);
	for (i = 0; i < parts_used; i++)
		vfree(parts[i].ran);
}
module_exit(coverage_exit);

MODULE_DESCRIPTION("Records which code of subregion_vfio_pci runs");
MODULE_LICENSE("GPL");
