# SPDX-License-Identifier: MIT
# The debug lane: every self-test on a kernel that looks for mistakes.

.PHONY: test-debug test-all

test-debug: ## every self-test on a sanitizer kernel (built once: 10 to 20 min; K=)
	$(Q)$(MAKE) --no-print-directory KERNELS=6.12-debug all
	$(Q)python3 tests/debug/lane.py $(if $(K),-k '$(K)')

test-all: ## all tests: make test, fsx, trouble and test-debug
	$(Q)$(MAKE) --no-print-directory test
	$(Q)$(MAKE) --no-print-directory fsx
	$(Q)$(MAKE) --no-print-directory trouble
	$(Q)$(MAKE) --no-print-directory test-debug
