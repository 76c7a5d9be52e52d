#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Build fio with its libcufile engine: Debian's source, unchanged, over our
# cufile.h and libcufile and the lab's CUDA.
#
#	lab/clients/fio.sh BUILD
#
# Debian's own fio is built without that engine.  The source goes to
# BUILD/clients/fio; apt checks it against Debian's signatures.
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: $0 BUILD" >&2; exit 2; }
mkdir -p "$1/clients/fio"
build=$(cd "$1" && pwd)
dir=$build/clients/fio
top=$(cd "$(dirname "$0")/../.." && pwd)

# Machines as a rule know no sources: ask for them beside what is configured.
source_of()
{
	local release from options

	release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	# shellcheck disable=SC2016 # for apt-get
	from=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' \
		'Created-By: Packages' | sed -n "s/^$release //p" | head -n 1)
	mkdir -p "$dir/apt/lists/partial" "$dir/apt/sources"
	echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
		"$from $release main" \
		>"$dir/apt/sources/source.list"
	options=(-q -o "Dir::Etc::SourceList=/dev/null"
		-o "Dir::Etc::SourceParts=$dir/apt/sources"
		-o "Dir::State::Lists=$dir/apt/lists"
		-o "APT::Sandbox::User=root")
	apt-get "${options[@]}" update >&2
	(cd "$dir" && apt-get "${options[@]}" source --download-only "$1" >&2)
}

if [ ! -e "$dir/.complete" ]; then
	rm -rf "$dir/source"
	source_of fio
	mkdir "$dir/source"
	tar -x -f "$dir"/fio_*.orig.tar.?z -C "$dir/source" --strip-components=1
	touch "$dir/.complete"
fi

mkdir -p "$dir/lib"
"${CC:-gcc}" -std=c11 -O1 -Wall -Wextra -Werror -fPIC -shared \
	-I"$top/lab/clients/cudart" \
	"$top/lab/clients/cudart/cudart.c" "$build/lab/libcuda.so.1" \
	-Wl,-soname,libcudart-lab.so -o "$dir/lib/libcudart-lab.so"
ln -sf libcudart-lab.so "$dir/lib/libcudart.so"
ln -sf "$build/lab/libcuda.so.1" "$dir/lib/libcuda.so"
ln -sf "$build/lib/libcufile.so.0" "$dir/lib/libcufile.so"

# Where the linker looks, too: fio's last step does not see the flags.
export LIBRARY_PATH=$dir/lib
cd "$dir/source"
if [ ! -e config-host.mak ]; then
	./configure --enable-libcufile --disable-native --disable-numa \
		--disable-rdma --disable-rados --disable-rbd --disable-http \
		--disable-gfapi --disable-libnfs --disable-pmem \
		--extra-cflags="-O1 -I$top/include -I$top/lab/clients/cudart" \
		>"$dir/configure.log"
	grep -q '^#define CONFIG_LIBCUFILE' config-host.h ||
		{ echo "fio.sh: no libcufile engine; see $dir/configure.log" >&2
		rm config-host.mak; exit 1; }
fi
make -s -j2 fio >"$dir/make.log" 2>&1 ||
	{ tail "$dir/make.log" >&2; exit 1; }
# Newer than what it was made for, also when nothing was to be done.
touch fio
