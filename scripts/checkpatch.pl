#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# The kernel's own checkpatch.pl, out of the source package that the lab fetches.
# Started at the top of the tree it takes its options from .checkpatch.conf:
#
#	scripts/checkpatch.pl -f kernel/nvfs-io.c
#	git format-patch --stdout -1 | scripts/checkpatch.pl -
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);

my $name = 'build/kernels/source/scripts/checkpatch.pl';
my $script = dirname(abs_path($0)) . "/../$name";

if (!-e $script) {
	print STDERR "checkpatch.pl: $name is missing: 'make $name' fetches it\n";
	exit 1;
}
exec $^X, $script, @ARGV or die "checkpatch.pl: $script: $!\n";
