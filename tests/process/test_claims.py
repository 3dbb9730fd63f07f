"""Claims on a worker that several gateways share: exclusive between processes, and gone with their holder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lakeserve.adapters.local.worker_upstream import Claim

HOLDER = """
import sys
from pathlib import Path
from lakeserve.adapters.local.worker_upstream import Claim
claim = Claim(Path(sys.argv[1]))
print(claim.take(), flush=True)
sys.stdin.read()
"""


def test_one_holder_at_a_time_until_it_gives_back_or_dies(tmp_path: Path) -> None:
    path = tmp_path / "w.lock"
    ours = Claim(path)
    argv = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert not ours.take()
        other.kill()
        other.wait()
        assert ours.take()
        second = Claim(path)
        assert not second.take()
        ours.give_back()
        assert second.take()
