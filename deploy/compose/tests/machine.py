"""A machine that the services run on: a network of its own, a root of its own for each of them.

Services that share a network of the compose file know each other by name, others do not. They are
on one loopback address, so ports are not kept apart by network.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from deploy.compose import make_secrets
from deploy.compose.tests import images
from deploy.compose.tests.composed import DEPLOY, Service, in_order, read, services

_HERE: Final = Path(__file__).parent
# Folders and links of this machine that every image has.
_SYSTEM: Final = ("/usr", "/etc/ssl", "/etc/ld.so.cache", "/etc/alternatives")
_LINKS: Final = ("/bin", "/sbin", "/lib", "/lib64")
_TMPFS: Final = "nosuid,nodev,noexec"
READY_SECONDS: Final = 240.0


@dataclass
class Container:
    """A service's process.

    Attributes:
        service: What it runs.
        order: What it was made from, as `confine` reads it.
        process: The `unshare` above it.
        log: What it prints.
    """

    service: Service
    order: Mapping[str, Any]
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def pid(self) -> int:
        """The process that is number 1 in there; 0 when it is no more."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with contextlib.suppress(OSError, IndexError):
            return int(path.read_text().split()[0])
        return 0

    def processes(self) -> list[int]:
        """All processes in there, number 1 first."""
        found = [self.pid]
        for each in found:
            with contextlib.suppress(OSError):
                below = Path(f"/proc/{each}/task/{each}/children").read_text()
                found += map(int, below.split())
        return found

    def within(self, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """A command in there, as the same user, as `docker exec` and health checks run it."""
        who = (f"--reuid={self.order['user']}", f"--regid={self.order['group']}")
        enter = ("nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--root", "--wd")
        confined = ("/usr/bin/setpriv", *who, "--clear-groups", "--no-new-privs")
        return subprocess.run(
            [*enter, *confined, "--bounding-set=-all", "--inh-caps=-all", "--", *command],
            env=dict(self.order["environment"]),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def healthy(self) -> bool:
        """Whether its own check says so."""
        check = self.service.check
        return check is None or (self.pid != 0 and self.within(check).returncode == 0)

    def stop(self) -> int:
        """Ends it as Compose does, within its grace.

        Returns:
            Its exit status.
        """
        grace = float(str(self.service.said.get("stop_grace_period", "10s")).removesuffix("s"))
        named = str(self.service.said.get("stop_signal", "SIGTERM"))
        if pid := self.pid:
            os.kill(pid, signal.Signals[named])
        try:
            return self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.service.name} did not end within {grace} s") from None


@dataclass
class Machine:
    """The network, and what is kept: volumes, secrets, logs.

    Attributes:
        folder: For all of that.
        services: Those of the compose file.
        configs: The files of its configs, by name.
        secrets: The folder of the secret files.
        image: The image of this project.
        network: The process that holds the network.
        running: The containers, by service.
    """

    folder: Path
    services: Mapping[str, Service]
    configs: Mapping[str, str]
    secrets: Path
    image: images.Image
    network: "subprocess.Popen[bytes]"
    running: dict[str, Container] = field(default_factory=dict)

    def up(self, names: Sequence[str]) -> None:
        """Starts services in their order, each when those before it are as it wants them."""
        chosen = {name: self.services[name] for name in names}
        for service in in_order(chosen):
            self.start(service)
            once = any(
                each.after.get(service.name) == "service_completed_successfully"
                for each in self.services.values()
            )
            if once:
                container = self.running.pop(service.name)
                status = container.process.wait(READY_SECONDS)
                assert status == 0, f"{service.name}: {container.log.read_text()[-3000:]}"
            else:
                self.wait_until_healthy(service.name)

    def with_all_before(self, names: Sequence[str]) -> list[str]:
        """Services, and all that they wait for."""
        found = set(names)
        while more := {each for name in found for each in self.services[name].after} - found:
            found |= more
        return [name for name in self.services if name in found]

    def start(self, service: Service) -> Container:
        """Starts a service, whatever it waits for."""
        log = self.folder / "logs" / f"{service.name}.log"
        order = self._order(service, service.command)
        container = Container(service, order, self._spawn(service.name, order, log), log)
        self.running[service.name] = container
        return container

    def run(self, name: str, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """`docker compose run --rm`: another command in a container of the service."""
        log = self.folder / "logs" / f"{name}.run.log"
        log.unlink(missing_ok=True)
        order = self._order(self.services[name], list(command))
        process = self._spawn(f"{name}.run", order, log)
        status = process.wait(READY_SECONDS)
        return subprocess.CompletedProcess(list(command), status, log.read_text())

    def wait_until_healthy(self, name: str) -> None:
        """Asks a service's own health check until it says so."""
        container, end = self.running[name], time.monotonic() + READY_SECONDS
        while not container.healthy():
            assert container.process.poll() is None, f"{name} ended: {self.log(name)[-3000:]}"
            assert time.monotonic() < end, f"{name} is not healthy: {self.log(name)[-3000:]}"
            time.sleep(0.2)  # as an engine does between two checks

    def log(self, name: str) -> str:
        """What a service has printed."""
        return self.running[name].log.read_text(errors="replace")

    def ask(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """curl, from the machine's own network, as whoever comes from outside."""
        enter = ("nsenter", f"--net=/proc/{self.network.pid}/ns/net")
        return subprocess.run(
            [*enter, "curl", "--silent", "--show-error", "--max-time", "30", *words],
            capture_output=True,
            text=True,
            check=False,
        )

    def down(self) -> None:
        """Ends everything, the last first; no grace is left for what does not end."""
        for container in reversed(self.running.values()):
            if pid := container.pid:
                os.kill(pid, signal.SIGKILL)
            container.process.wait(30)
        self.running.clear()

    def _spawn(self, name: str, order: Mapping[str, Any], log: Path) -> "subprocess.Popen[bytes]":
        path = self.folder / "orders" / f"{name}.json"
        path.write_text(json.dumps(order))
        path.chmod(0o600)
        enter = ["nsenter", f"--net=/proc/{self.network.pid}/ns/net"]
        alone = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
        command = [*enter, *alone, sys.executable, "-I", str(_HERE / "confine.py"), str(path)]
        log.touch()
        log.chmod(0o666)  # whoever opens /dev/stdout by name may, as of an engine's pipe
        with log.open("ab") as written:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=written, stderr=subprocess.STDOUT
            )

    def _order(self, service: Service, command: Sequence[str]) -> dict[str, Any]:
        image = self._image(service)
        user, _, group = str(service.said["user"]).partition(":")
        root = self.folder / "root"
        binds = {each: {"from": each, "options": "ro"} for each in _SYSTEM if Path(each).exists()}
        for place, source in image.binds.items():
            binds[place] = {"from": str(source), "options": "ro"}
        binds |= dict(self._volumes(service, image))
        etc = {f"/etc/{each.name}": str(each) for each in self._etc(service)}
        given = {f"/run/secrets/{name}": str(self.secrets / name) for name in service.secrets}
        mounted = {
            each["target"]: str(DEPLOY / self.configs[each["source"]])
            for each in service.said.get("configs", ())
        }
        entry = [*service.said.get("entrypoint", image.entry)]
        if service.said.get("init"):
            given["/init.py"] = str(_HERE / "init.py")
            entry = [str(Path(sys.executable).resolve()), "-I", "/init.py", *entry]
        return {
            "root": str(root),
            "links": {each: os.readlink(each) for each in _LINKS if Path(each).is_symlink()},  # noqa: PTH115 - a str
            "binds": binds,
            "copies": {
                **etc,
                **{at: str(of) for at, of in image.copies.items()},
                **given,
                **mounted,
            },
            "tmpfs": dict(self._tmpfs(service)),
            "user": user,
            "group": group,
            "folder": image.folder,
            "environment": {"PATH": image.path, **image.environment, **service.environment},
            "command": [*entry, *command],
        }

    def _image(self, service: Service) -> images.Image:
        if service.ours:
            return self.image
        name = str(service.said["image"]).partition(":")[0].rpartition("/")[2]
        return {
            "postgres": images.postgres,
            "localstack": images.localstack,
            "nginx": images.nginx,
            "redis": images.redis,
        }[name]()

    def _volumes(
        self, service: Service, image: images.Image
    ) -> Iterator[tuple[str, dict[str, str]]]:
        for each in service.said.get("volumes", ()):
            name, place, *options = str(each).split(":")
            source = self.folder / "volumes" / name
            if not source.exists():
                source.mkdir()
                owner, mode = image.modes.get(place, (0, 0o755))
                os.chown(source, owner, owner)
                source.chmod(mode)
            yield place, {"from": str(source), "options": "ro" if options == ["ro"] else "rw"}

    @staticmethod
    def _tmpfs(service: Service) -> Iterator[tuple[str, str]]:
        for each in service.said.get("tmpfs", ()):
            place, _, options = str(each).partition(":")
            yield place, f"{_TMPFS},{options}" if options else _TMPFS

    def _etc(self, service: Service) -> list[Path]:
        """The files of /etc that an engine writes, and an image's list of users."""
        folder = self.folder / "etc" / service.name
        folder.mkdir(parents=True, exist_ok=True)
        known = [each.name for each in self.services.values() if each.networks & service.networks]
        people = [f"{name}:x:{uid}:{uid}::/tmp:/bin/sh" for name, uid in images.PEOPLE.items()]
        files = {
            "hosts": f"127.0.0.1 localhost {' '.join(known)}\n",
            "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
            "resolv.conf": "",
            "passwd": "\n".join(people) + "\n",
            "group": "\n".join(f"{name}:x:{uid}:" for name, uid in images.PEOPLE.items()) + "\n",
        }
        for name, content in files.items():
            (folder / name).write_text(content)
            (folder / name).chmod(0o644)
        return [folder / name for name in files]


@contextlib.contextmanager
def machine(folder: Path, given: Mapping[str, str] | None = None) -> Iterator[Machine]:
    """A machine with nothing running yet; what runs at the end is ended.

    Args:
        folder: For what it keeps.
        given: The variables that Compose is given.

    Raises:
        AssertionError: This user is not root.
    """
    assert os.geteuid() == 0, "namespaces and mounts are root's: run it as root, on Linux"
    for each in ("logs", "orders", "volumes", "root"):
        (folder / each).mkdir()
    script = "ip link set lo up && echo up && exec cat"
    command = ["unshare", "--net", "--kill-child", "--fork", "sh", "-c", script]
    network = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert network.stdout is not None
    assert network.stdout.readline() == b"up\n"
    secrets, said = folder / "secrets", read(given)
    for _ in make_secrets.make(secrets, ["localhost"]):
        pass
    configs = {name: each["file"] for name, each in said["configs"].items()}
    image = images.ours(folder / "image")
    made = Machine(folder, services(given), configs, secrets, image, network)
    try:
        yield made
    finally:
        made.down()
        network.communicate()
