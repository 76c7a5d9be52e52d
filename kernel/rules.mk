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
