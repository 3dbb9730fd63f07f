"""A supervisor to be killed: starts a zygote and two workers, tells their pids, and waits."""

import json
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from harness import exec_worker, make_spec, set_subreaper, zygote


def main() -> None:
    folder, model = Path(sys.argv[1]), Path(sys.argv[2])
    set_subreaper(True)
    with zygote(folder) as started, exec_worker(make_spec(folder, model)) as executed:
        forked = started.fork(make_spec(folder, model))
        for worker in (forked, executed):
            worker.ask({"inputs": "pid"})
        print(json.dumps([started.process.pid, forked.pid, executed.pid]), flush=True)
        signal.pause()


main()
