# SPDX-License-Identifier: MIT
# The sanitizer kernel: looked at each time, built only when it is stale.

$(BUILD)/kernels/6.12-debug/release: FORCE
	$(Q)lab/kernels/debug.sh $(BUILD)
