#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Fetch one of Debian's kernels and its headers, without installing them.
#
#	lab/kernels/fetch.sh BUILD SERIES		SERIES: 6.1, 6.12
#
# Makes BUILD/kernels/SERIES: the unpacked packages, the file "release" with
# the kernel's release, and "headers", a KDIR for out-of-tree modules.  Which
# kernel it is comes from the package index.  Downloads stay in BUILD/cache.
# Does nothing when BUILD/kernels/SERIES/release exists.
set -euo pipefail
# shellcheck source=lab/kernels/apt.sh
. "$(dirname "$0")/apt.sh"

[ $# -eq 2 ] || { echo "usage: $0 BUILD SERIES" >&2; exit 2; }
mkdir -p "$1/kernels"
build=$(cd "$1" && pwd)
series=$2
dest=$build/kernels/$series
cache=$build/cache

# The release of the newest plain kernel of the series in the index: neither
# realtime nor cloud, and signed, so that it is what people run.
newest_release()
{
	apt-cache pkgnames "linux-image-$series." |
		sed -n "s/^linux-image-\(${series//./\\.}\.[0-9][^-]*\(-[0-9]*\)\{0,1\}-amd64\)$/\1/p" |
		sort -V | tail -n 1
}

depends_of() { apt-cache depends "$1" | sed -n 's/^  Depends: //p'; }

# image, headers, and what of the latter's dependencies holds files of the
# kernel's build system
packages_of()
{
	echo "linux-image-$1"
	echo "linux-headers-$1"
	depends_of "linux-headers-$1" | grep -E '^linux-(headers|kbuild)-' | sort -u
}

# Let the headers find their common half beside them, wherever they lie.
relocate()
{
	local headers=$1/usr/src/linux-headers-$2

	# shellcheck disable=SC2016 # for make, not for the shell
	sed -i 's,^include /usr/src/,include $(dir $(realpath $(lastword $(MAKEFILE_LIST))))../,' \
		"$headers/Makefile"
	if grep -q '^include /' "$headers/Makefile"; then
		echo "kernels: $headers/Makefile: can't be relocated" >&2
		exit 1
	fi
	ln -s "usr/src/linux-headers-$2" "$1/headers"
	rm -f "$1/lib/modules/$2/build" "$1/lib/modules/$2/source"
}

exec 9>"$build/kernels/.lock.$series"
flock 9
[ ! -e "$dest/release" ] || exit 0

find_or_update newest_release
release=$found
mapfile -t packages < <(packages_of "$release")
echo "kernels: $series is $release"

download "$cache" "${packages[@]}"

new=$build/kernels/.new.$series
rm -rf "$new"
mkdir -p "$new"
for deb in "${debs[@]}"; do
	dpkg-deb -x "$deb" "$new"
done
relocate "$new" "$release"
PATH=$PATH:/sbin:/usr/sbin depmod -b "$new" "$release"
echo "$release" >"$new/release"
rm -rf "$dest"
mv "$new" "$dest"
