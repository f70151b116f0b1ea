"""Who may send: keys are found, turned and refused, and nothing of them is ever told."""

import asyncio
import contextlib
import json
import logging
import os
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from moto import mock_aws

from pipeline.errors import SettingsError
from pipeline.produce.rest.api_keys import digest_of
from pipeline.produce.rest.key_sources import SecretSource
from pipeline.produce.rest.senders import LOOK_SECONDS, Sender, Senders, load_senders
from pipeline.resources.aws_client import open_session
from pipeline_tests.outside_world import unused_port
from pipeline_tests.queue_fixtures import Clock
from pipeline_tests.samples import eventually

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

FEEDS: Final = ("user_logins", "pokemon")
SECRET_SECONDS: Final = 180  # for so long a key that leaked may go on, docs/api-keys.md says
OLD, NEW, OTHER = "sk_acme_old", "sk_acme_new", "sk_umbrella_x"
DIGESTS: Final = [digest_of(key) for key in (OLD, NEW, OTHER)]
ACME: Final = {"feeds": ["user_logins"], "keys": [DIGESTS[0]], "per_second": 5}


def senders_json(**senders: object) -> str:
    return json.dumps({"senders": senders})


def loaded(setting: str) -> Senders:
    senders = load_senders(setting, None, FEEDS)
    assert senders is not None
    return senders


def write(path: Path, content: str, mode: int = 0o600) -> None:
    """Puts a file in its place at once, as `pipeline api-keys` does."""
    side = path.with_suffix(".side")
    side.write_text(content)
    side.chmod(mode)
    side.rename(path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    write(path, senders_json(acme=ACME))
    return path


def test_a_key_finds_its_sender_and_nothing_else_does() -> None:
    umbrella = {"feeds": ["*"], "keys": [DIGESTS[2]]}
    senders = loaded(senders_json(acme={**ACME, "keys": DIGESTS[:2]}, umbrella=umbrella))
    acme = Sender("acme", frozenset({"user_logins"}), 5.0)
    assert senders.find(OLD) == senders.find(NEW) == acme
    assert senders.find(OTHER) == Sender("umbrella", None, 100.0)
    for presented in ("", "x", OLD[:-1], OLD + "x", OLD.upper(), DIGESTS[0], "\udc80", "sk_acme_ä"):
        assert senders.find(presented) is None


def test_a_sender_may_write_to_its_feeds_only() -> None:
    acme = loaded(senders_json(acme=ACME)).find(OLD)
    everybody = loaded(senders_json(acme={**ACME, "feeds": ["*"]})).find(OLD)
    assert acme is not None
    assert everybody is not None
    assert acme.may_write("user_logins")
    assert not acme.may_write("pokemon")
    assert everybody.may_write("pokemon")


def test_without_a_setting_there_are_no_senders_but_an_empty_list_lets_nobody_in() -> None:
    assert load_senders(None, None, FEEDS) is None
    assert load_senders("", None, FEEDS) is None
    assert loaded(senders_json()).find(OLD) is None


BROKEN: Final[dict[str, tuple[Any, str]]] = {
    "not JSON": ("{", "'the whole'"),
    "another form": ("{}", "'the whole'"),
    "more than the senders": ('{"senders": {}, "keys": []}', "'the whole'"),
    "deep": ("{" + '"senders":{' * 100_000, "'the whole'"),
    "a sender twice": (f'{{"senders": {{"a": {json.dumps(ACME)}, "a": {{}}}}}}', "'the whole'"),
    "an endless rate": (senders_json(acme={**ACME, "per_second": float("inf")}), "per_second'"),
    "no rate": (senders_json(acme={**ACME, "per_second": float("nan")}), "per_second'"),
    "a rate of nothing": (senders_json(acme={**ACME, "per_second": 0}), "per_second'"),
    "a rate in words": (senders_json(acme={**ACME, "per_second": "5"}), "'senders.acme'"),
    "an unknown member": (senders_json(acme={**ACME, OLD: 1}), "'senders.acme'"),
    "no feeds": (senders_json(acme={**ACME, "feeds": []}), "'senders.acme.feeds'"),
    "all feeds and one": (senders_json(acme={**ACME, "feeds": ["*", "pokemon"]}), "acme.feeds'"),
    "a feed that is not there": (senders_json(acme={**ACME, "feeds": [OLD]}), "acme.feeds'"),
    "three keys": (senders_json(acme={**ACME, "keys": DIGESTS}), "acme.keys'"),
    "a key instead of its digest": (senders_json(acme={**ACME, "keys": [OLD]}), "acme.keys'"),
    "a digest in capitals": (
        senders_json(acme={**ACME, "keys": [DIGESTS[0].upper()]}),
        "acme.keys'",
    ),
    "a line too many": (senders_json(acme={**ACME, "keys": [DIGESTS[0] + "\n"]}), "acme.keys'"),
    "one key twice": (senders_json(acme={**ACME, "keys": DIGESTS[:1] * 2}), "acme.keys'"),
    "one key of two senders": (senders_json(acme=ACME, b=ACME), "'senders.acme.keys'"),
    "a key as a name": (senders_json(**{OLD + "é": ACME}), "'senders'"),
    "a name with a colon": (senders_json(**{"a:b": ACME}), "'senders'"),
    "a name too long": (senders_json(**{"a" * 65: ACME}), "'senders'"),
    "no name": (senders_json(**{"": ACME}), "'senders'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_list_that_breaks_a_rule_is_refused_by_sender_and_rule(name: str, file: Path) -> None:
    content, where = BROKEN[name]
    write(file, content)
    for setting in (str(file), content):
        with pytest.raises(SettingsError) as caught:
            load_senders(setting, None, FEEDS)
        assert where in str(caught.value)
        told = "".join(traceback.format_exception(caught.value))
        for secret in (*DIGESTS, DIGESTS[0][7:], OLD, NEW):
            assert secret not in told


@pytest.mark.parametrize("setting", ["ssm:keys", "secretsmanager:", "secretsmanager: ", "s3://b/k"])
def test_a_setting_that_names_no_place_is_refused(setting: str) -> None:
    with pytest.raises(SettingsError, match="PIPELINE_API_KEYS names no place"):
        load_senders(setting, None, FEEDS)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620])
def test_a_file_that_others_can_read_or_write_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(SettingsError, match="can be read by others"):
        loaded(str(file))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="pipeline api-keys new"):
        loaded(str(tmp_path / "none.json"))


def test_keys_are_turned_without_a_restart(file: Path) -> None:
    senders = loaded(str(file))
    write(file, senders_json(acme={**ACME, "keys": DIGESTS[:2]}))
    assert senders.find(NEW) is None  # it looks only when it is told to
    senders.refresh()
    assert senders.find(OLD)
    assert senders.find(NEW)
    write(file, senders_json(acme={**ACME, "keys": DIGESTS[1:2]}))
    senders.refresh()
    assert senders.find(OLD) is None
    assert senders.find(NEW)


def test_a_file_that_is_written_in_place_is_seen_too(file: Path) -> None:
    senders = loaded(str(file))
    before = file.stat()

    def is_written_later() -> bool:
        file.write_text(senders_json(acme={**ACME, "keys": DIGESTS[1:2]}))
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        return file.stat().st_ctime_ns > before.st_ctime_ns  # which moves in steps

    eventually(is_written_later)
    senders.refresh()
    assert senders.find(NEW)


def test_a_wrong_new_file_is_logged_once_and_the_old_keys_stay(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    senders = loaded(str(file))
    spoils: tuple[Callable[[], None], ...] = (
        lambda: write(file, senders_json(acme={**ACME, "keys": [NEW]})),
        lambda: write(file, senders_json(acme=ACME), mode=0o644),
        file.unlink,
    )
    for spoil in spoils:
        caplog.clear()
        spoil()
        for _ in range(3):
            senders.refresh()
            assert senders.find(OLD)
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert "E_SETTINGS" in record.getMessage()
        assert NEW not in caplog.text
    write(file, senders_json(acme={**ACME, "keys": DIGESTS[1:2]}), mode=0o644)
    senders.refresh()
    file.chmod(0o600)
    senders.refresh()
    assert senders.find(NEW)
    assert senders.find(OLD) is None


def test_a_file_is_looked_at_every_two_seconds() -> None:
    """For so long a key that leaked may go on, docs/api-keys.md says."""
    assert LOOK_SECONDS == 2
    assert Senders.keep_fresh.__defaults__ == (LOOK_SECONDS,)


def test_it_keeps_itself_fresh_while_the_service_runs(file: Path) -> None:
    async def serve() -> None:
        senders = loaded(str(file))
        fresh = asyncio.create_task(senders.keep_fresh(0.01))
        write(file, senders_json())
        await asyncio.to_thread(eventually, lambda: senders.find(OLD) is None)
        fresh.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await fresh

    asyncio.run(serve())


class TestSecret:
    """A list in Secrets Manager, which is moto's, inside this process."""

    @pytest.fixture(autouse=True)
    def aws(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.setenv(name, str(tmp_path / "none"))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with mock_aws():
            yield

    @pytest.fixture
    def manager(self) -> Iterator["SecretsManagerClient"]:
        with contextlib.closing(open_session("us-east-1").client("secretsmanager")) as client:
            client.create_secret(Name="api/keys", SecretString=senders_json(acme=ACME))
            yield client

    def test_it_is_read_and_looked_at_again_every_few_minutes(
        self, manager: "SecretsManagerClient", caplog: pytest.LogCaptureFixture
    ) -> None:
        clock = Clock()
        senders = Senders(SecretSource("api/keys", "us-east-1", clock), FEEDS)
        turned = senders_json(acme={**ACME, "keys": DIGESTS[1:2]})
        manager.put_secret_value(SecretId="api/keys", SecretString=turned)
        clock.now += SECRET_SECONDS - 1
        senders.refresh()
        assert senders.find(OLD)
        clock.now += 2
        senders.refresh()
        assert senders.find(OLD) is None
        assert senders.find(NEW)
        manager.delete_secret(SecretId="api/keys", ForceDeleteWithoutRecovery=True)
        clock.now += SECRET_SECONDS + 1
        senders.refresh()
        assert senders.find(NEW)
        assert "ResourceNotFoundException" in caplog.text

    @pytest.mark.usefixtures("manager")
    def test_the_setting_leads_there(self) -> None:
        senders = load_senders("secretsmanager:api/keys", "us-east-1", FEEDS)
        assert senders is not None
        assert senders.find(OLD)

    def test_what_aws_refuses_says_what_to_check(self) -> None:
        with pytest.raises(SettingsError, match=r"GetSecretValue .*secretsmanager:none") as caught:
            load_senders("secretsmanager:none", "us-east-1", FEEDS)
        assert "GetSecretValue" in caught.value.remedy

    def test_a_secret_without_a_text_is_refused(self, manager: "SecretsManagerClient") -> None:
        manager.create_secret(Name="binary", SecretBinary=b"\x00")
        with pytest.raises(SettingsError, match="'the whole'"):
            load_senders("secretsmanager:binary", "us-east-1", FEEDS)


def test_an_endpoint_that_does_not_answer_and_a_profile_that_is_none_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with unused_port() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        with pytest.raises(SettingsError, match="could not be asked for the API keys"):
            load_senders("secretsmanager:keys", "us-east-1", FEEDS)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(SettingsError, match="AWS_PROFILE"):
        load_senders("secretsmanager:keys", "us-east-1", FEEDS)
