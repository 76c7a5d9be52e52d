#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Fetch KvikIO as its makers ship it for CUDA 13, and build our program on it.
#
#	lab/clients/kvikio.sh BUILD
#
# The packages go to BUILD/clients/kvikio: KvikIO's library, the logger that it
# needs, and the headers of the CUDA driver.  cufile.h is ours.
set -euo pipefail

build=$1
dir=$build/clients/kvikio
top=$(cd "$(dirname "$0")/../.." && pwd)

if [ ! -e "$dir/.complete" ]; then
	python3 -m pip --version >/dev/null 2>&1 ||
		{ echo "kvikio.sh: pip is missing: apt-get install python3-pip" >&2
		exit 1; }
	rm -rf "$dir"
	mkdir -p "$dir"
	python3 -m pip install -q --no-deps --only-binary=:all: \
		--root-user-action=ignore --target "$dir" \
		'libkvikio-cu13==26.10.*' 'rapids-logger==0.3.*' \
		'nvidia-cuda-runtime==13.0.*'
	touch "$dir/.complete"
fi

exec "${CXX:-g++}" -std=c++17 -O1 -Wall -Wextra -pthread \
	-DKVIKIO_CUFILE_FOUND -DKVIKIO_CUFILE_BATCH_API_FOUND \
	-DKVIKIO_CUFILE_STREAM_API_FOUND -DKVIKIO_CUFILE_VERSION_API_FOUND \
	-I"$top/include" -isystem "$dir/libkvikio/include" \
	-isystem "$dir/rapids_logger/include" \
	-isystem "$dir/nvidia/cu13/include" \
	"$top/lab/clients/kvikio.cpp" "$build/lab/libcuda.so.1" \
	"$dir/libkvikio/lib64/libkvikio.so" \
	-Wl,-rpath-link,"$dir/rapids_logger/lib64:$dir/libkvikio_cu13.libs" \
	-o "$build/clients/kvikio-test"
