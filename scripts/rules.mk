# SPDX-License-Identifier: MIT
#
# The checks of the tree.  Each can be run alone: scripts/check layers style.

CHECK_NEEDS := $(foreach k,$(KERNELS),$(BUILD)/$(k)/nvfs.ko)
CHECK_SCRIPTS := $(BUILD)/kernels/source/scripts/checkpatch.pl

.PHONY: check check-selftest uapi-golden

check: $(CHECK_NEEDS) $(CHECK_SCRIPTS) ## Style, layers, sparse, ABI and all other checks of the tree (V=1: all findings)
	@KERNELS="$(KERNELS)" V="$(V)" scripts/check

check-selftest: $(CHECK_NEEDS) $(CHECK_SCRIPTS) ## Show that every check reports a wrong input
	@KERNELS="$(KERNELS)" V="$(V)" scripts/check --selftest

uapi-golden: ## Accept a change of the ABI: write scripts/uapi-layout.golden
	scripts/check-uapi --update
