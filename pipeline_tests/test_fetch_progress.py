"""A fetch tells how far it is, now and then, and in numbers only."""

import pytest

from pipeline.produce.fetch.fetched import Fetched
from pipeline.produce.fetch.progress import Progress

DONE = Fetched(pages=2, planned=9, requested=8, unchanged=1, sent=6, failed=1)


@pytest.mark.parametrize(("pause", "lines"), [(0.0, 3), (3_600.0, 0)])
def test_it_tells_a_line_at_most_once_in_a_pause(pause: float, lines: int) -> None:
    told: list[str] = []
    progress = Progress(told.append, pause=pause)
    for _ in range(3):
        progress(DONE)
    assert len(told) == lines
    for line in told:
        assert line.startswith("pages 2, requested 8, sent 6, unchanged 1, failed 1; ")
        assert line.endswith(" requests a second")


def test_the_figures_count_all_requests_in_the_rate() -> None:
    figures = Progress(print, pause=1.0).figures(DONE)
    assert (figures["planned"], figures["requested"], figures["gone"]) == (9, 8, 0)
    assert figures["requests per second"] > 0
    assert set(figures) == {*Fetched.__slots__, "seconds", "requests per second"}
