# SPDX-License-Identifier: MIT
#
# NVFS.  `make help` lists what there is.  Each directory says in its rules.mk
# what it adds; nothing here is recursive, and all output is below $(BUILD),
# which is another directory than build/ only where nothing is run.

BUILD	?= build
KERNELS	?= 6.1 6.12
PREFIX	?= /usr/local
LIBDIR	?= $(PREFIX)/lib
# make's own default is cc
ifeq ($(origin CC),default)
CC	:= gcc
endif
CFLAGS	?= -O2 -g
HOST_CFLAGS = -std=c11 -D_GNU_SOURCE $(CFLAGS) -Wall -Wextra -Werror -Iinclude

MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

# V=1 shows the commands.
Q	:= $(if $(filter-out 0,$(V)),,@)
say	= @printf '  %-7s %s\n' '$(1)' '$(2)'

.PHONY: all test check clean distclean help install uninstall setup FORCE

all: ## build modules, library, tools, manual pages, the lab and its self-tests

# What this machine lacks for the goals is installed (as root) or named before
# anything else happens: make remakes an included file first, and begins anew if
# it changed.  The product needs little, and so does what is built for a machine
# with a GPU; all else is for the lab and the tests.
GOALS		:= $(or $(MAKECMDGOALS),all)
NEED_NOTHING	:= help clean distclean uninstall uninstall-%
NEED_LITTLE	:= $(NEED_NOTHING) module-host lib tools man install install-% \
		   bench-build clients-gpu
# What make help tells; for what is no goal at all nothing is installed.
KNOWN		:= $(shell sed -n 's/^\([a-z][a-z-]*\):.*\#\# .*/\1/p' Makefile \
			$(wildcard */rules.mk */*/rules.mk)) $(NEED_LITTLE) \
		   all test check setup unit-tests lib-unit-tests $(BUILD)/%
WANTED		:= $(filter $(KNOWN),$(GOALS))
NEEDS		:= $(if $(filter-out $(NEED_NOTHING),$(WANTED)),packaging/packages) \
		   $(if $(filter-out $(NEED_LITTLE) gpu-test bench-throughput,$(WANTED)),lab/packages)
SETUP		?= lab/setup.sh

# Machines, tests and checks look for their programs below build/.
ANY_BUILD	:= $(NEED_LITTLE) all module labgpu kernels update-kernels setup \
		   unit-tests lib-unit-tests $(BUILD)/%
ONE_BUILD	:= $(filter-out $(ANY_BUILD),$(GOALS))
ifneq ($(abspath $(BUILD)),$(CURDIR)/build)
ifneq ($(ONE_BUILD),)
$(error BUILD=$(BUILD) is not for $(ONE_BUILD), which needs what is below build/)
endif
endif

ifneq ($(strip $(NEEDS)),)
ifeq ($(findstring n,$(filter-out --%,$(firstword $(MAKEFLAGS)))),)
include $(BUILD)/setup.mk
$(BUILD)/setup.mk: FORCE
	@CC='$(CC)' CFLAGS='$(CFLAGS)' LDFLAGS='$(LDFLAGS)' $(SETUP) $@ $(NEEDS)
endif
endif

install: ## install module, library, tools, manual pages, the udev rule

uninstall: ## remove what make install with the same variables installs

# A link of ours; one that leads elsewhere is somebody else's.
unlink = [ "$$(readlink $(1))" != $(2) ] || rm -f $(1)

setup: ## install the Debian packages that are missing, for the lab as well

include $(sort $(wildcard */rules.mk */*/rules.mk))

clean: ## remove what was built below build/; downloads and unpacked kernels stay
	$(Q)[ ! -d $(BUILD) ] || find $(BUILD) -mindepth 1 -maxdepth 1 \
		! -name cache ! -name kernels -exec rm -rf {} +

distclean: ## remove build/ (BUILD=): downloads and unpacked kernels, too
	$(Q)rm -rf $(BUILD)

help: ## this text
	@echo 'NVFS: storage reads and writes GPU memory directly.'
	@echo
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | \
		sort | awk -F '\t' '{ printf "  make %-16s %s\n", $$1, $$2 }'
	@echo
	@echo '  V=1 shows the commands, KERNELS="6.1 6.12" says for which kernels'
	@echo '  of the lab to build and test, BUILD=build where what is built goes'
	@echo '  (what runs a machine, a test or a check takes no other).'
	@echo '  install and uninstall take PREFIX=$(PREFIX), LIBDIR=PREFIX/lib,'
	@echo '  UDEVDIR=$(UDEVDIR), DESTDIR= (put before all paths) and'
	@echo '  KREL=$(KREL), the kernel of the module; empty: without it.'
