#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Install the Debian packages that this machine lacks.
#
#	lab/setup.sh [STAMP [LIST...]]
#
# STAMP is touched when it does not exist or when something was installed; it
# may be empty.  LISTs name the packages: packaging/packages, which says how such
# a list looks, and lab/packages, if no others are given.
#
# A package that dpkg does not know is missed only if what its line names is
# missed, too: it may have come in another way.  Without root nothing is changed:
# the one line that installs the rest is printed and the exit status is 1.  So it
# is where there is no dpkg: what can't be found is named.  What is optional comes
# with the rest, and is not missed alone.
#
# The environment may say CC, CFLAGS and LDFLAGS.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
stamp=${1:-}
lists=("${@:2}")
[ ${#lists[@]} -gt 0 ] || lists=("$here/../packaging/packages" "$here/packages")
PATH=$PATH:/usr/sbin:/sbin
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Lines of the lists without comments.
lines() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "${lists[@]}"; }

# Does a compiler find the header $1, and link with the library $2?
compiles()
{
	printf '#include <%s>\nint main(void) { return 0; }\n' "$1" \
		>"$scratch/try.c"
	# shellcheck disable=SC2086 # several words are what is meant
	${CC:-gcc} ${CFLAGS:-} ${LDFLAGS:-} "$scratch/try.c" \
		-o "$scratch/try" ${2:-} >"$scratch/said" 2>&1
}

# is_there KIND WHAT [LIBRARY]: what a line names, whatever brought it.
is_there()
{
	local compiler=${CC:-gcc}

	case ${1:-} in
	command)
		[ "$2" != CC ] || set -- command "${compiler%% *}"
		command -v "$2" >/dev/null ;;
	header) compiles "$2" "${3:-}" ;;
	*) false ;;
	esac
}

# Lines of packages that are neither known to dpkg nor there without it.
missing()
{
	local have package kind what more

	# shellcheck disable=SC2046 # one word per package is what is meant
	have=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' \
		$(lines | awk '{ print $1 }') 2>/dev/null |
		sed -n 's/^installed //p' || true)
	while read -r package kind what more; do
		[[ $'\n'$have$'\n' == *$'\n'$package$'\n'* ]] ||
			is_there "$kind" "$what" "$more" ||
			echo "$package $kind $what $more"
	done < <(lines)
}

# Lines of what can't be done without.
needed() { grep -v ' optional$' || true; }

first_words() { awk '{ print $1 }'; }

finish()
{
	if [ -n "$stamp" ] && { [ ! -e "$stamp" ] || [ "$1" = changed ]; }; then
		mkdir -p "$(dirname "$stamp")"
		touch "$stamp"
	fi
	exit 0
}

install()
{
	export DEBIAN_FRONTEND=noninteractive
	# An index that is missing or too old shows as a package that can't be
	# installed; only then is it fetched.
	if ! apt-get install -s --no-install-recommends "$@" >/dev/null 2>&1; then
		apt-get update
	fi
	apt-get install -y --no-install-recommends "$@" ||
		{ apt-get update &&
		  apt-get install -y --no-install-recommends "$@"; }
}

# Where packages have other names, or there are none: what can't be found.
name_things()
{
	local package kind what more

	while read -r package kind what more; do
		case $kind in
		command) echo "setup: missing: $package" ;;
		header) echo "setup: missing: $what${more:+, to link with $more}" \
			"(Debian's $package)" ;;
		*)
			echo "setup: the lab and the tests need Debian"
			break ;;
		esac
	done >&2
}

lack=$(missing)
mapfile -t must < <(needed <<<"$lack" | first_words)
if [ -z "$lack" ] || [ ${#must[@]} -eq 0 ]; then
	finish same
fi

if ! command -v dpkg-query >/dev/null; then
	needed <<<"$lack" | name_things
	exit 1
fi

mapfile -t all < <(first_words <<<"$lack")
if [ "$(id -u)" -ne 0 ]; then
	echo "setup: packages are missing; as root:" >&2
	echo "apt-get install --no-install-recommends ${all[*]}" >&2
	exit 1
fi

echo "setup: installing ${all[*]}" >&2
install "${all[@]}" </dev/null >&2 || install "${must[@]}" </dev/null >&2 || true
mapfile -t must < <(missing | needed | first_words)
if [ ${#must[@]} -ne 0 ]; then
	echo "setup: still missing: ${must[*]}" >&2
	exit 1
fi
finish changed
