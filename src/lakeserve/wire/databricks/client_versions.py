"""Where clients of different versions need different answers: the only place that looks at their ``User-Agent``.

``databricks-sdk-py`` names itself ``databricks-sdk-py/0.27.0`` there, among others.
"""

from __future__ import annotations

import re

_SDK = re.compile(r"(?:^|\s)databricks-sdk-py/(\d{1,6})\.(\d{1,6})")
_METRICS_AS_TEXT_SINCE = (0, 28)
_UPDATE_CANCELED_SINCE = (0, 30)
_TAGS_IN_AN_OBJECT_SINCE = (0, 41)


def reads_metrics(user_agent: str) -> bool:
    """Whether ``export_metrics`` of this client can take Prometheus' text.

    Before 0.28 the Python SDK read the answer as JSON, threw away what it held, and failed on text.
    An empty answer is the one that it survives.
    """
    version = _sdk_version(user_agent)
    return version is None or version >= _METRICS_AS_TEXT_SINCE


def knows_update_canceled(user_agent: str) -> bool:
    """Whether this client knows the state UPDATE_CANCELED.

    Before 0.30 the Python SDK read it as no state at all, and its waiter went on asking until its time was up.
    UPDATE_FAILED, which it does know, ends the wait with an error in every version.
    """
    version = _sdk_version(user_agent)
    return version is None or version >= _UPDATE_CANCELED_SINCE


def reads_tags_in_an_object(user_agent: str) -> bool:
    """Whether ``patch`` of this client wants its tags as ``{"tags": [...]}``.

    Before 0.41 the Python SDK iterated over the answer itself: it needs a bare list and fails on an object, while the newer
    ones read a list as no tags at all.
    """
    version = _sdk_version(user_agent)
    return version is None or version >= _TAGS_IN_AN_OBJECT_SINCE


def _sdk_version(user_agent: str) -> tuple[int, int] | None:
    """Major and minor version of the Python SDK; None for any other client."""
    found = _SDK.search(user_agent)
    return (int(found[1]), int(found[2])) if found else None
