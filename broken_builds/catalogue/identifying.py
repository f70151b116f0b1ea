"""Builds that take an event for another one, or a message for broken that is not."""

from typing import Final

from broken_builds.build import Build, Edit, Oracle

_SETTLEMENT: Final = "pipeline/consume/settlement.py"
_WAREHOUSE: Final = "pipeline/consume/postgres_transaction.py"
_ORIGIN: Final = "pipeline/consume/origin.py"

BUILDS: Final = (
    Build.of(
        "conflict-overwrites",
        "lets what an event says later take the place of what it said first",
        Oracle.DOUBLE,
        test="test_load.py::TestTwice::test_an_event_that_changed_its_content_is_a_conflict",
        edits=(
            Edit(
                _WAREHOUSE,
                "ON CONFLICT DO NOTHING RETURNING key\n",
                "ON CONFLICT (feed, key) DO UPDATE SET content = EXCLUDED.content RETURNING key\n",
            ),
        ),
    ),
    Build.of(
        "conflict-counted-as-duplicate",
        "drops what an event says later, and reports it to nobody",
        Oracle.LOSS,
        test="test_load.py::TestTwice"
        "::test_an_event_that_changed_its_content_alone_is_a_conflict_too",
        edits=(Edit(_WAREHOUSE, "known.content = __content\n", "true\n"),),
    ),
    Build.of(
        "bug-into-quarantine",
        "takes an error that nobody foresaw for a fault of the message that met it",
        Oracle.ISOLATION,
        test="test_suspects.py::test_a_bug_that_one_message_meets_costs_only_that_message",
        edits=(
            Edit(
                _SETTLEMENT,
                "        except Refused as refused:\n"
                "            entry = self._identity.entry(message, None)\n",
                "        except Exception as error:\n"
                "            own = isinstance(error, Refused)\n"
                "            refused = error if own else Refused(Reason.NOT_JSON)\n"
                "            entry = self._identity.entry(message, None)\n",
            ),
        ),
    ),
    Build.of(
        "key-from-message-id",
        "knows an event by SQS's message id, which a producer's retry changes",
        Oracle.DOUBLE,
        test="test_simulation.py::test_every_property_holds_in_every_schedule[0]",
        edits=(
            Edit(
                _SETTLEMENT, "        elif message.event_id is not None:\n", "        elif False:\n"
            ),
        ),
    ),
    Build.of(
        "origin-not-restored",
        "knows what was redriven by its new message id and its new time",
        Oracle.DOUBLE,
        test="test_quarantine_redrive.py::test_a_message_without_an_event_id_stays_the_same_event",
        edits=(
            Edit(
                _SETTLEMENT,
                "        message = origin.restore(delivered, self._secret)\n",
                "        message = delivered\n",
            ),
        ),
    ),
    Build.of(
        "origin-unauthenticated",
        "believes every producer what it says of the first sending",
        Oracle.LOSS,
        test="test_origin.py::test_an_origin_that_is_not_sound_counts_for_nothing",
        edits=(
            Edit(
                _ORIGIN,
                "    if not hmac.compare_digest(wanted.encode(),"
                ' signature.encode(errors="surrogatepass")):\n',
                "    if not (wanted and signature):\n",
            ),
        ),
    ),
    Build.of(
        "identity-without-a-key",
        "computes identities without the key: whoever knows an event finds it in the ledger",
        Oracle.PRIVACY,
        test="test_settlement.py::test_identities_are_keyed_and_of_the_promised_sizes",
        edits=(Edit(_SETTLEMENT, "digest_size=size, key=self._secret)", "digest_size=size)"),),
    ),
    Build.of(
        "no-dedupe-within-a-batch",
        "loads an event as often as a batch holds it",
        Oracle.DOUBLE,
        test="test_settlement.py::test_the_same_event_twice_in_a_batch_is_one_row",
        edits=(
            Edit(
                _SETTLEMENT,
                "        first = self.entries.setdefault(entry.key, entry)\n",
                "        place = len(self.entries).to_bytes(4)\n"
                "        first = self.entries.setdefault(entry.key + place, entry)\n",
            ),
        ),
    ),
    Build.of(
        "ids-through-floats",
        "lets pandas guess the type of a column: a large id beside a null loses its last digit",
        Oracle.DOUBLE,
        test="test_settlement.py::test_no_value_changes_on_its_way_into_the_frame",
        edits=(Edit(_SETTLEMENT, "            dtype=object,\n", ""),),
    ),
    Build.of(
        "only-value-errors-in-decode",
        "catches no other error of a body than ValueError",
        Oracle.ISOLATION,
        test="test_decode.py::test_a_body_that_is_no_record_is_refused",
        escapes="RecursionError",
        edits=(
            Edit(
                "pipeline/decode.py",
                "    except RecursionError:\n        raise Refused(Reason.TOO_DEEP) from None\n"
                "    except msgspec.ValidationError:",
                "    except msgspec.ValidationError:",
            ),
        ),
    ),
)
"""What they have in common: what a message is, is not what it was sent as."""
