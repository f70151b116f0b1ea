"""Oracle P: searches every byte that a chaos run has left behind for its canaries."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.conninfo import conninfo_to_dict

from chaos.place import Place
from pipeline.local.binaries import find_binaries
from pipeline_tests.canaries import Canaries, found_in, found_under


@dataclass(frozen=True, slots=True)
class Search:
    """What a search has found.

    Attributes:
        searched: Bytes that were looked at.
        hits: The places that hold a canary, and in which forms.
        sighted: Whether the search saw the canaries that the contract keeps in the table: else
            it proves nothing.
    """

    searched: int
    hits: dict[str, list[str]]
    sighted: bool


def search(place: Place, canaries: Canaries, url: str, tables: Sequence[str]) -> Search:
    """Searches files, what processes printed, the server's files and dumps.

    Args:
        place: The folder of the run; nothing writes to it any more.
        canaries: What to look for.
        url: Postgres.
        tables: Those of the feeds, of which the contract keeps the user id.
    """
    masked, users = canaries.masked_needles(), canaries.user_needles()
    everywhere = masked | users
    folders = [each for each in place.root.iterdir() if each != place.postgres]
    hits = found_under(folders, everywhere) | found_under([place.postgres], masked)
    everything = _dump(url)
    without = [f"--exclude-table-data=*.{table}" for table in tables]
    for name, dump, needles in (
        ("pg_dump", everything, masked),
        ("pg_dump but for the tables", _dump(url, *without), everywhere),
    ):
        if found := found_in(dump, needles):
            hits[name] = found
    files = (path for path in place.root.rglob("*") if path.is_file())
    searched = sum(path.stat().st_size for path in files) + len(everything)
    return Search(searched, hits, sighted=bool(found_in(everything, users)))


def _dump(url: str, *options: str) -> bytes:
    """A database as a script, by the server's own program."""
    parts = conninfo_to_dict(url)
    command: Sequence[str] = [
        str(find_binaries().folder / "pg_dump"), *options, f"--host={parts['host']}",
        f"--port={parts['port']}", f"--username={parts['user']}", f"--dbname={parts['dbname']}",
    ]  # fmt: skip
    environment = {"PGPASSWORD": str(parts["password"])}
    done = subprocess.run(command, env=environment, capture_output=True, check=True)  # noqa: S603 - as found
    return done.stdout
