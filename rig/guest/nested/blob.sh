# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=busybox
# Reads and writes a namespace past all caches, in the guest and in the nested guest. Sourced, never
# run.

# 1 MiB that depends on the token $1.
blob() { yes "$1" | head -c 1048576; }

# Reads 1 MiB at the offset of $1 MiB, or writes stdin there.
read_blob() { dd if=/dev/nvme0n1 bs=64k skip=$(($1 * 16)) count=16 iflag=direct,fullblock 2>/dev/null; }
write_blob() { dd of=/dev/nvme0n1 bs=64k seek=$(($1 * 16)) count=16 oflag=direct iflag=fullblock conv=fsync 2>/dev/null; }
