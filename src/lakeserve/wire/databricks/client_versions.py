"""Where clients of different versions need different answers: the only place that looks at their ``User-Agent``.

``databricks-sdk-py`` names itself ``databricks-sdk-py/0.27.0`` there, among others.
"""

from __future__ import annotations

import re

_SDK = re.compile(r"(?:^|\s)databricks-sdk-py/(\d{1,6})\.(\d{1,6})")
_METRICS_AS_TEXT_SINCE = (0, 28)


def reads_metrics(user_agent: str) -> bool:
    """Whether ``export_metrics`` of this client can take Prometheus' text.

    Before 0.28 the Python SDK read the answer as JSON, threw away what it held, and failed on text.
    An empty answer is the one that it survives.
    """
    version = _sdk_version(user_agent)
    return version is None or version >= _METRICS_AS_TEXT_SINCE


def _sdk_version(user_agent: str) -> tuple[int, int] | None:
    """Major and minor version of the Python SDK; None for any other client."""
    found = _SDK.search(user_agent)
    return (int(found[1]), int(found[2])) if found else None
