"""What the benchmarks make of their figures: quantiles, medians, pages and pictures."""

import json
import os
import xml.etree.ElementTree as ET
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import typer

from benchmarks import growth_report, idle_report, latency_report, whole_report
from benchmarks.growth import read_counts
from benchmarks.latency import read_numbers
from benchmarks.latency_report import FLOOR, By, Series
from benchmarks.processes import parse
from benchmarks.quantiles import mean_gap, quantile
from benchmarks.redraw import PAGES, redraw
from benchmarks.report import Report, table

ROUND: dict[str, Any] = {
    "way": whole_report.WHOLE,
    "messages": 1_000,
    "seconds": 4.0,
    "cpu_seconds": 0.5,
    "queue_seconds": 1.0,
    "runs": 2,
    "calls": 210,
    "peak_mib": 260.4,
}
ALONE = ROUND | {"way": whole_report.ALONE, "seconds": 1.0, "runs": 0}
WHOLE = [
    ROUND, ALONE,  # a ratio of 0.25
    ROUND | {"seconds": 2.0}, ALONE,  # 0.5
    ROUND | {"seconds": 1.0}, ALONE | {"seconds": 2.0},  # 2
]  # fmt: skip

GROWTH: list[dict[str, Any]] = [
    {
        "messages": 1_000,
        "runs": runs,
        "seconds": seconds,
        "cpu_seconds": 0.1,
        "queue_seconds": seconds / 2,
        "peak_mib": peak,
    }
    for runs, seconds, peak in ((1, 1.0, 100.0), (2, 0.5, 90.0), (1, 3.0, 140.0), (1, 2.0, 90.0))
]

IDLE: list[dict[str, Any]] = [
    {
        "what": what,
        "seconds": 100.0,
        "cpu_seconds": {"daemon": daemon, "code server": 0.25},
        "calls": calls,
        "feeds": 3,
        "ticks": ticks,
        "tick_seconds": 5.0,
    }
    for what, daemon, calls, ticks in (
        (idle_report.WITH, 2.5, 60, 50),
        (idle_report.EMPTY_ONES, 1.5, 0, 50),
        (idle_report.WITHOUT, 1.0, 0, 0),
    )
]


BY = By([1.0, 6.0, 16.0], to_start=[3.0, 5.0], to_end=[1.0, 2.0])


def _kept(benchmark: str, figures: list[dict[str, Any]]) -> Report:
    return Report(
        benchmark=benchmark,
        command=f'make bench ARGS="{benchmark}"',
        machine="2 cores",
        versions={"Postgres": "18.6"},
        settings={"rounds": 3},
        figures=figures,
    )


def _latency() -> list[dict[str, Any]]:
    return [
        asdict(Series.of(FLOOR, [10.0, 11.0, 12.0], BY)),
        asdict(Series.of("1 messages/s", [11.5, 12.0, 13.0], BY, sent=0.98)),
        asdict(Series.of("50 messages/s", [11.5, 12.5, 13.0], BY, sent=50.0)),
    ]


ENDS = ("json", "md", "svg")
FIGURES = {"whole": WHOLE, "growth": GROWTH, "idle": IDLE, "latency": _latency()}


class TestQuantiles:
    """The nearest rank: a value that was measured, and no less than the share of all."""

    @pytest.mark.parametrize(
        ("share", "expected"),
        [(0.0, 1), (0.001, 1), (0.01, 1), (0.07, 7), (0.5, 50), (0.99, 99), (0.991, 100), (1, 100)],
    )
    def test_of_a_hundred(self, share: float, expected: int) -> None:
        assert quantile(range(1, 101), share) == expected

    def test_every_share_of_one_value_is_that_value(self) -> None:
        assert {quantile([7.0], share) for share in (0.0, 0.5, 0.99, 1.0)} == {7.0}

    def test_half_of_two_is_the_lesser(self) -> None:
        assert quantile([1.0, 2.0], 0.5) == 1.0

    def test_a_series_need_not_be_in_order(self) -> None:
        series = Series.of("any", [3.0, 1.0, 2.0], BY)
        assert (series.p50, series.p99, series.curve[0], series.curve[-1]) == (2.0, 3.0, 1.0, 3.0)

    def test_a_series_has_a_point_for_every_hundredth(self) -> None:
        series = Series.of("any", [float(place) for place in range(1, 1_001)], BY)
        assert series.curve == [1.0, *(10.0 * place for place in range(1, 101))]


class TestPages:
    """Rendered from figures that were kept."""

    def test_the_ratio_of_the_whole_path_is_the_median_of_each_rounds(self) -> None:
        assert whole_report.ratio(WHOLE) == 0.5

    def test_the_whole_path_has_a_row_of_medians_for_each_way(self) -> None:
        page = _kept("whole", WHOLE).markdown(whole_report.PAGE)
        assert "| whole path | 500 | 500.0 | 50% | 2 | 0.210 | 260 |" in page
        assert "| data plane alone | 1,000 | 500.0 | 100% |  | 0.210 | 260 |" in page
        assert "The whole path has 0.50 of the data plane's rate" in page

    def test_growth_takes_the_median_rate_and_the_largest_memory(self) -> None:
        page = _kept("growth", GROWTH).markdown(growth_report.PAGE)
        assert "| 1,000 | 1 | 500 |  | 100.0 | 50% | 140 |" in page
        assert "| 1,000 | 2 | 2,000 | 4.00 | 100.0 | 50% | 90 |" in page

    def test_latency_is_held_against_the_trivial_run(self) -> None:
        page = _kept("latency", _latency()).markdown(latency_report.PAGE)
        assert "| 1 messages/s | 1.0 | 3 | 12.00 | 13.00 | 13.00 | 13.00 | +1.00 | 2 |" in page
        assert "+1.00 | 2 | 7.5 | 4.0 | 1.5 |" in page
        assert "It does so at: 50 messages/s." in page

    def test_latency_without_a_floor_judges_nothing(self) -> None:
        page = _kept("latency", _latency()[1:]).markdown(latency_report.PAGE)
        assert "It does so at" not in page
        assert (
            "| 1 messages/s | 1.0 | 3 | 12.00 | 13.00 | 13.00 | 13.00 |  | 2 | 7.5 | 4.0 | 1.5 |"
            in page
        )

    def test_idle_counts_what_lies_beyond_an_instance_without_sensors(self) -> None:
        page = _kept("idle", IDLE).markdown(idle_report.PAGE)
        assert "| with our sensors | 2.50% | 0.25% | 2.75% | 1.50% | 30 | 30 | 12.0 |" in page
        assert "| without any sensor | 1.00% | 0.25% | 1.25% |  | 0 |  | 0.0 |" in page
        assert "cost 1.50% of a core (the goal is missed: below 1%)" in page
        assert "12.0 calls a minute for each of 3 feeds (the goal is met: at most 12)" in page

    @pytest.mark.parametrize("benchmark", PAGES)
    def test_a_page_tells_how_it_was_made(self, benchmark: str) -> None:
        page = _kept(benchmark, FIGURES[benchmark]).markdown(PAGES[benchmark])
        assert f'    make bench ARGS="{benchmark}"\n' in page
        assert "2 cores, Postgres 18.6. Settings: rounds 3." in page
        assert f"({benchmark}.svg)" in page
        assert f"({benchmark}.json)" in page

    def test_a_table_has_a_rule_as_wide_as_its_head(self) -> None:
        assert table(("", "a"), [["x", "1"]]) == "|  | a |\n| --- | ---: |\n| x | 1 |"


class TestFiles:
    """Written beside each other, and made anew from the JSON alone."""

    @pytest.mark.parametrize("benchmark", PAGES)
    def test_what_is_kept_comes_back(self, benchmark: str, tmp_path: Path) -> None:
        kept = _kept(benchmark, FIGURES[benchmark])
        kept.write(PAGES[benchmark], tmp_path)
        assert Report.read(tmp_path / f"{benchmark}.json") == kept

    def test_figures_drawn_again_change_no_file(self, tmp_path: Path) -> None:
        for benchmark, page in PAGES.items():
            _kept(benchmark, FIGURES[benchmark]).write(page, tmp_path)
        before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
        redraw(tmp_path)
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
        assert sorted(before) == sorted(f"{name}.{end}" for name in PAGES for end in ENDS)

    @pytest.mark.parametrize("benchmark", PAGES)
    def test_a_picture_shows_through_and_bears_no_date(
        self, benchmark: str, tmp_path: Path
    ) -> None:
        _kept(benchmark, FIGURES[benchmark]).write(PAGES[benchmark], tmp_path)
        picture = (tmp_path / f"{benchmark}.svg").read_text()
        root = ET.fromstring(picture)  # noqa: S314 - our own
        background = next(root.iter("{http://www.w3.org/2000/svg}path"))
        assert background.get("style") == "fill: none"
        assert "date" not in picture
        assert not [line for line in picture.splitlines() if line != line.rstrip()]

    def test_a_folder_without_figures_is_left_as_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "peers.json").write_text(json.dumps({}))
        redraw(tmp_path)
        assert [file.name for file in tmp_path.iterdir()] == ["peers.json"]


def test_a_process_is_read_whatever_its_name() -> None:
    stat = "42 (a ) b (c) S 1 41 40 0 -1 0 0 0 0 0 100 20 30 4 20 0 1 0 9 0 0"
    seen = parse(stat)
    assert (seen.pid, seen.session) == (42, 40)
    assert seen.cpu_seconds == pytest.approx(154 / os.sysconf("SC_CLK_TCK"))


@pytest.mark.parametrize("text", ["", "0", "-1", "1,,2", "many", "1.5"])
def test_counts_are_whole_numbers(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        read_counts(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "1,,2", "many", "nan"])
def test_rates_are_positive_numbers(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        read_numbers(text)


def test_numbers_are_read_in_their_order() -> None:
    assert read_counts("1000, 10") == [1000, 10]
    assert read_numbers("0.5,50") == [0.5, 50.0]


@pytest.mark.parametrize(
    ("moments", "gap"), [((), 0.0), ((3.0,), 0.0), ((1.0, 6.0, 12.0, 16.0), 5.0)]
)
def test_a_gap_is_that_between_neighbours(moments: tuple[float, ...], gap: float) -> None:
    assert mean_gap(moments) == gap
