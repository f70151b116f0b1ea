"""A server that is not shown to be ours gets no password and no row, by either driver."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg
import psycopg2  # type: ignore[import-untyped] # it has no stubs
import pytest
from cryptography import x509
from sqlalchemy import create_engine, text

from pipeline.errors import WarehouseNotTrusted, WarehouseUnavailable
from pipeline.operate.start_up.warehouse import check_trust
from pipeline.resources.postgres import connect
from pipeline.resources.postgres_trust import may_be_another, why_not_trusted
from pipeline_tests.authority import LOOPBACK, NOW, Authority
from pipeline_tests.outside_world import silent_port, unused_port
from pipeline_tests.samples import CANARY, outside
from pipeline_tests.tls_case import asking_for_passwords, tls_before

TOMORROW: Final = NOW + timedelta(days=1)
YESTERDAY: Final = NOW - timedelta(days=1)
ELSEWHERE: Final = x509.DNSName("elsewhere.example")


@dataclass(frozen=True)
class Shown:
    """What a server shows, and what is said of it.

    Attributes:
        says: What the error says.
        name: The name in its certificate.
        until: Until when that is good.
        trusted: Whether the client trusts the authority that signed it.
    """

    says: str
    name: x509.GeneralName = LOOPBACK
    until: datetime = TOMORROW
    trusted: bool = True


Lead = Callable[[Shown], contextlib.AbstractContextManager[str]]

WRONG: Final = {
    "another authority": Shown("not signed by the authority", trusted=False),
    "another name": Shown("is another host's", name=ELSEWHERE),
    "out of date": Shown("is out of date", until=YESTERDAY),
}


@pytest.fixture
def authorities(tmp_path: Path) -> tuple[Authority, Authority]:
    """Ours, and somebody else's."""
    folders = tmp_path / "ours", tmp_path / "other"
    for each in folders:
        each.mkdir()
    return Authority(folders[0]), Authority(folders[1])


@pytest.fixture
def shown(authorities: tuple[Authority, Authority], warehouse_url: str) -> Lead:
    """Leads to the warehouse past a certificate; yields the URL, which verifies in full."""
    ours, other = authorities

    @contextlib.contextmanager
    def lead(what: Shown) -> Iterator[str]:
        signer = ours if what.trusted else other
        with tls_before(warehouse_url, signer.context(what.name, what.until)) as port:
            yield verified(warehouse_url, port, ours)

    return lead


def verified(url: str, port: int, authority: Authority) -> str:
    """A URL's user and database at another port, where the server must show who it is."""
    log_in, _, place = url.rpartition("@")
    database = place.partition("/")[2]
    query = f"sslmode=verify-full&sslrootcert={authority.file}&gssencmode=disable"
    return f"{log_in}@127.0.0.1:{port}/{database}?{query}"


def with_canary(url: str) -> str:
    user, _, place = url.rpartition("@")
    return f"{user.rpartition(':')[0]}:{CANARY}@{place}"


class TestWarehouse:
    """The pipeline's own connections: psycopg."""

    def test_a_server_that_shows_who_it_is(self, shown: Lead) -> None:
        with shown(Shown("")) as url, closing(connect(url)) as connection:
            assert connection.pgconn.ssl_in_use
            assert connection.execute("SELECT 1").fetchone() == (1,)

    @pytest.mark.parametrize("what", WRONG.values(), ids=WRONG.keys())
    def test_any_other_is_refused_in_plain_words(self, shown: Lead, what: Shown) -> None:
        with shown(what) as url, pytest.raises(WarehouseNotTrusted) as caught:
            connect(with_canary(url))

        said = str(caught.value)
        assert said.startswith("E_WAREHOUSE_NOT_TRUSTED: the Postgres server is not trusted: ")
        assert what.says in said
        assert CANARY not in said
        assert "127.0.0.1" not in said
        assert caught.value.__suppress_context__

    def test_one_that_does_not_encrypt(
        self, warehouse_url: str, authorities: tuple[Authority, Authority]
    ) -> None:
        port = int(warehouse_url.rpartition(":")[2].partition("/")[0])
        with pytest.raises(WarehouseNotTrusted, match="it does not encrypt"):
            connect(verified(warehouse_url, port, authorities[0]))

    def test_an_authority_that_is_not_there(self, shown: Lead) -> None:
        with (
            shown(Shown("")) as url,
            pytest.raises(WarehouseNotTrusted, match="cannot be read here"),
        ):
            connect(url.replace(".pem&", ".gone&"))

    def test_somebody_in_between_with_a_good_certificate(self, shown: Lead) -> None:
        """It ends TLS and speaks to the server itself: only the channel's binding tells."""
        with shown(Shown("")) as url:
            connect(url).close()
            with pytest.raises(WarehouseNotTrusted, match="nobody stands in between"):
                connect(f"{url}&channel_binding=require")

    @pytest.mark.parametrize("asked", ["channel_binding=require", "require_auth=scram-sha-256"])
    def test_one_that_asks_for_the_password_itself(
        self, authorities: tuple[Authority, Authority], warehouse_url: str, asked: str
    ) -> None:
        heard = list[bytes]()
        ours, _ = authorities
        with asking_for_passwords(ours.context(LOOPBACK, TOMORROW), heard) as port:
            url = with_canary(verified(warehouse_url, port, ours))
            with pytest.raises(WarehouseNotTrusted) as caught:
                connect(f"{url}&{asked}")
            with pytest.raises(WarehouseUnavailable):
                connect(url)  # it is given away where nothing forbids it
        assert CANARY not in str(caught.value)
        assert [CANARY.encode() in each for each in heard] == [False, True]

    def test_an_outage_is_none_of_this(self) -> None:
        with (
            unused_port() as port,
            pytest.raises(WarehouseUnavailable, match="E_WAREHOUSE_UNAVAILABLE"),
        ):
            connect(f"postgresql://u@127.0.0.1:{port}/d?sslmode=verify-full&sslrootcert=system")
        with silent_port() as port, pytest.raises(WarehouseUnavailable):
            connect(f"postgresql://u@127.0.0.1:{port}/d?sslmode=require&connect_timeout=2")


class TestDagstersStorage:
    """Dagster's own connections: psycopg2 under SQLAlchemy, with the same words in the URL."""

    def test_a_server_that_shows_who_it_is(self, shown: Lead) -> None:
        with shown(Shown("")) as url:
            assert self._ask(url) == 1

    @pytest.mark.parametrize("what", WRONG.values(), ids=WRONG.keys())
    def test_any_other_is_refused(self, shown: Lead, what: Shown) -> None:
        with shown(what) as url, pytest.raises(psycopg2.OperationalError) as caught:
            psycopg2.connect(with_canary(url))
        assert CANARY not in str(caught.value)
        untrusted = why_not_trusted(caught.value)
        assert untrusted
        assert what.says in str(untrusted)

    def test_somebody_in_between_with_a_good_certificate(self, shown: Lead) -> None:
        with shown(Shown("")) as url, pytest.raises(psycopg2.OperationalError) as caught:
            psycopg2.connect(f"{url}&channel_binding=require")
        assert "nobody stands in between" in str(why_not_trusted(caught.value))

    def _ask(self, url: str) -> object:
        engine = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
        try:
            with engine.connect() as connection:
                return connection.execute(text("SELECT 1")).scalar()
        finally:
            engine.dispose()


@pytest.mark.parametrize(
    ("url", "may_be"),
    [
        ("postgresql://u:p@db.example/d", True),
        ("postgresql://u:p@db.example/d?sslmode=require", True),
        ("postgresql://u:p@db.example/d?sslmode=verify-ca", True),
        ("postgresql://u:p@10.0.0.7/d", True),
        ("postgresql://u:p@127.0.0.1,db.example/d", True),
        ("postgresql://u:p@localhost/d?hostaddr=10.0.0.7", True),
        ("host=db.example dbname=d", True),
        ("postgresql://u:p@db.example/d?sslmode=verify-full", False),
        ("postgresql://u:p@db.example/d?sslrootcert=system", False),
        ("postgresql://u:p@127.0.0.1:5433/d", False),
        ("postgresql://u:p@[::1]/d", False),
        ("postgresql://u:p@localhost/d", False),
        ("postgresql:///d?host=/run/postgresql", False),
        ("postgresql:///d", False),
        ("no url", False),
    ],
)
def test_where_another_may_answer(
    url: str,
    may_be: bool,  # noqa: FBT001 - a case's outcome
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PGHOST", "PGSSLMODE"):
        monkeypatch.delenv(name, raising=False)
    assert may_be_another(url) is may_be
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert not may_be_another(url) or "sslmode" in url


def test_the_start_up_check_names_each_url(tmp_path: Path) -> None:
    here = outside("http://127.0.0.1:9", "postgresql://u@127.0.0.1/d", tmp_path)
    assert list(check_trust(here)) == []
    far = replace(
        here,
        postgres_url=f"postgresql://u:{CANARY}@db.example/d?sslmode=require",
        custodian=f"postgresql://u:{CANARY}@db.example/d?sslmode=verify-full",
        owner=f"postgresql://u:{CANARY}@db.example/d",
    )
    found = [str(each) for each in check_trust(far)]
    assert [each.partition(":")[0] for each in found] == [
        "PIPELINE_POSTGRES_URL",
        "PIPELINE_OWNER_URL",
    ]
    assert CANARY not in "".join(found)
    assert "sslmode=verify-full" in found[0]


def test_both_drivers_know_the_words() -> None:
    """Both drivers' libpq knows verify-full, channel_binding and require_auth."""
    assert psycopg.pq.version() >= 160_000
    assert psycopg2.__libpq_version__ >= 160_000
