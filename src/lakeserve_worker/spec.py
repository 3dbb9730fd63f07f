"""What a worker is told at its start (WORKER_SPEC of :mod:`lakeserve_worker.protocol`)."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class WorkerSpec(NamedTuple):
    worker_id: str
    socket: str
    model_path: str
    endpoint_name: str
    entity_name: str
    environment: dict[str, str]
    log_file: str
    execution_limit_s: float
    preload_file: str
    supervisor_pid: int

    @classmethod
    def parse(cls, line: str) -> WorkerSpec:
        """
        :raises ValueError: not JSON, or a field is missing or of the wrong type.
        """
        return cls.of(json.loads(line))

    @classmethod
    def of(cls, fields: Any) -> WorkerSpec:
        """
        :raises ValueError: a field is missing or of the wrong type.
        """
        if not isinstance(fields, dict):
            raise ValueError("the worker's description is not an object")
        try:
            return cls(
                worker_id=str(fields["worker_id"]),
                socket=str(fields["socket"]),
                model_path=str(fields["model_path"]),
                endpoint_name=str(fields["endpoint_name"]),
                entity_name=str(fields["entity_name"]),
                environment={str(name): str(value) for name, value in fields["environment"].items()},
                log_file=str(fields["log_file"]),
                execution_limit_s=float(fields["execution_limit_s"]),
                preload_file=str(fields["preload_file"]),
                supervisor_pid=int(fields["supervisor_pid"]),
            )
        except KeyError as error:
            raise ValueError(f"the worker's description lacks {error}") from error
        except (TypeError, AttributeError) as error:
            raise ValueError(f"the worker's description is malformed: {error}") from error
