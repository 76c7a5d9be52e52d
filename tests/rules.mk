# SPDX-License-Identifier: MIT
# Self-tests for the guest, tests of the harness, unit tests of the module's
# pure functions, the breaks, and `make test`.

SELFTESTS	:= smoke rw route badinput procfs lifetime fuzz tool bench failnth \
		   module fsx batch align bounce gate uring \
		   sparse states recover hold trace stat mmap mapend cufile cumem \
		   queues \
		   container users charge bpf
META_TESTS	:= good failing splat warning hang crash plan leak dead stuck
TEST_CFLAGS	= $(HOST_CFLAGS) -Itests/selftests
TEST_FIX	:= $(addprefix $(BUILD)/tests/obj/, fix_gpu.o fix_nv.o fix_file.o \
		   fix_mod.o fix_async.o fix_map.o fix_trace.o \
		   fix_ring.o fix_fuse.o)
# These open the library as its clients do.
CUFILE_TESTS	:= $(addprefix $(BUILD)/tests/selftests/, cufile cumem)
TEST_OBJ	:= $(BUILD)/tests/obj/harness.o $(TEST_FIX)
TEST_LINK	= $(TEST_OBJ)
TEST_HDR	:= $(wildcard tests/selftests/*.h) include/uapi/nvfs.h

SELFTEST_BINS	:= $(addprefix $(BUILD)/tests/selftests/, $(SELFTESTS))
META_BINS	:= $(addprefix $(BUILD)/tests/meta/, $(META_TESTS))
XFER		:= $(BUILD)/tests/helpers/xfer
PULL		:= $(BUILD)/tests/helpers/pull
MANY		:= $(BUILD)/tests/helpers/many
BREAKS		:= $(BUILD)/tests/breaks/silent-fallback.so
SPLAT_KO	:= $(foreach k,$(KERNELS),$(BUILD)/$(k)/splat.ko)

$(BUILD)/tests/obj/%.o: tests/selftests/%.c $(TEST_HDR)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CFLAGS) -c -o $@ $<

$(BUILD)/tests/selftests/%: tests/selftests/%.c $(TEST_OBJ) $(TEST_HDR)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CFLAGS) -o $@ $< $(TEST_LINK) -lpthread -ldl

$(CUFILE_TESTS): TEST_LINK = $(TEST_OBJ) $(BUILD)/tests/obj/fix_cufile.o
$(CUFILE_TESTS): $(BUILD)/tests/obj/fix_cufile.o $(CUFILE_SO)
$(BUILD)/tests/obj/fix_cufile.o: include/cufile.h

$(BUILD)/tests/meta/%: tests/meta/%.c $(TEST_OBJ) $(TEST_HDR)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CFLAGS) -o $@ $< $(TEST_LINK) -lpthread -ldl

# This one lies about itself, so it has a main() of its own.
$(BUILD)/tests/meta/plan: TEST_LINK =

$(XFER): tests/host/xfer.c $(TEST_OBJ) $(TEST_HDR)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CFLAGS) -o $@ $< $(TEST_LINK) -lpthread -ldl

$(PULL): tests/host/pull.c $(TEST_OBJ) $(TEST_HDR)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CFLAGS) -o $@ $< $(TEST_LINK) -lpthread -ldl

$(MANY): tests/host/many.c $(TEST_OBJ) $(TEST_HDR)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CFLAGS) -o $@ $< $(TEST_LINK) -lpthread -ldl

$(BUILD)/tests/breaks/%.so: tests/breaks/%.c include/uapi/nvfs.h
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HOST_CFLAGS) -fPIC -shared -o $@ $< -ldl

# A module that warns when it is loaded: tests of the harness need a real one.
$(BUILD)/%/splat.ko: tests/meta/splat-module.c $(BUILD)/kernels/%/release
	$(Q)mkdir -p $(BUILD)/$*/splat
	$(Q)cp tests/meta/splat-module.c $(BUILD)/$*/splat/splat.c
	$(Q)echo 'obj-m := splat.o' >$(BUILD)/$*/splat/Kbuild
	$(Q)$(MAKE) --no-print-directory -C $(abspath $(BUILD)/kernels/$*/headers) \
		M=$(abspath $(BUILD)/$*/splat) modules CONFIG_DEBUG_INFO_BTF_MODULES= $(if $(V),V=$(V)) >/dev/null
	$(Q)cp $(BUILD)/$*/splat/splat.ko $@

# The self-tests of queues run the program for real GPUs.
all: $(SELFTEST_BINS) $(BREAKS) $(BUILD)/clients/gpu_queues

# All that there are, unless the user says for which.
KERNEL_ARGS	:= $(if $(filter command environment,$(firstword $(origin KERNELS))),$(KERNELS:%=--kernel %))

.PHONY: tests-build test fsx trouble
tests-build: $(BUILD)/kernels/source/scripts/checkpatch.pl unit-tests $(SELFTEST_BINS) $(META_BINS) $(XFER) $(PULL) $(MANY) $(BREAKS) $(SPLAT_KO) ## build all test programs

test: all tests-build ## all tests but the long ones (LANE=core, stress, lab, unit, meta or check; K=: part of a test's name)
	$(Q)tests/test_runner.sh $(or $(LANE),all) $(if $(K),-k '$(K)') $(KERNEL_ARGS)

fsx: all tests-build ## the random tester, 100,000 operations per kernel (SEED=, OPS=)
	$(Q)tests/host/fsx.py $(if $(SEED),-s $(SEED)) $(if $(OPS),-n $(OPS)) $(KERNEL_ARGS)

trouble: all tests-build ## drives and GPUs pulled out, drives that hang or have bad sectors (ROUNDS=50)
	$(Q)tests/host/trouble.py $(if $(ROUNDS),-n $(ROUNDS)) $(KERNEL_ARGS)
