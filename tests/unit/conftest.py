"""Makes ``bench/`` importable: it lies beside the tests, and is installed nowhere."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
