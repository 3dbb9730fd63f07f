"""Every setting, read once: the only file that reads the environment.

``Settings`` is one frozen tree. ``lakeserve up`` builds it from its flags and from ``LAKESERVE_*`` variables, and each
process of the tree gets it as JSON from its parent, so that all of them run on the same values. It holds no secret: of the
admin token only the digest.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

MIB = 1024 * 1024

VARIABLE = "LAKESERVE_SETTINGS"
"""How a parent hands the tree to its child: JSON, in this variable."""

LIFE_FD = "LAKESERVE_LIFE_FD"
"""Number of a pipe's read end that reaches its end when the supervisor is gone."""

INSTANCE = "LAKESERVE_INSTANCE"
"""Marks every process of one data directory, so that what a killed supervisor left behind can be found."""

MAX_SOCKET_PATH = 107
"""Bytes that fit into ``sockaddr_un.sun_path`` on Linux, without the final NUL."""

# What of the caller's environment our children get. Anything else, secrets of the shell first of all, stays outside.
_PASSED = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "TZ",
    "TMPDIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NO_PROXY",
    "no_proxy",
)
_PASSED_PREFIXES = ("PYENV_ROOT", "LC_", "UV_", "PIP_", "SSL_CERT_", "CUDA_", "NVIDIA_", "LD_LIBRARY_PATH")
_REGISTRY_CREDENTIALS = ("MLFLOW_TRACKING_", "MLFLOW_S3_", "AWS_", "AZURE_", "GOOGLE_", "DATABRICKS_")
_PASSED_SUFFIXES = ("_PROXY", "_proxy")


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps. Sizes are bytes, times are seconds."""

    request_bytes: int = 16 * MIB
    """Body of a request to a custom model; the default is what Databricks documents."""
    control_bytes: int = 4 * MIB
    """Body of a control-plane request."""
    execution_s: float = 597.0
    """Longest time a model may take for one request."""
    load_s: float = 1800.0
    """Longest time from the start of a worker to a loaded model."""
    queue_per_unit: int = 16
    """Requests that may wait for each unit of concurrency of a served entity; more are refused with 429."""
    queue_s: float = 60.0
    """Longest wait in that queue for a worker that is busy."""
    wake_s: float = 300.0
    """Longest wait while a served entity has no worker at all: it wakes from zero or recovers."""
    scale_down_s: float = 300.0
    """A served entity gives up workers that it has not needed for this long."""
    scale_to_zero_s: float = 1800.0
    """A served entity with scale-to-zero sleeps after this long without a request."""
    zygote_s: float = 3600.0
    """How long the zygote of an environment is kept after its last worker has ended."""
    worker_bytes: int = 4096 * MIB
    """Resident memory of one worker; one that grows beyond it is ended."""
    body_s: float = 120.0
    """Longest time for a request's body to arrive."""
    body_buffer_bytes: int = 256 * MIB
    """Request bodies that a gateway holds at once; requests beyond it wait before their bodies are read."""
    head_s: float = 60.0
    """Longest time for a request's headers to arrive."""
    header_bytes: int = 64 * 1024
    """All headers of a request together."""
    header_count: int = 200
    """Headers of a request."""
    drain_s: float = 600.0
    """Longest time a replaced worker may go on with what it has."""
    stop_s: float = 8.0
    """From the signal to stop until everything that is left is killed."""


@dataclass(frozen=True, slots=True)
class Settings:
    data_dir: Path
    run_dir: Path
    host: str = "127.0.0.1"
    port: int = 8080
    registry: str | None = None
    gateways: int = 1
    env_manager: str = "uv"
    worker_start: str = "auto"
    admin_name: str = "admin@lakeserve.local"
    admin_digest: str = ""
    workspace_id: str = "1000000000000001"
    master_key_file: str = ""
    """The file of the master key, if the operator has chosen one."""
    limits: Limits = field(default_factory=Limits)
    environment: Mapping[str, str] = field(default_factory=dict)
    """What children of ours may see of the environment that lakeserve was started in."""

    @property
    def url(self) -> str:
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def instance(self) -> str:
        return _digest(self.data_dir)

    @property
    def master_key(self) -> Path:
        """The file of the key that encrypts secrets."""
        return Path(self.master_key_file) if self.master_key_file else self.data_dir / "master.key"

    def socket(self, name: str) -> Path:
        """Where the internal Unix socket of that name lies."""
        return self.run_dir / f"{name}.sock"

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "data_dir": str(self.data_dir), "run_dir": str(self.run_dir)})


def from_json(text: str) -> Settings:
    tree: dict[str, Any] = json.loads(text)
    tree.update(data_dir=Path(tree["data_dir"]), run_dir=Path(tree["run_dir"]), limits=Limits(**tree["limits"]))
    return Settings(**tree)


def from_parent() -> Settings:
    """The tree that the supervisor handed to this process."""
    return from_json(os.environ[VARIABLE])


def life_fd() -> int | None:
    """The read end of the supervisor's life pipe, when this process was given one."""
    return int(os.environ[LIFE_FD]) if LIFE_FD in os.environ else None


def admin_token() -> str | None:
    """The admin token that the operator chose, if any."""
    return os.environ.get("LAKESERVE_ADMIN_TOKEN") or None


def _unsendable(token: str) -> bool:
    """Whether it holds what does not travel in an Authorization header."""
    return any(not "!" <= character <= "~" for character in token)


def from_environment(**flags: object) -> Settings:
    """The settings of ``lakeserve up``: a flag that is not None wins over its variable, which wins over the default.

    :raises ValueError: a variable's text is not of its setting's kind.
    """
    environ = os.environ
    if _unsendable(admin_token() or ""):
        raise ValueError(
            "LAKESERVE_ADMIN_TOKEN must be printable ASCII without spaces; no client could send it otherwise"
        )
    data_dir = Path(str(flags.get("data_dir") or environ.get("LAKESERVE_DATA_DIR") or _default_data_dir(environ)))
    data_dir = data_dir.expanduser().resolve()
    chosen: dict[str, Any] = {
        "host": flags.get("host") or environ.get("LAKESERVE_HOST"),
        "port": flags.get("port") if flags.get("port") is not None else _whole(environ, "LAKESERVE_PORT", 0, 65535),
        "gateways": flags.get("gateways")
        if flags.get("gateways") is not None
        else _whole(environ, "LAKESERVE_GATEWAYS", 1, 64),
        "registry": _registry(flags.get("registry") or environ.get("LAKESERVE_REGISTRY")),
        "env_manager": _one_of(environ, "LAKESERVE_ENV_MANAGER", ("uv", "local")),
        "worker_start": _one_of(environ, "LAKESERVE_WORKER_START", ("auto", "fork", "exec")),
        "admin_name": environ.get("LAKESERVE_ADMIN_NAME"),
        "master_key_file": _existing_file(environ, "LAKESERVE_MASTER_KEY_FILE"),
        "workspace_id": _text_of(_whole(environ, "LAKESERVE_WORKSPACE_ID", 1, 2**63 - 1)),
    }
    return Settings(
        data_dir=data_dir,
        run_dir=_run_dir(data_dir),
        limits=_limits(environ),
        environment=_passed(environ),
        **{name: value for name, value in chosen.items() if value is not None},
    )


def registry_credentials() -> dict[str, str]:
    """What MLflow's client needs to reach a registry that is not ours. For the registry's process alone."""
    return {name: value for name, value in os.environ.items() if name.startswith(_REGISTRY_CREDENTIALS)}


def _registry(uri: object) -> str | None:
    """Absolute, because our processes run elsewhere; without credentials, because every process listing shows it."""
    if not uri:
        return None
    text = str(uri)
    parts = urlsplit(text)
    if parts.password:
        raise ValueError(
            "the registry's URI must not hold a password; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
        )
    if text.startswith("sqlite:///") and not text.startswith("sqlite:////"):
        return f"sqlite:///{Path(text.removeprefix('sqlite:///')).resolve()}"
    return text if parts.scheme else str(Path(text).resolve())


def _default_data_dir(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "lakeserve"


def _run_dir(data_dir: Path) -> Path:
    """Beside the data if socket paths fit there, else in a folder of the user's own under the temporary directory."""
    beside = data_dir / "run"
    longest_name = len("w-0123456789abcdef.sock") + 1
    if len(os.fsencode(beside)) + longest_name <= MAX_SOCKET_PATH:
        return beside
    return Path(tempfile.gettempdir()) / f"lakeserve-{os.getuid()}" / _digest(data_dir)


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _limits(environ: Mapping[str, str]) -> Limits:
    """``LAKESERVE_LIMIT_EXECUTION_S=30`` and so on, one variable for each field of :class:`Limits`."""
    defaults = Limits()
    chosen: dict[str, Any] = {}
    for name in Limits.__dataclass_fields__:
        variable = f"LAKESERVE_LIMIT_{name.upper()}"
        if variable in environ:
            kind = type(getattr(defaults, name))
            try:
                chosen[name] = kind(environ[variable])
            except ValueError:
                raise ValueError(f"{variable} must be a number, not {environ[variable]!r}") from None
            if not 0 < chosen[name] < math.inf:  # not a number compares false
                raise ValueError(f"{variable} must be greater than zero and finite")
    return Limits(**chosen)


def _passed(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environ.items()
        if name in _PASSED or name.startswith(_PASSED_PREFIXES) or name.endswith(_PASSED_SUFFIXES)
    }


def _whole(environ: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    text = environ.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and low <= int(text) <= high):
        raise ValueError(f"{name} must be a whole number from {low} to {high}, not {text!r}")
    return int(text)


def _existing_file(environ: Mapping[str, str], name: str) -> str | None:
    """Absolute, because our processes run elsewhere."""
    text = environ.get(name)
    if not text:
        return None
    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise ValueError(f"{name}: there is no file {path}")
    return str(path)


def _text_of(number: int | None) -> str | None:
    return None if number is None else str(number)


def _one_of(environ: Mapping[str, str], name: str, values: tuple[str, ...]) -> str | None:
    text = environ.get(name)
    if text is not None and text not in values:
        raise ValueError(f"{name} must be one of {', '.join(values)}, not {text!r}")
    return text


def replace_process(argv: list[str], settings: Settings) -> NoReturn:
    """Become another program of ours, with these settings and the environment as it is."""
    # Where this is set, every import of a large package costs seconds, in each of our processes.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    os.execve(argv[0], argv, {**environ, VARIABLE: settings.to_json(), "PYTHONSAFEPATH": "1"})  # noqa: S606 - no shell is wanted
