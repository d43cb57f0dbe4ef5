# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=busybox
# What guest and guest's guest write to a namespace and read from it, past all caches. Sourced, never run.

# 1 MiB that no other token gives.
blob() { yes "$1" | head -c 1048576; }

# Reads it from $1 MiB on, or writes there what is on stdin.
read_blob() { dd if=/dev/nvme0n1 bs=64k skip=$(($1 * 16)) count=16 iflag=direct,fullblock 2>/dev/null; }
write_blob() { dd of=/dev/nvme0n1 bs=64k seek=$(($1 * 16)) count=16 oflag=direct iflag=fullblock conv=fsync 2>/dev/null; }
