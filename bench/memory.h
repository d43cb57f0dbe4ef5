/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's own counts of its memory.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdint.h>

/**
 * struct memory - in bytes
 * @slab: memory of kmalloc(), of any size, and of other caches
 * @vmalloc: pages of vmalloc()
 * @tables: page tables, including the kernel's own as far as it counts them
 * @mapped: address space of ioremap(), which is not memory
 * @areas: the number of such mappings
 */
struct memory {
	uint64_t slab;
	uint64_t vmalloc;
	uint64_t tables;
	uint64_t mapped;
	uint64_t areas;
};

struct memory memory_now(void);

/** say_memory() - prints the memory added since @before, divided by @each */
void say_memory(const char *row, const char *subject, uint64_t at,
		const struct memory *before, uint64_t each);

#endif /* MEMORY_H */
