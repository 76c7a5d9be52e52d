#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Install the Debian packages of lab/packages that this machine lacks.
#
#	lab/setup.sh [STAMP [LIST]]
#
# STAMP is touched when it does not exist or when something was installed; it
# may be empty.  LIST is another list of packages than lab/packages.
# Without root nothing is changed: the one line that installs the rest is
# printed and the exit status is 1.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
stamp=${1:-}
list=${2:-$here/packages}

wanted() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$list"; }

# Packages of the list that dpkg does not know as installed.
missing()
{
	local have
	# shellcheck disable=SC2046 # one word per package is what is meant
	have=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' \
		$(wanted) 2>/dev/null | sed -n 's/^installed //p' || true)
	comm -23 <(wanted | sort -u) <(sort -u <<<"$have")
}

finish()
{
	if [ -n "$stamp" ] && { [ ! -e "$stamp" ] || [ "$1" = changed ]; }; then
		mkdir -p "$(dirname "$stamp")"
		touch "$stamp"
	fi
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

if ! command -v dpkg-query >/dev/null; then
	echo "setup: this is no Debian; see $list for what is needed" >&2
	exit 1
fi

mapfile -t lack < <(missing)
if [ ${#lack[@]} -eq 0 ]; then
	finish same
	exit 0
fi

if [ "$(id -u)" -ne 0 ]; then
	echo "setup: packages are missing; as root:" >&2
	echo "apt-get install --no-install-recommends ${lack[*]}" >&2
	exit 1
fi

echo "setup: installing ${lack[*]}" >&2
install "${lack[@]}" </dev/null >&2
mapfile -t lack < <(missing)
if [ ${#lack[@]} -ne 0 ]; then
	echo "setup: still missing: ${lack[*]}" >&2
	exit 1
fi
finish changed
