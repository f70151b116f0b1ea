"""The lean transport signs as botocore does, bit for bit, with credentials that may be renewed."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials, RefreshableCredentials

from pipeline.transport.signature import Signer
from pipeline_tests.transport_case import Both, both, receive, server

__all__ = ["both", "server"]


class TestSignature:
    """As botocore signs, bit for bit."""

    @pytest.mark.parametrize("token", [None, "a/session+token=="])
    @pytest.mark.parametrize(
        "url",
        [
            "https://sqs.eu-west-1.amazonaws.com/",
            "http://127.0.0.1:4566/",
            "https://queue.test:443/",
            "http://Queue.Test:80/",
            "http://[::1]:9324/",
            "http://gateway.test/to/./sqs a/",
        ],
    )
    def test_it_is_botocores(self, url: str, token: str | None) -> None:
        credentials = ReadOnlyCredentials("AKIDEXAMPLE", "wJalr/secret+key", token)
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": "AmazonSQS.X"}
        body = '{"QueueUrl": "ä"}'.encode()
        request = AWSRequest("POST", url, headers, body)
        SigV4Auth(cast("Any", credentials), "sqs", "eu-west-1").add_auth(request)
        at = datetime.strptime(f"{request.headers['X-Amz-Date']}+0000", "%Y%m%dT%H%M%SZ%z")

        signer = Signer(url, "eu-west-1", "sqs")
        signed = signer.sign(headers, body, credentials, at.timestamp())

        assert signed["authorization"] == request.headers["Authorization"]
        assert signed["x-amz-date"] == request.headers["X-Amz-Date"]
        assert signed.get("x-amz-security-token") == token

    def test_the_next_day_and_the_next_secret_have_keys_of_their_own(self) -> None:
        one, other = (ReadOnlyCredentials("key", secret, None) for secret in ("one", "other"))
        turns = [(one, 0.0), (one, 86_400.0), (one, 0.0), (other, 0.0)]

        def signer() -> Signer:
            return Signer("https://queue.test/", "eu-west-1", "sqs")

        kept = signer()
        again = [kept.sign({}, b"", who, at)["authorization"] for who, at in turns]
        assert again == [signer().sign({}, b"", who, at)["authorization"] for who, at in turns]
        assert len(set(again)) == 3


def test_credentials_that_are_renewed_sign_the_next_call(both: Both) -> None:
    """Fault 21: a session token that runs out in the middle of a run."""
    tokens = iter(["first", "second"])
    now = [datetime(2026, 1, 1, tzinfo=UTC)]

    def renew() -> dict[str, str]:
        until = (now[0] + timedelta(hours=1)).isoformat()
        token = next(tokens)
        return {"access_key": "k", "secret_key": "s", "token": token, "expiry_time": until}

    credentials = RefreshableCredentials.create_from_metadata(
        renew(), renew, "test", **cast("Any", {})
    )
    credentials._time_fetcher = lambda: now[0]  # type: ignore[attr-defined] # noqa: SLF001 - its clock
    lean = both.lean
    lean._credentials = cast("Any", credentials)  # noqa: SLF001 - those of a role
    receive(lean)
    now[0] += timedelta(minutes=50)
    receive(lean)
    assert [each.headers["x-amz-security-token"] for each in both.server.asked] == [
        "first",
        "second",
    ]
