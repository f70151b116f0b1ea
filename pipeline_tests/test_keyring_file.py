"""The key file: private from its first instant, made once, and refused where it is not right."""

import base64
import fcntl
import json
import os
import stat
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from pipeline.errors import KeyringError
from pipeline.masking.key_file import KeyFile, PrivateFile
from pipeline_tests.samples import CANARY

CHECKOUT: Final = Path(__file__).parents[1]
ROOT: Final = bytes(range(64))

# What the file is like at each moment at which anybody could look: an audit hook sees the
# descriptor when it is wrapped, before a byte is written, and the file before it gets its name.
WATCHED = """
import json, os, sys
from pathlib import Path
from pipeline.masking.key_file import KeyFile

seen = []

def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], int):
        status = os.fstat(arguments[0])
        seen.append(["opened", oct(status.st_mode & 0o777), status.st_size == 0])
    elif event in {"os.link", "os.rename"}:
        status = os.stat(arguments[0])
        seen.append(["named", oct(status.st_mode & 0o777), status.st_size == 0])

os.umask(0)
sys.addaudithook(watch)
KeyFile(Path(sys.argv[1])).load_or_make()
KeyFile(Path(sys.argv[1])).add_version()
print(json.dumps(seen))
"""

TOGETHER = """
import sys
from pathlib import Path
from pipeline.masking.key_file import KeyFile

print("ready", flush=True)
sys.stdin.readline()
print(KeyFile(Path(sys.argv[1])).load_or_make().fingerprint.hex(), flush=True)
"""

ADD_TOGETHER = """
import sys
from pathlib import Path
from pipeline.errors import KeyringError
from pipeline.masking.key_file import KeyFile

print("ready", flush=True)
sys.stdin.readline()
for _ in range(20):
    try:
        keyring = KeyFile(Path(sys.argv[1])).add_version()
    except KeyringError as error:
        assert "another process" in str(error)
    else:
        print(keyring.current, keyring.derive(keyring.current, 16, "x").hex(), flush=True)
"""

# Another is quicker, at the last moment at which it can be: before the lock, before the name.
OVERTAKEN = """
import sys
from pathlib import Path
from pipeline.errors import KeyringError
from pipeline.masking.key_file import KeyFile

path, act, *moments = sys.argv[1:]
rivals = []

def overtake(event, arguments):
    if event in moments and not rivals:
        rivals.append(None)
        rivals.append(getattr(KeyFile(Path(path)), act)())

def shown(keyring):
    return [keyring.current, keyring.derive(keyring.current, 16, "x").hex()]

sys.addaudithook(overtake)
try:
    mine = getattr(KeyFile(Path(path)), act)()
except KeyringError as error:
    print(error)
else:
    print("agreed" if shown(mine) == shown(rivals[1]) else "differ")
assert shown(KeyFile(Path(path)).load()) == shown(rivals[1])
"""

# A child dies at its first step that an audit hook sees, the next one at its second, and so on;
# after each, what is left must open. Then one gets through.
KILLED_AT_EACH_STEP = """
import os, signal, sys
from pathlib import Path
from pipeline.masking.key_file import KeyFile

store = KeyFile(Path(sys.argv[1]))

def add_until(fatal_step):
    steps = iter(range(fatal_step))

    def watch(event, arguments):
        watched = event.startswith(("open", "os.", "fcntl.")) and event != "os.kill"
        if watched and next(steps, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    store.add_version()
    os._exit(0)

before = store.load_or_make().current
for fatal_step in range(100):
    child = os.fork()
    if not child:
        add_until(fatal_step)
    status = os.waitpid(child, 0)[1]
    now = store.load()
    print(fatal_step, status, now.current - before, len(now.versions) == now.current)
    before = now.current
    if not status:
        break
"""

# The disk is full: no file may grow by a byte.
FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from pipeline.errors import KeyringError
from pipeline.masking.key_file import KeyFile

store = KeyFile(Path(sys.argv[1]))
act = store.add_version if store.path.exists() else store.load_or_make
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    act()
except KeyringError as error:
    print(error)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "keyring.json"


def write(path: Path, content: object, *, mode: int = 0o600) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(mode)
    return path


def keyring_of(*sizes: int, current: int = 1) -> dict[str, object]:
    """What a key file holds: a root of each size, versions from 1 on."""
    roots = {
        str(version): base64.b64encode(bytes(size)).decode()
        for version, size in enumerate(sizes, start=1)
    }
    return {"current": current, "roots": roots}


def run(script: str, path: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), *arguments],
        check=True,
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
    )
    return done.stdout


@contextmanager
def refused(*words: str) -> Iterator[None]:
    with pytest.raises(KeyringError) as caught:
        yield
    assert all(word in str(caught.value) for word in (*words, "nothing was received"))
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_key_file_is_private_from_its_first_instant_and_complete_once_it_has_its_name(
    path: Path,
) -> None:
    seen = json.loads(run(WATCHED, path))
    made_and_added = [["opened", "0o600", True], ["named", "0o600", False]] * 2
    assert [each for each in seen if each != ["opened", "0o600", False]] == made_and_added
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def together(script: str, path: Path) -> list[str]:
    """What processes print that begin at the same moment."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=CHECKOUT,
        )
        for _ in range(3)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    return printed


def test_processes_that_make_a_key_at_once_end_with_one(path: Path) -> None:
    fingerprints = {each.strip() for each in together(TOGETHER, path)}
    assert fingerprints == {KeyFile(path).load().fingerprint.hex()}
    assert list(path.parent.iterdir()) == [path]


def test_processes_that_add_versions_at_once_lose_none(path: Path) -> None:
    """One of two that write at the same moment is refused; whoever was told of one has it."""
    made = KeyFile(path).load_or_make()
    added = [line.split() for each in together(ADD_TOGETHER, path) for line in each.splitlines()]
    kept = KeyFile(path).load()
    assert added
    assert sorted(int(version) for version, _ in added) == list(kept.versions[1:])
    assert {(int(version), derived) for version, derived in added} == {
        (version, kept.derive(version, 16, "x").hex()) for version in kept.versions[1:]
    }
    assert (kept.current, kept.fingerprint) == (kept.versions[-1], made.fingerprint)
    assert list(path.parent.iterdir()) == [path]


def test_whoever_is_overtaken_at_the_last_moment_keeps_what_the_other_made(path: Path) -> None:
    assert run(OVERTAKEN, path, "load_or_make", "os.link", "os.rename") == "agreed\n"
    assert "by another process" in run(OVERTAKEN, path, "add_version", "fcntl.flock")


def test_a_process_that_is_killed_at_any_step_leaves_the_old_keyring_or_the_new_one(
    path: Path,
) -> None:
    """Fault 70."""
    steps = [line.split() for line in run(KILLED_AT_EACH_STEP, path).splitlines()]
    *killed, through = steps
    assert len(killed) > 5
    assert {status for _, status, _, _ in killed} == {"9"}
    assert {grown for _, _, grown, _ in killed} == {"0", "1"}
    assert through[1:] == ["0", "1", "True"]
    assert {complete for _, _, _, complete in steps} == {"True"}
    left = [each for each in path.parent.iterdir() if each != path]
    assert {stat.S_IMODE(each.stat().st_mode) for each in left} == {0o600}


def test_a_full_disk_leaves_no_half_a_key(path: Path) -> None:
    """Fault 68."""
    assert "cannot be made (File too large)" in run(FULL_DISK, path)
    assert list(path.parent.iterdir()) == []


def test_a_full_disk_leaves_the_keyring_as_it_was(path: Path) -> None:
    """Fault 68."""
    KeyFile(path).load_or_make()
    before = path.read_bytes()
    assert "cannot be replaced (File too large)" in run(FULL_DISK, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_new_version_is_current_and_the_old_one_stays(path: Path) -> None:
    made = KeyFile(path).load_or_make()
    added = KeyFile(path).add_version()
    loaded = KeyFile(path).load()
    assert (added.current, loaded.current, loaded.versions) == (2, 2, (1, 2))
    assert loaded.fingerprint == added.fingerprint == made.fingerprint
    assert loaded.derive(1, 64, "x") == made.derive(1, 64, "x")
    assert loaded.derive(2, 64, "x") == added.derive(2, 64, "x") != made.derive(1, 64, "x")
    content = json.loads(path.read_bytes())
    assert [len(base64.b64decode(root)) for root in content["roots"].values()] == [64, 64]


def test_no_version_is_added_while_another_process_adds_one(path: Path) -> None:
    KeyFile(path).load_or_make()
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with refused("is being changed by another process"):
            KeyFile(path).add_version()
    with refused("is being changed by another process"):
        PrivateFile(path).replace(b"mine", seen=b"what was there before")
    assert KeyFile(path).add_version().current == 2


def test_no_version_is_added_to_what_is_missing_open_or_wrong(path: Path) -> None:
    """Fault 70."""
    with refused("does not exist"):
        KeyFile(path).add_version()
    for content in (CANARY, keyring_of(63), keyring_of(64, current=2)):
        before = write(path, content).read_bytes()
        with refused("nothing was received"):
            KeyFile(path).add_version()
        assert path.read_bytes() == before
    write(path, keyring_of(64), mode=0o640)
    with refused("can be read by others"):
        KeyFile(path).add_version()


def test_a_new_version_leaves_the_owner_and_a_link_to_the_file(path: Path) -> None:
    """The administrator adds it, and the service reads it on."""
    KeyFile(path).load_or_make()
    owner = 12345 if os.geteuid() == 0 else os.geteuid()
    os.chown(path, owner, -1)
    link = path.with_name("link")
    link.symlink_to(path)
    assert KeyFile(link).add_version().current == 2
    assert link.is_symlink()
    assert path.stat().st_uid == owner


def test_what_the_file_holds_shows_in_no_representation(path: Path) -> None:
    KeyFile(path).load_or_make()
    root = json.loads(path.read_bytes())["roots"]["1"]
    parsed = KeyFile(path)._parsed(path.read_bytes())  # noqa: SLF001 - a debugger shows it as well
    for form in (root, repr(base64.b64decode(root))[2:-1]):
        assert form not in f"{parsed!r} {parsed} {KeyFile(path)!r}"


def test_a_key_is_made_once_and_then_found(path: Path) -> None:
    made = KeyFile(path).load_or_make()
    assert KeyFile(path).load_or_make().fingerprint == made.fingerprint
    content = json.loads(path.read_bytes())
    assert (content["current"], list(content["roots"])) == (1, ["1"])
    assert len(base64.b64decode(content["roots"]["1"])) == 64


def test_two_made_keys_differ(tmp_path: Path) -> None:
    one, other = (KeyFile(tmp_path / name).load_or_make() for name in ("a", "b"))
    assert one.fingerprint != other.fingerprint


def test_a_missing_file_is_refused_and_not_made(path: Path) -> None:
    """Fault 70: fail closed."""
    with refused("does not exist", "Restore it from its backup"):
        KeyFile(path).load()
    assert not path.exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o601, 0o644, 0o666])
def test_a_file_that_others_can_reach_is_refused(path: Path, mode: int) -> None:
    write(path, keyring_of(64), mode=mode)
    with refused("can be read by others", f"chmod 600 {path}"):
        KeyFile(path).load_or_make()


def test_a_folder_in_place_of_the_file_is_refused(path: Path) -> None:
    path.mkdir(parents=True, mode=0o700)
    with refused("cannot be read (Is a directory)"):
        KeyFile(path).load_or_make()


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with refused("cannot be"):
        KeyFile(tmp_path / "file" / "keyring.json").load_or_make()


@pytest.mark.parametrize(
    "content",
    [
        "",
        CANARY,
        f'{{"current": 1, "roots": {{"1": "{CANARY}"',
        [1],
        {"current": 1},
        {"current": "1", "roots": {}},
        {"current": 1, "roots": {"one": CANARY}},
        {"current": 1, "roots": {"1": "not base64 at all!é"}},
        {"current": 1, "roots": {"1": "abc"}},
        keyring_of(64) | {CANARY: CANARY},
    ],
)
def test_a_file_that_is_no_keyring_is_refused(path: Path, content: object) -> None:
    write(path, content)
    with refused("is not a keyring"):
        KeyFile(path).load()


@pytest.mark.parametrize(
    "content",
    [keyring_of(), keyring_of(63), keyring_of(32), keyring_of(64, 63), keyring_of(64, current=2)],
)
def test_a_key_of_another_length_or_a_current_version_that_is_missing_is_refused(
    path: Path, content: object
) -> None:
    """Fault 70."""
    write(path, content)
    with refused("lacks its current version or holds a root of other than 64 bytes"):
        KeyFile(path).load()
