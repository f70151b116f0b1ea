"""Makes the network of a plan, cuts and mends it, and takes it down with all that runs in it."""

import contextlib
import ctypes
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Self

from chaos.processes import listed
from machines.addresses import Command, Plan, left_over

_NEW_NET: Final = 0x40000000  # CLONE_NEWNET of setns(2); Python has os.setns from 3.12 on
_NOWHERE: Final = ("192.0.2.1", 9)  # kept free for documents (RFC 5737): nobody is there
_GONE_SECONDS: Final = 10.0


def obstacle(platform: str, user: int, ip: str | None) -> str | None:
    """Why there can be no network namespaces here, in one line; None where there can.

    Args:
        platform: As `sys.platform`.
        user: The effective user id.
        ip: Where iproute2's command is, if anywhere.
    """
    if platform != "linux":
        return "machines: network namespaces are Linux's; run this on Linux, as root"
    if ip is None:
        return "machines: the command `ip` is missing; install iproute2"
    if user != 0:
        return "machines: network namespaces are made by root only; run this as root"
    return None


def find_ip() -> str:
    """Where the command is.

    Raises:
        SystemExit: It is not, or there can be no namespaces; one line says why.
    """
    # Debian keeps it where only root's PATH leads.
    ip = shutil.which("ip", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    user = os.geteuid() if hasattr(os, "geteuid") else -1
    if (why := obstacle(sys.platform, user, ip)) is not None:
        raise SystemExit(why)
    return str(ip)


class Network:
    """The network of a plan; use it as a context, which takes it down whatever happens.

    Args:
        plan: Names and addresses.
        ip: Where the command is.
    """

    def __init__(self, plan: Plan, ip: str) -> None:
        self.plan, self.ip = plan, ip

    def __enter__(self) -> Self:
        for name in left_over(self._ask("netns", "list"), {each.pid for each in listed()}):
            self._remove(name)
        try:
            for command in self.plan.to_make():
                self._do(command)
        except BaseException:
            self._take_down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._take_down()

    @contextlib.contextmanager
    def in_hub(self) -> Iterator[None]:
        """Moves this thread, and all that it starts from now on, into the hub."""
        with Path("/proc/thread-self/ns/net").open("rb") as before:
            with Path("/run/netns", self.plan.hub).open("rb") as hub:
                _move(hub.fileno())
            try:
                yield
            finally:
                _move(before.fileno())

    def within(self, machine: int, command: Sequence[str]) -> list[str]:
        """The command that runs another one on a machine; `ip` becomes it, the process is one."""
        return [self.ip, "netns", "exec", self.plan.namespace(machine), *command]

    def cut(self, machine: int) -> None:
        """Cuts a machine off."""
        self._do(self.plan.to_cut(machine))

    def mend(self, machine: int) -> None:
        """Lets it back on."""
        self._do(self.plan.to_mend(machine))

    def lose(self, machine: int) -> int:
        """Kills every process of a machine at once, as a loss of power would; how many."""
        return self._kill_all(self.plan.namespace(machine))

    def _take_down(self) -> None:
        for name in self.plan.namespaces:
            self._remove(name)

    def _remove(self, name: str) -> None:
        self._kill_all(name)
        subprocess.run([self.ip, "netns", "delete", name], capture_output=True, check=False)  # noqa: S603 - a name of ours

    def _kill_all(self, name: str) -> int:
        killed: set[int] = set()
        deadline = time.monotonic() + _GONE_SECONDS
        while (pids := self._pids(name)) and time.monotonic() < deadline:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            killed |= pids
            time.sleep(0.02)
        return len(killed)

    def _pids(self, name: str) -> set[int]:
        """The living processes of a namespace; never this one, which may be in the hub."""
        said = self._ask("netns", "pids", name, check=False)
        ours = {each.pid for each in listed()} - {os.getpid()}  # a zombie is not listed
        return ours.intersection(map(int, said.split()))

    def _do(self, command: Command) -> None:
        self._ask(*command)

    def _ask(self, *words: str, check: bool = True) -> str:
        done = subprocess.run([self.ip, *words], capture_output=True, text=True, check=False)  # noqa: S603 - of the system
        if check and done.returncode:
            raise SystemExit(f"machines: `ip {' '.join(words)}` failed: {done.stderr.strip()}")
        return done.stdout


def is_closed() -> bool:
    """Whether nothing leads out of where this process is: the kernel knows no way."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(_NOWHERE) == errno.ENETUNREACH


def _move(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _NEW_NET):
        raise SystemExit(f"machines: setns failed: {os.strerror(ctypes.get_errno())}")
