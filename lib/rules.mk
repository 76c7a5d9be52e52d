# SPDX-License-Identifier: MIT
#
# libnvfs, its manual pages, and the unit tests of library and command.

LIB_VERSION	:= 0.1.0
LIB_SRC		:= $(sort $(wildcard lib/*.c))
LIB_OBJ		:= $(LIB_SRC:%.c=$(BUILD)/obj/%.o)
LIB_INCLUDES	:= -Iinclude/uapi -Ilib/include
LIB_CFLAGS	= $(HOST_CFLAGS) $(LIB_INCLUDES) -fPIC -fvisibility=hidden
LIB_SO		:= $(BUILD)/lib/libnvfs.so.0
# liburing is linked in: nothing but libc is needed.
LIB_LIBS	:= -l:liburing.a -ldl -pthread
LIB_FILES	:= $(LIB_SO) $(BUILD)/lib/libnvfs.so $(BUILD)/lib/libnvfs.a \
		   $(BUILD)/lib/libnvfs.pc

# libcufile.so.0: its own names over the same objects.  json-c is linked in, so
# that an application may have another one.
CUFILE_SRC	:= $(sort $(wildcard lib/cufile/*.c))
CUFILE_OBJ	:= $(CUFILE_SRC:%.c=$(BUILD)/obj/%.o)
CUFILE_SO	:= $(BUILD)/lib/libcufile.so.0
CUFILE_FILES	:= $(CUFILE_SO) $(BUILD)/lib/libcufile.so
LIB_HEADERS	:= lib/include/libnvfs.h lib/include/libnvfs_async.h \
		   include/uapi/nvfs.h include/cufile.h

.PHONY: lib install-lib uninstall-lib man install-man uninstall-man lib-unit-tests

all: lib man

lib: $(LIB_FILES) $(CUFILE_FILES) ## build libnvfs and libcufile

$(CUFILE_OBJ): LIB_INCLUDES += -Ilib

$(LIB_OBJ) $(CUFILE_OBJ): $(BUILD)/obj/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LIB_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/lib/libnvfs.a: $(LIB_OBJ)
	$(call say,AR,$@)
	$(Q)mkdir -p $(@D)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

$(LIB_SO): $(LIB_OBJ) lib/libnvfs.map
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-soname,libnvfs.so.0 \
		-Wl,--version-script=lib/libnvfs.map -Wl,-z,defs \
		-Wl,-z,relro,-z,now,-z,nodelete $(LIB_OBJ) $(LIB_LIBS) -o $@

$(BUILD)/lib/libnvfs.so: $(LIB_SO)
	$(Q)ln -sf libnvfs.so.0 $@

$(CUFILE_SO): $(CUFILE_OBJ) $(LIB_OBJ) lib/libcufile.map
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-soname,libcufile.so.0 \
		-Wl,--version-script=lib/libcufile.map -Wl,-z,defs \
		-Wl,-z,relro,-z,now,-z,nodelete -Wl,-Bsymbolic-functions \
		-Wl,--exclude-libs,ALL $(CUFILE_OBJ) $(LIB_OBJ) \
		-l:libjson-c.a $(LIB_LIBS) -o $@

$(BUILD)/lib/libcufile.so: $(CUFILE_SO)
	$(Q)ln -sf libcufile.so.0 $@

# Made anew when PREFIX is another one than before.
$(BUILD)/lib/libnvfs.pc: lib/libnvfs.pc.in FORCE
	$(Q)mkdir -p $(@D)
	$(Q)sed -e 's|@PREFIX@|$(PREFIX)|' \
		-e 's|@LIBDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(LIBDIR))|' \
		-e 's|@INCLUDEDIR@|$${prefix}/include|' \
		-e 's|@VERSION@|$(LIB_VERSION)|' $< > $@.new
	$(Q)if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

install: install-lib install-man

install-lib: $(LIB_FILES) $(CUFILE_FILES)
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(PREFIX)/include
	install -m 755 $(LIB_SO) $(DESTDIR)$(LIBDIR)/libnvfs.so.$(LIB_VERSION)
	ln -sf libnvfs.so.$(LIB_VERSION) $(DESTDIR)$(LIBDIR)/libnvfs.so.0
	ln -sf libnvfs.so.0 $(DESTDIR)$(LIBDIR)/libnvfs.so
	install -m 644 $(BUILD)/lib/libnvfs.a $(DESTDIR)$(LIBDIR)/libnvfs.a
	install -m 644 $(BUILD)/lib/libnvfs.pc $(DESTDIR)$(LIBDIR)/pkgconfig/libnvfs.pc
	install -m 755 $(CUFILE_SO) $(DESTDIR)$(LIBDIR)/libcufile.so.$(LIB_VERSION)
	ln -sf libcufile.so.$(LIB_VERSION) $(DESTDIR)$(LIBDIR)/libcufile.so.0
	ln -sf libcufile.so.0 $(DESTDIR)$(LIBDIR)/libcufile.so
	install -m 644 $(LIB_HEADERS) $(DESTDIR)$(PREFIX)/include
	$(if $(DESTDIR),,ldconfig)

uninstall: uninstall-lib uninstall-man

uninstall-lib:
	$(call unlink,$(DESTDIR)$(LIBDIR)/libnvfs.so,libnvfs.so.0)
	$(call unlink,$(DESTDIR)$(LIBDIR)/libnvfs.so.0,libnvfs.so.$(LIB_VERSION))
	$(call unlink,$(DESTDIR)$(LIBDIR)/libcufile.so,libcufile.so.0)
	$(call unlink,$(DESTDIR)$(LIBDIR)/libcufile.so.0,libcufile.so.$(LIB_VERSION))
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/, libnvfs.so.$(LIB_VERSION) \
		libcufile.so.$(LIB_VERSION) libnvfs.a pkgconfig/libnvfs.pc) \
		$(addprefix $(DESTDIR)$(PREFIX)/include/, $(notdir $(LIB_HEADERS)))
	$(if $(DESTDIR),,ldconfig)

# Manual pages: only where scdoc is.
MAN_SRC		:= $(sort $(wildcard docs/man/*.scd))
MAN_PAGES	:= $(if $(shell command -v scdoc),$(MAN_SRC:docs/man/%.scd=$(BUILD)/man/%))
# Where page $(1) is installed: its name ends with its section.
man_place	= $(DESTDIR)$(PREFIX)/share/man/man$(lastword $(subst ., ,$(1)))/$(notdir $(1))

man: $(MAN_PAGES) ## build the manual pages (needs scdoc)

$(MAN_PAGES): $(BUILD)/man/%: docs/man/%.scd
	$(call say,MAN,$@)
	$(Q)mkdir -p $(@D)
	$(Q)scdoc < $< > $@

install-man: $(MAN_PAGES)
	$(if $(MAN_PAGES),$(foreach page,$(MAN_PAGES),install -D -m 644 $(page) $(call man_place,$(page)) &&) true)
	$(if $(MAN_PAGES),,@echo 'manual pages are left out: scdoc is missing (Debian: apt-get install scdoc)')

uninstall-man:
	rm -f $(foreach page,$(MAN_SRC:docs/man/%.scd=%),$(call man_place,$(page)))

# Unit tests: library and command once more, with sanitizers, in one archive
# without main().  tests/rules.mk runs what LIB_UNIT_TESTS names.
UNIT_CFLAGS	= -std=c11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Werror \
		  -DSOURCE_DIR='"$(CURDIR)"' \
		  -DSHARED_LIBRARY='"$(abspath $(LIB_SO))"' \
		  $(LIB_INCLUDES) -Ilib -Itools -fno-omit-frame-pointer \
		  -fsanitize=address,undefined -fno-sanitize-recover=all
UNIT_OBJ	:= $(LIB_SRC:%.c=$(BUILD)/obj/unit/%.o) \
		   $(patsubst %.c,$(BUILD)/obj/unit/%.o,$(filter-out \
		   tools/nvfs.c,$(sort $(wildcard tools/*.c))))
UNIT_SRC	:= $(sort $(wildcard tests/unit/lib_*.c))
LIB_UNIT_TESTS	:= $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/unit/%)

# These are the libamdhip64 that the library finds in them (lib_hip_model.h).
HIP_TESTS	:= $(foreach test,lib_hip lib_hip_stream lib_engine_hip whole_hip,\
		   $(BUILD)/tests/unit/$(test) $(BUILD)/tests/unit/tsan_$(test))

$(HIP_TESTS): private LIB_LIBS += -rdynamic

# libcufile alone, over an engine that the tests play (cufile_mock.h).
CUFILE_UNIT_OBJ	:= $(CUFILE_SRC:%.c=$(BUILD)/obj/unit/%.o)
CUFILE_UNIT_SRC	:= $(sort $(wildcard tests/unit/cufile_*.c))
CUFILE_UNIT_TESTS := $(CUFILE_UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/unit/%)

# The engine's once more, under ThreadSanitizer.
TSAN_CFLAGS	= $(filter-out -fsanitize=% -fno-sanitize-recover=%,$(UNIT_CFLAGS)) \
		  -fsanitize=thread
TSAN_OBJ	:= $(LIB_SRC:%.c=$(BUILD)/obj/tsan/%.o)
TSAN_TESTS	:= $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/tsan_%,\
		   $(wildcard tests/unit/lib_engine*.c) tests/unit/lib_account.c \
		   tests/unit/lib_file.c tests/unit/lib_queue.c \
		   tests/unit/lib_pump.c tests/unit/lib_crew.c \
		   tests/unit/lib_room.c)

lib-unit-tests: $(LIB_UNIT_TESTS) $(CUFILE_UNIT_TESTS) $(TSAN_TESTS)

$(TSAN_OBJ): $(BUILD)/obj/tsan/%.o: %.c
	$(call say,CC,$< (thread sanitizer))
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TSAN_CFLAGS) -MMD -MP -c $< -o $@

$(TSAN_TESTS): $(BUILD)/tests/unit/tsan_%: tests/unit/%.c $(TSAN_OBJ)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TSAN_CFLAGS) -Itests/unit -MMD -MP \
		-MF $(BUILD)/obj/tsan/$*.d $< $(TSAN_OBJ) -lcmocka $(LIB_LIBS) -o $@

# libcufile over the real engine, with each of the two sanitizers.
CUFILE_TSAN_OBJ	:= $(CUFILE_SRC:%.c=$(BUILD)/obj/tsan/%.o)
WHOLE_TESTS	:= $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/whole_*.c))
WHOLE_TSAN	:= $(WHOLE_TESTS:$(BUILD)/tests/unit/%=$(BUILD)/tests/unit/tsan_%)

lib-unit-tests: $(WHOLE_TESTS) $(WHOLE_TSAN)

$(CUFILE_TSAN_OBJ): LIB_INCLUDES += -Iinclude

$(CUFILE_TSAN_OBJ): $(BUILD)/obj/tsan/%.o: %.c
	$(call say,CC,$< (thread sanitizer))
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TSAN_CFLAGS) -MMD -MP -c $< -o $@

$(WHOLE_TESTS): $(BUILD)/tests/unit/%: tests/unit/%.c $(BUILD)/obj/unit/cufile.a $(BUILD)/obj/unit/all.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(UNIT_CFLAGS) -Itests/unit -Iinclude -MMD -MP \
		-MF $(BUILD)/obj/unit/$*.d $< $(BUILD)/obj/unit/cufile.a \
		$(BUILD)/obj/unit/all.a -lcmocka -l:libjson-c.a $(LIB_LIBS) -o $@

$(WHOLE_TSAN): $(BUILD)/tests/unit/tsan_%: tests/unit/%.c $(CUFILE_TSAN_OBJ) $(TSAN_OBJ)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TSAN_CFLAGS) -Itests/unit -Iinclude -MMD -MP \
		-MF $(BUILD)/obj/tsan/$*.d $< $(CUFILE_TSAN_OBJ) $(TSAN_OBJ) \
		-lcmocka -l:libjson-c.a $(LIB_LIBS) -o $@

# Some of them once more, over the objects that are shipped, for valgrind: those
# that do not take minutes with it.
VALGRIND_CUFILE	:= cufile_config cufile_driver cufile_log cufile_misuse \
		   cufile_objects cufile_requests cufile_stats
VALGRIND_LIB	:= lib_engine_batch lib_engine_lost lib_engine_route \
		   lib_engine_submit lib_file lib_io lib_queue lib_region \
		   whole_cufile
VALGRIND_TESTS	:= $(addprefix $(BUILD)/tests/valgrind/,$(VALGRIND_CUFILE) $(VALGRIND_LIB))
VALGRIND_CFLAGS	= $(filter-out -fsanitize=% -fno-sanitize-recover=%,$(UNIT_CFLAGS))

lib-unit-tests: $(VALGRIND_TESTS)

$(VALGRIND_LIB:%=$(BUILD)/tests/valgrind/%): $(LIB_OBJ)

$(VALGRIND_TESTS): $(BUILD)/tests/valgrind/%: tests/unit/%.c $(CUFILE_OBJ)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) $(BUILD)/obj/valgrind
	$(Q)$(CC) $(VALGRIND_CFLAGS) -Itests/unit -Iinclude -MMD -MP \
		-MF $(BUILD)/obj/valgrind/$*.d $< $(filter %.o,$^) \
		-lcmocka -l:libjson-c.a $(LIB_LIBS) -o $@

-include $(VALGRIND_TESTS:$(BUILD)/tests/valgrind/%=$(BUILD)/obj/valgrind/%.d)

$(BUILD)/obj/unit/cufile.a: $(CUFILE_UNIT_OBJ)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

$(CUFILE_UNIT_TESTS): $(BUILD)/tests/unit/%: tests/unit/%.c $(BUILD)/obj/unit/cufile.a $(CUFILE_SO)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(UNIT_CFLAGS) -DCUFILE_LIBRARY='"$(abspath $(CUFILE_SO))"' \
		-Itests/unit -Iinclude -MMD -MP -MF $(BUILD)/obj/unit/$*.d \
		$< $(BUILD)/obj/unit/cufile.a -lcmocka -l:libjson-c.a $(LIB_LIBS) -o $@

$(CUFILE_UNIT_OBJ): LIB_INCLUDES += -Iinclude

$(UNIT_OBJ) $(CUFILE_UNIT_OBJ): $(BUILD)/obj/unit/%.o: %.c
	$(call say,CC,$< (sanitized))
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(UNIT_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/obj/unit/all.a: $(UNIT_OBJ)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

# As the tool is linked: what reads a cufile.json.
$(BUILD)/tests/unit/lib_check: $(addprefix $(BUILD)/obj/unit/lib/cufile/,\
	config_env.o config_json.o config_keys.o config_table.o)

# What a library counts.
$(BUILD)/tests/unit/lib_stat: private LIB_INCLUDES += -Iinclude

# So that the engine takes no requests, or takes its time.
$(BUILD)/tests/unit/lib_queue $(BUILD)/tests/unit/tsan_lib_queue \
$(BUILD)/tests/valgrind/lib_queue: private LIB_LIBS += -Wl,--wrap=engine_submit

# So that files are mounted, and on a device, as the test says.
$(BUILD)/tests/unit/cufile_deny: private LIB_LIBS += -Wl,--wrap=cf_mount_of,--wrap=fstat

# The examples of libnvfs(3), as C: the first is a part of a function.
EXAMPLE		:= $(BUILD)/obj/unit/example/libnvfs_example.h

$(EXAMPLE): docs/man/libnvfs.3.scd lib/rules.mk
	$(Q)mkdir -p $(@D)
	$(Q)awk '/^# / { synopsis = /SYNOPSIS/ } synopsis { next } /^```/ { \
		if (on) { if (nr == 1) print "return 0;\n}" } \
		else if (++nr == 1) print "static inline int first_example(int fd)\n{"; \
		on = !on; next } \
	on { gsub(/\\\\/, "\\"); print }' $< > $@

$(BUILD)/tests/unit/lib_example: private UNIT_CFLAGS += -I$(dir $(EXAMPLE))
$(BUILD)/tests/unit/lib_example: $(EXAMPLE)

$(LIB_UNIT_TESTS): $(BUILD)/tests/unit/%: tests/unit/%.c $(BUILD)/obj/unit/all.a $(LIB_SO)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(UNIT_CFLAGS) -Itests/unit -MMD -MP -MF $(BUILD)/obj/unit/$*.d \
		$< $(filter %.o,$^) $(BUILD)/obj/unit/all.a -lcmocka -lmount \
		-l:libjson-c.a $(LIB_LIBS) -o $@

-include $(CUFILE_OBJ:.o=.d) $(CUFILE_UNIT_OBJ:.o=.d) $(CUFILE_UNIT_TESTS:$(BUILD)/tests/unit/%=$(BUILD)/obj/unit/%.d)
-include $(CUFILE_TSAN_OBJ:.o=.d) $(WHOLE_TESTS:$(BUILD)/tests/unit/%=$(BUILD)/obj/unit/%.d) \
	$(WHOLE_TESTS:$(BUILD)/tests/unit/%=$(BUILD)/obj/tsan/%.d)
-include $(LIB_OBJ:.o=.d) $(UNIT_OBJ:.o=.d) $(TSAN_OBJ:.o=.d) \
	$(TSAN_TESTS:$(BUILD)/tests/unit/tsan_%=$(BUILD)/obj/tsan/%.d) $(LIB_UNIT_TESTS:$(BUILD)/tests/unit/%=$(BUILD)/obj/unit/%.d)
