# SPDX-License-Identifier: MIT
"""Make the initramfs of a lab guest: busybox, init, agent, kernel modules."""

import lzma
import os
import stat
import struct
import subprocess
import threading
from pathlib import Path

# What the guest needs to reach its agent, then what it must always have.  A
# module comes after those that modules.dep names for it; crc32c comes before
# ext4 and xfs, which ask for it by name and find it only when it is loaded.
MODULES = (
    "virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay",
    "virtio_blk", "nvme", "crc32c_generic", "crc32c-intel", "ext4", "xfs",
)


# How a signed module ends: a struct module_signature, then this text.
_SIGNED = b"~Module signature appended~\n"
_SIG_INFO = struct.Struct(">8xI")

BUSYBOX = "/bin/busybox"


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
    """The bytes of a module, decompressed and without its signature: to check
    those takes an emulated CPU seconds of every boot."""
    data = Path(path).read_bytes()
    if str(path).endswith(".xz"):
        data = lzma.decompress(data)
    if data.endswith(_SIGNED):
        end = len(data) - len(_SIGNED) - _SIG_INFO.size
        data = data[:end - _SIG_INFO.unpack_from(data, end)[-1]]
    return data


def vmlinux(bzimage):
    """The ELF image in a bzImage, for the same reason: the guest would take
    seconds to unpack what the host unpacks once.  QEMU starts it by PVH."""
    data = Path(bzimage).read_bytes()
    start, size = struct.unpack_from("<II", data, 0x248)  # payload_offset
    start += ((data[0x1f1] or 4) + 1) * 512               # setup_sects
    payload = data[start:start + size]
    if payload.startswith(b"\xfd7zXZ\0"):
        # what follows the stream, its unpacked size, is not xz's
        image = lzma.LZMADecompressor().decompress(payload)
    elif payload.startswith(b"\x28\xb5\x2f\xfd"):
        image = subprocess.run(["zstd", "-dcq"], input=payload[:-4],
                               stdout=subprocess.PIPE, check=True).stdout
    else:
        raise InitramfsError(f"{bzimage}: compressed in a way not known here")
    if not image.startswith(b"\x7fELF"):
        raise InitramfsError(f"{bzimage}: no ELF image in it")
    return image


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


def build(kernel_dir, release, agent, init):
    """The archive's bytes."""
    mod_dir = modules_dir(kernel_dir, release)
    cpio = Cpio()
    for name in ("bin", "dev", "modules"):
        cpio.add(name, stat.S_IFDIR | 0o755)
    for name, path in (("bin/busybox", BUSYBOX), ("agent", agent),
                       ("init", init)):
        cpio.add(name, stat.S_IFREG | 0o755, Path(path).read_bytes())
    order = []
    for path in module_order(mod_dir):
        name = _name(path) + ".ko"
        cpio.add(f"modules/{name}", stat.S_IFREG | 0o644,
                 read_module(mod_dir / path))
        order.append(name)
    # A kernel that has all of them built in gets an empty list.
    cpio.add("modules/order", stat.S_IFREG | 0o644,
             "".join(f"{name}\n" for name in order).encode())
    return cpio.bytes()


def _newer(dest, inputs):
    """Whether dest is newer than everything that it is made of."""
    for path in inputs:
        if not os.path.exists(path):
            raise InitramfsError(f"{path} is missing: run make first")
    newest = max(os.stat(path).st_mtime_ns for path in inputs)
    return dest.exists() and dest.stat().st_mtime_ns > newest


def _replace(dest, data):
    dest.parent.mkdir(parents=True, exist_ok=True)
    new = dest.with_name(f".{dest.name}.{threading.get_native_id()}")
    new.write_bytes(data)
    new.rename(dest)


def boot_files(dest, kernel_dir, release, agent, init):
    """Paths of a kernel image and an initramfs below dest, made when they
    are older than what they are made of."""
    bzimage = Path(kernel_dir, f"boot/vmlinuz-{release}")
    kernel, initrd = Path(dest, "vmlinux"), Path(dest, "initramfs")
    inputs = (__file__, Path(kernel_dir, "release"))
    if not _newer(kernel, inputs):
        _replace(kernel, vmlinux(bzimage))
    if not _newer(initrd, inputs + (agent, init, BUSYBOX)):
        _replace(initrd, build(kernel_dir, release, agent, init))
    return kernel, initrd
