"""Becomes a service's process, in a root of its own: started as root, in namespaces of its own.

What a container engine does, as far as a process can see it: the image's files, read-only; the
service's secrets, configs, volumes and tmpfs; its user; no capability. Limits of memory and
processes are not set.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def main(order: dict[str, Any]) -> None:
    """Makes the root, goes into it, and becomes the command.

    Args:
        order: `root`, an empty folder; `binds`, `copies`, `links`, `tmpfs` by their place in it;
            `user`, `group`, `folder`, `environment`, `command`.
    """
    root = Path(order["root"])
    _mount("tmpfs", root, "--types=tmpfs", "--options=mode=755")
    for place, target in order["links"].items():
        _within(root, place).symlink_to(target)
    _devices(root)
    for place, source in order["binds"].items():
        _bind(Path(source["from"]), _within(root, place), source["options"])
    for place, source in order["copies"].items():
        shutil.copy(source, _within(root, place))
    for place in ("/proc", *order["tmpfs"]):
        _within(root, place).mkdir(exist_ok=True)
    _mount("proc", root / "proc", "--types=proc")
    _mount(str(root), root, "--options=remount,bind,ro")
    for place, options in order["tmpfs"].items():
        # As Docker mounts them.
        _mount("tmpfs", _within(root, place), "--types=tmpfs", f"--options={options}")
    os.chroot(root)
    os.chdir(order["folder"])
    who = (f"--reuid={order['user']}", f"--regid={order['group']}", "--clear-groups")
    bound = ("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")
    words = ["/usr/bin/setpriv", *who, *bound, "--", *order["command"]]
    os.execve(words[0], words, order["environment"])  # noqa: S606 - that is what it is for


def _within(root: Path, place: str) -> Path:
    path = root / place.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _devices(root: Path) -> None:
    (root / "dev").mkdir()
    for name in DEVICES:
        _bind(Path("/dev") / name, root / "dev" / name, "rw")
    (root / "dev" / "shm").mkdir()
    _mount("tmpfs", root / "dev" / "shm", "--types=tmpfs", "--options=mode=1777,size=256m")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        (root / "dev" / name).symlink_to(f"/proc/self/fd/{number}")
    (root / "dev" / "fd").symlink_to("/proc/self/fd")


def _bind(source: Path, target: Path, options: str) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.touch()
    _mount(str(source), target, "--bind")
    if options == "ro":
        _mount(str(source), target, "--options=remount,bind,ro")


def _mount(source: str, target: Path, *options: str) -> None:
    subprocess.run(["mount", *options, source, str(target)], check=True)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
