"""``python -m lakeserve.supervisor``: what ``lakeserve up`` becomes once its flags are read."""

from __future__ import annotations

import sys

from lakeserve import settings
from lakeserve.supervisor.main import main

sys.exit(main(settings.from_parent()))
