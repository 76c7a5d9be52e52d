// SPDX-License-Identifier: MIT
/*
 * A program whose report is a lie: it plans three tests, says the first one
 * twice, leaves one out, and ends well.
 */
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "-l")) {
		puts("one\ntwo\nthree");
		return 0;
	}
	puts("TAP version 13\n1..3\nok 1 one\nok 2 one\nok 3 four");
	return 0;
}
