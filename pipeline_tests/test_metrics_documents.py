"""Rules, dashboard, runbooks and the page about metrics name what there is, and all of it."""

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from pipeline.produce.rest.exchange import Exchange
from pipeline.produce.rest.limits import Limits
from pipeline.produce.rest.metrics import Metrics
from pipeline.produce.rest.room import Room
from pipeline_tests.metrics_case import filled_registry

ROOT: Final = Path(__file__).parents[1]
PROMETHEUS: Final = ROOT / "deploy" / "prometheus"
DASHBOARD: Final = ROOT / "deploy" / "grafana" / "dashboards" / "pipeline.json"
RUNBOOKS: Final = ROOT / "docs" / "runbooks"
OF_PROMETHEUS: Final = {"up": {"job", "instance"}}
ITS_LABELS: Final = {"job", "instance", "le"}
_ROW: Final = re.compile(r"^\| `(pipeline_\w+)`(?:, `(pipeline_\w+)`)? \|([^|]*)\|", re.MULTILINE)
_NAME: Final = re.compile(r"\b(pipeline_\w+|up)\b(?=[{\[) ,\n]|$)(?:\{([^}]*)\})?")
_LABEL: Final = re.compile(r"(\w+)\s*[=!]~?")
_BY: Final = re.compile(r"\bby \(([^)]*)\)|\bon \(([^)]*)\)")
_ALERT: Final = re.compile(r"- alert: (\w+)\n(.*?)(?=\n      - alert|\Z)", re.DOTALL)


def labels_of(metrics: Iterable[Metric]) -> dict[str, set[str]]:
    """The labels of each sample, by its name."""
    found: dict[str, set[str]] = {}
    for metric in metrics:
        for sample in metric.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.fixture(scope="module")
def exporters() -> Mapping[str, set[str]]:
    """What the exporter tells."""
    return labels_of(filled_registry().collect())


@pytest.fixture(scope="module")
def services() -> Mapping[str, set[str]]:
    """What the REST service tells, once everything has happened."""
    metrics = Metrics(Room(Limits()))
    metrics.answered(Exchange("id", status=202, outcome="ok"), "/v1")
    metrics.rejected("missing")
    metrics.called("user_logins", "ok")
    metrics.sent("user_logins", "sent", 1)
    return labels_of(text_string_to_metric_families(metrics.text().decode()))


def alerts() -> dict[str, str]:
    """The text of each alert, by its name."""
    return dict(_ALERT.findall((PROMETHEUS / "rules.yml").read_text(encoding="utf-8")))


def expressions() -> list[str]:
    """Every expression of the rules and the dashboard."""
    of_rules = [
        re.search(r"expr: (?:\|\n)?(.*?)\n        (?:for|labels):", text, re.DOTALL)
        for text in alerts().values()
    ]
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    targets: Iterator[dict[str, Any]] = itertools.chain.from_iterable(
        panel.get("targets", ()) for panel in board["panels"]
    )
    shown = [target["expr"] for target in targets]
    asked = [each["definition"] for each in board["templating"]["list"] if "definition" in each]
    assert all(of_rules)
    assert len(shown) > 30
    return [each[1] for each in of_rules if each] + shown + asked


def test_rules_and_dashboard_ask_for_what_there_is(
    exporters: Mapping[str, set[str]], services: Mapping[str, set[str]]
) -> None:
    there = {**services, **exporters, **OF_PROMETHEUS}
    asked = set()
    for expression in expressions():
        used = set()
        for name, matchers in _NAME.findall(expression):
            assert name in there, expression
            assert set(_LABEL.findall(matchers)) <= there[name] | ITS_LABELS, expression
            used |= there[name]
            asked.add(name)
        for group in _BY.findall(expression):
            labels = {each.strip() for each in "".join(group).split(",")}
            assert labels <= used | ITS_LABELS, expression
    assert len(asked) > 25


def test_every_figure_of_the_exporter_is_shown_or_watched(
    exporters: Mapping[str, set[str]],
) -> None:
    asked = {name for each in expressions() for name, _ in _NAME.findall(each)}
    known = {"pipeline_queue_up", "pipeline_queue_retention_seconds"}
    assert set(exporters) - asked - known <= {"pipeline_build_info"}


def test_the_page_lists_every_metric_with_its_labels(exporters: Mapping[str, set[str]]) -> None:
    rows = _ROW.findall((ROOT / "docs" / "metrics.md").read_text(encoding="utf-8"))
    listed = {name: set(re.findall(r"`(\w+)`", labels)) for name, _, labels in rows}
    assert listed == exporters


def test_the_page_of_the_service_does_too(services: Mapping[str, set[str]]) -> None:
    text = (ROOT / "docs" / "rest.md").read_text(encoding="utf-8")
    listed = {name for one, other, _ in _ROW.findall(text) for name in (one, other) if name}
    parts = re.compile("_(bucket|count|sum)$")
    told = {parts.sub("", name) for name in services if not name.endswith("_created")}
    assert listed | {"pipeline_build_info"} == told


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    named = {}
    for alert, text in alerts().items():
        page = "-".join(re.findall("[A-Z][a-z]+", alert.removeprefix("Pipeline"))).lower()
        assert f"runbook: docs/runbooks/{page}.md" in text, alert
        assert "severity: critical" in text or "severity: warning" in text, alert
        assert "summary: " in text, alert
        named[page] = alert
    pages = {each.stem: each.read_text(encoding="utf-8") for each in RUNBOOKS.glob("*.md")}
    start = pages.pop("README")
    assert set(pages) == set(named)
    for page, text in pages.items():
        assert named[page] in text, page
        for part in ("## What it means", "## Look", "## Do", "## It is over when"):
            assert part in text, (page, part)
        assert f"({page}.md" in start, page


def test_links_between_runbooks_lead_somewhere() -> None:
    for page in RUNBOOKS.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text):
            there = (page.parent / target) if target else page
            assert there.exists(), (page.name, target)
            headings = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
            assert not anchor or anchor in slugs, (page.name, anchor)
