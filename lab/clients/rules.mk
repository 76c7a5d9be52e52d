# SPDX-License-Identifier: MIT
# Programs that others wrote for cuFile, over our libcufile in the lab.

CLIENTS	?= kvikio fio
KVIKIO	:= $(BUILD)/clients/kvikio-test
FIO	:= $(BUILD)/clients/fio/source/fio

$(KVIKIO): lab/clients/kvikio.cpp lab/clients/kvikio.sh include/cufile.h $(BUILD)/lab/libcuda.so.1
	$(call say,CXX,$@)
	$(Q)lab/clients/kvikio.sh $(BUILD)

$(FIO): lab/clients/fio.sh $(wildcard lab/clients/cudart/*) include/cufile.h $(BUILD)/lab/libcuda.so.1 $(BUILD)/lib/libcufile.so.0
	$(call say,FIO,$@)
	$(Q)lab/clients/fio.sh $(BUILD)

.PHONY: clients-test
clients-test: all $(if $(filter kvikio,$(CLIENTS)),$(KVIKIO)) $(if $(filter fio,$(CLIENTS)),$(FIO)) ## KvikIO and fio over libcufile in a guest (fetches them; CLIENTS="kvikio fio")
	$(Q)python3 lab/clients/run.py $(KERNEL) $(CLIENTS)
