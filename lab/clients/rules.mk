# SPDX-License-Identifier: MIT
# Programs that others wrote for cuFile, over our libcufile in the lab.

KVIKIO	:= $(BUILD)/clients/kvikio-test

$(KVIKIO): lab/clients/kvikio.cpp lab/clients/kvikio.sh include/cufile.h $(BUILD)/lab/libcuda.so.1
	$(call say,CXX,$@)
	$(Q)lab/clients/kvikio.sh $(BUILD)

.PHONY: clients-test
clients-test: all $(KVIKIO) ## KvikIO over libcufile in a guest (fetches it with pip)
	$(Q)python3 lab/clients/run.py $(KERNEL)
