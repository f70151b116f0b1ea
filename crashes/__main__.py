"""`python -m crashes`: run workers that die at every named point, and what became of it."""

import argparse
import time
from dataclasses import dataclass, field

from crashes import scenes
from crashes.matrix import run_matrix
from crashes.plan import ENDS, plan
from crashes.rehearse import Verdict
from crashes.report import table
from crashes.stage import stage


@dataclass(slots=True)
class _Told:
    """What was heard so far; printed as it comes.

    Attributes:
        verdicts: Of the matrix.
        scenes: How many there were.
        wrong: How many problems.
    """

    started: float = field(default_factory=time.monotonic)
    verdicts: list[Verdict] = field(default_factory=list)
    scenes: int = 0
    wrong: int = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def verdict(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        self._print(f"{verdict.rehearsal}: {verdict.runs} runs", verdict.problems)

    def scene(self, name: str, problems: list[str]) -> None:
        self.scenes += 1
        self._print(name, problems)

    def _print(self, what: str, problems: list[str]) -> None:
        self.wrong += len(problems)
        lines = [f"{self.seconds:5.0f} s  {what}", *(f"         WRONG {each}" for each in problems)]
        print("\n".join(lines), flush=True)


def main() -> None:
    """The whole matrix and the scenes beside it, or the part that was asked for."""
    given = _arguments()
    rehearsals = [
        each
        for each in plan(given.seed)
        if str(each.moment).startswith(given.point) and each.end in (given.end or ENDS)
    ]
    told = _Told()
    with stage() as place:
        if given.part != "scenes":
            run_matrix(place, rehearsals, given.lanes, told.verdict)
        if given.part != "matrix":
            scenes.act_all(place, told.scene)
    runs = sum(each.runs for each in told.verdicts)
    crashes = sum(each.crashes for each in told.verdicts)
    print(f"\n{table(told.verdicts)}\n")
    print(f"seed {given.seed}: {crashes} crashes in {runs} runs, {told.scenes} scenes,"
          f" {told.wrong} problems, {told.seconds:.0f} s")  # fmt: skip
    if told.wrong:
        raise SystemExit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m crashes", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the second crashes")
    parser.add_argument("--lanes", type=int, default=2, help="rehearsals at the same time")
    parser.add_argument("--part", choices=("matrix", "scenes", "all"), default="all")
    parser.add_argument("--point", default="", help="only moments that begin so")
    parser.add_argument("--end", choices=ENDS, help="only this end")
    return parser.parse_args()


if __name__ == "__main__":
    main()
