"""How a conformance case is written: a dialogue, what SQS makes of it, and who differs how."""

import enum
from collections.abc import Callable
from typing import NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from pipeline_tests.sqs_account import Account

Dialogue = Callable[[Account], object]


class Need(enum.Enum):
    """What a dialogue takes for granted, and not every implementation has."""

    CLOCK = "a clock that can be moved; without it the case takes a minute or more"
    PROMPT = "counts, lists and changes that show at once; in AWS they may take a minute"


class Differs(NamedTuple):
    """A known deviation, which is checked like the rest.

    Attributes:
        outcome: What the dialogue comes to instead.
        how: What that means, in words for the table.
    """

    outcome: object
    how: str


class Case(NamedTuple):
    """A dialogue and its outcomes.

    Attributes:
        dialogue: Its name, read as a sentence, is what SQS does.
        source: The page that says so, by name.
        sqs: What SQS makes of it.
        deviations: What others make of it, by the implementation's name.
        needs: What it cannot do without.
    """

    dialogue: Dialogue
    source: str
    sqs: object
    deviations: dict[str, Differs]
    needs: frozenset[Need]

    def expected(self, implementation: str) -> object:
        """What an implementation makes of it, as far as is known."""
        deviation = self.deviations.get(implementation)
        return deviation.outcome if deviation else self.sqs


class Cases(dict[str, Case]):
    """Cases by the names of their dialogues."""

    def add(
        self,
        *needs: Need,
        source: str,
        sqs: object,
        embedded: Differs | None = None,
        moto: Differs | None = None,
        localstack: Differs | None = None,
    ) -> Callable[[Dialogue], Dialogue]:
        """Add a dialogue, with the known deviations of whoever has one."""
        known = {"embedded": embedded, "moto": moto, "localstack": localstack}
        deviations = {name: differs for name, differs in known.items() if differs is not None}
        assert all(each.outcome != sqs for each in deviations.values()), "a deviation must differ"

        def register(dialogue: Dialogue) -> Dialogue:
            name = dialogue.__name__
            assert name not in self, "two cases of one name"
            self[name] = Case(dialogue, source, sqs, deviations, frozenset(needs))
            return dialogue

        return register


def outcome(case: Case, account: Account) -> object:
    """What the dialogue comes to, or what stopped it."""
    try:
        return case.dialogue(account)
    except ClientError as error:
        return f"stopped by {error.response['Error']['Code']}"
    except (BotoCoreError, LookupError, NotImplementedError, ValueError) as error:
        return f"stopped by {type(error).__name__}"


def code_of(act: Callable[[], object]) -> str:
    """The error code of a call, as boto3 shows it, or that there was none."""
    try:
        act()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "accepted"
