# SPDX-License-Identifier: MIT
# The lab: kernels, the guest's agent, and the commands that start machines.

KERNEL	?= 6.12
CPU	?= max
SIZE	?= 256M

AGENT	:= $(BUILD)/lab/agent
RELEASES := $(patsubst %,$(BUILD)/kernels/%/release,$(filter-out %-debug,$(KERNELS)))
CHECKPATCH := $(BUILD)/kernels/source/scripts/checkpatch.pl

$(RELEASES): $(BUILD)/kernels/%/release:
	$(Q)lab/kernels/fetch.sh $(BUILD) $*

$(CHECKPATCH):
	$(Q)lab/kernels/source.sh $(BUILD)

$(AGENT): lab/vm/agent.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HOST_CFLAGS) -static $(LDFLAGS) $< -o $@

all: $(RELEASES) $(AGENT) labgpu

ifneq ($(filter run shell vm,$(GOALS)),)
ifeq ($(filter $(KERNEL),$(KERNELS)),)
$(error no kernel $(KERNEL) here, only: $(KERNELS))
endif
endif

.PHONY: run shell vm picture kernels update-kernels lab-test

run: all $(if $(filter-out wrong-page,$(BREAK)),$(BUILD)/tests/breaks/$(BREAK).so) ## first direct reads and writes, with proof (SIZE=256M, KERNEL=6.12)
	$(Q)python3 lab/run.py --kernel $(KERNEL) --size $(SIZE) $(if $(BREAK),--break $(BREAK))

shell: all ## a prompt in a lab guest (KERNEL=6.12, CPU=max|EPYC)
	$(Q)python3 lab/shell.py --kernel $(KERNEL) --cpu $(CPU)

vm: all $(T:%=$(BUILD)/tests/selftests/%) ## one self-test in a lab guest: make vm T=smoke KERNEL=6.1
	$(Q)python3 lab/vmtest.py --kernel $(KERNEL) --cpu $(CPU) $(or $(T),$(error say which test: make vm T=smoke))

picture: all ## the picture of nvfs stat --watch in docs/img (KERNEL=6.12)
	$(Q)mkdir -p docs/img
	$(Q)python3 lab/picture.py --kernel $(KERNEL) docs/img/stat-watch.svg

kernels: $(RELEASES) ## fetch the kernels that the lab boots

# What was built for the old ones goes with them: it would not load.
update-kernels: ## fetch the newest kernels, and their package index first
	$(Q)[ "$$(id -u)" -ne 0 ] || apt-get -q update
	$(Q)rm -rf $(RELEASES) $(CHECKPATCH) $(KERNELS:%=$(BUILD)/%)
	$(Q)$(MAKE) --no-print-directory kernels

lab-test: ## tests of the lab's own code
	$(Q)python3 -m unittest discover -s lab/vm -p 'test_*.py'
