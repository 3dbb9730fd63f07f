"""The real supervisor with services of the test's choice: ``python small_supervisor.py FOLDER STOP_S SERVICES``.

``SERVICES`` is a JSON object from name to argv. Nothing listens on the public socket.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

from lakeserve.settings import Limits, Settings
from lakeserve.supervisor.main import Supervisor
from lakeserve.supervisor.services import Service, service_environment
from lakeserve.supervisor.spawn import Program


def main() -> None:
    folder, stop_s, wanted = Path(sys.argv[1]), float(sys.argv[2]), json.loads(sys.argv[3])
    environment = {"PATH": os.defpath, "HOME": str(folder)}
    settings = Settings(data_dir=folder, run_dir=folder, limits=Limits(stop_s=stop_s), environment=environment)

    def members(settings: Settings, *, listening: int, life: int) -> list[Service]:
        return [
            Service(
                name,
                Program(argv, service_environment(settings, life), log=str(folder / f"{name}.log"), inherit=[life]),
            )
            for name, argv in wanted.items()
        ]

    with socket.socket() as listener:
        Supervisor(settings, members).run(listener)


main()
