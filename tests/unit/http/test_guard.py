"""What the first look at a request lets through, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from lakeserve.domain.errors import BadRequest
from lakeserve.http import guard

HOST = (b"host", b"127.0.0.1:8080")


def check(path: str = "/", headers: list[tuple[bytes, bytes]] | None = None, **limits: int) -> str:
    scope: dict[str, Any] = {"path": path, "headers": [HOST] if headers is None else headers}
    return guard.check(scope, **{"max_headers": 10, "max_header_bytes": 200, **limits})


@pytest.mark.parametrize(
    ("path", "passed"),
    [
        ("/", "/"),
        ("/a", "/a"),
        ("/a/", "/a"),
        ("/a/b.c/..d/e..", "/a/b.c/..d/e.."),
        ("/.hidden/...", "/.hidden/..."),
        ("/serving-endpoints/näme/invocations", "/serving-endpoints/näme/invocations"),
    ],
)
def test_paths_that_pass(path: str, passed: str) -> None:
    assert check(path) == passed


@pytest.mark.parametrize(
    "path",
    ["", "a", "*", "//", "//a", "/a//", "/a//b", "/.", "/..", "/./", "/../", "/a/./b", "/a/../b", "/a/..", "/a\\b"]
    + [f"/a{character}b" for character in "\x00\t\n\r\x1f\x7f"]
    + ["/a/..\n", "/a\n"],
)
def test_paths_that_are_refused(path: str) -> None:
    with pytest.raises(BadRequest, match="path is not valid"):
        check(path)


@pytest.mark.parametrize("host", [b"a", b"a.b-c_d:80", b"127.0.0.1", b"[::1]:8080", b"[fe80::1.2.3.4]"])
def test_hosts_that_pass(host: bytes) -> None:
    assert check(headers=[(b"host", host)]) == "/"


@pytest.mark.parametrize("host", [b"", b"a b", b"a:123456", b"a/b", b"user@a", b"[::1", b"a,b", b"a\n"])
def test_hosts_that_are_refused(host: bytes) -> None:
    with pytest.raises(BadRequest, match="one valid Host"):
        check(headers=[(b"host", host)])


@pytest.mark.parametrize("headers", [[], [(b"accept", b"*/*")], [HOST, HOST], [HOST, (b"host", b"other")]])
def test_exactly_one_host(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(BadRequest, match="one valid Host"):
        check(headers=headers)


@pytest.mark.parametrize("name", [b"authorization", b"content-type", b"content-length"])
def test_headers_that_may_be_given_once(name: bytes) -> None:
    assert check(headers=[HOST, (name, b"1")]) == "/"
    with pytest.raises(BadRequest, match="given twice"):
        check(headers=[HOST, (name, b"1"), (b"accept", b"*/*"), (name, b"1")])


def test_other_headers_may_be_repeated() -> None:
    assert check(headers=[HOST, (b"accept", b"a"), (b"accept", b"b")]) == "/"


def test_bounds_on_headers() -> None:
    assert check(headers=[HOST, (b"a", b"b")], max_headers=2) == "/"
    with pytest.raises(BadRequest, match="too large"):
        check(headers=[HOST, (b"a", b"b"), (b"c", b"d")], max_headers=2)
    size = sum(len(part) for part in HOST)
    assert check(max_header_bytes=size) == "/"
    with pytest.raises(BadRequest, match="too large"):
        check(max_header_bytes=size - 1)
