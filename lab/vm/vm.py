# SPDX-License-Identifier: MIT
"""Start a lab machine: an emulated PC with NVMe drives and emulated GPUs.

	with Vm("6.12") as vm:
		print(vm.run("uname -r").out)

The machine, under a q35 host bridge:

	root port 4 -- switch -- nvme0, gpu0
	root port 5 -- nvme1
	root port 6 -- gpu1
	virtio-blk vblk0

Its root is the host's root, read-only under a tmpfs overlay, so paths of the
host are good in the guest; what the guest writes there is lost.  Only the
directory vm.share is written by both.  Commands and their results travel over
a virtio-serial port; the console is only looked at for kernel splats.

A machine that ends or stops answering raises LostVm; nothing that is unknown
counts as a success.  One that says nothing for long is stopped and let go on,
once: now and then an emulated CPU misses what should wake it.  QEMU dies with
the thread that started the machine.
"""

import ctypes
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

# pylint: disable=wrong-import-position
import agentlink  # noqa: E402
import initramfs  # noqa: E402
import nvmetrace  # noqa: E402
import qmp  # noqa: E402

TOP = HERE.parent.parent
BUILD = (TOP / "build").resolve()
BOOT_TIMEOUT = 90
# For a guest to print a backtrace and end.
NMI_GRACE = 10
REGISTERS = re.compile(r"(CPU#\d+|RIP=\w+|HLT=\d)")
DEFAULT_DRIVES = {"nvme0": "1G", "nvme1": "1G", "vblk0": "256M"}
NSIDS = {"nvme0": 1, "nvme1": 2}
GPU_PORTS = ("04", "06")  # slots of the root ports above gpu0 and gpu1

# A line of the kernel log that no test may cause.
SPLAT = re.compile(
    r"WARNING: |\bBUG: |kernel BUG at|\bOops\b|Kernel panic|"
    r"general protection fault|unable to handle|KASAN|KCSAN|KFENCE|UBSAN|"
    r"DMA-API: |INFO: task .* blocked for more|INFO: possible |"
    r"INFO: trying to register|rcu.*(stall|detected)|suspicious RCU|"
    r"refcount_t: |list_(add|del) corruption|kmemleak: [1-9]|"
    r"DEBUG_LOCKS_WARN_ON|Resources present before probing")


class LostVm(Exception):
    """The machine ended, hangs, or never came up: no verdict is possible."""


class GuestTimeout(Exception):
    """A command ran too long and was killed.  .out: what it had printed."""

    def __init__(self, command, timeout, out):
        super().__init__(f"{command!r}: no end after {timeout} s\n{out}")
        self.out = out


class GuestError(Exception):
    """A command that had to succeed failed.  .result: its Result."""

    def __init__(self, command, result):
        super().__init__(f"{command!r}: exit {result.rc}\n{result.out}")
        self.result = result


@dataclass
class Result:
    """How a command ended (128 + n: by signal n), and what it printed."""

    rc: int
    out: str


@dataclass
class Drive:
    """A drive; `path` is its image on the host."""

    name: str
    path: Path
    serial: str
    size: int
    nsid: int = 0  # 0: not an NVMe drive
    dev: str = ""  # device node in the guest
    bdf: str = ""


@dataclass
class Gpu:
    """An emulated GPU; the host's file `path` is its memory."""

    path: Path
    size: int
    bar: int = 0  # address of its memory as devices in the guest see it
    bdf: str = ""


def parse_size(text):
    """Bytes of "256M", "1G" or a plain number."""
    match = re.fullmatch(r"(\d+)([KMGT]?)i?B?", str(text), re.IGNORECASE)
    if not match:
        raise ValueError(f"not a size: {text}")
    return int(match[1]) << " KMGT".find(match[2].upper() or " ") * 10


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _sparse(path, size):
    with open(path, "wb") as image:
        image.truncate(size)


class Vm:
    """One machine, as a context manager.

    kernel: series of a kernel below build/kernels, "6.1" or "6.12"
    cpu: "max" (a host bridge not known to forward peer-to-peer traffic),
        "EPYC" (one that is known to)
    gpu_mem: size of each GPU's memory, a power of two of at least 2 MiB
    drives: {name: size} or {name: Path of an image}, of nvme0, nvme1, vblk0
    nvfs, labgpu: load that module; a string is its parameters
    workdir: where images and logs go and stay; None: a directory that goes
        away with the machine; its logs stay if that ended in an exception
    append: more of the kernel's command line
    icount: guest time is executed instructions; one CPU
    qemu_args: more of QEMU's command line
    interactive: the guest's /dev/hvc0 is this process's terminal
    """

    def __init__(self, kernel, *, cpu="max", smp=2, mem="1G", gpu_mem="256M",
                 drives=None, nvfs=True, labgpu=True, workdir=None, append="",
                 icount=False, qemu_args=(), interactive=False,
                 boot_timeout=BOOT_TIMEOUT):
        self.kernel, self.cpu, self.smp, self.mem = kernel, cpu, smp, mem
        self.append, self.icount = append, icount
        self.qemu_args, self.interactive = list(qemu_args), interactive
        self._modules = (("labgpu", labgpu), ("nvfs", nvfs))
        self._boot_timeout = boot_timeout
        self._temporary = workdir is None
        self.workdir = self._make_workdir(workdir)
        self.share = self.workdir / "share"
        self.share.mkdir(exist_ok=True)
        self._console_path = self.workdir / "console.log"
        self._stderr_path = self.workdir / "qemu.log"
        self.trace = nvmetrace.Trace(self.workdir / "trace.log")
        self._drives = self._make_drives(drives or DEFAULT_DRIVES)
        self._gpus = self._make_gpus(parse_size(gpu_mem))
        self._found = False
        self._qemu = self._link = self._qmp = None
        self.boot_seconds = None  # from QEMU's start to the agent's answer

    # -- what the machine is made of -----------------------------------------

    @staticmethod
    def _make_workdir(workdir):
        if workdir is None:
            (BUILD / "vm").mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(dir=BUILD / "vm"))
        Path(workdir).mkdir(parents=True, exist_ok=True)
        return Path(workdir).resolve()

    def _make_drives(self, wanted):
        drives = {}
        for name, what in wanted.items():
            path = self.workdir / f"{name}.img"
            if isinstance(what, os.PathLike):
                path = Path(what).resolve()
            else:
                _sparse(path, parse_size(what))
            drives[name] = Drive(name, path, f"nvfs-{name}",
                                 path.stat().st_size, NSIDS.get(name, 0))
        return drives

    def _make_gpus(self, size):
        gpus = []
        for index in range(2):
            path = self.workdir / f"gpu{index}.mem"
            _sparse(path, size)
            gpus.append(Gpu(path, size))
        return gpus

    def _drive_args(self, name, bus):
        drive = self._drives.get(name)
        if not drive:
            return []
        args = ["-drive", f"if=none,id=img-{name},file={drive.path},"
                "format=raw,cache=unsafe,discard=unmap,file.locking=off"]
        if not drive.nsid:
            return args + ["-device", f"virtio-blk-pci,id={name},"
                           f"drive=img-{name},serial={drive.serial}"]
        return args + [
            "-device", f"nvme,id={name},serial={drive.serial},bus={bus}",
            "-device", f"nvme-ns,bus={name},drive=img-{name},"
                       f"nsid={drive.nsid}"]

    def _gpu_args(self, index, bus):
        gpu = self._gpus[index]
        return ["-object", f"memory-backend-file,id=gpumem{index},share=on,"
                           f"mem-path={gpu.path},size={gpu.size}",
                "-device", f"ivshmem-plain,id=gpu{index},"
                           f"memdev=gpumem{index},bus={bus}"]

    def _topology_args(self):
        ports = ["pcie-root-port,id=rp4,bus=pcie.0,chassis=4,slot=4,addr=4",
                 "pcie-root-port,id=rp5,bus=pcie.0,chassis=5,slot=5,addr=5",
                 "pcie-root-port,id=rp6,bus=pcie.0,chassis=6,slot=6,addr=6",
                 "x3130-upstream,id=up,bus=rp4",
                 "xio3130-downstream,id=down0,bus=up,chassis=40,slot=40",
                 "xio3130-downstream,id=down1,bus=up,chassis=41,slot=41"]
        args = []
        for port in ports:
            args += ["-device", port]
        return (args + self._drive_args("nvme0", "down0")
                + self._gpu_args(0, "down1")
                + self._drive_args("nvme1", "rp5") + self._gpu_args(1, "rp6")
                + self._drive_args("vblk0", None))

    def _nine_args(self, tag, path, readonly):
        return ["-fsdev", f"local,id={tag},path={path},security_model=none,"
                f"multidevs=remap{',readonly=on' if readonly else ''}",
                "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]

    def _channel_args(self, agent_fd, qmp_fd):
        events = self.workdir / "events"
        events.write_text("\n".join(nvmetrace.EVENTS) + "\n")
        args = ["-chardev", f"file,id=console,path={self._console_path}",
                "-serial", "chardev:console",
                "-device", "virtio-serial-pci",
                "-chardev", f"socket,id=agent,fd={agent_fd}",
                "-device", "virtserialport,chardev=agent,name=nvfs.agent",
                "-chardev", f"socket,id=qmp,fd={qmp_fd}",
                "-mon", "chardev=qmp,mode=control",
                "-trace", f"events={events}", "-D", str(self.trace.path)]
        if self.interactive:
            args += ["-chardev", "stdio,id=user,signal=off",
                     "-device", "virtconsole,chardev=user"]
        return args

    def _boot_args(self):
        kernel_dir = BUILD / "kernels" / self.kernel
        try:
            release = (kernel_dir / "release").read_text().strip()
            modules = initramfs.modules_dir(kernel_dir, release)
            image, initrd = initramfs.boot_files(
                BUILD / self.kernel / "boot", kernel_dir, release,
                BUILD / "lab/agent", HERE / "init")
        except (OSError, initramfs.InitramfsError) as err:
            raise LostVm(f"can't start: {err}") from err
        # Older kernels don't trust an emulated TSC, and would read time from a
        # device: a trap each, under a lock that all of QEMU wants.
        clock = "" if self.icount else "tsc=reliable "
        line = (f"console=ttyS0 panic=-1 oops=panic loglevel=5 {clock}"
                "mitigations=off "
                "random.trust_cpu=on cryptomgr.notests no_timer_check "
                "watchdog_thresh=30 unknown_nmi_panic "
                "rcupdate.rcu_cpu_stall_timeout=60 nvme.use_cmb_sqs=0 "
                f"NVFS_ROOT={TOP} NVFS_SHARE={self.share} "
                f"NVFS_MODULES={modules} {self.append}")
        return ["-kernel", str(image), "-initrd", str(initrd),
                "-append", line]

    def _command(self, agent_fd, qmp_fd):
        if self.icount:
            speed = ["-accel", "tcg", "-icount", "shift=0,sleep=off",
                     "-smp", "1"]
        else:
            speed = ["-accel", "tcg,thread=multi", "-smp", str(self.smp)]
        return (["qemu-system-x86_64", "-nodefaults", "-no-user-config",
                 "-machine", "q35", "-cpu", self.cpu, "-m", self.mem,
                 "-display", "none", "-no-reboot"]
                + speed + self._boot_args()
                + self._nine_args("root", "/", True)
                + self._nine_args("share", self.share, False)
                + self._channel_args(agent_fd, qmp_fd)
                + self._topology_args() + self.qemu_args)

    # -- its life --------------------------------------------------------------

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.close(keep=True)
            raise
        return self

    def __exit__(self, kind, value, trace):
        self.close(keep=kind is not None)

    def start(self):
        """Boot, wait for the agent, load the modules; or LostVm.

        On a busy host an emulated PC now and then loses a timer interrupt
        before it has run anything of ours: a boot is tried twice.
        """
        try:
            self._boot()
        except LostVm as err:
            if not self._qemu:
                raise
            print(f"lab: {str(err).splitlines()[0]}; booting once more "
                  f"({self._console_path})", file=sys.stderr, flush=True)
            self._hang_up()
            self._console_path.rename(self.workdir / "console-1.log")
            self._boot()
        for name, wanted in self._modules:
            if wanted:
                self._insmod(name, wanted if isinstance(wanted, str) else "")

    def _boot(self):
        agent, agent_peer = socket.socketpair()
        control, control_peer = socket.socketpair()
        began = time.monotonic()
        command = self._command(agent_peer.fileno(), control_peer.fileno())
        with open(self._stderr_path, "wb") as log:
            # pylint: disable=consider-using-with
            self._qemu = subprocess.Popen(
                command, pass_fds=(agent_peer.fileno(), control_peer.fileno()),
                stdin=None if self.interactive else subprocess.DEVNULL,
                stdout=None if self.interactive else log, stderr=log,
                preexec_fn=_die_with_parent)
        agent_peer.close()
        control_peer.close()
        self._qmp = qmp.Qmp(control)
        self._link = agentlink.AgentLink(agent)
        try:
            self._await_hello()
        except (agentlink.LinkDown, agentlink.NoAnswer) as err:
            raise self._lost(err) from err
        self.boot_seconds = time.monotonic() - began

    def _await_hello(self):
        first = self._boot_timeout / 3
        try:
            self._link.hello(first)
        except agentlink.NoAnswer:
            self._prod(first)
            self._link.hello(self._boot_timeout - first)

    def _insmod(self, name, parameters):
        path = BUILD / self.kernel / f"{name}.ko"
        if not path.exists():
            raise LostVm(f"{path} is missing: run make first")
        self.run(f"insmod {shlex.quote(str(path))} {parameters}", check=True)

    def _hang_up(self):
        if self._qemu:
            self._qemu.kill()
            self._qemu.wait()
            self._qemu = None
            self._link.close()
            self._qmp.close()

    def close(self, keep=False):
        """End the machine at once.  keep: leave the logs of a temporary
        workdir."""
        self._hang_up()
        if self._temporary and keep:
            for path in (*self.workdir.glob("*.img"),
                         *self.workdir.glob("*.mem")):
                path.unlink()
        elif self._temporary:
            shutil.rmtree(self.workdir, ignore_errors=True)

    def alive(self):
        """Whether QEMU still runs."""
        return self._qemu is not None and self._qemu.poll() is None

    def _prod(self, seconds):
        """Nothing was heard for so long.  An emulated CPU that has missed its
        wake-up goes on after this; and what it was at is told."""
        try:
            state = self._registers()
            self._qmp.command("stop")
            self._qmp.command("cont")
        except qmp.QmpBusy:
            return
        except qmp.QmpError as err:
            state = f"QEMU does not answer: {err}"
        print(f"lab: nothing heard for {seconds:.0f} s, the machine was "
              f"stopped and goes on; {state}", file=sys.stderr, flush=True)

    def _registers(self):
        """Where each CPU is, in a line."""
        text = self._qmp.command("human-monitor-command",
                                 command_line="info registers -a")
        return ", ".join(REGISTERS.findall(text))

    def _backtrace(self):
        """Have a guest that does not answer say on its console where its
        first CPU is: the kernel panics at an NMI that it does not know."""
        try:
            print(f"lab: {self._registers()}", file=sys.stderr, flush=True)
            self._qmp.command("cont")
            self._qmp.command("inject-nmi")
            self._qemu.wait(NMI_GRACE)
        except (qmp.QmpError, subprocess.TimeoutExpired) as err:
            if self.alive():
                print(f"lab: no backtrace: {err}", file=sys.stderr, flush=True)

    def _lost(self, why):
        if self.alive():
            self._backtrace()
        if self._qemu:
            self._qemu.kill()
            self._qemu.wait()
        log = self._stderr_path
        said = log.read_text(errors="replace") if log.exists() else ""
        tail = "\n".join(self.console().splitlines()[-80:])
        return LostVm(f"{why}\n--- QEMU said:\n{said}"
                      f"--- end of the console ({self._console_path}):\n{tail}")

    # -- using it ----------------------------------------------------------------

    def stream(self, cmd, on_line, timeout=60):
        """Run cmd by /bin/sh and give each line that it prints (stdout and
        stderr) to on_line as it comes.  timeout: seconds, None for none."""
        text = bytearray()
        given = 0

        def take(data):
            nonlocal given
            text.extend(data)
            end = text.rfind(b"\n") + 1
            if on_line and end > given:
                for line in text[given:end].decode(errors="replace").split(
                        "\n")[:-1]:
                    on_line(line)
            given = max(end, given)

        try:
            code = self._link.run(
                cmd, take, timeout,
                timeout and (lambda: self._prod(self._link.silence)))
        except agentlink.CommandTimeout:
            raise GuestTimeout(cmd, timeout, text.decode(
                errors="replace")) from None
        except agentlink.LinkDown as err:
            raise self._lost(f"{err}: {cmd!r}") from err
        if on_line and given < len(text):
            on_line(text[given:].decode(errors="replace"))
        return Result(code, text.decode(errors="replace"))

    def run(self, cmd, timeout=60, check=False):
        """Run cmd by /bin/sh in the guest.  check: a failure raises."""
        result = self.stream(cmd, None, timeout)
        if check and result.rc != 0:
            raise GuestError(cmd, result)
        return result

    def console(self):
        """All that the guest has printed on its console."""
        try:
            return self._console_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def splats(self):
        """Lines of the console that tell of a kernel bug."""
        return [line for line in self.console().splitlines()
                if SPLAT.search(line)]

    def qmp(self, command, **arguments):
        """Run a QMP command, such as device_del with id="nvme0"."""
        try:
            return self._qmp.command(command, **arguments)
        except qmp.QmpError as err:
            if self.alive():
                raise
            raise self._lost(err) from err

    def wait_event(self, name):
        """The next QMP event of that name, such as DEVICE_DELETED."""
        return self._qmp.wait_event(name)

    @property
    def gpus(self):
        """The GPUs, gpu0 below the switch and gpu1 alone."""
        self._find_devices()
        return self._gpus

    @property
    def drives(self):
        """The drives by name."""
        self._find_devices()
        return self._drives

    def _find_devices(self):
        if self._found or not self._link:
            return
        out = self.run(f"sh {shlex.quote(str(HERE / 'devices'))} "
                       f"{len(self._drives)}", check=True).out
        for line in out.splitlines():
            kind, *words = line.split()
            if kind == "gpu":
                self._found_gpu(*words)
            elif kind == "drive":
                self._found_drive(*words)
        lack = [d.name for d in self._drives.values() if not d.dev]
        if lack or not all(gpu.bar for gpu in self._gpus):
            raise LostVm(f"devices are missing in the guest: {lack}\n{out}")
        self._found = True

    def _found_gpu(self, path, start):
        for index, slot in enumerate(GPU_PORTS):
            if f"/0000:00:{slot}.0/" in path:
                self._gpus[index].bdf = os.path.basename(path)
                self._gpus[index].bar = int(start, 16)

    def _found_drive(self, serial, dev, path):
        for drive in self._drives.values():
            if drive.serial == serial:
                drive.dev = dev
                found = re.findall(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.\d",
                                   path)
                drive.bdf = found[-1] if found else ""
