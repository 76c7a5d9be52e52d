#!/bin/sh
# SPDX-License-Identifier: MIT
#
# All that needs a GPU, on a machine with one: what the library leans on, streams,
# queues, pinned reads, PyTorch, speed. Needs what `make clients-gpu` builds, and neither the
# module nor a CUDA toolkit.
#
#	lab/clients/on_gpu.sh [--udev] [DIRECTORY [OUTPUT]]
#
# DIRECTORY: for files, 4 GiB of room (.); OUTPUT: for results (build/gpu).
# --udev: write the entries in /run/udev/data without which NVIDIA's library
# refuses files on a machine without udev. Exit status: how many parts failed, or 77
# where there is no GPU.
set -u

cd "$(dirname "$0")/../.." || exit 1
udev=
[ "${1:-}" = --udev ] && { udev=y; shift; }
dir=${1:-.}
out=${2:-build/gpu}
ours=build/lib/libcufile.so.0
failed=0
mkdir -p "$out" "$dir" || exit 1

# Of every disk and partition: which of them a file is on is not always told.
write_udev() {
	mkdir -p /run/udev/data
	sed 1,2d /proc/partitions | while read -r major minor _; do
		printf 'E:ID_FS_TYPE=ext4\nE:ID_FS_USAGE=filesystem\n' \
			>"/run/udev/data/b$major:$minor"
	done
}

# NAME SECONDS COMMAND...: its output is in OUTPUT/NAME.log.
part() {
	name=$1 limit=$2
	shift 2
	timeout "$limit" "$@" >"$out/$name.out" 2>"$out/$name.log"
	status=$?
	case $status in
	0)	echo "ok   $name: $(tail -n 1 "$out/$name.out")" ;;
	77)	echo "skip $name: there is no GPU" ;;
	*)	echo "FAIL $name ($status): $(tail -n 1 "$out/$name.log")"
		grep -E '^(not ok|Bail out)' "$out/$name.out"
		failed=$((failed + 1)) ;;
	esac
}

[ -z "$udev" ] || write_udev
part facts 60 build/lab/gpu/facts_test
[ "$status" != 77 ] || exit 77
part streams 120 build/clients/gpu_streams $ours "$dir"
part queues 60 build/clients/gpu_queues "$dir"
part pins 60 build/clients/gpu_pins $ours "$dir"
if python3 -c 'import torch.cuda.gds' 2>/dev/null; then
	part torch 120 env LD_PRELOAD=$ours \
		python3 lab/clients/torch_gds.py $ours "$dir"
else
	echo "skip torch: there is no torch.cuda.gds"
fi
part cached 400 build/bench/throughput -n $ours -t 0.2 -N 7 -f "$dir/throughput.dat"
part clean 150 build/bench/throughput -n $ours -t 0.1 -N 5 -q -w -d -s 0x40000000 \
	-f "$dir/throughput.dat"
for busy in 8 16; do
	part busy$busy 60 build/bench/throughput -n $ours -t 0.1 -N 5 -q -r \
		-s 0x40000000 -b $busy -f "$dir/throughput.dat"
done
part direct 200 build/bench/throughput -n $ours -t 0.3 -N 3 -o -s 0x40000000 \
	-f "$dir/throughput.dat"
part drive 100 build/bench/drive -t 0.2 -N 3 -s 0x40000000 -f "$dir/drive.dat"
echo "for the table: bench/throughput.py --from $out/cached.out --machine TEXT" \
	"--clean $out/clean.out --beside 8:$out/busy8.out --beside 16:$out/busy16.out"
exit "$failed"
