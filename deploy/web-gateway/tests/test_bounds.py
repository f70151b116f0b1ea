"""Rates, sizes, and what both gateways have in common."""

from pathlib import Path

import pytest

from deploy.gateway.tests import nginx
from deploy.gateway.tests.upstream import upstream
from tests.front import FOLDER, web_gateway

SHARED = ("# --- TLS ---", "# What one subscriber has", "# Empty for ever.")


def test_a_flood_from_one_address_is_stopped() -> None:
    """Guesses of passwords too: each is a request."""
    with (
        web_gateway("127.0.0.1:9", "127.0.0.1:9", rate="1r/s", burst="3") as front,
        front.client(None) as client,
    ):
        answers = [client.get("/assets").status_code for _ in range(8)]
        last = client.get("/assets")
    assert answers[:4] == [401] * 4
    assert 429 in answers
    assert last.status_code == 429
    assert last.headers["retry-after"] == "1"


def test_a_body_has_a_bound() -> None:
    with upstream() as (service, place), web_gateway(place, place, body_limit="1k") as front:
        with front.client("bob") as client:
            answer = client.post("/graphql", json={"query": "x" * 2000})
        assert answer.status_code == 413
        assert not service.requests


def test_an_unknown_way_to_sign_in_starts_nothing() -> None:
    """A setting that is misspelt must not open the door."""
    with (
        pytest.raises(AssertionError, match="sign_in_none"),
        web_gateway("127.0.0.1:9", "127.0.0.1:9", sign_in="none"),
    ):
        pass


@pytest.mark.parametrize("begin", SHARED)
def test_what_both_gateways_say_is_the_same(begin: str) -> None:
    """Each is one whole file, to be read in one go; this keeps them from drifting apart."""
    ours, theirs = (_paragraph(folder, begin) for folder in (FOLDER, nginx.FOLDER))
    assert ours.replace("WEB_GATEWAY_", "GATEWAY_") == theirs
    assert ours


def _paragraph(folder: Path, begin: str) -> str:
    text = (folder / "nginx.conf.template").read_text()
    return text.partition(begin)[2].partition("\n\n")[0]
