# SPDX-License-Identifier: MIT
# The emulated GPU: kernel driver, libcuda.so.1 and their own tests.

LABGPU_SRC := $(wildcard lab/gpu/kernel/*.[ch]) lab/gpu/kernel/Kbuild lab/gpu/labgpu.h
LABGPU_KO := $(KERNELS:%=$(BUILD)/%/labgpu.ko)
LABCUDA := $(BUILD)/lab/libcuda.so.1
LABCUDA_SRC := $(wildcard lab/gpu/libcuda/*.c)
LABCUDA_HDR := $(wildcard lab/gpu/libcuda/*.h) lab/gpu/labgpu.h
LABGPU_TESTS := $(patsubst lab/gpu/selftest/%.c,$(BUILD)/lab/gpu/%,$(wildcard lab/gpu/selftest/*_test.c))

# Kbuild writes beside the sources, so it gets a copy of them.  labgpu_probe.ko,
# which tests the driver, comes with it.
$(LABGPU_KO): $(BUILD)/%/labgpu.ko: $(LABGPU_SRC) | $(BUILD)/kernels/%/release
	$(call say,MODULE,$@)
	$(Q)rm -rf $(BUILD)/$*/labgpu && mkdir -p $(BUILD)/$*/labgpu
	$(Q)cp -p $(LABGPU_SRC) $(BUILD)/$*/labgpu/
	$(Q)$(MAKE) $(if $(Q),-s) --no-print-directory -C $(BUILD)/kernels/$*/headers \
		M=$(abspath $(BUILD)/$*/labgpu) CONFIG_DEBUG_INFO_BTF_MODULES= modules
	$(Q)cp $(BUILD)/$*/labgpu/labgpu_probe.ko $(BUILD)/$*/
	$(Q)cp $(BUILD)/$*/labgpu/labgpu.ko $@

$(LABCUDA): $(LABCUDA_SRC) $(LABCUDA_HDR) lab/gpu/libcuda/libcuda.map
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HOST_CFLAGS) -Ilab/gpu -fPIC -fvisibility=hidden -pthread \
		-shared -Wl,-soname,libcuda.so.1 -Wl,-z,defs \
		-Wl,--version-script=lab/gpu/libcuda/libcuda.map \
		$(LDFLAGS) $(LABCUDA_SRC) -o $@

$(LABGPU_TESTS): $(BUILD)/lab/gpu/%: lab/gpu/selftest/%.c $(wildcard lab/gpu/selftest/*.h) $(LABCUDA_HDR)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HOST_CFLAGS) -Ilab/gpu -pthread $(LDFLAGS) $< -ldl -o $@

all: labgpu

.PHONY: labgpu labgpu-test
labgpu: $(LABGPU_KO) $(LABCUDA) $(LABGPU_TESTS) ## the emulated GPU, its libcuda and its own tests

labgpu-test: labgpu $(AGENT) ## the emulated GPU's own tests, in a guest of each kernel
	$(Q)python3 lab/gpu/selftest/run.py $(KERNELS)
