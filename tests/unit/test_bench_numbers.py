"""The arithmetic behind the benchmark's claims."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import pytest
from bench import plots, stats, table
from bench.results import P50, RATE, SERVING, Aim, CaseResult, Run, Sample, Side
from rich.console import Console

MACHINE = {
    "cpu": "a CPU",
    "cores": 2,
    "memory_gib": 4,
    "system": "Linux",
    "python": "3.11",
    "packages": {"mlflow": "3"},
    "commit": "abc",
    "pinning": "none",
    "load_before": 0.0,
}


def sample(rate: float, p50: float, errors: int = 0, generator_cpu: float = 0.1) -> Sample:
    values = {"requests_per_s": rate, "p50_ms": p50, "p99_ms": p50 * 2, "cpu_ms_per_request": 1000 / rate}
    curve = tuple(p50 * (0.5 + position / 10) for position in range(len(stats.CURVE)))
    return Sample(values, 100, errors, generator_cpu, curve, {"gateway": 0.25, "worker": 0.5})


def case(ours: list[Sample], theirs: list[Sample], aims: tuple[Aim, ...] = ()) -> CaseResult:
    return CaseResult("one", "a case", SERVING, Side("us", ours), [Side("them", theirs)], aims)


def shown(run: Run) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table.render(run))
    text = console.file
    assert isinstance(text, io.StringIO)
    return text.getvalue()


@pytest.mark.parametrize(
    ("percent", "expected"), [(1, 1), (50, 50), (99, 99), (99.1, 100), (99.9, 100), (100, 100), (0, 1)]
)
def test_percentiles_are_nearest_ranks(percent: float, expected: float) -> None:
    assert stats.percentile(range(1, 101), percent) == expected


def test_percentile_of_few_and_of_none() -> None:
    assert stats.percentile([7.0], 99) == 7.0
    assert stats.percentile([1.0, 2.0], 50) == 1.0
    assert stats.percentile([1.0, 2.0], 51) == 2.0
    with pytest.raises(ValueError, match="no values"):
        stats.percentile([], 50)


def test_a_ratio_pairs_the_rounds() -> None:
    # The machine was ten times slower in the second round: the ratio of the medians would say something else.
    assert stats.ratio([300.0, 30.0, 310.0], [100.0, 10.0, 100.0]) == 3.0
    assert stats.ratio([1.0], [0.0]) == math.inf
    with pytest.raises(ValueError, match="zip"):
        stats.ratio([1.0, 2.0], [1.0])


def test_spread() -> None:
    assert stats.spread([9.0, 10.0, 12.0]) == pytest.approx(0.3)
    assert stats.spread([0.0, 0.0]) == math.inf


def test_aims_know_which_way_is_better() -> None:
    assert str(Aim(RATE, 3.0)) == "requests/s ≥ 3x"
    assert str(Aim(P50, 0.5)) == "p50 ≤ 0.5x"
    assert Aim(RATE, 3.0).met(3.0)
    assert not Aim(RATE, 3.0).met(2.99)
    assert Aim(P50, 0.5).met(0.5)
    assert not Aim(P50, 0.5).met(0.51)


def test_a_case_knows_what_it_missed() -> None:
    result = case([sample(200, 1.0)] * 3, [sample(100, 3.0)] * 3, (Aim(RATE, 3.0), Aim(P50, 0.5)))
    assert result.ratio(RATE, result.theirs[0]) == 2.0
    assert [aim.metric for aim, _ in result.missed()] == [RATE]
    assert result.errors == 0


def test_the_table_says_ratios_aims_and_errors() -> None:
    result = case([sample(200, 1.0, errors=2)] * 3, [sample(100, 4.0)] * 3, (Aim(RATE, 3.0), Aim(P50, 0.5)))
    text = shown(Run(MACHINE, [result], {"nginx": "it is not installed"}))
    assert "2.00x" in text
    assert "0.25x" in text
    assert "requests/s ≥ 3x MISSED" in text
    assert "p50 ≤ 0.5x met" in text
    assert "Aims met: 1 of 2. Errors: 6." in text
    assert "nginx did not take part: it is not installed" in text
    assert "gateway 0.250, worker 0.500" in text


def test_the_table_says_when_the_generator_was_the_limit() -> None:
    fine = case([sample(200, 1.0)], [sample(100, 1.0)])
    assert "load generator used" not in shown(Run(MACHINE, [fine]))
    busy = case([sample(200, 1.0, generator_cpu=0.97)], [sample(100, 1.0)])
    assert "one, us: the load generator used 97% of its core." in shown(Run(MACHINE, [busy]))


@pytest.mark.parametrize(("value", "text"), [(1234.5, "1234"), (99.94, "99.9"), (10, "10.0"), (1.234, "1.23")])
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert table.number(value) == text


def test_results_as_json() -> None:
    run = Run(MACHINE, [case([sample(200, 1.0)], [sample(100, 4.0)], (Aim(RATE, 3.0),))])
    data = json.loads(json.dumps(run.to_json()))
    assert data["cases"][0]["ratios"] == {
        "them": {"requests_per_s": 2.0, "p50_ms": 0.25, "p99_ms": 0.25, "cpu_ms_per_request": 0.5}
    }
    assert data["cases"][0]["medians"]["us"]["requests_per_s"] == 200
    assert len(data["cases"][0]["sides"][0]["samples"][0]["curve"]) == len(data["percentiles"])


def test_plots_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")

    run = Run(MACHINE, [case([sample(200, 1.0)], [sample(100, 4.0)], (Aim(RATE, 3.0),))])
    files = plots.draw(run, tmp_path)
    assert [file.name for file in files] == ["ratios.png", "latency.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
