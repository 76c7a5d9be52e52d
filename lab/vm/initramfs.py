# SPDX-License-Identifier: MIT
"""Make the initramfs of a lab guest: busybox, init, agent, kernel modules."""

import lzma
import os
import stat
from pathlib import Path

# What the guest needs to reach its agent, then what it must always have.  A
# module comes after those that modules.dep names for it; crc32c comes before
# ext4 and xfs, which ask for it by name and find it only when it is loaded.
MODULES = (
    "virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay",
    "virtio_blk", "nvme", "crc32c_generic", "crc32c-intel", "ext4", "xfs",
)


class InitramfsError(Exception):
    """Something that the initramfs is made of is missing."""


def modules_dir(kernel_dir, release):
    """Where an unpacked kernel package has its modules."""
    for lib in ("lib", "usr/lib"):
        path = Path(kernel_dir, lib, "modules", release)
        if path.is_dir():
            return path
    raise InitramfsError(f"{kernel_dir}: no modules of {release}")


def _name(path):
    return os.path.basename(path).split(".ko")[0]


def module_order(mod_dir, wanted=MODULES):
    """Paths (below mod_dir) of the wanted modules and of all that they need,
    in the order in which insmod takes them.  Built-in ones are left out."""
    needs, paths = {}, {}
    for line in Path(mod_dir, "modules.dep").read_text().splitlines():
        path, _, deps = line.partition(":")
        paths[_name(path)] = path
        # modules.dep lists the nearest dependency first
        needs[path] = list(reversed(deps.split()))
    builtin = {_name(line) for line in
               Path(mod_dir, "modules.builtin").read_text().splitlines()}
    order = []
    for name in wanted:
        if name in builtin:
            continue
        if name not in paths:
            raise InitramfsError(f"{mod_dir}: no module {name}")
        for path in needs[paths[name]] + [paths[name]]:
            if path not in order:
                order.append(path)
    return order


def read_module(path):
    """The bytes of a module, decompressed where it is compressed."""
    data = Path(path).read_bytes()
    return lzma.decompress(data) if str(path).endswith(".xz") else data


class Cpio:
    """A "newc" archive in memory."""

    def __init__(self):
        self._parts = []
        self._ino = 0

    def add(self, name, mode, data=b""):
        """One entry; directories have to come before what is in them."""
        self._ino += 1
        raw = name.encode() + b"\0"
        fields = (self._ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0,
                  len(raw), 0)
        head = b"070701" + b"".join(b"%08x" % value for value in fields) + raw
        for part in (head, data):
            self._parts.append(part + b"\0" * (-len(part) % 4))

    def bytes(self):
        """The whole archive."""
        self.add("TRAILER!!!", 0)
        return b"".join(self._parts)


def build(kernel_dir, release, agent, init, busybox="/bin/busybox"):
    """The archive's bytes."""
    mod_dir = modules_dir(kernel_dir, release)
    cpio = Cpio()
    for name in ("bin", "dev", "modules"):
        cpio.add(name, stat.S_IFDIR | 0o755)
    for name, path in (("bin/busybox", busybox), ("agent", agent),
                       ("init", init)):
        cpio.add(name, stat.S_IFREG | 0o755, Path(path).read_bytes())
    order = []
    for path in module_order(mod_dir):
        name = _name(path) + ".ko"
        cpio.add(f"modules/{name}", stat.S_IFREG | 0o644,
                 read_module(mod_dir / path))
        order.append(name)
    cpio.add("modules/order", stat.S_IFREG | 0o644,
             ("\n".join(order) + "\n").encode())
    return cpio.bytes()


def cached(dest, kernel_dir, release, agent, init, busybox="/bin/busybox"):
    """The path of an initramfs that is newer than all it is made of."""
    dest = Path(dest)
    inputs = (agent, init, busybox, __file__, Path(kernel_dir, "release"))
    for path in inputs:
        if not os.path.exists(path):
            raise InitramfsError(f"{path} is missing: run make first")
    newest = max(os.stat(path).st_mtime_ns for path in inputs)
    if not dest.exists() or dest.stat().st_mtime_ns <= newest:
        dest.parent.mkdir(parents=True, exist_ok=True)
        new = dest.with_name(f".{dest.name}.{os.getpid()}")
        new.write_bytes(build(kernel_dir, release, agent, init, busybox))
        new.rename(dest)
    return dest
