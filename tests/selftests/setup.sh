#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Once per guest: cuts the drive nvme0 into a raw part, an ext4 and an xfs, and
# tells where they are in /run/nvfs-test/env. Calling it again does nothing.
set -eu

state=/run/nvfs-test
[ ! -e "$state/env" ] || exit 0
mkdir -p "$state"
exec 9>"$state/lock"
flock 9
[ ! -e "$state/env" ] || exit 0

die() {
	echo "setup.sh: $*" >&2
	exit 1
}

# The block device whose serial number is $1, or nothing.
disk_of() {
	for dir in /sys/block/*; do
		for file in "$dir/device/serial" "$dir/serial"; do
			[ -r "$file" ] || continue
			read -r serial <"$file" || true
			# nvme pads its serial numbers with blanks
			[ "${serial%% *}" = "$1" ] || continue
			echo "/dev/${dir##*/}"
			return
		done
	done
}

# The n-th part of $disk: $1 number, $2 first MiB, $3 MiB.
add_part() {
	addpart "$disk" "$1" $(($2 * 2048)) $(($3 * 2048))
	part=${disk}p$1
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ ! -b "$part" ] || return 0
		sleep 0.1
	done
	die "$part does not appear"
}

mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug

disk=$(disk_of nvfs-nvme0)
[ -n "$disk" ] || die "no drive has the serial number nvfs-nvme0"
mib=$(($(blockdev --getsz "$disk") / 2048))
[ "$mib" -ge 256 ] || die "$disk has $mib MiB; 256 are needed"
raw=$((mib / 5))
each=$(((mib - raw) / 2 - 2))

add_part 1 1 "$raw"
add_part 2 $((raw + 1)) "$each"
add_part 3 $((raw + 1 + each)) "$each"

modprobe -q -a crc32c_generic ext4 xfs loop || true
mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 "${disk}p2"
# The three variables let mkfs.xfs make a file system below 300 MiB.
TEST_DIR=1 TEST_DEV=1 QA_CHECK_FS=1 mkfs.xfs -q -f "${disk}p3"
mkdir -p "$state/ext4" "$state/xfs" "$state/tmpfs"
mount "${disk}p2" "$state/ext4"
mount "${disk}p3" "$state/xfs"
mount -t tmpfs -o size=64m none "$state/tmpfs"

cat >"$state/env.new" <<END
disk $disk
part ${disk}p1
ext4 $state/ext4
xfs $state/xfs
tmpfs $state/tmpfs
nvme1 $(disk_of nvfs-nvme1)
vblk0 $(disk_of nvfs-vblk0)
END
mv "$state/env.new" "$state/env"
