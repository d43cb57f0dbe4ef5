// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tracepoints of trace.h, and functions by which Rust reaches them.
 *
 * The kernel crate's declare_trace! looks for tracepoints in the kernel's own bindings, which do
 * not have those of this module. While a tracepoint is off, its function is one branch that the
 * kernel has patched out (a static key).
 */
#include <linux/module.h>

#include "bindings/helpers.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

void subregion_trace_create(const char *device, u32 index, u32 bar, u64 offset, u64 size,
			    u32 attribute)
{
	trace_subregion_create(device, index, bar, offset, size, attribute);
}

void subregion_trace_destroy(const char *device, u32 index, u32 bar, u64 offset, u64 size,
			     u32 attribute)
{
	trace_subregion_destroy(device, index, bar, offset, size, attribute);
}

void subregion_trace_attribute(const char *device, u32 bar, u32 attribute)
{
	trace_subregion_attribute(device, bar, attribute);
}

void subregion_trace_export(const char *device, u32 index, u32 flags)
{
	trace_subregion_export(device, index, flags);
}

void subregion_trace_fault_refused(const char *device, u64 offset)
{
	trace_subregion_fault_refused(device, offset);
}

void subregion_trace_fault_revoked(const char *device, u64 offset)
{
	trace_subregion_fault_revoked(device, offset);
}
