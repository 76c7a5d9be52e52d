# SPDX-License-Identifier: MIT
"""Small trees for the tests of the checks: a clean one for each check, and ways to spoil it.

CLEAN[check] is a tree without findings.  WRONG is a list of
(check, what is wrong, {file: text or None}, pattern of the finding): the files
are laid over the clean tree, None removes one.  Words that a check looks for in
every file are spelled in two halves here.
"""
import re

GPL = "// SPDX-License-Identifier: GPL-2.0-only\n"
GPL_H = "/* SPDX-License-Identifier: GPL-2.0-only */\n"
MIT = "// SPDX-License-Identifier: MIT\n"
MIT_HASH = "# SPDX-License-Identifier: MIT\n"
UAPI = "/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */\n"

LAYERS = {
    "kernel/nvfs-core.c": '#include "nvfs-stat.h"\nvoid core_f(void);\nvoid core_f(void) { stat_f(); }\n',
    "kernel/nvfs-stat.h": "void stat_f(void);\n",
    "kernel/nvfs-stat.c": '#include "nvfs-stat.h"\nvoid stat_f(void) {}\n',
    "kernel/nvfs-dma.h": "void dma_f(void);\n",
    "kernel/nvfs-dma.c": '#include "nvfs-dma.h"\nvoid dma_f(void) {}\n',
    "lib/abi.c": "int f(int fd) { return ioctl(fd, 1); }\n",
}

KERNEL_FUNCTION = """/**
 * nvfs_stat_twice() - double a number
 * @n: the number
 *
 * Return: twice @n
 */
int nvfs_stat_twice(int n)
{
	return 2 * n;
}
"""

STYLE_CONF = MIT_HASH + "--no-tree\n--strict\n--max-line-length=100\n# a reason\n--ignore=MACRO_ARG_REUSE\n"
STYLE = {".checkpatch.conf": STYLE_CONF, "kernel/nvfs-stat.c": GPL + KERNEL_FUNCTION}

UAPI_HEADER = UAPI + """#ifndef _UAPI_NVFS_H
#define _UAPI_NVFS_H
#include <linux/types.h>
#include <linux/ioctl.h>
#define NVFS_IOC_INFO _IO(0xE9, 0)
enum nvfs_kind {
	NVFS_KIND_A = 0,
	NVFS_KIND_B = 1
};
struct nvfs_info {
	__u32 size;
	__u32 flags;
	__aligned_u64 length;
};
#endif
"""
GOLDEN = """struct nvfs_info size 16
  nvfs_info.size offset 0
  nvfs_info.size size 4
  nvfs_info.flags offset 4
  nvfs_info.flags size 4
  nvfs_info.length offset 8
  nvfs_info.length size 8
enum NVFS_KIND_A 0
enum NVFS_KIND_B 1
define NVFS_IOC_INFO 59648
"""
HEADER = "include/uapi/nvfs.h"

SPARSE_GOOD = GPL + """#include <linux/module.h>

int nvfs_sparse_good(int n);

int nvfs_sparse_good(int n)
{
	return n + 1;
}

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("test of a check");
"""
SPARSE_BAD = GPL + """#include <linux/types.h>

int nvfs_sparse_bad(int __user *p);

int nvfs_sparse_bad(int __user *p)
{
	return *p;
}
"""

CLEAN = {
    "layers": LAYERS,
    "functions": {"kernel/nvfs-stat.c": KERNEL_FUNCTION, "scripts/a.py": "def f():\n    return 1\n"},
    "style": STYLE,
    "kernel-doc": {"kernel/nvfs-stat.c": GPL + KERNEL_FUNCTION},
    "uapi": {HEADER: UAPI_HEADER, "scripts/uapi-layout.golden": MIT_HASH + GOLDEN},
    "shell": {"a.sh": "#!/bin/sh\necho \"$1\"\n"},
    "spelling": {"README.md": "All words are right.\n"},
    "py": {"a.py": "import os\n\nprint(os.name)\n"},
    "tree": {"kernel/nvfs-a.c": GPL + "int a;\n", "README.md": "See https://www.kernel.org/ for more.\n",
             "scripts/run.sh": "#!/bin/sh\n" + MIT_HASH + "exit 0\n"},
    "docs": {"Makefile": ".PHONY: run\nrun:\n\ttrue\n", "README.md": "See [this](Makefile): `make run`.\n\n    prose: make haste\n"},
    "headers": {"lib/a.h": "#ifndef A_H\n#define A_H\n#include <stdint.h>\nuint8_t f(void);\n#endif\n",
                "kernel/nvfs-a-list.h": "/* no guard */\nX(a, b)\nX(c, d)\n",
                "kernel/nvfs-a.h": "#ifndef A_H\n#define A_H\n#include <linux/types.h>\nu8 nvfs_a(void);\n#endif\n"},
    "sparse": {"kernel/Kbuild": "obj-m := nvfs.o\nnvfs-y := nvfs-stat.o\n", "kernel/nvfs-stat.c": SPARSE_GOOD},
}


def uapi(old, new):
    """The uapi header with a change."""
    assert old in UAPI_HEADER
    return {HEADER: UAPI_HEADER.replace(old, new)}


def body(lines):
    """A C function with so many lines."""
    return "static int long_one(void)\n{\n" + "\tx();\n" * (lines - 3) + "}\n"


WRONG = [
    # Layers, by includes
    ("layers", "a lower layer includes a higher one",
     {"kernel/nvfs-stat.c": '#include "nvfs-dma.h"\nvoid stat_f(void) {}\n'}, r"nvfs-stat\.c:1: stat includes nvfs-dma\.h"),
    ("layers", "a header includes a higher one",
     {"kernel/nvfs-stat.h": '#include "nvfs-dma.h"\nvoid stat_f(void);\n'}, r"nvfs-stat\.h:1: stat includes nvfs-dma\.h"),
    ("layers", "a part of a layer includes a higher one",
     {"kernel/nvfs-pci-rank.c": '#include "nvfs-dma.h"\n'}, r"nvfs-pci-rank\.c:1: pci includes"),
    ("layers", "core's header below core", {"kernel/nvfs-dma.h": '#include "nvfs-core.h"\nvoid dma_f(void);\n',
                                            "kernel/nvfs-core.h": "\n"}, r"nvfs-dma\.h:1: dma includes nvfs-core\.h"),
    ("layers", "a file without a layer", {"kernel/nvfs-misc.c": "int a;\n"}, r"nvfs-misc\.c: has no layer"),
    ("layers", "a header without a layer",
     {"kernel/nvfs-core.c": '#include "nvfs-util.h"\n'}, r"includes nvfs-util\.h, which has no layer"),
    # Layers, by symbols
    ("layers", "a lower layer calls a higher one without its header",
     {"kernel/nvfs-stat.c": "void dma_f(void);\nvoid stat_f(void) { dma_f(); }\n"}, r"stat uses dma_f\(\), which dma above it"),
    ("layers", "a lower layer reads a higher one's variable",
     {"kernel/nvfs-stat.c": "extern int v;\nint stat_f(void) { return v; }\n",
      "kernel/nvfs-dma.c": "int v;\n"}, r"stat uses v\(\), which dma"),
    ("layers", "a source without an object", {"kernel/nvfs-pci.c": "NO OBJECT\n"}, r"nvfs-pci\.c: no object in"),
    ("layers", "an object older than its source", {"kernel/nvfs-pci.c": "/* NEWER */ int a;\n"}, r"is newer than its object"),
    # Who may know whom
    ("layers", "the module includes the library", {"kernel/nvfs-core.c": '#include "../lib/abi.h"\n'}, r"includes no user space"),
    ("layers", "the library includes the module", {"lib/io.c": '#include "../kernel/nvfs-dma.h"\n'}, r"lib/io\.c:1: .*sees only"),
    ("layers", "a tool includes the uapi", {"tools/nvfs.c": '#include <nvfs.h>\n'}, r"tools/nvfs\.c:1: .*libnvfs only"),
    ("layers", "the uapi includes more", {HEADER: "#include <stdint.h>\n"}, r"nvfs\.h:1: includes stdint\.h"),
    ("layers", "ioctl outside abi.c", {"lib/io.c": "int g(int fd)\n{ return ioctl(fd, 1); }\n"}, r"lib/io\.c:2: only lib/abi\.c"),
    ("layers", "dlopen outside gpu_cuda.c and gpu_hip.c", {"tools/nvfs.c": 'void *g(void) { return dlopen("x", 1); }\n'}, r"only lib/gpu_cuda"),
    ("layers", "the product names the lab", {"lib/io.c": "/* for labgpu only */\n"}, r"lib/io\.c:1: names the lab"),
    # Functions
    ("functions", "a C function of 81 lines", {"lib/a.c": body(81)}, r"lib/a\.c:1: long_one\(\) has 81 lines"),
    ("functions", "a long function behind a macro and an attribute",
     {"lib/a.c": "DEFINE_THING(x);\n" + body(81).replace("(void)", "(int (*f)(int), int b) __must_hold(&a)")},
     r"lib/a\.c:2: long_one\(\) has 81"),
    ("functions", "a Python function of 81 lines", {"scripts/b.py": "def f():\n" + "    g()\n" * 80}, r"f\(\) has 81 lines"),
    ("functions", "a long method in a script without an ending",
     {"scripts/b": "#!/usr/bin/env python3\nclass A:\n    def f():\n" + "        g()\n" * 80}, r"b:3: f\(\) has 81 lines"),
    ("functions", "too long functions in general", {"kernel/nvfs-a.c": body(60) * 3}, r"nine of ten functions have up to 60"),
    ("functions", "a BUG_ON", {"kernel/nvfs-a.c": "void f(void)\n{\n\tBUG_ON(1);\n}\n"}, r"nvfs-a\.c:3: BUG_ON"),
    ("functions", "a BUG_ON in compat", {"kernel/compat/a.h": "#define f() BUG_ON(1)\n"}, r"compat/a\.h:1: BUG_ON"),
    ("functions", "a timed sleep", {"kernel/nvfs-a.c": "void f(void)\n{\n\tmsleep(1);\n}\n"}, r"nvfs-a\.c:3: msleep"),
    ("functions", "another timed sleep", {"kernel/nvfs-a.c": "void f(void)\n{\n\tusleep_range(1, 2);\n}\n"}, r":3: usleep_range"),
    ("functions", "a busy wait", {"kernel/nvfs-a.c": "void f(void)\n{\n\tudelay(1);\n}\n"}, r":3: udelay"),
    ("functions", "a schedule with a time", {"kernel/nvfs-a.c": "void f(void)\n{\n\tschedule_timeout_uninterruptible(HZ);\n}\n"},
     r":3: schedule_timeout_uninterruptible"),
    ("functions", "a version test", {"kernel/nvfs-a.c": "#if LINUX_VERSION_CODE >= 1\n#endif\n"}, r"LINUX_VERSION_CODE: version"),
    ("functions", "the version's header", {"kernel/nvfs-a.h": "#include <linux/version.h>\n"}, r"version\.h: version tests"),
    ("functions", "too many conditionals", {"kernel/nvfs-a.c": "#ifdef A\n#endif\n#if defined(B)\n#endif\nint a;\n"},
     r"nvfs-a\.c:1: one of 2 conditionals"),
    ("functions", "a conditional that only looks like a guard",
     {"kernel/nvfs-a.h": "int a;\n#ifndef B\n#define B\n#endif\n#ifdef C\n#endif\n"}, r"one of 2 conditionals"),
    # Style
    ("style", "spaces for a tab", {"kernel/nvfs-a.c": GPL + "int f(void)\n{\n        return 1;\n}\n"}, r"nvfs-a\.c:4: ERROR:CODE_INDENT"),
    ("style", "a finding of --strict only", {"kernel/nvfs-a.c": GPL + "int f(int a,\n\tint b)\n{\n\treturn a;\n}\n"},
     r"CHECK:PARENTHESIS_ALIGNMENT"),
    ("style", "a line of 101 columns", {"kernel/nvfs-a.c": GPL + "int " + "a" * 97 + ";\n"}, r"nvfs-a\.c:2: \w+:LONG_LINE"),
    ("style", "the lab's kernel driver", {"lab/gpu/kernel/a.c": GPL + "int a=1;\n"}, r"lab/gpu/kernel/a\.c:2: ERROR:SPACING"),
    ("style", "the uapi header", {HEADER: UAPI + "int a=1;\n"}, r"include/uapi/nvfs\.h:2: ERROR:SPACING"),
    ("style", "a misspelling that the kernel knows", {"kernel/nvfs-a.c": GPL + "/* We rec" + "ieve it */\nint a;\n"},
     r"TYPO_SPELLING"),
    ("style", "a complex macro that is no list", {"kernel/nvfs-a.c": GPL + "#define A(Y) f Y, g Y\n"}, r"COMPLEX_MACRO"),
    ("style", "no options", {".checkpatch.conf": None}, r"\.checkpatch\.conf: is missing"),
    ("style", "an exception without a reason", {".checkpatch.conf": STYLE_CONF + "--ignore=SPACING\n"}, r"no reason in the line above"),
    ("style", "no --strict", {".checkpatch.conf": STYLE_CONF.replace("--strict\n", "")}, r"--strict is missing"),
    # kernel-doc
    ("kernel-doc", "a parameter that is not described",
     {"kernel/nvfs-stat.c": GPL + KERNEL_FUNCTION.replace(" * @n: the number\n", "")}, r"nvfs-stat\.c:\d+: .*'n' not described"),
    ("kernel-doc", "a parameter that is not there",
     {"kernel/nvfs-stat.c": GPL + KERNEL_FUNCTION.replace("@n: the", "@n: the\n * @m: the")}, r"Excess function parameter 'm'"),
    ("kernel-doc", "no word on what is returned",
     {"kernel/nvfs-stat.c": GPL + KERNEL_FUNCTION.replace(" * Return: twice @n\n", "")}, r"(?i)return value"),
    ("kernel-doc", "a public function without a comment",
     {"kernel/nvfs-a.c": GPL + "int nvfs_a(void)\n{\n\treturn 1;\n}\n"}, r"nvfs-a\.c:2: nvfs_a\(\) is not static"),
    ("kernel-doc", "a public function with an ordinary comment",
     {"kernel/nvfs-a.c": GPL + KERNEL_FUNCTION.replace("/**", "/*")}, r"nvfs_stat_twice\(\) is not static"),
    ("kernel-doc", "a uapi struct without a comment", {HEADER: UAPI + "struct nvfs_x {\n\tint a;\n};\n"}, r"struct nvfs_x has no"),
    ("kernel-doc", "a field that is not described",
     {HEADER: UAPI + "/**\n * struct nvfs_x - x\n * @a: a\n */\nstruct nvfs_x {\n\tint a;\n\tint b;\n};\n"}, r"'b' not described"),
    # The ABI
    ("uapi", "a // comment", uapi("#endif\n", "#endif // end\n"), r"gcc -std=c90"),
    ("uapi", "a comma at the end of an enum", uapi("B = 1\n", "B = 1,\n"), r"gcc -std=c90"),
    ("uapi", "a word that C++ keeps", uapi("length;", "class;"), r"g\+\+"),
    ("uapi", "a header that is missing", uapi("#include <linux/types.h>\n", ""), r"gcc .*: .*error"),
    ("uapi", "no include guard", uapi("#ifndef _UAPI_NVFS_H\n", "#if 1\n"), r"redefinition|redeclaration"),
    ("uapi", "a long", uapi("__aligned_u64", "unsigned long"), r"differs on 32 bit: .*size"),
    ("uapi", "a plain __u64", uapi("__aligned_u64", "__u64"), r"__u64 length is no type"),
    ("uapi", "a pointer", uapi("__aligned_u64 length", "void *length"), r"is no type of fixed size"),
    ("uapi", "padding between members", uapi("__aligned_u64 length", "__u32 a;\n\t__aligned_u64 length"), r"4 bytes of padding"),
    ("uapi", "padding at the end", uapi("length;", "length;\n\t__u32 a;"), r"padding at its end"),
    ("uapi", "no size", uapi("__u32 size", "__u32 sizes"), r"does not start with __u32 size"),
    ("uapi", "two members change places", uapi("__u32 size;\n\t__u32 flags;", "__u32 flags;\n\t__u32 size;"), r"the ABI lost or changed"),
    ("uapi", "a number changes", uapi("NVFS_KIND_B = 1", "NVFS_KIND_B = 2"), r"lost or changed: enum NVFS_KIND_B 1"),
    ("uapi", "a call changes", uapi("_IO(0xE9, 0)", "_IO(0xE9, 1)"), r"lost or changed: define NVFS_IOC_INFO"),
    ("uapi", "a struct disappears", uapi("struct nvfs_info {", "struct nvfs_other {"), r"lost or changed: struct nvfs_info"),
    ("uapi", "a member appears", uapi("length;", "length;\n\t__aligned_u64 more;"), r"the ABI gained: nvfs_info\.more"),
    ("uapi", "no golden file", {"scripts/uapi-layout.golden": None}, r"golden: is missing"),
    # Shell, spelling, Python
    ("shell", "a word without quotes", {"a.sh": "#!/bin/sh\necho $1\n"}, r"a\.sh:2:.*SC2086"),
    ("shell", "a script without an ending", {"x/tool": "#!/usr/bin/env bash\ncd $1\n"}, r"x/tool:2:"),
    ("shell", "a bash script in sh's clothes", {"a.sh": "#!/bin/sh\n[[ a == b ]]\n"}, r"a\.sh:2:.*SC"),
    ("shell", "a hidden directory", {".ci/run": "#!/bin/bash\nrm $1/x\n"}, r"\.ci/run:2:"),
    ("spelling", "a misspelling in a document", {"README.md": "\x54eh first word.\n"}, r"README\.md:1: T[e]h"),
    ("spelling", "a misspelling in a comment", {"lib/a.c": "/* we rec" + "ieve */\n"}, r"lib/a\.c:1:"),
    ("py", "a syntax error", {"a.py": "def f(:\n"}, r"a\.py:1: SyntaxError"),
    ("py", "a warning", {"a.py": "print('\\d')\n"}, r"a\.py:1: .*invalid escape"),
    ("py", "a comparison that means something else", {"a.py": "a = 1\nprint(a is 1)\n"}, r'"is" with a literal'),
    ("py", "an unused import", {"a.py": "import os\n"}, r"a\.py:1: imports os and does not use it"),
    ("py", "a package from elsewhere", {"a.py": "import numpy\nprint(numpy)\n"}, r"imports numpy, which is neither"),
    ("py", "an undefined name", {"a.py": "def f():\n    return whatever\n"}, r"a\.py:2: whatever is defined nowhere"),
    ("py", "a script without an ending", {"x/tool": "#!/usr/bin/env python3\nimport os\n"}, r"x/tool:2: imports os"),
    # The tree
    ("tree", "a binary", {"tests/a.dat": b"\x7fELF\0\0"}, r"a\.dat: is binary"),
    ("tree", "an object", {"kernel/a.o": "x\n"}, r"a\.o: looks generated"),
    ("tree", "a module's source by modpost", {"kernel/nvfs.mod.c": "x\n"}, r"looks generated"),
    ("tree", "no SPDX line", {"lib/a.c": "int a;\n"}, r"lib/a\.c: has no SPDX"),
    ("tree", "no SPDX line in a script without an ending", {"x": None, "tools/x": "#!/bin/sh\nexit 0\n"}, r"tools/x: has no SPDX"),
    ("tree", "the wrong licence for the module", {"kernel/nvfs-a.c": MIT + "int a;\n"}, r"is MIT, its place asks for GPL"),
    ("tree", "the wrong licence for the library", {"lib/a.c": GPL + "int a;\n"}, r"is GPL-2\.0-only, its place asks for MIT"),
    ("tree", "a uapi header without the note", {HEADER: GPL_H + "int a;\n"}, r"its place asks for \(GPL"),
    ("tree", "a test's kernel module under MIT", {"tests/m.c": MIT + 'MODULE_LICENSE("GPL");\n'}, r"is MIT, its place asks for GPL"),
    ("tree", "a file of 901 lines", {"lib/a.c": MIT + "int a;\n" * 900}, r"has 901 lines"),
    ("tree", "a kernel header of 201 lines", {"kernel/nvfs-a.h": GPL_H + "int a;\n" * 200}, r"has 201 lines, a header may"),
    ("tree", "a path of this machine", {"lib/a.c": MIT + '#define A "/wo' + 'rk/main"\n'}, r"a\.c:2: .*a path of one machine"),
    ("tree", "a shared folder", {"README.md": "See ../sha" + "red/x.\n"}, r"README\.md:1: .*one machine"),
    ("tree", "somebody's home", {"README.md": "See /ho" + "me/me/x.\n"}, r"README\.md:1: .*home directory"),
    ("tree", "a registry", {"README.md": "From ht" + "tps://pypi.mirror.internal/simple\n"}, r"is no host to point at"),
    ("tree", "carriage returns", {"lib/a.c": MIT.rstrip() + "\r\n"}, r"carriage returns"),
    ("tree", "white space at the end", {"lib/a.c": MIT + "int a; \n"}, r"a\.c:2: white space at the end"),
    ("tree", "no newline at the end", {"lib/a.c": MIT + "int a;"}, r"does not end with a newline"),
    ("tree", "an unfinished merge", {"lib/a.c": MIT + "<<<<" + "<<< HEAD\n"}, r"a\.c:2: an unfinished merge"),
    ("tree", "a script that can't be run", {"lib/a.sh:644": "#!/bin/sh\n" + MIT_HASH}, r"has a #! line and is not executable"),
    ("tree", "a source that can", {"lib/a.c:755": MIT + "int a;\n"}, r"is executable and has no #! line"),
    ("tree", "a new thing at the top", {"src/a.c": MIT + "int a;\n"}, r"src: does not belong at the top"),
    # Documents and headers
    ("docs", "a link that leads nowhere", {"README.md": "\nSee [this](docs/x.md).\n"}, r"README\.md:2: the link to docs/x\.md"),
    ("docs", "a target that is not there", {"README.md": "Say `make nothere`.\n"}, r"README\.md:1: make nothere: no such"),
    ("docs", "a target that is not there, with settings", {"README.md": "```\nmake SIZE=1G nothere\n```\n"}, r"README\.md:2: make nothere"),
    ("docs", "the second of two targets", {"README.md": "`make run tset`\n"}, r"make tset: no such"),
    ("headers", "a type that comes from elsewhere", {"lib/b.h": "uint8_t f(void);\n"}, r"lib/b\.h: does not compile alone \[C11\]"),
    ("headers", "no guard", {"lib/b.h": "struct b {\n\tint a;\n};\n"}, r"lib/b\.h: .*redefinition"),
    ("headers", "a public header that is no C++", {"lib/include/b.h": "int f(int class);\n"}, r"b\.h: .*\[C\+\+17\]"),
    ("headers", "a list that is more than a list", {"kernel/nvfs-b-list.h": "X(a)\nX(b)\nint a;\n"}, r"nvfs-b-list\.h: does not"),
    ("headers", "a kernel header that needs another", {"kernel/nvfs-b.h": "int f(struct file *f, nvfs_no_type t);\n"},
     r"(?s)nvfs-b\.h: .*alone \[6.*nvfs-b\.h: .*alone \[6"),
    ("headers", "a module that is not built", {"build/6.1": "no folder\n", "build/6.12": "no folder\n"}, r"holds no build"),
    # Sparse: one tree with everything, because each build takes seconds
    ("sparse", "a user pointer that is read", {"kernel/Kbuild": "obj-m := nvfs.o\nnvfs-y := nvfs-stat.o nvfs-io.o\n",
                                               "kernel/nvfs-io.c": SPARSE_BAD,
                                               "kernel/nvfs-pci.c": GPL + "int nvfs_not_built;\n"},
     r"(?s)nvfs-io\.c:8: warning: dereference of noderef.*nvfs-pci\.c: sparse did not look at it"),
    ("sparse", "a build that fails", {"kernel/nvfs-stat.c": SPARSE_GOOD + "int x = y;\n"}, r"nvfs-stat\.c:13: error: .*undeclared"),
]

# Checks that use the builds of the module for the lab's kernels.
NEED_MODULE = {"headers"}
# A tool that is not there is a failure of the checks that need it.
TOOLS = {"style": "perl", "kernel-doc": "perl", "shell": "shellcheck", "spelling": "codespell", "uapi": "g++", "layers": "nm",
         "sparse": "sparse", "headers": "gcc"}
# (check, what is missing): (files to leave out of the clean tree's build, pattern)
INPUTS = [("style", r"checkpatch\.pl is missing"), ("kernel-doc", r"kernel-doc is missing"), ("sparse", r"headers is missing")]

assert all(re.compile(w[3]) for w in WRONG)
