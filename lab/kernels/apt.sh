#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Debian packages as files: to be sourced by the scripts of this directory.

# Fetch the package index, or say how.
update_index()
{
	if [ "$(id -u)" -ne 0 ]; then
		echo "kernels: the package index is missing or too old; as root:" >&2
		echo "apt-get update" >&2
		exit 1
	fi
	apt-get update </dev/null >&2
}

# find_or_update COMMAND...: put what COMMAND prints into $found; fetch the
# index once when that is nothing.
find_or_update()
{
	found=$("$@")
	if [ -z "$found" ]; then
		update_index
		found=$("$@")
	fi
	if [ -z "$found" ]; then
		echo "kernels: $*: nothing in the package index" >&2
		exit 1
	fi
}

# The name that apt-get download gives the file of a package.
deb_name()
{
	local package version arch

	read -r package version arch < <(apt-cache show --no-all-versions "$1" |
		awk '/^Package:/ { p = $2 } /^Version:/ { v = $2 }
		     /^Architecture:/ { a = $2 } /^$/ { exit }
		     END { print p, v, a }')
	[ -n "$arch" ] || return 1
	echo "${package}_${version//:/%3a}_$arch.deb"
}

# download DIR PACKAGE...: have the packages' files in DIR and their paths in
# $debs.  apt checks sizes and hashes against the signed index.
download()
{
	local dir=$1 package name tmp lack=()

	shift
	mkdir -p "$dir"
	for package; do
		name=$(deb_name "$package") || name=
		[ -n "$name" ] && [ -e "$dir/$name" ] || lack+=("$package")
	done
	if [ ${#lack[@]} -gt 0 ]; then
		tmp=$(mktemp -d "$dir/.download.XXXXXX")
		fetch_into "$tmp" "${lack[@]}"
		mv "$tmp"/*.deb "$dir/"
		rm -rf "$tmp"
	fi
	debs=()
	for package; do
		debs+=("$dir/$(deb_name "$package")")
	done
}

fetch_into()
{
	local dir=$1

	shift
	# As root apt drops to a user who may not write here: say so up front,
	# or it warns for each call.
	(cd "$dir" && apt-get -q -o APT::Sandbox::User=root download "$@") && return
	update_index
	(cd "$dir" && apt-get -q -o APT::Sandbox::User=root download "$@")
}
