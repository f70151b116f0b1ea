"""Builds that let a value out, or in where it was not asked for."""

from typing import Final

from broken_builds.build import Build, Edit, Oracle

_STAGES: Final = "pipeline/consume/stages.py"

BUILDS: Final = (
    Build.of(
        "row-in-the-log",
        "logs a row, to see what it looks like",
        Oracle.PRIVACY,
        test="test_asset.py::test_no_line_of_a_run_holds_a_value",
        edits=(
            Edit(
                _STAGES,
                "    frame = mask_frame(hand.feed, hand.batch.frame, hand.keyring)\n",
                "    frame = mask_frame(hand.feed, hand.batch.frame, hand.keyring)\n"
                '    _log.warning("first of %s", hand.batch.frame.head(1).to_dict())\n',
            ),
        ),
    ),
    Build.of(
        "masked-after-the-load",
        "loads the frame as it was read, and masks what it shows",
        Oracle.PRIVACY,
        test="test_asset.py::test_all_checks_pass_with_every_batch",
        edits=(
            Edit(
                _STAGES,
                "    account = settle(task, ports.warehouse, ports.clock, chance=ports.chance,"
                " rejected=tell)\n"
                "    return replace(hand, account=account)\n",
                "    account = settle(task, ports.warehouse, ports.clock, chance=ports.chance)\n"
                "    frame = mask_frame(hand.feed, hand.batch.frame, hand.keyring)\n"
                "    batch = replace(hand.batch, frame=frame)\n"
                "    return replace(hand, account=account, batch=batch)\n",
            ),
            Edit(
                _STAGES,
                "replace(hand.batch, frame=frame, vault=sealed)",
                "replace(hand.batch, vault=sealed)",
            ),
            Edit(
                _STAGES,
                "    frame = mask_frame(hand.feed, hand.batch.frame, hand.keyring)\n    sealed",
                "    sealed",
            ),
        ),
    ),
    Build.of(
        "value-in-an-error",
        "lets the text of a foreign error out, for whoever has to find the bug",
        Oracle.PRIVACY,
        test="test_errors.py::test_no_value_gets_out_in_any_form_in_which_an_error_is_stored",
        edits=(
            Edit(
                "pipeline/errors.py",
                'f"{type(error).__name__} in stage',
                'f"{type(error).__name__}: {error} in stage',
            ),
        ),
    ),
    Build.of(
        "interrupt-with-its-context",
        "lets an interrupt out together with the driver's error that it came upon",
        Oracle.PRIVACY,
        test="test_interrupted.py::test_what_the_driver_had_just_refused_is_in_no_event",
        edits=(
            Edit(
                "pipeline/errors.py",
                "    except BaseException as error:\n",
                "    except GeneratorExit as error:\n",
            ),
        ),
    ),
    Build.of(
        "database-error-as-it-is",
        "repeats what Postgres says of a row that it refuses",
        Oracle.PRIVACY,
        test="test_privacy.py::test_no_refusal_of_the_database_tells_a_value",
        edits=(
            Edit(
                "pipeline/resources/postgres.py",
                "    told = describe(error)\n    if classify",
                '    told = f"{describe(error)}: {error}"\n    if classify',
            ),
        ),
    ),
    Build.of(
        "unknown-fields-told",
        "logs what the contract does not name before it drops it",
        Oracle.PRIVACY,
        test="test_faults_payload.py::test_what_no_field_asked_for_is_nowhere",
        edits=(
            Edit(
                "pipeline/decode.py",
                "        record = _parse(body)\n        values = [self._read",
                "        record = _parse(body)\n"
                "        names = record.keys() - self._named.keys()\n"
                "        unknown = {name: record[name] for name in names}\n"
                '        __import__("logging").getLogger(__name__).warning("dropped %s", unknown)\n'
                "        values = [self._read",
            ),
        ),
    ),
    Build.of(
        "unknown-fields-kept",
        "keeps the whole body in the ledger, to compare with it what comes later",
        Oracle.PRIVACY,
        test="test_faults_payload.py::test_what_no_field_asked_for_is_nowhere",
        edits=(
            Edit(
                "pipeline/consume/settlement.py",
                "            content=self._digest(body, _CONTENT_BYTES),\n",
                "            content=body,\n",
            ),
        ),
    ),
    Build.of(
        "another-keyring-taken",
        "masks with whatever keyring it finds: nobody is found by an old pseudonym any more",
        Oracle.DOUBLE,
        test="test_readiness.py::test_another_key_is_refused",
        edits=(
            Edit(
                "pipeline/warehouse/tables.py",
                "    if recall_fingerprint(connection) not in {None, keyring.fingerprint}:\n",
                "    if False:\n",
            ),
            Edit(
                "pipeline/warehouse/tables.py",
                "        if keyring.fingerprints.get(version) != bytes(fingerprint):\n",
                "        if not fingerprint:\n",
            ),
        ),
    ),
    Build.of(
        "quarantine-in-the-clear",
        "keeps the bodies of the quarantine as they came",
        Oracle.PRIVACY,
        test="test_load.py::test_the_quarantine_holds_bodies_sealed",
        edits=(
            Edit(
                "pipeline/consume/quarantine.py",
                '    return keyring.seal(feed.name, text.encode(errors="surrogatepass"))\n',
                '    return text.encode(errors="surrogatepass")\n',
            ),
        ),
    ),
)
"""What they have in common: somebody would read what nobody should."""
