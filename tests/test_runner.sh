#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Run the tests:
#
#	./test_runner.sh [core|stress|lab|unit|meta|check|all] [-k PART] [--kernel 6.1]
#
# Builds what is missing first. See ./test_runner.sh --help. Where it may, a line
# for each test goes to the kernel log as well, for dmesg | grep NVFS_TEST; with
# NVFS_TEST_KMSG= in the environment none does.
set -eu

cd "$(dirname "$0")/.."
case " $* " in
*" -h "* | *" --help "*) ;;
*)
	[ -n "${MAKELEVEL:-}" ] || make all tests-build
	;;
esac
exec python3 tests/runner.py "$@"
