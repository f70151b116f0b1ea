"""Only over TLS, only by SCRAM, only to a server that shows who it is."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import dagster as dg
import psycopg
import psycopg2  # type: ignore[import-untyped] # it has no stubs
import pytest
from dagster_postgres.utils import DagsterPostgresException
from psycopg import sql

from deploy.postgres.tests.server import Server, server
from pipeline.errors import WarehouseNotTrusted, WarehouseUnavailable
from pipeline.operate.start_up.storage import check_instance
from pipeline.resources.postgres import connect
from pipeline.resources.postgres_trust import why_not_trusted
from pipeline_tests.authority import Authority

PASSWORD: Final = "canary-2b8e41"  # noqa: S105 - of no server but this one


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("postgres")) as running:
        yield running


def _log_in(postgres: Server, name: str, stored: str) -> str:
    """The URL of a new log-in whose password is stored in one of the two ways."""
    with psycopg.connect(postgres.verified(postgres.url()), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))
        connection.execute("SELECT set_config('password_encryption', %s, false)", (stored,))
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), PASSWORD)
        )
    return postgres.url(name, PASSWORD)


def test_the_warehouse_over_tls_bound_to_its_channel(postgres: Server) -> None:
    url = _log_in(postgres, "etl", "scram-sha-256")
    with closing(connect(postgres.verified(url))) as connection:
        row = connection.execute(
            "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        ).fetchone()
    assert row == (True, "TLSv1.3")


def test_dagsters_driver_over_tls_bound_to_its_channel(postgres: Server) -> None:
    url = _log_in(postgres, "scheduler", "scram-sha-256")
    with closing(psycopg2.connect(postgres.verified(url))) as connection:
        assert connection.info.ssl_in_use


def test_dagsters_storage_over_tls(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instance as it is deployed: its URL carries the words."""
    url = _log_in(postgres, "dagster", "scram-sha-256").replace("/warehouse", "/dagster")
    with psycopg.connect(
        postgres.verified(postgres.url(name="warehouse")), autocommit=True
    ) as connection:
        connection.execute("ALTER DATABASE dagster OWNER TO dagster")
    with _instance(tmp_path / "right", postgres.verified(url)) as instance:
        assert instance.get_runs_count() == 0
    other = Authority(tmp_path)
    wrong = postgres.verified(url).replace(str(postgres.authority.file), str(other.file))
    with pytest.raises(DagsterPostgresException), _instance(tmp_path / "wrong", wrong) as instance:
        instance.get_runs_count()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "wrong"))
    (finding,) = check_instance([])
    assert "E_WAREHOUSE_NOT_TRUSTED" in str(finding)
    assert PASSWORD not in str(finding)


def _instance(home: Path, url: str) -> dg.DagsterInstance:
    home.mkdir()
    quoted = url.replace("postgresql://", "postgresql+psycopg2://")
    (home / "dagster.yaml").write_text(
        f"telemetry: {{enabled: false}}\nstorage:\n  postgres:\n    postgres_url: '{quoted}'\n"
    )
    return dg.DagsterInstance.from_config(str(home))


@pytest.mark.parametrize("mode", ["disable", "allow"])
def test_nobody_gets_in_without_tls(postgres: Server, mode: str) -> None:
    url = f"{postgres.url()}?gssencmode=disable&sslmode={mode}"
    if mode == "disable":
        with pytest.raises(psycopg.OperationalError, match="no encryption"):
            psycopg.connect(url)
        with pytest.raises(WarehouseUnavailable):
            connect(url)
    else:  # begins without, is refused, and comes again with it
        with psycopg.connect(url) as connection:
            assert connection.pgconn.ssl_in_use


@pytest.mark.parametrize("asked", ["", "&channel_binding=require"])
def test_a_password_that_is_stored_as_md5_lets_nobody_in(postgres: Server, asked: str) -> None:
    url = _log_in(postgres, "old", "md5")
    trust = f"sslmode=verify-full&sslrootcert={postgres.authority.file}&gssencmode=disable"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"{url}?{trust}{asked}")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(f"{url}?{trust}{asked}")


def test_what_is_stored_is_scram(postgres: Server) -> None:
    with psycopg.connect(postgres.verified(postgres.url()), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS plain")
        connection.execute(sql.SQL("CREATE ROLE plain LOGIN PASSWORD {}").format(PASSWORD))
        row = connection.execute(
            "SELECT rolpassword FROM pg_authid WHERE rolname = 'plain'"
        ).fetchone()
    assert row
    assert row[0].startswith("SCRAM-SHA-256$")


def test_no_other_database_and_no_other_log_in(postgres: Server) -> None:
    url = _log_in(postgres, "etl", "scram-sha-256")
    for name in ("dagster", "postgres"):
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
            psycopg.connect(postgres.verified(url.replace("/warehouse", f"/{name}")))


def test_no_older_tls(postgres: Server) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"SSL error|protocol"):
        psycopg.connect(f"{postgres.verified(postgres.url())}&ssl_max_protocol_version=TLSv1.2")


def test_a_server_of_another_authority_or_name(postgres: Server, tmp_path: Path) -> None:
    url = postgres.verified(postgres.url(password=PASSWORD))
    other = Authority(tmp_path)
    wrong = {
        "not signed by the authority": url.replace(str(postgres.authority.file), str(other.file)),
        "is another host's": url.replace("127.0.0.1", "localhost") + "&hostaddr=127.0.0.1",
    }
    for says, each in wrong.items():
        with pytest.raises(WarehouseNotTrusted, match=says) as caught:
            connect(each)
        assert PASSWORD not in str(caught.value)
        with pytest.raises(psycopg2.OperationalError) as again:
            psycopg2.connect(each)
        assert says in str(why_not_trusted(again.value))
        assert PASSWORD not in str(again.value)
