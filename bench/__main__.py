"""``python -m bench``: measure, and write ``bench/out/results.json`` and the plots."""

from __future__ import annotations

import argparse
import fnmatch
import json
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from bench import machine, plots, table
from bench.cases import SUITES
from bench.pinning import Pinning
from bench.processes import CannotMeasure
from bench.results import Run
from bench.room import QUICK, Pace, Room

OUT = Path(__file__).resolve().parent / "out"


def main() -> int:
    """The exit status: 1 if there is nothing to report or a request went wrong. A missed aim is said, and is no failure."""
    names = [name for suite in SUITES for name in suite.case_names]
    options = _parser(names).parse_args()
    wanted = [pattern for given in options.case or ["*"] for pattern in given.split(",")]
    unknown = [pattern for pattern in wanted if not fnmatch.filter(names, pattern)]
    if unknown:
        print(f"Error: no case {', '.join(unknown)}; there are {', '.join(names)}", file=sys.stderr)
        return 1
    # Ends as Ctrl-C does: what was started is ended on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    pace = QUICK if options.quick else Pace()
    if options.seconds:
        pace = Pace(options.rounds or pace.rounds, options.seconds, min(pace.warm_up, options.seconds))
    try:
        run = _measure(wanted, pace)
    except CannotMeasure as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    _report(run, options.out)
    return 1 if run.errors else 0


def _parser(names: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="lakeserve beside its peers, as ratios.")
    parser.add_argument("--case", action="append", help=f"only these (may hold *): {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, for a first look")
    parser.add_argument("--rounds", type=int, help="rounds of each case")
    parser.add_argument("--seconds", type=float, help="length of one measurement")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for results.json and the plots")
    return parser


def _measure(wanted: list[str], pace: Pace) -> Run:
    console = Console(stderr=True)
    pinning = Pinning.choose()
    run = Run(machine.describe(pinning))
    # A short path: Unix sockets lie below it.
    with tempfile.TemporaryDirectory(prefix="lsb-") as folder:
        room = Room(
            Path(folder),
            pinning,
            pace,
            wanted=lambda name: any(fnmatch.fnmatch(name, pattern) for pattern in wanted),
            say=lambda text: console.print(text, highlight=False),
            absent=run.absent,
        )
        for suite in SUITES:
            run.cases.extend(suite.run(room))
    return run


def _report(run: Run, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    results = out / "results.json"
    results.write_text(json.dumps(run.to_json(), indent=1) + "\n")
    written = [results, *plots.draw(run, out)]
    # A file or a pipe has no width of its own; the table needs some.
    console = Console() if sys.stdout.isatty() else Console(width=170)
    console.print(table.render(run))
    console.print("Written: " + ", ".join(str(path) for path in written), soft_wrap=True, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
