"""The table on the screen: one row for each case and peer, ratios last."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench import machine
from bench.results import Aim, CaseResult, Metric, Run, Side

_BUSY = 0.85
"""Share of its core beyond which the load generator may be what limits."""


def render(run: Run) -> RenderableType:
    """Everything that there is to say about a run."""
    parts: list[RenderableType] = []
    by_metrics: dict[tuple[Metric, ...], list[CaseResult]] = {}
    for case in run.cases:
        by_metrics.setdefault(case.metrics, []).append(case)
    parts += [_table(metrics, cases) for metrics, cases in by_metrics.items()]
    parts += [Text(line) for line in machine.lines(run.machine)]
    parts += [Text(f"{peer} did not take part: {reason}") for peer, reason in run.absent.items()]
    parts += [Text(line) for line in remarks(run)]
    return Group(*parts)


def _table(metrics: tuple[Metric, ...], cases: list[CaseResult]) -> Table:
    table = Table(title="Medians over rounds; ratios are ours to theirs, round by round")
    table.add_column("case")
    table.add_column("system")
    for metric in metrics:
        table.add_column(metric.title if metric.unit == "1/s" else f"{metric.title}, {metric.unit}", justify="right")
    table.add_column("errors", justify="right")
    table.add_column("aims (ours to theirs)")
    for case in cases:
        _add_case(table, case)
    return table


def _add_case(table: Table, case: CaseResult) -> None:
    table.add_section()
    values = [number(case.ours.median(metric)) for metric in case.metrics]
    table.add_row(case.title, case.ours.peer, *values, str(case.ours.errors), "")
    for side in case.theirs:
        values = [number(side.median(metric)) for metric in case.metrics]
        table.add_row("", side.peer, *values, str(side.errors), "")
        ratios = [f"{case.ratio(metric, side):.2f}x" for metric in case.metrics]
        table.add_row("", Text("ratio", style="bold"), *ratios, "", _aims(case, side), style="bold")


def _aims(case: CaseResult, side: Side) -> Text:
    text = Text()
    for aim in case.aims:
        met = aim.met(case.ratio(aim.metric, side))
        text.append("; " if text else "").append(verdict(aim, met), style="green" if met else "red")
    return text


def verdict(aim: Aim, met: bool) -> str:
    return f"{aim} {'met' if met else 'MISSED'}"


def number(value: float) -> str:
    """Three digits that matter."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def remarks(run: Run) -> list[str]:
    """What a reader must know before believing the numbers."""
    found = []
    missed = sum(len(case.missed()) for case in run.cases)
    aims = sum(len(case.aims) * len(case.theirs) for case in run.cases)
    found.append(f"Aims met: {aims - missed} of {aims}. Errors: {run.errors}. Answers compared: equal.")
    for case in run.cases:
        for side in (case.ours, *case.theirs):
            busiest = max(sample.generator_cpu for sample in side.samples)
            parts = side.cpu_parts()
            if len(parts) > 1:
                split = ", ".join(f"{part} {used:.3f}" for part, used in parts.items())
                found.append(f"{case.name}, {side.peer}: CPU ms/request by part: {split}")
            if busiest > _BUSY:
                found.append(f"{case.name}, {side.peer}: the load generator used {busiest:.0%} of its core.")
    return found
