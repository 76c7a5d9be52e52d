#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Build the sanitizer kernel of the lab, from Debian's linux-source and
# debug.config.
#
#	lab/kernels/debug.sh BUILD		have it
#	lab/kernels/debug.sh --check BUILD	status 0: it is there and not stale
#
# Makes BUILD/kernels/6.12-debug with boot/vmlinuz-*, lib/modules/, "release",
# and "headers", a KDIR for out-of-tree modules: what fetch.sh makes of
# Debian's own kernels.  The file "key" there says what it was built from; it is
# built anew when the package index offers another linux-source or debug.config
# changed.  The log is BUILD/kernels/debug.log.  Uses ccache when there is one;
# JOBS says how many compilers run at a time.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lab/kernels/apt.sh
. "$here/apt.sh"

check=
[ "${1:-}" != --check ] || { check=1; shift; }
[ $# -eq 1 ] || { echo "usage: $0 [--check] BUILD" >&2; exit 2; }
package=linux-source-6.12
fragment=$here/debug.config
dest=$1/kernels/6.12-debug

# What the kernel is made of, in a line; the version is "?" without an index.
key_now()
{
	local version

	version=$(apt-cache show --no-all-versions "$package" 2>/dev/null |
		sed -n 's/^Version: //p')
	echo "$package ${version:-?} $(sha256sum <"$fragment" | cut -c 1-16)"
}

# fresh KEY: what is there was built from KEY; an unknown version is no reason
# to build again.
fresh()
{
	local have

	[ -e "$dest/release" ] && have=$(cat "$dest/key" 2>/dev/null) || return
	case $1 in
	*' ? '*) [ "${have##* }" = "${1##* }" ] ;;
	*) [ "$have" = "$1" ] ;;
	esac
}

# Options of the fragment that Kconfig did not take, from its .config.
refused()
{
	sed -n 's/^\(CONFIG_[A-Z0-9_]*\)=n$/# \1 is not set/p; /^CONFIG_.*=[^n]/p' \
		"$fragment" | while read -r line; do
		case $line in
		'# '*)
			name=${line#\# }
			! grep -q "^${name% is not set}=" "$1" || echo "$line"
			;;
		*) grep -qxF "$line" "$1" || echo "$line" ;;
		esac
	done
}

unpack()
{
	mkdir -p "$work/src"
	dpkg-deb --fsys-tarfile "${debs[0]}" |
		tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
		xz -dc -T0 |
		tar -x -C "$work/src" --strip-components=1
}

kmake()
{
	nice -n 19 make -C "$work/src" O="$work/obj" "${compiler[@]}" \
		-j"${JOBS:-$(nproc)}" "$@"
}

configure()
{
	local lack

	mkdir -p "$work/obj"
	kmake KCONFIG_ALLCONFIG="$fragment" allnoconfig
	lack=$(refused "$work/obj/.config")
	[ -z "$lack" ] && return
	echo "debug kernel: Kconfig does not take:" >&2
	echo "$lack" >&2
	return 1
}

# Leave what boots and what modules are built against.
install_into()
{
	local new=$1 release

	release=$(kmake -s kernelrelease)
	mkdir -p "$new/boot" "$new/headers"
	cp "$work/obj/arch/x86/boot/bzImage" "$new/boot/vmlinuz-$release"
	cp "$work/obj/System.map" "$new/boot/System.map-$release"
	cp "$work/obj/.config" "$new/boot/config-$release"
	kmake INSTALL_MOD_PATH="$new" DEPMOD=true modules_install
	PATH=$PATH:/sbin:/usr/sbin depmod -b "$new" "$release"
	rm -f "$new/lib/modules/$release/build"
	# shellcheck disable=SC2016 # for make, not for the shell
	kmake run-command KBUILD_RUN_COMMAND='$(srctree)/scripts/package/install-extmod-build '"$new/headers"
	echo "$release" >"$new/release"
}

build()
{
	unpack
	configure
	kmake bzImage modules
	rm -rf "$work/new"
	install_into "$work/new"
}

key=$(key_now)
if [ -n "$check" ]; then
	fresh "$key"
	exit
fi

mkdir -p "$1/kernels"
build=$(cd "$1" && pwd)
dest=$build/kernels/6.12-debug
log=$build/kernels/debug.log
exec 9>"$build/kernels/.lock.6.12-debug"
flock 9
! fresh "$key" || exit 0

"$here/../setup.sh" "" "$here/../packages-debug"
find_or_update apt-cache pkgnames "$package"
key=$(key_now)
compiler=()
! command -v ccache >/dev/null || compiler=(CC="ccache gcc" HOSTCC="ccache gcc")
download "$build/cache" "$package"

work=$build/kernels/.new.6.12-debug
rm -rf "$work"
mkdir -p "$work"
echo "kernels: building the sanitizer kernel, 10 to 20 minutes; see $log" >&2
# Not under "if": there "set -e" has no effect.
build </dev/null >"$log" 2>&1 &
if ! wait $!; then
	tail -n 30 "$log" >&2
	exit 1
fi
echo "$key" >"$work/new/key"
# what was built for the one before goes, too
rm -rf "$dest" "$build/6.12-debug"
mv "$work/new" "$dest"
rm -rf "$work"
echo "kernels: 6.12-debug is $(cat "$dest/release")"
