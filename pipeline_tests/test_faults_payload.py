"""Whatever stands in a body costs only itself, is kept as it was, and shows nothing of anybody."""

import base64
import codecs
import gzip
import json
import time
import tracemalloc
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import pytest

from pipeline.consume.batch import Account
from pipeline.consume.settlement import decode_batch
from pipeline.contract import Field
from pipeline.errors import ContractError
from pipeline.feeds.user_logins import FEED
from pipeline.masking.policies import Keep
from pipeline.messages import Message
from pipeline.reasons import Reason
from pipeline.types import Integer
from pipeline_tests.load_case import batch, prepared, settle, users
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import CANARY, KEYRING, login, message

MIB: Final = 2**20
SOUND: Final = json.dumps(login(user_id="sound"))


@pytest.fixture
def warehouse(warehouse_url: str) -> str:
    """A warehouse in which the table of `user_logins` is prepared."""
    return prepared(warehouse_url)


ENCODED: Final[dict[str, str]] = {
    # SQS carries text: bytes of another kind come as somebody's idea of text.
    "base64": base64.b64encode(SOUND.encode()).decode(),
    "gzip in base64": base64.b64encode(gzip.compress(SOUND.encode(), mtime=0)).decode(),
    "gzip as Latin-1": gzip.compress(SOUND.encode(), mtime=0).decode("latin-1"),
    "UTF-16 as Latin-1": SOUND.encode("utf-16").decode("latin-1"),
    "a byte order mark": codecs.BOM_UTF8.decode() + SOUND,
    "invalid UTF-8, replaced": SOUND.encode("latin-1").decode()
    + b"\xff\xfe".decode(errors="replace"),
}


def test_bodies_in_another_encoding_are_kept_sealed_as_they_came(warehouse: str) -> None:
    """Fault 31: and their good neighbour lands."""
    sent = [message(text) for text in ENCODED.values()]

    account = settle(batch([*sent, message(SOUND)]), warehouse)

    assert account == Account(
        received=7, loaded=1, quarantined=Counter({Reason.NOT_JSON: len(ENCODED)})
    )
    kept = ask(warehouse, "SELECT message_id, body_sealed FROM pipeline.quarantine")
    opened = {name: KEYRING.unseal(FEED.name, bytes(sealed)).decode() for name, sealed in kept}
    assert opened == {each.message_id: each.body for each in sent}
    assert not any(each.body.encode() in bytes(sealed) for each in sent for _, sealed in kept)


TEXTS: Final = {
    "SQL": "'; DROP TABLE user_logins; --",
    "a formula": "=cmd|' /C calc'!A0",
    "HTML": "<script>alert(1)</script>",
    "placeholders": "%s %(feed)s {0} {table} $1 :x ?",
    "COPY's own signs": "\\N\t\\.\n\\\\ \r\v",
    "quotes": "\"'`$$;",
    "the other way round": "\u202egnirts\u202c \u200bzero\u200dwidth",
    "emoji": "\N{FAMILY}\N{EMOJI MODIFIER FITZPATRICK TYPE-6} \N{VARIATION SELECTOR-16}",
}


def test_text_that_looks_like_code_is_kept_letter_for_letter(warehouse: str) -> None:
    """Faults 37 and 41: it is a parameter everywhere, also to COPY."""
    sent = [message(login(user_id=text)) for text in TEXTS.values()]

    account = settle(batch(sent), warehouse)

    assert account == Account(received=len(TEXTS), loaded=len(TEXTS))
    assert sorted(users(warehouse)) == sorted(TEXTS.values())


def test_two_spellings_of_a_name_are_one_person_and_a_look_alike_is_another(warehouse: str) -> None:
    """Fault 37: a sign of no width is a look-alike too, for no normal form takes it away."""
    name = "Zo\u00eb \u00c5ngstr\u00f6m"
    spellings = [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
    assert len(set(spellings)) == 2
    look_alike = name.replace("o", "\N{CYRILLIC SMALL LETTER O}")
    without_width = name.replace(" ", " \N{ZERO WIDTH SPACE}")
    names = (*spellings, look_alike, without_width)
    messages = [message(login(device_id=each)) for each in names]

    settle(batch(messages), warehouse)

    assert ask(warehouse, "SELECT count(*), count(DISTINCT masked_device_id) FROM user_logins") == [
        (4, 3)
    ]


def test_a_text_of_40_kb_costs_only_itself(warehouse: str) -> None:
    """Fault 37."""
    account = settle(
        batch([message(login(device_id="\N{GRINNING FACE}" * 10_000)), message(SOUND)]), warehouse
    )

    assert account == Account(received=2, loaded=1, quarantined=Counter({Reason.TOO_LONG: 1}))


def test_what_no_field_asked_for_is_nowhere(
    warehouse: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Fault 36: values in keys, lists, numbers, URLs, file names, and in what names the event."""
    phone = 4_915_112_345_678
    sound = [
        message(login(user_id="a", **{CANARY: 1})),
        message(login(user_id="b", contacts=[[{"mail": CANARY}, phone]])),
        message(login(user_id="c", url=f"https://x.org/?mail={CANARY}&tel={phone}")),
        message(login(user_id="d", file=f"/home/{CANARY}.pdf", phone=phone)),
        message(login(user_id="e"), event_id=f"{CANARY}@example.org/{phone}"),
    ]
    broken = [
        message(login(device_id=phone)),
        message(login(ip=f"{CANARY}"), event_id=CANARY),
        message(login(user_id={CANARY: phone})),
        message(f"{CANARY} {phone}"),
    ]

    account = settle(batch([*sound, *broken]), warehouse)

    assert (account.loaded, account.quarantined.total()) == (5, 4)
    for table in _tables(warehouse):
        text = str(ask(warehouse, f"SELECT t::text FROM {table} AS t"))
        assert not any(value in text for value in (CANARY, str(phone))), table
        # As bytea is written.
        assert not any(value.encode().hex() in text for value in (CANARY, str(phone))), table
    assert not any(value in caplog.text for value in (CANARY, str(phone)))


def _tables(url: str) -> list[str]:
    """Every table that is not Postgres's own."""
    rows = ask(
        url,
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    return [name for (name,) in rows]


class TestLimits:
    """Of Postgres: none is met."""

    def test_an_event_id_of_any_length_is_a_short_key(self, warehouse: str) -> None:
        """Fault 39: an index takes no more than 2.7 kB."""
        ids = ["\u00e9" * 100_000 + str(place) for place in range(2)]
        messages = [message(login(user_id=each[-1]), event_id=each) for each in ids]

        assert settle(batch(messages), warehouse) == Account(received=2, loaded=2)
        assert settle(batch(messages), warehouse) == Account(received=2, duplicate=2)
        assert ask(warehouse, "SELECT max(octet_length(key)) FROM pipeline.ledger") == [(32,)]

    def test_more_values_than_a_statement_takes_parameters_are_one_batch(
        self, warehouse: str
    ) -> None:
        """Fault 39: 65,535 of them; rows go by COPY, rejects one by one."""
        rows = 65_536 // len(FEED.columns) + 1
        messages = [message(login(user_id=f"user-{place}")) for place in range(rows)]

        assert settle(batch(messages), warehouse) == Account(received=rows, loaded=rows)
        assert settle(batch(messages), warehouse) == Account(received=rows, duplicate=rows)

    def test_more_columns_than_a_table_takes_are_refused_before_anything_runs(self) -> None:
        """Fault 39: 1,600 of them, and a load adds three."""
        fields = tuple(Field(f"c{place}", Integer(), Keep()) for place in range(1_598))
        assert len(replace(FEED, fields=fields[1:]).columns) == 1_597
        with pytest.raises(ContractError, match="fields: 1 to 1597"):
            replace(FEED, fields=fields)


def _filled(unit: str, *, before: str = "", after: str = "", by: str = ",") -> str:
    """A body of just under 1 MiB, of one thing again and again."""
    room = MIB - len(before) - len(after)
    return before + by.join([unit] * (room // (len(unit) + len(by)))) + after


BOMBS: Final[dict[str, Callable[[], str]]] = {
    "brackets": lambda: _filled("[[[]]]", before='{"a":[', after="]}"),
    "empty objects": lambda: _filled("{}", before='{"a":[', after="]}"),
    "half a million levels": lambda: '{"a":' + "[" * (MIB // 2 - 6) + "]" * (MIB // 2 - 6) + "}",
    "objects in objects": lambda: '{"a":' * (MIB // 6) + "1" + "}" * (MIB // 6),
    "keys": lambda: "{" + ",".join(f'"{n:x}":0' for n in range(100_000)) + "}",
    "one key": lambda: _filled('"a":0', before="{", after="}"),
    "a number": lambda: '{"a":' + "9" * (MIB - 6) + "}",
    "numbers": lambda: _filled("1e9", before='{"a":[', after="]}"),
    "an exponent": lambda: '{"a":1e' + "9" * (MIB - 8) + "}",
    "escapes": lambda: _filled(r"\u0041", before='{"a":"', after='"}', by=""),
    "colons": lambda: _filled(":", before='{"a":"\\\\', after='"}', by=""),
    "a version": lambda: json.dumps(login(app_version="0" * (MIB - 300) + "1")),
    "spaces": lambda: " " * (MIB - 1) + "{",
    "dots": lambda: json.dumps(login(ip="1." * (MIB // 2 - 300))),
}


class TestBombs:
    """Fault 42: a body of SQS's largest size, made to take time or memory.

    Keys that collide are none: Python hashes strings with a secret of each process.
    """

    @pytest.mark.parametrize("name", BOMBS)
    def test_it_takes_seconds_at_most_and_its_neighbour_lands(self, name: str) -> None:
        bomb = BOMBS[name]()
        assert len(bomb) <= MIB
        began = time.thread_time()

        decoded = decode_batch(FEED, [message(bomb), message(SOUND)], _secret())

        assert time.thread_time() - began < 4
        assert decoded.frame["user_id"].tolist()[-1] == "sound"
        assert len(decoded.entries) + len(decoded.rejects) == 2

    @pytest.mark.parametrize("name", ["brackets", "empty objects", "keys", "one key", "numbers"])
    def test_it_takes_little_memory_and_leaves_none(self, name: str) -> None:
        bomb = message(BOMBS[name]())
        tracemalloc.start()
        try:
            _decode(bomb)
            left, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert peak < 200 * MIB
        assert left < 4 * MIB


def _decode(sent: Message) -> None:
    decode_batch(FEED, [sent], _secret())


def _secret() -> bytes:
    return KEYRING.settlement_key(FEED.name)
