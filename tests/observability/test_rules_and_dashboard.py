"""Alert rules and the dashboard ask for metrics and labels that exist, and lead to words that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml
from command_lines import REPOSITORY

from shared.broker.registry import WorkerState
from shared.reasons import Reason
from shared.reconciling.verdicts import Standing
from shared.settings import Phase
from shared.verdicts import Verdict
from workers.world import Fault

DEPLOY = REPOSITORY / "ops/deploy"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboards/runferry.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
#: What a label of ours may be asked for.
VALUES = {
    "verdict": {*Verdict, *Standing},
    "reason": set(Reason),
    "fault": {fault.value for fault in Fault},
    "phase": set(Phase),
    "queue": {"live", "backfill", "reconcile"},
    "scope": {"all", "some"},
    "state": {"waiting", "in_flight", "delayed", "dead", *WorkerState},
    "store": {"postgresql", "redis"},
}
Expression = Any


def expressions() -> Iterator[tuple[str, str]]:
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m")


def parse(text: str) -> Expression:
    return promql_parser.parse(text)


def children(expression: Expression) -> list[Expression]:
    found = [getattr(expression, name, None) for name in ("expr", "lhs", "rhs", "vector_selector", "param")]
    return [child for child in [*found, *getattr(expression, "args", [])] if child is not None]


def selectors(expression: Expression) -> Iterator[Expression]:
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
    for child in children(expression):
        yield from selectors(child)


def grouped(expression: Expression) -> Iterator[tuple[str, Expression]]:
    """Yield each label that an aggregation or a matching names, with the expression that must have it."""
    modifier = getattr(expression, "modifier", None)
    if isinstance(expression, promql_parser.AggregateExpr) and modifier is not None:
        yield from ((label, expression.expr) for label in modifier.labels)
    if isinstance(expression, promql_parser.BinaryExpr) and modifier is not None and modifier.matching is not None:
        yield from (
            (label, side) for label in modifier.matching.labels for side in (expression.lhs, expression.rhs)
        )
    for child in children(expression):
        yield from grouped(child)


def check(where: str, text: str, labels_by_series: dict[str, set[str]]) -> None:
    expression = parse(text)
    found = list(selectors(expression))
    assert found, where
    for selector in found:
        assert selector.name in labels_by_series, f"{where}: nothing tells {selector.name}"
        for matcher in selector.matchers.matchers:
            assert matcher.name in labels_by_series[selector.name], (
                f"{where}: {selector.name} has no {matcher.name}"
            )
            if matcher.name in VALUES:
                assert set(matcher.value.split("|")) <= VALUES[matcher.name], f"{where}: {matcher.value}"
    for label, part in grouped(expression):
        for selector in selectors(part):
            assert label in labels_by_series[selector.name], f"{where}: {selector.name} has no {label}"


def test_every_expression_asks_for_series_labels_and_values_that_exist(
    labels_by_series: dict[str, set[str]],
) -> None:
    found = list(expressions())
    assert len(found) > 50
    for where, text in found:
        check(where, text, labels_by_series)


def test_a_name_that_does_not_exist_would_be_found(labels_by_series: dict[str, set[str]]) -> None:
    with pytest.raises(AssertionError, match="nothing tells runferry_nothing"):
        check("x", "max(runferry_nothing)", labels_by_series)
    with pytest.raises(AssertionError, match="has no color"):
        check("x", "sum by (color) (runferry_workers)", labels_by_series)
    with pytest.raises(AssertionError, match="sleeping"):
        check("x", 'runferry_workers{state="sleeping"}', labels_by_series)


def test_every_alert_leads_to_its_section_and_every_section_has_its_alert() -> None:
    text = (REPOSITORY / "docs/alerts.md").read_text()
    sections = re.findall(r"^## (\w+)$", text, re.MULTILINE)
    assert sections == [rule["alert"] for rule in RULES]
    for rule in RULES:
        file, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (file, anchor) == ("docs/alerts.md", rule["alert"].lower())
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert {"summary", "description"} <= rule["annotations"].keys()


def test_every_word_of_an_alert_names_a_label_that_its_expression_keeps() -> None:
    for rule in RULES:
        named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        kept = {label for label, _ in grouped(parse(rule["expr"]))}
        is_plain = not kept  # nothing is aggregated: all labels stay
        assert named <= kept | ({"instance", "job"} if is_plain else set()), rule["alert"]


def test_panels_do_not_lie_on_one_another_and_say_what_they_are() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert all(panel["title"] for panel in DASHBOARD["panels"])
    (variable,) = DASHBOARD["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    for panel in PANELS:
        sources = {panel["datasource"]["uid"], *(target["datasource"]["uid"] for target in panel["targets"])}
        assert sources == {f"${{{variable['name']}}}"}
        named = {
            label for target in panel["targets"] for label in re.findall(r"{{(\w+)}}", target["legendFormat"])
        }
        kept = {label for target in panel["targets"] for label, _ in grouped(parse_of(target))} | {
            "instance",
            "job",
        }
        assert named <= kept, panel["title"]


def parse_of(target: dict[str, Any]) -> Expression:
    return parse(target["expr"].replace("$__rate_interval", "1m"))


def test_every_metric_is_in_the_document_with_its_labels_and_no_other(
    labels_by_series: dict[str, set[str]],
) -> None:
    text = (REPOSITORY / "docs/observability.md").read_text()
    rows = re.findall(r"^\| `(runferry_\w+)` \| ([\w, ]*)\|", text, re.MULTILINE)
    told = {name: {label.strip() for label in labels.split(",") if label.strip()} for name, labels in rows}
    assert len(told) == len(rows)
    histograms = {name.removesuffix("_bucket") for name in labels_by_series if name.endswith("_bucket")}
    real = {
        name: labels - {"job", "instance"}
        for name, labels in labels_by_series.items()
        if name.startswith("runferry_") and not name.startswith(tuple(f"{one}_" for one in histograms))
    }
    real |= {name: labels_by_series[f"{name}_count"] - {"job", "instance"} for name in histograms}
    assert told == real
