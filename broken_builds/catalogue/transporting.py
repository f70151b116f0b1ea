"""Builds whose lean transport trusts, retries or tells what boto3 would not."""

from typing import Final

from broken_builds.build import Build, Edit, Oracle

_CLIENT: Final = "pipeline/transport/client.py"
_WIRE: Final = "pipeline/transport/wire.py"
_REFUSED: Final = "test_transport_wire.py::TestTls::test_one_that_does_not_hold_is_refused"
_ALIKE: Final = "test_transport.py::test_it_makes_of_an_answer_what_boto3_makes_of_it"
_MANY: Final = "pipeline/transport/many.py"
_AS_ALONE: Final = "test_transport_many.py::test_each_comes_to_what_it_would_alone"

BUILDS: Final = (
    Build.of(
        "lean-trusts-anyone",
        "takes a certificate of any authority",
        Oracle.PRIVACY,
        test=f"{_REFUSED}[an authority that nobody trusts]",
        edits=(Edit(_WIRE, "SSL_VERIFYPEER, 1)", "SSL_VERIFYPEER, 0)"),),
    ),
    Build.of(
        "lean-trusts-any-name",
        "takes a certificate that is somebody else's",
        Oracle.PRIVACY,
        test=f"{_REFUSED}[another name]",
        edits=(Edit(_WIRE, "SSL_VERIFYHOST, 2)", "SSL_VERIFYHOST, 0)"),),
    ),
    Build.of(
        "lean-gives-up",
        "makes one attempt of each call",
        Oracle.RECOVERY,
        test=f"{_ALIKE}[14]",
        edits=(Edit(_CLIENT, "if pause is None or pause is False:", "if True:"),),
    ),
    Build.of(
        "lean-never-gives-up",
        "tries again what has used up what retries may cost",
        Oracle.RECOVERY,
        test="test_transport.py::test_retries_cost_of_one_budget_whoever_makes_them",
        edits=(Edit(_CLIENT, "if pause is None or pause is False:", "if pause is None:"),),
    ),
    Build.of(
        "lean-refusal-is-no-error",
        "takes a refusal for an empty answer",
        Oracle.ERROR,
        test=f"{_ALIKE}[9]",
        edits=(Edit(_CLIENT, "if answer.status_code >= _NO_SUCCESS:", "if False:"),),
    ),
    Build.of(
        "lean-key-of-yesterday",
        "signs with the key of the day on which it began",
        Oracle.RECOVERY,
        test="test_transport_signature.py::TestSignature"
        "::test_the_next_day_and_the_next_secret_have_keys_of_their_own",
        edits=(
            Edit(
                "pipeline/transport/signature.py",
                "kept.made_of != (secret, day)",
                "kept.made_of[0] != secret",
            ),
        ),
    ),
    Build.of(
        "many-fail-with-one",
        "loses the answers that come with one that cannot be read",
        Oracle.RECOVERY,
        test="test_transport_many.py::test_one_that_cannot_be_read_keeps_no_other_from_being_told",
        edits=(
            Edit(
                _MANY,
                "outcomes.append((ask, self._read(ask, plain)))",
                "outcomes.append((ask, self._kind.read(ask, plain)))",
            ),
        ),
    ),
    Build.of(
        "many-begin-afresh",
        "makes of a call that met trouble a new one, with all its attempts",
        Oracle.RECOVERY,
        test=f"{_AS_ALONE}[17]",
        edits=(
            Edit(
                _MANY,
                "self._client.finish(self._kind.operation, body, ended)",
                "self._client.finish(self._kind.operation, body)",
            ),
        ),
    ),
    Build.of(
        "many-stop-late",
        "goes on receiving when the service is told to stop",
        Oracle.RECOVERY,
        test="test_hands.py::test_told_to_stop_it_receives_nothing_more[lean]",
        edits=(
            Edit("pipeline/operate/hands.py", "if self._hands.stopping.is_set():", "if False:"),
        ),
    ),
)
