"""The key file: private from its first instant, made once, and refused where it is not right."""

import base64
import json
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
from pipeline.masking.key_file import KeyFile
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
    elif event == "os.link":
        status = os.stat(arguments[0])
        seen.append(["named", oct(status.st_mode & 0o777), status.st_size == 0])

os.umask(0)
sys.addaudithook(watch)
KeyFile(Path(sys.argv[1])).load_or_make()
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

# The disk is full: no file may grow by a byte.
FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from pipeline.errors import KeyringError
from pipeline.masking.key_file import KeyFile

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    KeyFile(Path(sys.argv[1])).load_or_make()
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


def run(script: str, path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
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
    opened, named = json.loads(run(WATCHED, path))[:2]
    assert opened == ["opened", "0o600", True]
    assert named == ["named", "0o600", False]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_processes_that_make_a_key_at_once_end_with_one(path: Path) -> None:
    command = [sys.executable, "-c", TOGETHER, str(path)]
    started = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT
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
    fingerprints = {process.communicate()[0].strip() for process in started}
    assert fingerprints == {KeyFile(path).load().fingerprint.hex()}
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_no_half_a_key(path: Path) -> None:
    """Fault 68."""
    assert "cannot be made (File too large)" in run(FULL_DISK, path)
    assert list(path.parent.iterdir()) == []


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
