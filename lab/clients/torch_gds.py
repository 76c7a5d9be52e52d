# SPDX-License-Identifier: MIT
"""PyTorch's torch.cuda.gds, unchanged, over our libcufile.

	LD_PRELOAD=build/lib/libcufile.so.0 python3 lab/clients/torch_gds.py \\
		build/lib/libcufile.so.0 DIRECTORY

For a machine with a GPU and PyTorch; the lab has neither.  Every byte is
compared, on the GPU and in the file, and the library's own counters have to
agree: PyTorch loads NVIDIA's library, too, and must not have called that.
"""

import ctypes
import importlib
import os
import sys

MIB = 1 << 20
WORDS = 625  # of CUfileStatsLevel3_t
# Where in it, in words.
COUNTERS = {"read_ops": 0, "write_ops": 2, "buf_register_ops": 8,
            "read_bytes": 12, "write_bytes": 13}


class Error(ctypes.Structure):
    """CUfileError_t."""

    _fields_ = [("err", ctypes.c_int), ("cu_err", ctypes.c_int)]


class Library:
    """Our libcufile, with its statistics on."""

    def __init__(self, path):
        self.lib = ctypes.CDLL(os.path.abspath(path))
        self.call("cuFileSetStatsLevel", 3)
        self.call("cuFileDriverOpen")
        self.call("cuFileStatsStart")

    def call(self, name, *args):
        """A call that must succeed."""
        function = getattr(self.lib, name)
        function.restype = Error
        done = function(*args)
        if done.err:
            raise RuntimeError(f"{name}: {done.err}, CUDA {done.cu_err}")

    def counters(self):
        """What was counted until now."""
        stats = (ctypes.c_uint64 * WORDS)()
        self.call("cuFileGetStatsL3", ctypes.byref(stats))
        return {name: stats[at] for name, at in COUNTERS.items()}


def file_bytes(path):
    """The content of a file."""
    with open(path, "rb") as file:
        return file.read()


def transfer(torch, gds, path, size):
    """One tensor to a file and back into another one, and a part of it."""
    source = torch.randint(0, 256, (size,), dtype=torch.uint8, device="cuda")
    target = torch.zeros_like(source)
    part = torch.zeros(size // 2, dtype=torch.uint8, device="cuda")
    file = gds.GdsFile(path, os.O_CREAT | os.O_RDWR | os.O_TRUNC)
    gds.gds_register_buffer(source.untyped_storage())
    file.save_storage(source.untyped_storage(), offset=0)
    file.load_storage(target.untyped_storage(), offset=0)
    file.load_storage(part.untyped_storage(), offset=4096)
    gds.gds_deregister_buffer(source.untyped_storage())
    same = (torch.equal(source, target) and
            torch.equal(part, source[4096:4096 + part.numel()]) and
            file_bytes(path) == source.cpu().numpy().tobytes())
    if not same:
        raise RuntimeError(f"{size} bytes: not the same")
    return size + part.numel()


def main():
    """All sizes; the exit status."""
    library = Library(sys.argv[1])
    torch = importlib.import_module("torch")
    gds = importlib.import_module("torch.cuda.gds")
    path = os.path.join(sys.argv[2], "torch_gds.bin")
    sizes = (64 * 1024, MIB, 5 * MIB + 4096, 256 * MIB)
    before = library.counters()
    read = sum(transfer(torch, gds, path, size) for size in sizes)
    after = library.counters()
    os.unlink(path)
    moved = {name: after[name] - before[name] for name in COUNTERS}
    print(f"torch_gds: {moved}")
    good = (moved["read_bytes"] == read and
            moved["write_bytes"] == sum(sizes) and
            moved["buf_register_ops"] == len(sizes))
    print("torch_gds: " + ("passed" if good else "FAILED: not our library"))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
