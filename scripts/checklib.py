# SPDX-License-Identifier: MIT
"""What the checks in this directory share: the tree, the verdict, the cache.

A check is a program `check-NAME [--root DIR] ...`.  It prints one line
`FILE:LINE: text` for each finding, then the line
`check-NAME: N findings (detail)`, and exits with one of

    0   nothing found
    1   something found, or the check could not do its work
    77  there was nothing to look at; the line says `check-NAME: skipped (why)`

A tool that is missing is a finding: a check that could not run never passes.
"""
import argparse
import hashlib
import os
import shutil
import subprocess
import sys

SKIP = 77
# Directories that never hold sources, for trees that git does not know.
NO_SOURCES = {".git", "build", "__pycache__"}


class Missing(Exception):
    """A tool or an input that the check needs is not there."""


def tool(name):
    """The path of a program; raises Missing with what to do about it."""
    path = shutil.which(name)
    if not path:
        raise Missing(f"{name} is not installed: run lab/setup.sh as root")
    return path


def run(cmd, **kwargs):
    """Run a command, both outputs merged as text; the caller judges the status."""
    return subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", check=False,
                          env=dict(os.environ, LC_ALL="C.UTF-8"), **kwargs)


def list_files(root):
    """All files of the tree, relative to root: tracked ones and new ones that git does not ignore."""
    if os.path.exists(os.path.join(root, ".git")):
        # The tree may belong to another user than the one who checks it.
        res = subprocess.run(["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z",
                              "--cached", "--others", "--exclude-standard"],
                             stdout=subprocess.PIPE, text=True, check=True)
        names = {n for n in res.stdout.split("\0") if n and not n.startswith("build/")}
        return sorted(n for n in names if os.path.lexists(os.path.join(root, n)))
    found = []
    for base, dirs, names in os.walk(root):
        dirs[:] = [d for d in dirs if d not in NO_SOURCES]
        found += [os.path.relpath(os.path.join(base, n), root) for n in names]
    return sorted(found)


class Check:
    """One run of one check: its arguments, its tree, its findings."""

    def __init__(self, name, doc, add_args=None):
        parser = argparse.ArgumentParser(prog=name, description=doc)
        here = os.path.dirname(os.path.abspath(__file__))
        parser.add_argument("--root", default=os.path.dirname(here), help="the tree to check")
        parser.add_argument("--build", help="its build directory (default: ROOT/build)")
        if add_args:
            add_args(parser)
        self.args = parser.parse_args()
        self.name = name
        self.root = os.path.abspath(self.args.root)
        self.build = os.path.abspath(self.args.build or os.path.join(self.root, "build"))
        self.findings = []
        self._files = None

    def path(self, name):
        """The absolute path of a file of the tree."""
        return os.path.join(self.root, name)

    def read(self, name):
        """The text of a file of the tree."""
        with open(self.path(name), encoding="utf-8", errors="replace") as f:
            return f.read()

    def files(self, *prefixes, ext=()):
        """The tree's files below one of the prefixes with one of the endings."""
        if self._files is None:
            self._files = list_files(self.root)
        return [f for f in self._files
                if (not prefixes or f.startswith(prefixes))
                and (not ext or f.endswith(tuple(ext)))
                and os.path.isfile(self.path(f))]

    def find(self, where, text, line=0):
        """Note a finding."""
        self.findings.append(f"{where}:{line}: {text}" if line else f"{where}: {text}")

    def kernel_script(self, name):
        """A script out of the kernel's source package (lab/kernels extracts them)."""
        places = [os.environ.get("KSCRIPTS"),
                  os.path.join(self.build, "kernels", "source", "scripts")]
        for place in filter(None, places):
            path = os.path.join(place, name)
            if os.path.exists(path):
                return path
        raise Missing(f"build/kernels/source/scripts/{name} is missing: make check gets it")

    def cached(self, parts, work):
        """work() unless the same parts (str or bytes) were clean before.

        work() returns a list of findings.  Only an empty one is remembered, so a
        finding is always made again from the sources that are there now.
        """
        digest = hashlib.sha256()
        for part in [self.name, *parts]:
            data = part if isinstance(part, bytes) else str(part).encode()
            digest.update(b"%d:" % len(data) + data)
        stamp = os.path.join(self.build, "check", "clean", digest.hexdigest())
        if os.path.exists(stamp):
            return []
        found = work()
        if not found:
            os.makedirs(os.path.dirname(stamp), exist_ok=True)
            with open(stamp, "w", encoding="utf-8") as f:
                f.write(self.name + "\n")
        return found

    def main(self, work):
        """Run work(self), which returns the detail; print the verdict and exit."""
        try:
            detail = work(self)
        except Missing as err:
            self.find(self.name, str(err))
            detail = "could not run"
        if detail is None:
            detail = ""
        if isinstance(detail, Skip) and not self.findings:
            print(f"{self.name}: skipped ({detail.why})")
            sys.exit(SKIP)
        for finding in self.findings:
            print(finding)
        count = len(self.findings)
        print(f"{self.name}: {count} finding{'' if count == 1 else 's'}"
              + (f" ({detail})" if isinstance(detail, str) and detail else ""))
        sys.exit(1 if count else 0)


class Skip:
    """Returned by a check that has nothing to look at."""

    def __init__(self, why):
        self.why = why


def file_bytes(path):
    """The bytes of a file, as a part of a cache key."""
    with open(path, "rb") as f:
        return f.read()
