# SPDX-License-Identifier: GPL-2.0-only
# `make help` lists the commands.

# With KDIR=TREE and no goal, build only the module; with neither, print the help.
.DEFAULT_GOAL := $(if $(filter command line,$(origin KDIR)),module,help)
.PHONY: help run sample dpdk dpdk-native nested vmm try trace check check-host check-all series series-check coverage fuzz bench doc deb deb-modules debcheck module dropin noiommu install uninstall clean cache distclean

help: ## Print this help
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18
	@echo '  make KDIR=TREE'
	@echo '                  Build only the module, against your own kernel tree with Rust'

run: ## Boot a stock kernel in QEMU, load the driver, run the sample, print the page-table entries
	@rig/enter rig/run $(if $(SAMPLE),'$(SAMPLE)')

sample: ## Run another sample in that machine, in C or Rust: SAMPLE=NAME, see rig/run --help
	@rig/enter rig/run '$(SAMPLE)'

dpdk: ## Run Debian's dpdk-testpmd on the drop-in in QEMU, with and without write combining
	@rig/enter rig/build dropin oracle tools
	@rig/enter rig/vm --dpdk dpdk

dpdk-native: ## Build DPDK from Debian's source with the patch for write combining, and run it in QEMU
	@[ '$(or $(ARCH),x86_64)' = x86_64 ] || { echo 'error: make dpdk-native runs on x86-64 only' >&2; exit 1; }
	@rig/enter rig/build dropin oracle tools
	@rig/enter rig/vm --dpdk-native dpdknative

nested: ## Pass a device through to a guest in QEMU, with Debian's QEMU
	@rig/enter rig/build module oracle tools
	@rig/enter rig/vm --limit 1200 --nested nested

vmm: ## Give a KVM guest in QEMU one BAR in parts with different attributes
	@rig/enter rig/build module oracle samples
	@rig/enter rig/vm vmm

try: ## Run a program of yours in QEMU with the driver: PROGRAM=FILE ARGS='...', see rig/try --help
	@rig/try '$(PROGRAM)' '$(subst ','\'',$(value ARGS))'

trace: ## Model the PCIe writes of a program: SAMPLE=NAME, or PROGRAM=FILE ARGS='...', see rig/trace --help
	@rig/trace $(if $(POLICY),--policy '$(POLICY)') $(if $(PROGRAM),--program '$(PROGRAM)' '$(subst ','\'',$(value ARGS))','$(SAMPLE)')

check: ## Run all tests, on the host and in QEMU; or some: TEST='claim.*', see rig/check --help
	@$(if $(filter debian binding,$(TEST)),rig/disk >/dev/null)
	@rig/enter rig/check $(if $(TEST),--test $(foreach name,$(TEST),'$(name)'))

check-host: ## Run the checks that need no machine; or some: CHECK='fmt clippy', see rig/host --help
	@rig/host $(foreach name,$(CHECK),'$(name)')

check-all: ## Run what check leaves out: every other kernel, the packages, faults of Linux, the series
	@ARCH=x86_64 rig/system >/dev/null
	@for arch in $(or $(ARCH),x86_64 arm64); do ARCH=$$arch rig/disk >/dev/null || exit; done
	@rig/enter rig/check rest

series: ## Make the series of patches for Linux in build/series: ASSISTED_BY= REROLL= WITHOUT='faults features', see rig/series --help
	@ASSISTED_BY='$(ASSISTED_BY)' REROLL='$(REROLL)' WITHOUT='$(WITHOUT)' rig/enter rig/series-check made

series-check: ## Make that series, and check it: form, style, builds, and the tests on a kernel that has it
	@rig/enter rig/series-check

coverage: ## Run the guests of check and print which of the driver's code ran
	@rig/coverage

fuzz: ## Do random operations in QEMU and compare with a model: MINUTES= SEED= OPS=, see rig/fuzz --help
	@rig/fuzz $(foreach word,MINUTES SEED OPS SEQUENCE DEVICE MODE TRACE,$(if $($(word)),'$(word)=$($(word))'))

bench: ## Measure the driver's cost beside vfio-pci, in instructions: tables, JSON, plots; BOOTS=N times
	@rig/enter rig/bench $(BOOTS)

doc: ## Build the documentation as HTML in build/doc
	@rig/enter rig/doc

deb: ## Build the Debian packages in build/deb
	@rig/enter rig/deb

# The files are opened here, because they are elsewhere inside the build root.
deb-modules: ## Build packages with modules for the kernel KERNEL= SERIES=; SIGN_KEY= SIGN_CERT= sign them
	@rig/enter rig/deb-modules $(if $(SIGN_KEY),--sign /dev/fd/3 /dev/fd/4 3<'$(SIGN_KEY)' 4<'$(SIGN_CERT)')

debcheck: ## Install, upgrade and remove the packages in a Debian system, and boot with them
	@rig/debcheck

# Only the module, outside the source directory, so that builds for two kernels do not mix.
KDIR ?= /lib/modules/$(shell uname -r)/build
OUT ?= $(CURDIR)/build/module
# A tree accepts only modules built by its own compiler. Kbuild takes CC, RUSTC and BINDGEN from the
# command line, not from the environment.
given = $(if $(filter command%,$(origin $(1))),$($(1)))
CHECK_TREE = ARCH='$(ARCH)' CROSS_COMPILE='$(CROSS_COMPILE)' LLVM='$(LLVM)' CC='$(call given,CC)' \
	RUSTC='$(call given,RUSTC)' BINDGEN='$(call given,BINDGEN)' rust/check-tree
KBUILD_TOOLCHAIN = $(shell $(CHECK_TREE) --toolchain '$(KDIR)')
DROPIN_OUT ?= $(CURDIR)/build/dropin

module: ## Build only the module; KDIR defaults to the build tree of the running kernel
	@$(CHECK_TREE) '$(KDIR)'
	@mkdir -p '$(OUT)'
	+$(MAKE) -C '$(KDIR)' M='$(CURDIR)' MO='$(OUT)' DROPIN='$(DROPIN)' $(KBUILD_TOOLCHAIN) modules

dropin: ## Build the same driver with the name vfio-pci, which DPDK and SPDK require
	+@$(MAKE) --no-print-directory module DROPIN=1 OUT='$(DROPIN_OUT)'

# Only files of vfio.ko look at the option, as long as there is no iommufd.
NOIOMMU_OUT ?= $(CURDIR)/build/noiommu

noiommu: ## Build the kernel's own vfio.ko with CONFIG_VFIO_NOIOMMU, from the source in KDIR
	@$(CHECK_TREE) '$(KDIR)'
	@[ -e '$(KDIR)/drivers/vfio/group.c' ] || \
		{ echo 'error: $(KDIR) has no drivers/vfio: name a tree with the source of the kernel' >&2; exit 1; }
	@! grep -qE '^CONFIG_(IOMMUFD|VFIO_NOIOMMU)=' '$(KDIR)/include/config/auto.conf' || \
		{ echo 'error: the kernel in $(KDIR) has no-IOMMU mode, or iommufd, which would have to be built too' >&2; exit 1; }
	@mkdir -p '$(NOIOMMU_OUT)'
	+$(MAKE) -C '$(KDIR)' M='$(realpath $(KDIR))/drivers/vfio' MO='$(NOIOMMU_OUT)' $(KBUILD_TOOLCHAIN) \
		CONFIG_VFIO_NOIOMMU=y KCFLAGS='$(KCFLAGS) -DCONFIG_VFIO_NOIOMMU=1' vfio.ko

# Installs the module where modprobe prefers it to the kernel's own, below DESTDIR if that is set.
# In this case the administrator runs depmod on the target system. A prepared tree has no key for
# signing modules, and no System.map, without which the kernel's own rule omits depmod.
PREFIX ?= /usr/local
RELEASE = $(shell cat '$(KDIR)/include/config/kernel.release')
MODULES = $(DESTDIR)/lib/modules/$(RELEASE)/updates
NAME := $(if $(DROPIN),vfio-pci,subregion_vfio_pci)
DEPMOD ?= depmod
# The library in C, which has PREFIX, LIBDIR and INCLUDEDIR, and the compiler for programs of the same machine.
LIBRARY = $(MAKE) --no-print-directory -C lib/c OUT='$(CURDIR)/build/library-$(or $(ARCH),native)' PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)'

install: module ## Install the module for the kernel in KDIR, the library in C and the headers (as root)
	+$(MAKE) -C '$(KDIR)' M='$(CURDIR)' MO='$(OUT)' DROPIN='$(DROPIN)' $(KBUILD_TOOLCHAIN) INSTALL_MOD_PATH='$(DESTDIR)' \
		$(if $(wildcard $(KDIR)/certs/signing_key.x509),,CONFIG_MODULE_SIG_ALL=) DEPMOD=true \
		modules_install
	$(if $(DESTDIR),,$(DEPMOD) '$(RELEASE)')
	+$(LIBRARY) install

uninstall: ## Remove the files of make install
	@test -n '$(RELEASE)'
	rm -f '$(MODULES)/$(NAME).ko'*
	$(if $(DESTDIR),,$(DEPMOD) '$(RELEASE)')
	+$(LIBRARY) uninstall
	@[ ! -d '$(MODULES)' ] || rmdir --ignore-fail-on-non-empty '$(MODULES)'

clean: ## Remove all build results from this checkout; the cache stays
	rm -rf build Documentation/contract.rst

cache: ## List the build roots and kernels in the cache; rig/cache --help describes how to remove them
	@rig/cache

distclean: clean ## Remove all build results, and the cache
	@rig/cache remove all
