# SPDX-License-Identifier: MIT
#
# The nvfs command.

TOOLS_SRC	:= $(sort $(wildcard tools/*.c))
TOOLS_OBJ	:= $(TOOLS_SRC:%.c=$(BUILD)/obj/%.o)
# bench measures the engine, which is no public interface.
TOOLS_CFLAGS	= $(HOST_CFLAGS) $(LIB_INCLUDES) -Ilib

.PHONY: tools install-tools

all: tools

tools: $(BUILD)/tools/nvfs ## build the nvfs command

$(TOOLS_OBJ): $(BUILD)/obj/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TOOLS_CFLAGS) -MMD -MP -c $< -o $@

# Linked with the archive: one file that runs wherever it is copied.
$(BUILD)/tools/nvfs: $(TOOLS_OBJ) $(BUILD)/lib/libnvfs.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIB_LIBS) -o $@

install: install-tools

install-tools: $(BUILD)/tools/nvfs
	install -D -m 755 $< $(DESTDIR)$(PREFIX)/bin/nvfs

-include $(TOOLS_OBJ:.o=.d)
