# SPDX-License-Identifier: GPL-2.0-only
# The product module for each lab kernel: build/<K>/nvfs.ko.  The sources are
# copied, because kbuild writes beside them and there are several kernels.

NVFS_KO		:= $(foreach k,$(KERNELS),$(BUILD)/$(k)/nvfs.ko)
NVFS_KSRC	:= $(wildcard kernel/*.c kernel/*.h kernel/compat/*) kernel/Kbuild \
		   include/uapi/nvfs.h

.PHONY: module
module: $(NVFS_KO) ## build nvfs.ko for every kernel of the lab

all: module

$(BUILD)/%/nvfs.ko: $(NVFS_KSRC) $(BUILD)/kernels/%/release
	$(Q)mkdir -p $(BUILD)/$*/nvfs $(BUILD)/$*/include/uapi
	$(Q)cp -u include/uapi/nvfs.h $(BUILD)/$*/include/uapi/
	$(Q)cp -ru kernel/Kbuild kernel/compat kernel/*.c kernel/*.h $(BUILD)/$*/nvfs/
	$(Q)$(MAKE) --no-print-directory -C $(abspath $(BUILD)/kernels/$*/headers) \
		M=$(abspath $(BUILD)/$*/nvfs) modules $(if $(V),V=$(V))
	$(Q)cp $(BUILD)/$*/nvfs/nvfs.ko $@

# The module for the kernel of this machine, when its headers are there: what
# `make install` installs and `modprobe nvfs` loads; with KREL= it installs none.
KREL		?= $(shell uname -r)
KDIR		?= /lib/modules/$(KREL)/build
HOST_DIR	:= $(BUILD)/host/$(KREL)
HOST_KO		:= $(HOST_DIR)/nvfs.ko

.PHONY: module-host install-module
module-host: $(if $(KREL),$(HOST_KO)) ## build nvfs.ko for this machine's kernel (KREL=, KDIR=)

$(HOST_KO): $(NVFS_KSRC)
	$(Q)[ -e $(KDIR)/Makefile ] || { \
		echo "no headers of kernel $(KREL) at $(KDIR): apt-get install linux-headers-$(KREL), or say KDIR=, or KREL= for no module" >&2; \
		exit 1; }
	$(Q)mkdir -p $(HOST_DIR)/nvfs $(HOST_DIR)/include/uapi
	$(Q)cp -u include/uapi/nvfs.h $(HOST_DIR)/include/uapi/
	$(Q)cp -ru kernel/Kbuild kernel/compat kernel/*.c kernel/*.h $(HOST_DIR)/nvfs/
	$(Q)$(MAKE) --no-print-directory -C $(KDIR) \
		M=$(abspath $(HOST_DIR)/nvfs) modules $(if $(V),V=$(V))
	$(Q)strip -g $(HOST_DIR)/nvfs/nvfs.ko -o $@

ifneq ($(wildcard $(KDIR)/Makefile),)
all: module-host
endif

ifneq ($(KREL),)
install: install-module
endif
install-module: $(HOST_KO)
	install -D -m 644 $(HOST_KO) $(DESTDIR)/lib/modules/$(KREL)/updates/nvfs.ko
	$(if $(DESTDIR),,depmod $(KREL))
