# SPDX-License-Identifier: MIT
# Unit tests of the module's pure functions: its own files, compiled as they
# are against tests/unit/shim, with cmocka, ASan and UBSan.

KUNIT_DIR	:= $(BUILD)/tests/kunit
KUNIT_SRC	:= nvfs-pci nvfs-pci-rank nvfs-pci-table nvfs-dma nvfs-mmap \
		   nvfs-mmap-block nvfs-mmap-map nvfs-mod nvfs-stat nvfs-stat-hist \
		   nvfs-stat-user
KUNIT_OBJ	:= $(KUNIT_SRC:%=$(KUNIT_DIR)/%.o)
KUNIT_TESTS	:= $(patsubst tests/unit/kernel/%.c,$(BUILD)/tests/unit/kernel_%, \
		   $(wildcard tests/unit/kernel/*.c))
KUNIT_CFLAGS	= -std=gnu11 -O1 -g -I$(KUNIT_DIR)/shim -Itests/unit/shim \
		  -Iinclude -Ikernel -include shim.h -fno-omit-frame-pointer \
		  -fsanitize=address,undefined -fno-sanitize-recover=all
KUNIT_STAMP	:= $(KUNIT_DIR)/shim/stamp

# Every <linux/...> that the module includes is the one shim, but for those that
# user space has with the same meaning.
$(KUNIT_STAMP): $(wildcard kernel/*.[ch]) tests/unit/shim/shim.h
	$(Q)mkdir -p $(KUNIT_DIR)/shim/linux
	$(Q)sed -n 's,^#include <\(linux/[a-z0-9_/-]*\.h\)>.*,\1,p' kernel/*.[ch] \
		| grep -v -e /types.h -e /errno.h -e /stat.h -e /magic.h \
		| sort -u | while read -r header; do \
		mkdir -p "$$(dirname $(KUNIT_DIR)/shim/$$header)"; \
		echo '#include "shim.h"' >$(KUNIT_DIR)/shim/$$header; done
	$(Q)touch $@

# -w: the kernel's build warns; here undeclared functions are not called.
$(KUNIT_OBJ): $(KUNIT_DIR)/%.o: kernel/%.c $(KUNIT_STAMP)
	$(Q)$(CC) $(KUNIT_CFLAGS) -w -c -o $@ $<

$(KUNIT_TESTS): $(BUILD)/tests/unit/kernel_%: tests/unit/kernel/%.c $(KUNIT_OBJ)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(KUNIT_CFLAGS) -Wall -Wextra -Werror -no-pie -o $@ $< \
		$(KUNIT_OBJ) -lcmocka -Wl,--unresolved-symbols=ignore-all

.PHONY: unit-tests
unit-tests: $(KUNIT_TESTS) lib-unit-tests ## build the unit tests

# nvfs bench has threads of its own: once more, under ThreadSanitizer.
TSAN_BENCH	:= $(BUILD)/tests/unit/tsan_lib_bench
TSAN_BENCH_OBJ	:= $(patsubst tools/%.c,$(BUILD)/obj/tsan/tools/%.o, \
		   $(wildcard tools/bench_*.c) tools/out.c tools/parse.c tools/progress.c)

$(TSAN_BENCH_OBJ): $(BUILD)/obj/tsan/tools/%.o: tools/%.c $(wildcard tools/*.h lib/*.h)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TSAN_CFLAGS) -c $< -o $@

$(TSAN_BENCH): tests/unit/lib_bench.c tests/unit/lib_mock.h $(TSAN_BENCH_OBJ) $(TSAN_OBJ)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TSAN_CFLAGS) -Itests/unit $< $(TSAN_BENCH_OBJ) $(TSAN_OBJ) \
		-lcmocka $(LIB_LIBS) -o $@

unit-tests: $(TSAN_BENCH)
