/* SPDX-License-Identifier: GPL-2.0-only */
/* The function that the compiler calls; linux/kcov.h declares it only if the kernel has KCOV. */
#ifndef COVERAGE_H
#define COVERAGE_H

void __sanitizer_cov_trace_pc(void);

#endif
