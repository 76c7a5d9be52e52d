# SPDX-License-Identifier: MIT
#
# The nvfs command.

TOOLS_SRC	:= $(sort $(wildcard tools/*.c))
TOOLS_OBJ	:= $(TOOLS_SRC:%.c=$(BUILD)/obj/%.o)
# bench measures the engine, which is no public interface.
TOOLS_CFLAGS	= $(HOST_CFLAGS) $(LIB_INCLUDES) -Ilib

.PHONY: tools install-tools uninstall-tools

all: tools

tools: $(BUILD)/tools/nvfs ## build the nvfs command

$(addprefix $(BUILD)/obj/unit/tools/,check_config.o cmd_stat.o stat_library.o): \
	LIB_INCLUDES += -Iinclude

$(TOOLS_OBJ): $(BUILD)/obj/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TOOLS_CFLAGS) -MMD -MP -c $< -o $@

# What nvfs check needs to read a cufile.json as libcufile does.
TOOLS_CUFILE	:= $(addprefix $(BUILD)/obj/lib/cufile/,config_env.o config_json.o config_keys.o config_table.o)

# Linked with the archive: but for libmount, which is wherever mount(8) is, one
# file that runs wherever it is copied.
$(BUILD)/tools/nvfs: $(TOOLS_OBJ) $(TOOLS_CUFILE) $(BUILD)/lib/libnvfs.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ -l:libjson-c.a -lmount $(LIB_LIBS) -o $@

install: install-tools

install-tools: $(BUILD)/tools/nvfs
	install -D -m 755 $< $(DESTDIR)$(PREFIX)/bin/nvfs

uninstall: uninstall-tools

uninstall-tools:
	rm -f $(DESTDIR)$(PREFIX)/bin/nvfs

-include $(TOOLS_OBJ:.o=.d)
