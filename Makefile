# SPDX-License-Identifier: MIT
#
# NVFS.  `make help` lists what there is.  Each directory says in its rules.mk
# what it adds; nothing here is recursive, and all output is below $(BUILD).

BUILD	?= build
KERNELS	?= 6.1 6.12
PREFIX	?= /usr/local
LIBDIR	?= $(PREFIX)/lib
CC	?= gcc
CFLAGS	?= -O2 -g
HOST_CFLAGS = -std=c11 -D_GNU_SOURCE $(CFLAGS) -Wall -Wextra -Werror -Iinclude

MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

# V=1 shows the commands.
Q	:= $(if $(filter-out 0,$(V)),,@)
say	= @printf '  %-7s %s\n' '$(1)' '$(2)'

.PHONY: all test check clean distclean help install setup FORCE

all: ## build everything: modules, library, tools, the lab, the tests

# What this machine lacks is installed (as root) or named before anything else
# happens: make remakes an included file first, and begins anew if it changed.
GOALS := $(or $(MAKECMDGOALS),all)
ifneq ($(filter-out help clean distclean,$(GOALS)),)
ifeq ($(findstring n,$(filter-out --%,$(firstword $(MAKEFLAGS)))),)
include $(BUILD)/setup.mk
$(BUILD)/setup.mk: FORCE
	@lab/setup.sh $@
endif
endif

install: ## install module, library, tools and manual pages (PREFIX=, DESTDIR=, KREL=)

setup: ## install the Debian packages that are missing

include $(sort $(wildcard */rules.mk */*/rules.mk))

clean: ## remove what was built; downloads and unpacked kernels stay
	$(Q)[ ! -d $(BUILD) ] || find $(BUILD) -mindepth 1 -maxdepth 1 \
		! -name cache ! -name kernels -exec rm -rf {} +

distclean: ## remove everything that is not in the repository
	$(Q)rm -rf $(BUILD)

help: ## this text
	@echo 'NVFS: storage reads and writes GPU memory directly.'
	@echo
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | \
		sort | awk -F '\t' '{ printf "  make %-16s %s\n", $$1, $$2 }'
	@echo
	@echo '  V=1 shows the commands, KERNELS="6.1 6.12" says for which kernels.'
