#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Show that every check passes a clean tree and reports every wrong input of cases.py.

Ends with `check-selftest: N findings (...)` like a check, because it is one.
"""
import concurrent.futures
import importlib.machinery
import importlib.util
import os
import re
import subprocess
import sys
import tempfile

import cases

SCRIPTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, SCRIPTS)
import checklib  # noqa: E402 (found through the line above)

KERNELS = os.path.join(os.path.dirname(SCRIPTS), "build", "kernels")


def lay(root, files):
    """Write files below root; NAME:MODE sets the mode, None removes."""
    for name, text in files.items():
        name, _, mode = name.partition(":")
        path = os.path.join(root, name)
        if text is None:
            if os.path.exists(path):
                os.remove(path)
            continue
        os.makedirs(os.path.dirname(path), exist_ok=True)
        data = text if isinstance(text, bytes) else text.encode()
        with open(path, "wb") as f:
            f.write(data)
        os.chmod(path, int(mode, 8) if mode else 0o755 if data.startswith(b"#!") else 0o644)


def compile_objects(root):
    """Objects of kernel/*.c for check-layers; what a source says decides about its object."""
    folder = os.path.join(root, "build", "0.0", "nvfs")
    os.makedirs(folder)
    for name in sorted(os.listdir(os.path.join(root, "kernel"))):
        source = os.path.join(root, "kernel", name)
        with open(source, encoding="utf-8") as f:
            text = f.read()
        if not name.endswith(".c") or text.startswith("NO OBJECT"):
            continue
        obj = os.path.join(folder, name[:-2] + ".o")
        # What an include line would bring is not what this is about.
        subprocess.run(["gcc", "-c", "-w", "-x", "c", "-o", obj, "-"], check=True, text=True,
                       input=re.sub(r'^#include "(?!nvfs-(?:stat|dma)\.h).*', "", text, flags=re.M),
                       cwd=os.path.join(root, "kernel"))
        if "NEWER" in text:
            os.utime(obj, (1, 1))


def run_check(check, files, kernels=True, path=None):
    """(status, output) of a check on a tree of these files."""
    with tempfile.TemporaryDirectory(prefix="nvfs-check-") as root:
        lay(root, files)
        os.makedirs(os.path.join(root, "build"), exist_ok=True)
        if kernels and os.path.isdir(KERNELS):
            os.symlink(KERNELS, os.path.join(root, "build", "kernels"))
        for name in os.environ.get("KERNELS", "6.1 6.12").split() if check in cases.NEED_MODULE else []:
            link = os.path.join(root, "build", name)
            if not os.path.exists(link):
                os.symlink(os.path.join(os.path.dirname(KERNELS), name), link)
        if check == "layers" and files:
            compile_objects(root)
        env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
        env.pop("KSCRIPTS", None)
        if check == "layers":
            env.pop("KERNELS", None)
        if path is not None:
            env["PATH"] = path
        res = subprocess.run([sys.executable, os.path.join(SCRIPTS, "check-" + check), "--root", root], env=env, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace", check=False)
        return res.returncode, res.stdout


def expect_clean(check, files):
    """A clean tree has no findings; returns what went wrong, or None."""
    status, out = run_check(check, files)
    if status or not re.search(rf"^check-{check}: 0 findings", out, re.M):
        return f"check-{check}: a clean tree gives {status}: {out.strip()[:500]}"
    return None


def expect_report(check, title, files, pattern, **kwargs):
    """A wrong input is reported; returns what went wrong, or None."""
    status, out = run_check(check, files, **kwargs)
    last = (out.strip().splitlines() or [""])[-1]
    parts = [out]
    if check == "sparse" and "headers is missing" not in pattern and "not installed" not in pattern:
        # Every kernel for itself has to show it.
        parts = ["\n".join(line for line in out.splitlines() if line.endswith(f"[{k}]"))
                 for k in os.environ.get("KERNELS", "6.1 6.12").split()]
    if status != 1 or not re.match(rf"check-{check}: [1-9]\d* finding", last) \
            or not all(re.search(pattern, part) for part in parts):
        return f"check-{check}: {title}: not reported ({pattern}); exit status {status}: {out.strip()[:500]}"
    return None


def expect_skip(check):
    """An empty tree is not a pass."""
    status, out = run_check(check, {})
    if check == "functions":            # counts to 0, which is right
        return None
    if status != checklib.SKIP or "skipped (" not in out:
        return f"check-{check}: an empty tree gives {status}: {out.strip()[:300]}"
    return None


def expect_verdicts():
    """scripts/check believes neither a status nor a line alone."""
    loader = importlib.machinery.SourceFileLoader("check", os.path.join(SCRIPTS, "check"))
    check = importlib.util.module_from_spec(importlib.util.spec_from_loader("check", loader))
    loader.exec_module(check)
    good = ["check-x: 0 findings (3 files)"]
    want = [("passed", 0, good), ("failed", 1, good), ("failed", 0, []), ("failed", 0, ["Traceback"]),
            ("failed", 0, ["check-x: 1 finding"]), ("failed", 0, ["check-x: 10 findings"]), ("failed", 77, []),
            ("failed", 77, good), ("skipped", 77, ["check-x: skipped (nothing there)"]), ("failed", -9, good)]
    return [f"scripts/check: status {status} with {lines} is {got}, not {right}" for right, status, lines in want
            if (got := check.verdict("x", status, lines)) != right], len(want)


def jobs():
    """(kind, check, function) of all tests; the slow ones first."""
    wrong = sorted(cases.WRONG, key=lambda w: w[0] != "sparse")
    for check, title, files, pattern in wrong:
        tree = {**cases.CLEAN[check], **files}
        yield "wrong", check, lambda c=check, t=title, f=tree, p=pattern: expect_report(c, t, f, p)
    for check, files in cases.CLEAN.items():
        yield "clean", check, lambda c=check, f=files: expect_clean(c, f)
        yield "empty", check, lambda c=check: expect_skip(c)
    for check, name in cases.TOOLS.items():
        yield "wrong", check, lambda c=check, n=name: without_tool(c, n)
    for check, pattern in cases.INPUTS:
        yield "wrong", check, lambda c=check, p=pattern: expect_report(
            c, "an input that is missing", cases.CLEAN[c], p, kernels=False)


def without_tool(check, name):
    """A check whose tool is not installed does not pass."""
    with tempfile.TemporaryDirectory(prefix="nvfs-path-") as folder:
        # All programs but the one.
        for base in ("/usr/bin", "/bin"):
            for entry in os.listdir(base):
                link = os.path.join(folder, entry)
                if entry != name and not os.path.lexists(link):
                    os.symlink(os.path.join(base, entry), link)
        return expect_report(check, f"{name} is missing", cases.CLEAN[check], rf"{re.escape(name)} is not installed", path=folder)


def run_all():
    """Run all tests; returns (findings, counts by kind)."""
    failed, count, spoiled = [], {"wrong": 0, "clean": 0, "empty": 0}, set()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        todo = [(kind, check, pool.submit(work)) for kind, check, work in jobs()]
        for kind, check, future in todo:
            try:
                result = future.result()
            except (OSError, subprocess.SubprocessError) as err:
                result = f"check-{check}: its test broke: {err}"
            count[kind] += 1
            spoiled |= {check} if kind == "wrong" else set()
            failed += [result] if result else []
    bad, number = expect_verdicts()
    count["verdicts"] = number
    there = {f[6:] for f in os.listdir(SCRIPTS) if f.startswith("check-")}
    failed += bad + [f"check-{c}: no wrong input shows that it can fail" for c in sorted(there - spoiled)]
    return failed, count


def work(check):
    """All of it, unless the same scripts passed before."""
    folder = [os.path.join(base, f) for base, _, names in os.walk(SCRIPTS) for f in names if "__pycache__" not in base]
    key = [part for path in sorted(folder) for part in (path, checklib.file_bytes(path))]
    for name in sorted(os.listdir(KERNELS)) if os.path.isdir(KERNELS) else []:
        key.append(os.path.realpath(os.path.join(KERNELS, name, "headers")))
    counts = {}

    def tests():
        failed, got = run_all()
        counts.update(got)
        return failed
    check.findings += check.cached(key, tests)
    total = len(list(jobs())) + expect_verdicts()[1]
    wrong = sum(1 for kind, *_ in jobs() if kind == "wrong")
    return f"{total} self-tests, {wrong} wrong inputs reported" + ("" if counts else ", as before")


if __name__ == "__main__":
    sys.exit(checklib.Check("check-selftest", __doc__).main(work))
