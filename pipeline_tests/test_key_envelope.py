"""The keyring under AWS KMS: opened there only, refused where it is not right, never shown.

KMS, SSM and Secrets Manager are moto's, inside this process; single refusals that moto cannot
give come from a server of the test's own.
"""

import base64
import contextlib
import json
import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from moto import mock_aws

from pipeline.errors import KeyringError
from pipeline.masking.key_file import KeyFile
from pipeline.resources.aws_client import open_session
from pipeline.resources.key_envelope import KeyEnvelope
from pipeline.resources.key_places import FilePlace, Found, Place, SecretPlace, SsmPlace
from pipeline.resources.key_stores import key_store
from pipeline.resources.outside import Outside
from pipeline.resources.settings import read_settings
from pipeline_tests.outside_world import unused_port
from pipeline_tests.samples import CANARY

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

SESSION: Final = open_session("us-east-1")
"""One for all tests: it reads what it knows of the services only once."""

NAME: Final = "pipeline/keyring"
ARN: Final = "arn:aws:kms:us-east-1:123456789012:key/7f3a91"


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An account that is empty at each test's start."""
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with mock_aws():
        yield


@pytest.fixture
def kms() -> Iterator["KMSClient"]:
    """A client of the test's own."""
    with contextlib.closing(SESSION.client("kms")) as client:
        yield client


@pytest.fixture
def kms_key(kms: "KMSClient") -> str:
    """The ARN of a KMS key."""
    return kms.create_key()["KeyMetadata"]["Arn"]


@pytest.fixture(params=["file", "ssm", "secretsmanager"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Each place that may hold an envelope, with none in it yet."""
    places: dict[str, Place] = {
        "file": FilePlace(tmp_path / "keys" / "envelope.json"),
        "ssm": SsmPlace(f"/{NAME}", SESSION),
        "secretsmanager": SecretPlace(NAME, SESSION),
    }
    return places[request.param]


@pytest.fixture
def file(tmp_path: Path) -> FilePlace:
    """The simplest of the places."""
    return FilePlace(tmp_path / "envelope.json")


def envelope(home: Place, kms_key: str | None = None) -> KeyEnvelope:
    return KeyEnvelope(home, kms_key, SESSION)


def document(home: Place) -> dict[str, Any]:
    found = home.read()
    assert found is not None
    content: dict[str, Any] = json.loads(found.content)
    return content


def write(home: FilePlace, content: object) -> None:
    home.path.write_text(content if isinstance(content, str) else json.dumps(content))


def opened_by_hand(kms: "KMSClient", content: dict[str, Any], version: int) -> bytes:
    """A root, by KMS alone: what whoever restores a keyring without this project would do."""
    context = {"purpose": "sqs-postgres-pipeline keyring", "version": str(version)}
    answer = kms.decrypt(
        KeyId=content["kms_key"],
        CiphertextBlob=base64.b64decode(content["wrapped"][str(version)]),
        EncryptionContext=context,
    )
    return answer["Plaintext"]


@contextlib.contextmanager
def refused(*words: str) -> Iterator[None]:
    with pytest.raises(KeyringError) as caught:
        yield
    for word in words:
        assert word in str(caught.value)
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None


class TestEveryPlace:
    """What holds wherever the envelope is kept."""

    def test_it_is_made_once_then_found_and_opens_with_kms_alone(
        self, home: Place, kms: "KMSClient", kms_key: str
    ) -> None:
        made = envelope(home, kms_key).load_or_make()
        again = envelope(home, kms_key).load_or_make()
        assert made.fingerprint == again.fingerprint == envelope(home).load().fingerprint
        content = document(home)
        assert (content["current"], content["kms_key"]) == (1, kms_key)
        root = opened_by_hand(kms, content, 1)
        assert len(root) == 64
        assert base64.b64encode(root).decode() not in json.dumps(content)

    def test_a_new_version_is_current_and_the_old_ones_stay(
        self, home: Place, kms_key: str
    ) -> None:
        made = envelope(home, kms_key).load_or_make()
        first = document(home)["wrapped"]["1"]
        added = envelope(home).add_version()
        loaded = envelope(home).load()
        assert (loaded.current, loaded.versions) == (2, (1, 2))
        assert added.fingerprint == loaded.fingerprint == made.fingerprint
        assert added.derive(2, 32, "x") == loaded.derive(2, 32, "x") != loaded.derive(1, 32, "x")
        assert envelope(home).add_version().versions == (1, 2, 3)
        assert document(home)["wrapped"]["1"] == first

    def test_a_missing_one_is_refused_and_not_made(self, home: Place, kms_key: str) -> None:
        """Fault 70: fail closed."""
        for act in (envelope(home, kms_key).load, envelope(home, kms_key).add_version):
            with refused(home.name, "does not exist", "Restore it", "nothing was received"):
                act()
        assert home.read() is None

    def test_without_a_kms_key_none_is_made(self, home: Place) -> None:
        with refused(home.name, "no KMS key", "PIPELINE_KEYRING_KMS_KEY"):
            envelope(home).load_or_make()
        assert home.read() is None

    def test_of_two_that_make_one_at_once_the_first_wins(self, home: Place, kms_key: str) -> None:
        rival = envelope(home, kms_key).load_or_make()
        late = envelope(Meanwhile(home, None), kms_key).load_or_make()
        assert late.fingerprint == rival.fingerprint == envelope(home).load().fingerprint

    def test_of_two_that_add_a_version_at_once_the_first_wins(
        self, home: Place, kms_key: str
    ) -> None:
        envelope(home, kms_key).load_or_make()
        seen = home.read()
        rival = envelope(home).add_version()
        with refused("another process"):
            envelope(Meanwhile(home, seen)).add_version()
        kept = envelope(home).load()
        assert (kept.current, kept.derive(2, 32, "x")) == (2, rival.derive(2, 32, "x"))

    def test_a_keyring_that_lies_open_is_refused(
        self, home: Place, kms_key: str, tmp_path: Path
    ) -> None:
        """Nobody's root ends in a parameter in the clear without being noticed."""
        KeyFile(tmp_path / "open.json").load_or_make()
        home.make((tmp_path / "open.json").read_bytes())
        with refused(home.name, "not an envelope"):
            envelope(home, kms_key).load_or_make()


class Meanwhile:
    """A place as it was seen first, while others went on."""

    def __init__(self, home: Place, first: Found | None) -> None:
        self._home, self._first = home, [first]
        self.name = home.name
        self.make, self.replace = home.make, home.replace

    def read(self) -> Found | None:
        return self._first.pop() if self._first else self._home.read()


class Overtaken(SsmPlace):
    """A parameter that another writes in the instant after it was compared."""

    def read(self) -> Found | None:
        found = super().read()
        if found is not None and found.revision == "1":
            envelope(SsmPlace(self.parameter, self.session)).add_version()
        return found


def test_two_that_write_a_parameter_in_the_same_instant_are_noticed(kms_key: str) -> None:
    """SSM has no write that depends on what it writes over."""
    home = SsmPlace("/k", SESSION)
    envelope(home, kms_key).load_or_make()
    found = home.read()
    assert found is not None
    with refused("two processes at once", "put version 2 of the parameter back"):
        racing = Overtaken("/k", SESSION)
        racing.replace(b"mine", found)
    with contextlib.closing(SESSION.client("ssm")) as ssm:
        rival = ssm.get_parameter(Name="/k:2")["Parameter"]["Value"]
    assert json.loads(rival)["current"] == 2


class TestContent:
    """An envelope that is not right."""

    @pytest.mark.parametrize(
        "content",
        [
            "",
            CANARY,
            {"current": 1},
            {"current": 1, "kms_key": ARN, "wrapped": {"1": "é"}},
            {"current": 1, "kms_key": ARN, "wrapped": {CANARY: "aaaa"}},
            {"current": 1, "kms_key": CANARY, "wrapped": {}},
            {"current": 1, "kms_key": ARN, "wrapped": {}, CANARY: CANARY},
        ],
    )
    def test_what_is_no_envelope_is_refused(self, file: FilePlace, content: object) -> None:
        write(file, content)
        with refused(file.name, "not an envelope", "nothing was received"):
            envelope(file).load()

    def test_a_current_version_that_is_missing_is_refused(
        self, file: FilePlace, kms_key: str
    ) -> None:
        """Fault 70."""
        envelope(file, kms_key).load_or_make()
        write(file, document(file) | {"current": 2})
        for act in (envelope(file).load, envelope(file).add_version):
            with refused("lacks its current version"):
                act()

    def test_a_short_root_is_refused(self, file: FilePlace, kms: "KMSClient", kms_key: str) -> None:
        """Fault 70."""
        context = {"purpose": "sqs-postgres-pipeline keyring", "version": "1"}
        short = kms.generate_data_key(KeyId=kms_key, NumberOfBytes=32, EncryptionContext=context)[
            "CiphertextBlob"
        ]
        wrapped = {"1": base64.b64encode(short).decode()}
        write(file, {"current": 1, "kms_key": kms_key, "wrapped": wrapped})
        with refused("root of other than 64 bytes"):
            envelope(file).load()

    def test_a_root_cannot_be_passed_off_as_that_of_another_version(
        self, file: FilePlace, kms_key: str
    ) -> None:
        envelope(file, kms_key).load_or_make()
        envelope(file).add_version()
        content = document(file)
        one, two = content["wrapped"]["1"], content["wrapped"]["2"]
        write(file, content | {"wrapped": {"1": two, "2": one}})
        with refused("InvalidCiphertextException", "restore it from its backup"):
            envelope(file).load()

    def test_a_file_that_others_can_write_is_refused_and_one_that_they_can_read_is_not(
        self, file: FilePlace, kms_key: str
    ) -> None:
        """Whoever writes it might put a root of their own there."""
        envelope(file, kms_key).load_or_make()
        assert file.path.stat().st_mode & 0o777 == 0o600
        file.path.chmod(0o644)
        envelope(file).load()
        for mode in (0o620, 0o602):
            file.path.chmod(mode)
            with refused("can be written by others", "chmod 600"):
                envelope(file).load()


class TestKms:
    """Faults 22, 23: the KMS key is gone, disabled, another's, or does not answer."""

    def test_a_kms_key_that_was_rotated_still_opens(
        self, file: FilePlace, kms: "KMSClient", kms_key: str
    ) -> None:
        """Fault 23: KMS keeps its own earlier versions."""
        made = envelope(file, kms_key).load_or_make()
        kms.rotate_key_on_demand(KeyId=kms_key)
        assert envelope(file).load().fingerprint == made.fingerprint

    def test_a_setting_that_names_no_kms_key_makes_nothing(self, file: FilePlace) -> None:
        with refused(
            "refused GenerateDataKeyWithoutPlaintext", "(NotFoundException)", "AWS_REGION"
        ):
            envelope(file, ARN).load_or_make()
        assert file.read() is None

    def test_an_alias_ends_as_the_key_that_it_means(
        self, file: FilePlace, kms: "KMSClient", kms_key: str
    ) -> None:
        """It may lead to another key tomorrow."""
        kms.create_alias(AliasName="alias/pipeline", TargetKeyId=kms_key)
        envelope(file, "alias/pipeline").load_or_make()
        assert document(file)["kms_key"] == kms_key
        assert envelope(file, "alias/pipeline").add_version().current == 2

    def test_a_version_under_another_kms_key_is_not_added(
        self, file: FilePlace, kms: "KMSClient", kms_key: str
    ) -> None:
        envelope(file, kms_key).load_or_make()
        before = file.path.read_bytes()
        other = kms.create_key()["KeyMetadata"]["Arn"]
        with refused("under another KMS key than the setting names"):
            envelope(file, other).add_version()
        assert file.path.read_bytes() == before

    def test_a_secret_marked_for_deletion_is_not_made_anew(self, kms_key: str) -> None:
        home = SecretPlace(NAME, SESSION)
        envelope(home, kms_key).load_or_make()
        with contextlib.closing(SESSION.client("secretsmanager")) as client:
            client.delete_secret(SecretId=NAME)
        with refused("refused GetSecretValue", "(InvalidRequestException)", "marked for deletion"):
            envelope(home, kms_key).load_or_make()


class Answers(BaseHTTPRequestHandler):
    """Refuses as told, then opens everything as 64 zeros."""

    codes: list[str]
    asked: list[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append(self.headers["X-Amz-Target"])
        body = {"KeyId": ARN, "Plaintext": base64.b64encode(bytes(64)).decode()}
        status = 200
        if self.codes:
            body, status = {"__type": self.codes.pop(0), "message": CANARY}, 400
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Says nothing."""


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[str]]]:
    """Makes KMS, SSM and Secrets Manager refuse calls; gives the list of what is asked."""
    handler = type("Handler", (Answers,), {"codes": [], "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        for service in ("KMS", "SSM", "SECRETS_MANAGER"):
            url = f"http://127.0.0.1:{server.server_port}"
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", url)

        def refuse(*codes: str) -> list[str]:
            handler.codes[:] = codes  # type: ignore[attr-defined] # made above
            asked: list[str] = handler.asked  # type: ignore[attr-defined] # as above
            return asked

        try:
            yield refuse
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def wrapped(file: FilePlace) -> FilePlace:
    """A file with an envelope that nobody has looked into."""
    write(file, {"current": 1, "kms_key": ARN, "wrapped": {"1": "aaaa"}})
    return file


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("AccessDeniedException", "Allow the role Decrypt"),
        ("DisabledException", "Enable the KMS key"),
        ("NotFoundException", "that the KMS key exists"),
        ("InvalidCiphertextException", "another KMS key"),
        ("IncorrectKeyException", "another KMS key"),
        ("KMSInvalidStateException", "cancel its deletion"),
        ("ExpiredTokenException", "Renew"),
        ("UnrecognizedClientException", "correct the credentials"),
        ("SomethingNew", "Look up SomethingNew in the API reference of Decrypt"),
    ],
)
def test_a_refusal_of_kms_names_key_call_and_remedy(
    wrapped: FilePlace, answering: Callable[..., list[str]], *, code: str, remedy: str
) -> None:
    """Fault 22."""
    asked = answering(code)
    with refused(wrapped.name, ARN, "refused Decrypt", f"({code})", remedy, "nothing was received"):
        envelope(wrapped).load()
    assert asked == ["TrentService.Decrypt"]


@pytest.mark.parametrize("home", ["ssm", "secretsmanager"], indirect=True)
def test_a_place_that_may_not_be_read_is_not_taken_for_an_empty_one(
    home: Place, answering: Callable[..., list[str]]
) -> None:
    """Fault 22."""
    asked = answering("AccessDeniedException")
    with refused(home.name, "(AccessDeniedException)", "Allow the role Get"):
        envelope(home, ARN).load_or_make()
    assert len(asked) == 1


def test_a_key_that_was_disabled_opens_everything_once_it_is_enabled_again(
    wrapped: FilePlace, answering: Callable[..., list[str]]
) -> None:
    """Fault 23."""
    answering("DisabledException")
    with refused("DisabledException"):
        envelope(wrapped).load()
    assert envelope(wrapped).load().versions == (1,)


def test_throttling_is_tried_again(wrapped: FilePlace, answering: Callable[..., list[str]]) -> None:
    asked = answering("ThrottlingException")
    assert envelope(wrapped).load().versions == (1,)
    assert len(asked) == 2


def test_a_dead_endpoint_is_named(wrapped: FilePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    with unused_port() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", f"http://127.0.0.1:{port}")
        with refused(wrapped.name, "EndpointConnectionError", "network", "nothing was received"):
            envelope(wrapped).load()


def test_settings_of_aws_that_are_wrong_are_named(
    wrapped: FilePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with refused("NoRegionError", "AWS_REGION", "nothing was received"):
        KeyEnvelope(wrapped, None, open_session(None)).load()
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "nonsense")
    with refused("ValueError", "AWS_ENDPOINT_URL", "nothing was received"):
        envelope(wrapped).load()
    monkeypatch.setenv("AWS_PROFILE", "missing")
    with refused("ProfileNotFound", "the credentials", "nothing was received"):
        open_session(None)


class Everything(logging.Handler):
    """Keeps what is logged, as it would be written."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name} {self.format(record)} {record.args!r}")


def test_no_root_is_logged_though_everything_is_set_to_debug(
    home: Place, kms: "KMSClient", kms_key: str
) -> None:
    """The library botocore writes the body of each answer at that level."""
    envelope(home, kms_key).load_or_make()
    handler = Everything()
    loggers = [logging.getLogger(name) for name in ("", "botocore", "botocore.parsers", "urllib3")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    try:
        added = envelope(home).add_version()
        loaded = envelope(home).load()
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
    assert any("TrentService.Decrypt" in line for line in handler.lines)
    shown = "".join(handler.lines) + repr([added, loaded, envelope(home, kms_key)])
    for version in (1, 2):
        root = opened_by_hand(kms, document(home), version)
        for form in (base64.b64encode(root).decode(), root.hex(), repr(root)[2:-1]):
            assert form not in shown


class TestSettings:
    """Which place `PIPELINE_KEYRING` leads to."""

    @staticmethod
    def place(**given: str) -> tuple[type, str]:
        environment = {f"PIPELINE_{name.upper()}": value for name, value in given.items()}
        store = key_store(read_settings(environment))
        return type(store), store.place

    def test_the_outside_world_has_it_and_asks_nobody(self) -> None:
        keyring = {"PIPELINE_KEYRING": f"ssm:/{NAME}", "AWS_REGION": "us-east-1"}
        outside = Outside.of({"PIPELINE_POSTGRES_URL": "postgresql://u@127.0.0.1:1/d"} | keyring)
        assert isinstance(outside.keyring, KeyEnvelope)
        with refused("does not exist"):
            outside.keyring.load()

    def test_a_path_is_a_key_file(self, tmp_path: Path) -> None:
        path = str(tmp_path / "k:1.json")
        assert self.place(keyring=path) == (KeyFile, path)
        assert self.place(keyring="~/k.json") == (KeyFile, str(Path.home() / "k.json"))

    def test_a_file_that_is_to_be_made_under_a_kms_key_is_an_envelope(
        self, tmp_path: Path, kms_key: str
    ) -> None:
        path = str(tmp_path / "k.json")
        assert self.place(keyring=path, keyring_kms_key=kms_key) == (KeyEnvelope, path)

    def test_a_file_that_is_there_says_by_its_content_what_it_is(
        self, tmp_path: Path, kms_key: str
    ) -> None:
        lies_open, wrapped = tmp_path / "open.json", tmp_path / "wrapped.json"
        KeyFile(lies_open).load_or_make()
        envelope(FilePlace(wrapped), kms_key).load_or_make()
        assert self.place(keyring=str(lies_open), keyring_kms_key=kms_key)[0] is KeyFile
        assert self.place(keyring=str(wrapped))[0] is KeyEnvelope

    @pytest.mark.parametrize("name", ["ssm:/pipeline/keyring", "secretsmanager:pipeline/keyring"])
    def test_a_place_of_aws_holds_an_envelope(self, name: str) -> None:
        assert self.place(keyring=name) == (KeyEnvelope, name)

    @pytest.mark.parametrize(
        "name",
        ["ssm:", "secretsmanager: ", "s3://bucket/key", "SSM:name", "C:\\keys", f"x:{CANARY}"],
    )
    def test_anything_else_is_refused(self, name: str) -> None:
        with refused("PIPELINE_KEYRING", "ssm:NAME", "nothing was received"):
            self.place(keyring=name)
