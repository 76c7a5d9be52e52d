#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Fetch the tools that check kernel code, from Debian's linux-source.
#
#	lab/kernels/source.sh BUILD
#
# Makes BUILD/kernels/source/scripts with checkpatch.pl, its word lists and
# kernel-doc.  Does nothing when they are there.
set -euo pipefail
# shellcheck source=lab/kernels/apt.sh
. "$(dirname "$0")/apt.sh"

[ $# -eq 1 ] || { echo "usage: $0 BUILD" >&2; exit 2; }
mkdir -p "$1/kernels"
build=$(cd "$1" && pwd)
dest=$build/kernels/source
package=linux-source-6.12

exec 9>"$build/kernels/.lock.source"
flock 9
[ ! -e "$dest/scripts/checkpatch.pl" ] || exit 0

find_or_update apt-cache pkgnames "$package"
download "$build/cache" "$package"

new=$build/kernels/.new.source
rm -rf "$new"
mkdir -p "$new"
# The package holds one compressed archive: take it through a pipe, and leave
# it as soon as the last file is out.
dpkg-deb --fsys-tarfile "${debs[0]}" |
	tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
	xz -dc -T0 |
	tar -x -C "$new" --strip-components=1 --wildcards \
		'*/scripts/checkpatch.pl' '*/scripts/spelling.txt' \
		'*/scripts/const_structs.checkpatch' \
		'*/scripts/kernel-doc'
rm -rf "$dest"
mv "$new" "$dest"
