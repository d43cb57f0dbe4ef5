/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tracepoints, which must be defined in C. Their directory in tracefs has the name of the
 * module.
 */
#undef TRACE_SYSTEM
#ifdef SUBREGION_DROPIN
#define TRACE_SYSTEM vfio_pci
#else
#define TRACE_SYSTEM subregion_vfio_pci
#endif

#if !defined(SUBREGION_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define SUBREGION_TRACE_H

#include <linux/tracepoint.h>
#include <linux/vfio_subregion.h>

#define subregion_show_attribute(attribute) \
	__print_symbolic(attribute, \
			 { VFIO_SUBREGION_ATTR_NONCACHED, "NONCACHED" }, \
			 { VFIO_SUBREGION_ATTR_DEVICE, "DEVICE" }, \
			 { VFIO_SUBREGION_ATTR_WC, "WC" }, \
			 { VFIO_SUBREGION_ATTR_GUEST_ANY, "GUEST_ANY" })

DECLARE_EVENT_CLASS(subregion_lifetime,
		    TP_PROTO(const char *device, u32 index, u32 bar, u64 offset, u64 size,
			     u32 attribute),
		    TP_ARGS(device, index, bar, offset, size, attribute),
		    TP_STRUCT__entry(__string(device, device)
				     __field(u32, index)
				     __field(u32, bar)
				     __field(u64, offset)
				     __field(u64, size)
				     __field(u32, attribute)
		    ),
		    TP_fast_assign(__assign_str(device);
				   __entry->index = index;
				   __entry->bar = bar;
				   __entry->offset = offset;
				   __entry->size = size;
				   __entry->attribute = attribute;
		    ),
		    TP_printk("device=%s index=%u bar=%u offset=0x%llx size=0x%llx attribute=%s",
			      __get_str(device), __entry->index, __entry->bar, __entry->offset,
			      __entry->size, subregion_show_attribute(__entry->attribute))
);

DEFINE_EVENT(subregion_lifetime, subregion_create,
	     TP_PROTO(const char *device, u32 index, u32 bar, u64 offset, u64 size, u32 attribute),
	     TP_ARGS(device, index, bar, offset, size, attribute)
);

DEFINE_EVENT(subregion_lifetime, subregion_destroy,
	     TP_PROTO(const char *device, u32 index, u32 bar, u64 offset, u64 size, u32 attribute),
	     TP_ARGS(device, index, bar, offset, size, attribute)
);

TRACE_EVENT(subregion_attribute,
	    TP_PROTO(const char *device, u32 bar, u32 attribute),
	    TP_ARGS(device, bar, attribute),
	    TP_STRUCT__entry(__string(device, device)
			     __field(u32, bar)
			     __field(u32, attribute)
	    ),
	    TP_fast_assign(__assign_str(device);
			   __entry->bar = bar;
			   __entry->attribute = attribute;
	    ),
	    TP_printk("device=%s bar=%u attribute=%s", __get_str(device), __entry->bar,
		      subregion_show_attribute(__entry->attribute))
);

TRACE_EVENT(subregion_export,
	    TP_PROTO(const char *device, u32 index, u32 flags),
	    TP_ARGS(device, index, flags),
	    TP_STRUCT__entry(__string(device, device)
			     __field(u32, index)
			     __field(u32, flags)
	    ),
	    TP_fast_assign(__assign_str(device);
			   __entry->index = index;
			   __entry->flags = flags;
	    ),
	    TP_printk("device=%s index=%u flags=0x%x", __get_str(device), __entry->index,
		      __entry->flags)
);

DECLARE_EVENT_CLASS(subregion_fault,
		    TP_PROTO(const char *device, u64 offset),
		    TP_ARGS(device, offset),
		    TP_STRUCT__entry(__string(device, device)
				     __field(u64, offset)
		    ),
		    TP_fast_assign(__assign_str(device);
				   __entry->offset = offset;
		    ),
		    TP_printk("device=%s offset=0x%llx", __get_str(device), __entry->offset)
);

DEFINE_EVENT(subregion_fault, subregion_fault_refused,
	     TP_PROTO(const char *device, u64 offset),
	     TP_ARGS(device, offset)
);

DEFINE_EVENT(subregion_fault, subregion_fault_revoked,
	     TP_PROTO(const char *device, u64 offset),
	     TP_ARGS(device, offset)
);

#endif /* SUBREGION_TRACE_H */

/* The build finds this file by TRACE_INCLUDE_PATH, and reads it several times. */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
