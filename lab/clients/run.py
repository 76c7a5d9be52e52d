# SPDX-License-Identifier: MIT
"""Run programs that others wrote for cuFile in a lab guest, over our libcufile.

python3 lab/clients/run.py KERNEL [CLIENT...]

Each runs twice, with the module and without it.  It compares its bytes itself;
the kernel's own counters say whether they went direct.
"""

import argparse
import pathlib
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "lab" / "vm"))

from vm import BUILD, Vm  # noqa: E402  pylint: disable=wrong-import-position

FILES = "/run/files"
KVIKIO = BUILD / "clients/kvikio"
FIO = BUILD / "clients/fio"
COUNTERS = ("read_direct_bytes", "write_direct_bytes", "read_bounce_bytes",
            "write_bounce_bytes")
LIMIT_S = 240

# What fio writes, reads back and verifies: order, block, bytes.
FIO_JOBS = (("write", "1M", "16M"), ("randwrite", "4k", "2M"),
            ("randrw", "64k", "8M"))


def libraries(*own):
    """LD_LIBRARY_PATH of a client that brings its own ones."""
    return "LD_LIBRARY_PATH=" + ":".join(
        str(path) for path in (BUILD / "lab", BUILD / "lib", *own))


def run(guest, command):
    """A command's output when it went well, otherwise None."""
    done = guest.run(command, timeout=LIMIT_S)
    if done.rc:
        for line in done.out.splitlines()[-12:]:
            print(f"    {line}")
        return None
    return done.out


def kvikio(guest):
    """KvikIO's library: files, tasks, a stream, a batch."""
    # It looks for udev's directory before it tries cuFile, and for a
    # configuration before it uses streams.
    paths = libraries(KVIKIO / "libkvikio/lib64", KVIKIO / "rapids_logger/lib64",
                      KVIKIO / "libkvikio_cu13.libs")
    out = run(guest, "mkdir -p /run/udev && echo '{}' >/run/cufile.json && "
              f"env CUFILE_ENV_PATH_JSON=/run/cufile.json {paths} "
              f"{BUILD}/clients/kvikio-test {FILES}")
    if out:
        print(f"    {out.strip()}")
    return out is not None and "kvikio: ok" in out


def fio(guest):
    """fio's engine libcufile, which checks what it reads by checksums."""
    good = True
    for order, block, size in FIO_JOBS:
        out = run(guest, f"env {libraries(FIO / 'lib')} {FIO}/source/fio "
                  f"--name=lab --ioengine=libcufile --cuda_io=cufile "
                  f"--gpu_dev_ids=0 --direct=1 --filename={FILES}/fio.bin "
                  f"--rw={order} --bs={block} --size={size} "
                  "--verify=crc32c --do_verify=1 --verify_fatal=1 "
                  "--output-format=terse --terse-version=3")
        # The fifth field is the job's error; reads first, then writes.
        fields = (out or "").strip().split("\n")[-1].split(";")
        ok = len(fields) > 47 and fields[4] == "0" and int(fields[5]) > 0
        moved = f"{fields[5]} KiB read, {fields[46]} written" if ok else "-"
        print(f"    fio: {'ok' if ok else 'FAILED'}, {order} {block}: {moved}")
        good &= ok
    return good


CLIENTS = {"kvikio": kvikio, "fio": fio}


def counters(guest):
    """Those of /proc/nvfs/io_stats, by name; 0 where there is none."""
    text = guest.run("cat /proc/nvfs/io_stats", check=True).out
    found = dict(line.split()[:2] for line in text.splitlines()
                 if len(line.split()) >= 2)
    return {key: int(found.get(key, 0)) for key in COUNTERS}


def with_module(guest, names):
    """All clients; bytes must have gone direct both ways."""
    good = True
    for name in names:
        before = counters(guest)
        good &= CLIENTS[name](guest)
        after = counters(guest)
        moved = {key: after[key] - before[key] for key in COUNTERS}
        print(f"  {name}, with the module: {moved}")
        good &= moved["read_direct_bytes"] > 0
        good &= moved["write_direct_bytes"] > 0
    return good


def without_module(guest, names):
    """All clients again; there is nothing that could go direct."""
    good = True
    guest.run("rmmod nvfs", check=True)
    for name in names:
        ok = CLIENTS[name](guest)
        print(f"  {name}, without the module: {'ok' if ok else 'FAILED'}")
        good &= ok
    return good


def main():
    """Both rounds; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kernel")
    parser.add_argument("clients", nargs="*", metavar="CLIENT",
                        help="of: " + " ".join(CLIENTS))
    args = parser.parse_args()
    names = args.clients or list(CLIENTS)
    if set(names) - set(CLIENTS):
        parser.error(f"clients are: {' '.join(CLIENTS)}")
    with Vm(args.kernel, drives={"nvme0": "256M"}) as guest:
        disk = guest.drives["nvme0"].dev
        guest.run(f"mkfs.ext4 -q -F {disk} && mkdir -p {FILES} && "
                  f"mount {disk} {FILES}", timeout=120, check=True)
        good = with_module(guest, names)
        good &= without_module(guest, names)
        for line in guest.splats():
            print(f"  FAIL kernel log: {line}")
            good = False
    print("clients-test: " + ("passed" if good else "FAILED"))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
