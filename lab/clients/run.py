# SPDX-License-Identifier: MIT
"""Run KvikIO over our libcufile in a lab guest: with the module, without it.

python3 lab/clients/run.py KERNEL

The kernel's own counters say whether bytes went direct.
"""

import pathlib
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "lab" / "vm"))

from vm import BUILD, Vm  # noqa: E402  pylint: disable=wrong-import-position

KVIKIO = BUILD / "clients/kvikio"
LIBRARIES = ":".join(str(path) for path in (
    BUILD / "lab", BUILD / "lib", KVIKIO / "libkvikio/lib64",
    KVIKIO / "rapids_logger/lib64", KVIKIO / "libkvikio_cu13.libs"))
COUNTERS = ("read_direct_bytes", "write_direct_bytes", "read_bounce_bytes",
            "write_bounce_bytes")


def counters(guest):
    """Those of /proc/nvfs/io_stats, by name; 0 where there is none."""
    text = guest.run("cat /proc/nvfs/io_stats", check=True).out
    found = dict(line.split()[:2] for line in text.splitlines()
                 if len(line.split()) >= 2)
    return {key: int(found.get(key, 0)) for key in COUNTERS}


def client(guest, path):
    """One run of the program; True when it said that all is well."""
    # KvikIO looks for udev's directory before it tries cuFile, and for a
    # configuration before it uses streams.
    done = guest.run("mkdir -p /run/udev && echo '{}' >/run/cufile.json && "
                     "env CUFILE_ENV_PATH_JSON=/run/cufile.json "
                     f"LD_LIBRARY_PATH={LIBRARIES} {BUILD}/clients/kvikio-test "
                     f"{path}", timeout=240)
    for line in done.out.splitlines():
        print(f"    {line}")
    return done.rc == 0 and "kvikio: ok" in done.out


def main():
    """Both runs; the exit status."""
    good = True
    with Vm(sys.argv[1], drives={"nvme0": "256M"}) as guest:
        disk = guest.drives["nvme0"].dev
        guest.run(f"mkfs.ext4 -q -F {disk} && mkdir -p /run/files && "
                  f"mount {disk} /run/files", timeout=120, check=True)
        before = counters(guest)
        good &= client(guest, "/run/files")
        after = counters(guest)
        moved = {key: after[key] - before[key] for key in COUNTERS}
        print(f"  with the module: {moved}")
        good &= moved["read_direct_bytes"] > 0
        guest.run("rmmod nvfs", check=True)
        good &= client(guest, "/run/files")
        print("  without the module: done")
        for line in guest.splats():
            print(f"  FAIL kernel log: {line}")
            good = False
    print("clients-test: " + ("passed" if good else "FAILED"))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
