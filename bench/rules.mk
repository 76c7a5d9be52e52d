# SPDX-License-Identifier: MIT
# What requests cost.

COST		:= $(BUILD)/bench/cost
COST_SRC	:= $(wildcard bench/cost*.c)

$(COST): $(COST_SRC) bench/cost.h include/uapi/nvfs.h lab/gpu/labgpu.h
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HOST_CFLAGS) -static $(LDFLAGS) $(COST_SRC) -o $@

# How fast a file gets to a GPU without the module.
THROUGHPUT	:= $(BUILD)/bench/throughput
THROUGHPUT_SRC	:= $(wildcard bench/throughput*.c)
THROUGHPUT_FILE	?= $(BUILD)/bench/throughput.dat
MACHINE		?= $(shell uname -m)

$(THROUGHPUT): $(THROUGHPUT_SRC) bench/throughput.h $(BUILD)/lib/libnvfs.a
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HOST_CFLAGS) -Ilib -Ilib/include -Iinclude/uapi $(LDFLAGS) \
		$(THROUGHPUT_SRC) $(BUILD)/lib/libnvfs.a $(LIB_LIBS) -o $@

# How fast a drive's bytes get into the buffers of that, and back.
DRIVE		:= $(BUILD)/bench/drive
DRIVE_FILE	?= $(BUILD)/bench/drive.dat

$(DRIVE): bench/drive.c $(BUILD)/lib/libnvfs.a
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HOST_CFLAGS) -Ilib -Ilib/include -Iinclude/uapi $(LDFLAGS) \
		$< $(BUILD)/lib/libnvfs.a $(LIB_LIBS) -o $@

.PHONY: bench-build bench-cost
bench-build: $(COST) $(THROUGHPUT) $(DRIVE) ## build the programs of the benchmarks

bench-cost: all $(COST) ## instructions per request, against budgets; writes docs/cost.md
	$(Q)mkdir -p docs
	$(Q)python3 bench/cost.py --write docs/cost.md $(KERNELS)

CASE ?= read-4k

.PHONY: bench-profile bench-test
bench-profile: all $(COST) ## where the instructions of a request go (CASE=read-4k, KERNEL=6.12)
	$(Q)python3 bench/profile.py --kernel $(KERNEL) $(CASE)

bench-test: ## tests of the benchmarks' own code
	$(Q)python3 -m unittest discover -s bench -p 'test_*.py'

.PHONY: bench-throughput
bench-throughput: $(THROUGHPUT) $(BUILD)/lib/libcufile.so.0 ## GB/s to a real GPU, beside libcufile (MACHINE=); writes docs/throughput.md
	$(Q)python3 bench/throughput.py --write docs/throughput.md \
		--machine '$(MACHINE)' -n $(BUILD)/lib/libcufile.so.0 -f $(THROUGHPUT_FILE)

.PHONY: bench-drive
bench-drive: $(DRIVE) ## MB/s from a drive into host memory, O_DIRECT (DRIVE_FILE=, MACHINE=); writes docs/drive.md
	$(Q)$(DRIVE) -f $(DRIVE_FILE) -m '$(MACHINE)' > $(BUILD)/bench/drive.md
	$(Q)cp $(BUILD)/bench/drive.md docs/drive.md
