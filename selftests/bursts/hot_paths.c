// SPDX-License-Identifier: GPL-2.0-only
/* The hot paths of a driver as functions of their own; rig/bursts looks at their code. */
#include <vfio_subregion_io.h>

uint32_t register_read(const void *reg)
{
	return vfio_subregion_read32(reg);
}

void register_write(void *reg, uint32_t value)
{
	vfio_subregion_write32(reg, value);
}

void doorbell(void *reg, uint32_t value)
{
	vfio_subregion_order_stores();
	vfio_subregion_write32(reg, value);
}

void queue_push(struct vfio_subregion_queue *queue, const void *entry)
{
	vfio_subregion_queue_push(queue, entry);
}

void queue_submit(struct vfio_subregion_queue *queue, uint32_t value)
{
	vfio_subregion_queue_submit(queue, value);
}

void queue_release(struct vfio_subregion_queue *queue)
{
	vfio_subregion_queue_release(queue);
}

void copy_wc(void *to, const void *from, size_t size)
{
	vfio_subregion_copy_wc(to, from, size);
}

void copy_any(void *to, const void *from, size_t size)
{
	vfio_subregion_copy(to, from, size);
}

void write_line(void *to, const void *line)
{
	vfio_subregion_write_line(to, line);
}

void copy_line(void *to, const void *line)
{
	vfio_subregion_copy_wc(to, line, VFIO_SUBREGION_LINE);
}

/* Has all routines. */
int use(enum vfio_subregion_line_store way)
{
	return vfio_subregion_use_line_store(way);
}
