"""Credentials from wherever AWS puts them: boto3's client and the lean one sign with the same.

`test_traffic_ways.py` has a whole command with a profile and a web identity.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from pipeline.resources.sqs_client import Endpoint
from pipeline_tests.scripted_sqs import ScriptedSqs
from pipeline_tests.test_traffic_ways import PROFILE, ROLE_TAKEN, Says, served
from pipeline_tests.transport_case import clients, receive, server

__all__ = ["server"]

XML: Final = (200, {"Content-Type": "text/xml"})
OF_A_TASK: Final = json.dumps(
    {
        "AccessKeyId": "ASIATASK",
        "SecretAccessKey": "x",
        "Token": "of-the-task",
        "Expiration": "2099-01-01T00:00:00Z",
    }
).encode()


@contextlib.contextmanager
def source(kind: str, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """A place that has credentials, and an environment that leads there and nowhere else."""
    given: dict[str, str] = {}
    config = ""
    with contextlib.ExitStack() as stack:
        match kind:
            case "environment":
                given = {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "x"}
            case "profile":
                config, given = f"{PROFILE}aws_secret_access_key = x\n", {"AWS_PROFILE": "loads"}
            case "role of a profile":
                url = stack.enter_context(served(Says((*XML, _assumed()))))
                role = "role_arn = arn:aws:iam::123456789012:role/run\nsource_profile = loads\n"
                config = f"{PROFILE}aws_secret_access_key = x\n[profile run]\n{role}"
                given = {"AWS_PROFILE": "run", "AWS_ENDPOINT_URL_STS": url}
            case "web identity":
                url = stack.enter_context(served(Says((*XML, ROLE_TAKEN))))
                (folder / "token").write_text("a.b.c")
                given = {
                    "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/run",
                    "AWS_WEB_IDENTITY_TOKEN_FILE": str(folder / "token"),
                    "AWS_ENDPOINT_URL_STS": url,
                }
            case _:
                url = stack.enter_context(served(Says((200, {}, OF_A_TASK))))
                given = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/credentials"}
        (folder / "config").write_text(config)
        patch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "none"))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")  # where STS is asked
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        for name, value in given.items():
            patch.setenv(name, value)
        yield


def _assumed() -> bytes:
    return ROLE_TAKEN.replace(b"AssumeRoleWithWebIdentity", b"AssumeRole")


def signer(headers: dict[str, str]) -> tuple[str, str | None]:
    """Whose key a request was signed with, and the session token that it brought."""
    key = headers["authorization"].partition("Credential=")[2].partition("/")[0]
    return key, headers.get("x-amz-security-token")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("environment", ("AKIAENV", None)),
        ("profile", ("AKIAPROFILE", None)),
        ("role of a profile", ("ASIAROLE", "of-the-session")),
        ("web identity", ("ASIAROLE", "of-the-session")),
        ("role of a task", ("ASIATASK", "of-the-task")),
    ],
)
def test_both_clients_sign_with_what_the_source_gives(
    server: ScriptedSqs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    expected: tuple[str, str | None],
) -> None:
    with (
        source(kind, tmp_path, monkeypatch),
        clients(Endpoint(server.url, region="eu-west-1")) as (client, lean),
    ):
        receive(client)
        receive(lean)
    assert [signer(each.headers) for each in server.asked] == [expected] * 2
    assert all("/eu-west-1/sqs/" in each.headers["authorization"] for each in server.asked)
