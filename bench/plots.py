"""The pictures: ratios as bars, and the latencies of each case as curves over percentiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.results import CaseResult, Run
from bench.stats import CURVE

_OURS = "#1f6feb"
_THEIRS = ("#d1702f", "#7d8590", "#3c8d53", "#9a5fb5", "#b8a038")


def draw(run: Run, folder: Path) -> list[Path]:
    """The files that were written; none where matplotlib is not installed."""
    try:
        import matplotlib as mpl
    except ImportError:
        return []
    mpl.use("Agg")
    mpl.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "font.size": 9})
    drawn = []
    cases = [case for case in run.cases if case.theirs]
    if cases:
        drawn.append(_ratios(cases, folder / "ratios.png"))
    cases = [case for case in run.cases if case.ours.samples[0].curve]
    if cases:
        drawn.append(_latencies(cases, folder / "latency.png"))
    return drawn


def _ratios(cases: list[CaseResult], path: Path) -> Path:
    """One panel for each metric, one bar for each case and peer, on a scale where twice and half are equally far from 1."""
    import matplotlib.pyplot as plt

    metrics = cases[0].metrics
    height = 1.2 + 0.32 * sum(len(case.theirs) for case in cases)
    panels: Any
    figure, panels = plt.subplots(
        1, len(metrics), figsize=(3.1 * len(metrics) + 1.5, height), sharey=True, squeeze=False
    )
    for panel, metric in zip(panels[0], metrics, strict=True):
        bars = [(case, side) for case in cases for side in case.theirs]
        values = [case.ratio(metric, side) for case, side in bars]
        good = [(value >= 1) == metric.more_is_better for value in values]
        colours = [_OURS if better else _THEIRS[0] for better in good]
        drawn = panel.barh(range(len(bars)), [value - 1 for value in values], left=1, color=colours, height=0.7)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        panel.bar_label(drawn, [f"{value:.2f}x" for value in values], padding=4, bbox=box, zorder=5)
        for row, (case, _) in enumerate(bars):
            for aim in case.aims:
                if aim.metric is metric:
                    panel.plot([aim.bound] * 2, [row - 0.45, row + 0.45], color="black", linewidth=2)
        panel.set_xscale("log", base=2)
        panel.set_xlim(min(*values, 0.5) / 3, max(*values, 2.0) * 3)
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}x")
        panel.tick_params(axis="x", labelrotation=60)
        panel.axvline(1, color="grey", linewidth=0.8)
        panel.set_title(f"{metric.title}\n({'more' if metric.more_is_better else 'less'} is better)")
        panel.set_yticks(range(len(bars)), [f"{case.title}\nagainst {side.peer}" for case, side in bars])
    panels.flat[0].invert_yaxis()
    figure.suptitle("lakeserve to its peers; a black mark is the aim")
    return _save(figure, path)


def _latencies(cases: list[CaseResult], path: Path) -> Path:
    import matplotlib.pyplot as plt

    columns = min(len(cases), 4)
    rows = -(-len(cases) // columns)
    panels: Any
    figure, panels = plt.subplots(rows, columns, figsize=(3.2 * columns, 2.6 * rows + 0.6), squeeze=False)
    positions = range(len(CURVE))
    for number, panel in enumerate(panels.flat):
        if number >= len(cases):
            panel.axis("off")
            continue
        case = cases[number]
        for side, colour in zip((case.ours, *case.theirs), (_OURS, *_THEIRS), strict=False):
            panel.plot(positions, side.curve(), marker="o", markersize=3, color=colour, label=side.peer)
        panel.set_xticks(positions, [f"{percent:g}" for percent in CURVE], rotation=60)
        panel.set_yscale("log")
        for axis in (panel.yaxis.set_major_formatter, panel.yaxis.set_minor_formatter):
            axis(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "125" else "")
        panel.grid(alpha=0.3)
        panel.set_title(case.title)
        panel.set_xlabel("percentile")
        panel.set_ylabel("latency [ms]")
    panels.flat[0].legend(frameon=False)
    return _save(figure, path)


def _save(figure: Any, path: Path) -> Path:
    import matplotlib.pyplot as plt

    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path
