/* SPDX-License-Identifier: GPL-2.0-only */
/* What the compiler calls; linux/kcov.h has it only where the kernel has KCOV. */
#ifndef COVERAGE_H
#define COVERAGE_H

void __sanitizer_cov_trace_pc(void);

#endif
