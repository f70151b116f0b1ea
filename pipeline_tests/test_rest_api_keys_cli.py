"""`pipeline api-keys`: a key is shown once, to one; its file is private and never half written."""

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from pipeline.cli import app
from pipeline.errors import SettingsError
from pipeline.produce.rest.senders import Sender, load_senders
from pipeline_tests.cli_case import alone, fails, pipeline, process

KEY: Final = re.compile(r"sk_(?P<sender>[a-z0-9_-]+)_[A-Za-z0-9_-]{43}\n")
FEEDS: Final = ("user_logins", "pokemon", "messages")

Run = Callable[..., str]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "api-keys.json"


@pytest.fixture
def run(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """What `pipeline api-keys` prints, on a file that the environment names."""
    monkeypatch.setenv("PIPELINE_API_KEYS", str(file))

    def run(*arguments: str) -> str:
        app(["api-keys", *arguments], standalone_mode=False)
        return capsys.readouterr().out

    return run


def who(file: Path, key: str) -> Sender | None:
    """Whom the service takes the bearer of a key for."""
    senders = load_senders(str(file), None, FEEDS)
    assert senders is not None
    return senders.find(key.strip())


def senders_in(file: Path) -> Any:  # noqa: ANN401 - as JSON has it
    return json.loads(file.read_bytes())["senders"]


def test_a_new_key_lets_its_sender_in_and_is_written_nowhere(run: Run, file: Path) -> None:
    key = run("new", "acme", "--feed", "user_logins", "--feed", "pokemon", "--per-second", "7.5")
    assert KEY.fullmatch(key)
    assert who(file, key) == Sender("acme", frozenset({"user_logins", "pokemon"}), 7.5)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert key[9:30] not in file.read_text()
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_a_key_is_turned_with_two_live_ones(run: Run, file: Path) -> None:
    old = run("new", "acme", "--feed", "user_logins", "--per-second", "7.5")
    new = run("new", "acme")
    assert who(file, old) == who(file, new) == Sender("acme", frozenset({"user_logins"}), 7.5)
    before = file.read_bytes()
    with pytest.raises(SettingsError, match="pipeline api-keys drop acme --oldest"):
        run("new", "acme")
    assert file.read_bytes() == before
    run("drop", "acme", "--oldest")
    assert who(file, old) is None
    assert who(file, new)
    assert who(file, run("new", "acme"))


def test_a_sender_without_keys_keeps_its_feeds_for_the_next_one(run: Run, file: Path) -> None:
    keys = [run("new", "acme", "--feed", "*"), run("new", "acme")]
    other = run("new", "umbrella", "--feed", "pokemon")
    run("drop", "acme", "--all")
    assert [who(file, key) for key in keys] == [None, None]
    assert who(file, other)
    assert who(file, run("new", "acme")) == Sender("acme", None, 100.0)
    run("drop", "acme", "--all")
    run("drop", "umbrella", "--oldest")
    for name in ("acme", "nobody"):
        with pytest.raises(SettingsError, match="no key of that sender"):
            run("drop", name, "--oldest")


def test_what_is_given_with_a_second_key_holds_for_the_sender(run: Run, file: Path) -> None:
    old = run("new", "acme", "--feed", "*")
    run("new", "acme", "--feed", "pokemon", "--feed", "pokemon", "--per-second", "3")
    assert who(file, old) == Sender("acme", frozenset({"pokemon"}), 3.0)
    assert senders_in(file)["acme"]["feeds"] == ["pokemon"]


def test_the_list_tells_everything_but_digests(run: Run, file: Path) -> None:
    run("new", "umbrella", "--feed", "*")
    for _ in range(2):
        run("new", "acme", "--feed", "user_logins", "--per-second", "5")
    assert run("list") == (
        "acme: user_logins; 2 live keys; 5 records a second\n"
        "umbrella: *; 1 live key; 100 records a second\n"
    )
    assert file.read_text().count("sha256:") == 3


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["acme"], "bound to no feed yet"),
        (["acme", "--feed", "*", "--feed", "pokemon"], "one feed at least"),
        (["acme", "--feed", "unheard_of"], "feeds that there are: "),
        (["Acme", "--feed", "pokemon"], "names of 1 to 64"),
        (["a" * 65, "--feed", "pokemon"], "names of 1 to 64"),
        (["acme", "--feed", "pokemon", "--per-second", "0"], "from 0.001"),
        (["acme", "--feed", "pokemon", "--per-second", "nan"], "from 0.001"),
    ],
)
def test_what_breaks_a_rule_is_not_written(
    run: Run, file: Path, arguments: list[str], rule: str
) -> None:
    with pytest.raises(SettingsError, match=rule):
        run("new", *arguments)
    assert not file.exists()


@pytest.mark.parametrize(
    ("arguments", "at_fault"),
    [
        (["Acme", "--feed", "pokemon"], "SENDER"),
        (["acme", "--feed", "unheard_of"], "--feed"),
        (["acme", "--feed", "*", "--feed", "pokemon"], "--feed"),
        (["acme", "--feed", "pokemon", "--per-second", "0"], "--per-second"),
    ],
)
def test_what_is_mistyped_is_no_fault_of_the_file(
    file: Path, tmp_path: Path, arguments: list[str], at_fault: str
) -> None:
    environment = alone(tmp_path / "local") | {"PIPELINE_API_KEYS": str(file)}
    code, text = fails(environment, "api-keys", "new", *arguments)
    assert code == "E_SETTINGS"
    assert f"field '{at_fault}'" in text
    assert f"Give another {at_fault}" in text
    assert str(file) not in text
    assert arguments[0] not in text  # a key may stand in a name's place


def test_a_feed_that_is_gone_is_the_fault_of_the_file(run: Run, file: Path) -> None:
    run("new", "acme", "--feed", "user_logins")
    file.write_text(file.read_text().replace("user_logins", "retired"))
    with pytest.raises(SettingsError, match=f"the API keys at {re.escape(str(file))} break"):
        run("new", "acme")
    assert who(file, run("new", "acme", "--feed", "pokemon"))


@pytest.mark.parametrize("arguments", [["list"], ["drop", "acme", "--all"]])
@pytest.mark.parametrize("named", [True, False])
def test_a_file_that_is_not_there_is_an_error(
    file: Path, tmp_path: Path, arguments: list[str], *, named: bool
) -> None:
    environment = alone(tmp_path / "local")
    if named:
        arguments = [*arguments, "--file", str(file)]
    else:
        environment["PIPELINE_API_KEYS"] = str(file)
    code, text = fails(environment, "api-keys", *arguments)
    assert code == "E_SETTINGS"
    assert f"there is no file of API keys at {file}. Correct --file" in text
    assert not file.parent.exists()


def test_a_sender_that_nobody_is_is_told_with_its_file(run: Run, file: Path) -> None:
    run("new", "acme", "--feed", "*")
    with pytest.raises(SettingsError, match=f"no key of that sender at {re.escape(str(file))}"):
        run("drop", "acne", "--all")


def test_a_feed_that_is_gone_does_not_stand_in_the_way_of_dropping(run: Run, file: Path) -> None:
    key = run("new", "acme", "--feed", "user_logins")
    text = file.read_text().replace("user_logins", "retired")
    file.write_text(text)
    run("drop", "acme", "--oldest")
    file.write_text(file.read_text().replace("retired", "pokemon"))
    assert who(file, key) is None


def test_an_unsound_or_open_file_is_left_as_it_is(run: Run, file: Path) -> None:
    run("new", "acme", "--feed", "user_logins")
    file.chmod(0o644)
    with pytest.raises(SettingsError, match="can be read by others"):
        run("new", "acme")
    file.chmod(0o600)
    file.write_text("{}")
    with pytest.raises(SettingsError, match="break a rule"):
        run("new", "acme")
    assert file.read_text() == "{}"


@pytest.mark.parametrize("setting", ["secretsmanager:keys", '{"senders": {}}', ""])
def test_only_a_file_is_written(run: Run, setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_API_KEYS", setting)
    with pytest.raises(SettingsError, match="--file"):
        run("new", "acme", "--feed", "pokemon")


def test_a_file_that_is_named_comes_before_the_setting(run: Run, file: Path) -> None:
    other = file.with_name("other.json")
    assert who(other, run("new", "acme", "--feed", "pokemon", "--file", str(other)))
    assert not file.exists()


@pytest.mark.parametrize("there", [True, False])
def test_of_many_at_once_each_that_shows_a_key_has_written_it(
    run: Run, file: Path, capsys: pytest.CaptureFixture[str], *, there: bool
) -> None:
    if there:
        run("new", "first", "--feed", "*")
    together = threading.Barrier(6)
    refused: list[str] = []

    def add(number: int) -> None:
        together.wait(10)
        try:
            app(["api-keys", "new", f"s{number}", "--feed", "*"], standalone_mode=False)
        except SettingsError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) + len(refused) == 6
    assert all("another process" in text for text in refused)
    assert shown
    assert all(who(file, key) for key in shown)
    assert len(senders_in(file)) == len(shown) + there


def test_as_a_process_the_key_is_all_that_stands_on_standard_output(tmp_path: Path) -> None:
    environment = alone(tmp_path / "local") | {"PIPELINE_API_KEYS": str(tmp_path / "k.json")}
    done = process(environment, "api-keys", "new", "acme", "--feed", "user_logins")
    assert done.returncode == 0
    assert KEY.fullmatch(done.stdout)
    assert done.stderr == "acme: user_logins; 1 live key; 100 records a second\n"
    assert done.stdout.strip() not in done.stderr
    refused = pipeline(environment, "api-keys", "drop", "acme")
    assert refused.returncode == 2
    assert "--oldest or --all" in refused.stderr
