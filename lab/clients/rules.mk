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

# For a machine with a GPU; needs neither the module nor a CUDA toolkit.
GPU_STREAMS	:= $(BUILD)/clients/gpu_streams
GPU_STREAMS_SRC	:= $(wildcard lab/clients/gpu_streams*.c)

$(GPU_STREAMS): $(GPU_STREAMS_SRC) lab/clients/gpu_streams.h include/cufile.h
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HOST_CFLAGS) -pthread $(LDFLAGS) $(GPU_STREAMS_SRC) -ldl -o $@

GPU_QUEUES	:= $(BUILD)/clients/gpu_queues

$(GPU_QUEUES): lab/clients/gpu_queues.c lab/clients/gpu_client.h $(BUILD)/lib/libnvfs.a
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HOST_CFLAGS) -Ilib/include -Iinclude/uapi $(LDFLAGS) $< $(BUILD)/lib/libnvfs.a $(LIB_LIBS) -o $@

GPU_PINS	:= $(BUILD)/clients/gpu_pins

$(GPU_PINS): lab/clients/gpu_pins.c lab/clients/gpu_client.h include/cufile.h
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HOST_CFLAGS) -pthread $(LDFLAGS) $< -ldl -o $@

.PHONY: clients-gpu gpu-test
clients-gpu: $(BUILD)/lab/gpu/facts_test $(GPU_STREAMS) $(GPU_QUEUES) $(GPU_PINS) $(BUILD)/lib/libcufile.so.0 $(BUILD)/bench/throughput $(BUILD)/bench/drive ## build what gpu-test runs, to be carried to a machine with a GPU

gpu-test: clients-gpu ## all that needs a GPU: driver, streams, queues, pinned reads, PyTorch, speed (DIR=: for files, 4 GiB)
	$(Q)lab/clients/on_gpu.sh $(DIR)
