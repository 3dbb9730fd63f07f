"""What the numbers were taken on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from bench.pinning import Pinning

_PACKAGES = (
    "lakeserve",
    "mlflow",
    "uvicorn",
    "uvloop",
    "httptools",
    "fastapi",
    "orjson",
    "scikit-learn",
    "numpy",
    "pandas",
)


def describe(pinning: Pinning) -> dict[str, Any]:
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "commit": _commit(),
        "pinning": str(pinning),
        # More than a little of it before anything of ours runs means that others disturb the numbers.
        "load_before": round(os.getloadavg()[0], 2),
    }


def lines(machine: dict[str, Any]) -> list[str]:
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}",
        f"Python {machine['python']}; {packages}; commit {machine['commit']}",
        f"{machine['pinning']}; load average before the run {machine['load_before']}",
    ]


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or "unknown CPU"
    fields = {
        name: found[1]
        for name in ("model name", "cpu family", "model")
        if (found := re.search(rf"^{name}\s*: (.*)$", text, re.M))
    }
    name = fields.get("model name", platform.machine())
    return f"{name} (family {fields['cpu family']}, model {fields['model']})" if len(fields) == 3 else name


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _commit() -> str:
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
