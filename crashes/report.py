"""What the matrix has shown, as a table."""

from collections import defaultdict
from collections.abc import Sequence

from crashes.plan import ENDS, MOMENTS
from crashes.rehearse import Verdict


def table(verdicts: Sequence[Verdict]) -> str:
    """A line for each moment, a column for each end: crashes that came about, and the outcome."""
    cells: dict[tuple[str, str], list[Verdict]] = defaultdict(list)
    for each in verdicts:
        cells[str(each.rehearsal.moment), each.rehearsal.end].append(each)
    lines = [f"{'moment':<20}" + "".join(f"{end:>18}" for end in ENDS)]
    for moment in map(str, MOMENTS):
        line = f"{moment:<20}"
        for end in ENDS:
            line += f"{_cell(cells.get((moment, end), [])):>18}"
        lines.append(line)
    return "\n".join(lines)


def _cell(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return "not tried"
    crashes = sum(each.crashes for each in verdicts)
    problems = sum(len(each.problems) for each in verdicts)
    return f"{crashes} ok" if not problems else f"{crashes}, {problems} WRONG"
