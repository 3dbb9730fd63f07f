"""The Files API and its signed URLs at the server's address: what is kept, what is refused, and what a crash leaves."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import pytest

from lakeserve.adapters.mlflow.databricks.signed_urls import Grant, Signer
from support.server import TOKEN, Answer, Server, poll
from support.serving import Factory

FILES, DIRECTORIES = "/api/2.0/fs/files", "/api/2.0/fs/directories"
VOLUME = "/Volumes/main/default/box"


def put(server: Server, path: str, body: bytes, *, overwrite: bool = True) -> Answer:
    return server.ask("PUT", f"{FILES}{quote(path)}?overwrite={str(overwrite).lower()}", body)


def link(server: Server, kind: str, path: str, **more: object) -> str:
    """A signed URL's path."""
    answer = server.ask("POST", f"/api/2.0/fs/create-{kind}-url", {"path": path, **more})
    assert answer.status == 200, answer.body
    url: str = answer.json["url"]
    assert url.startswith(server.url + "/api/2.0/fs-signed/")
    return urlsplit(url).path


def uploads(server: Server) -> list[Path]:
    return list((server.data_dir / "registry" / "uploads").iterdir())


def test_a_file_s_life(server: Server) -> None:
    path = f"{VOLUME}/life/a file ü.txt"
    assert put(server, path, b"one").status == 204
    assert put(server, path, b"two", overwrite=False).error == (409, "ALREADY_EXISTS")
    head = server.ask("HEAD", f"{FILES}{quote(path)}")
    assert (head.status, head.headers["content-length"], head.body) == (200, "3", b"")
    got = server.ask("GET", f"{FILES}{quote(path)}")
    assert (got.status, got.body, got.headers["content-type"]) == (200, b"one", "application/octet-stream")
    assert put(server, path, b"three").status == 204
    assert server.ask("GET", f"{FILES}{quote(path)}").body == b"three"
    assert server.ask("DELETE", f"{DIRECTORIES}{VOLUME}/life").error == (400, "DIRECTORY_NOT_EMPTY")
    assert server.ask("DELETE", f"{FILES}{quote(path)}").status == 204
    assert server.ask("DELETE", f"{FILES}{quote(path)}").error == (404, "RESOURCE_DOES_NOT_EXIST")
    assert server.ask("HEAD", f"{FILES}{quote(path)}").status == 404
    assert server.ask("DELETE", f"{DIRECTORIES}{VOLUME}/life").status == 204
    assert server.ask("HEAD", f"{DIRECTORIES}{VOLUME}/life").status == 404


def test_an_empty_file_is_a_file(server: Server) -> None:
    assert put(server, f"{VOLUME}/empty", b"").status == 204
    assert server.ask("GET", f"{FILES}{VOLUME}/empty").body == b""
    assert server.ask("DELETE", f"{FILES}{VOLUME}/empty").status == 204


def test_directories_come_in_pages(server: Server) -> None:
    folder = f"{VOLUME}/pages"
    assert server.ask("PUT", f"{DIRECTORIES}{folder}/b").status == 204
    assert server.ask("PUT", f"{DIRECTORIES}{folder}/b").status == 204
    for name in ("a", "c", "d"):
        assert put(server, f"{folder}/{name}", name.encode()).status == 204
    first = server.ask("GET", f"{DIRECTORIES}{folder}?page_size=3").json
    assert [(one["name"], one["path"], one["is_directory"]) for one in first["contents"]] == [
        ("a", f"{folder}/a", False),
        ("b", f"{folder}/b", True),
        ("c", f"{folder}/c", False),
    ]
    assert first["contents"][0]["file_size"] == 1
    token = urlencode({"page_size": 3, "page_token": first["next_page_token"]})
    rest = server.ask("GET", f"{DIRECTORIES}{folder}?{token}").json
    assert ([one["name"] for one in rest["contents"]], rest.get("next_page_token")) == (["d"], None)
    assert server.ask("GET", f"{DIRECTORIES}{folder}?page_token=%21").error == (400, "INVALID_PARAMETER_VALUE")
    assert server.ask("GET", f"{DIRECTORIES}{folder}?page_size=0").error == (400, "INVALID_PARAMETER_VALUE")


def test_a_part_of_a_file(server: Server) -> None:
    path = f"{VOLUME}/range"
    assert put(server, path, b"0123456789").status == 204

    def ask(**headers: str) -> Answer:
        return server.ask(
            "GET", FILES + path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    middle = ask(Range="bytes=2-4")
    assert (middle.status, middle.body, middle.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert ask(Range="bytes=7-").body == b"789"
    assert ask(Range="bytes=-2").body == b"89"
    assert ask(Range="bytes=2-99").body == b"23456789"
    assert ask(Range="lines=1-2").body == b"0123456789"
    assert ask(Range="bytes=10-").error == (416, "OUT_OF_RANGE")
    seen = ask().headers["last-modified"]
    assert ask(If_Unmodified_Since=seen).status == 200
    assert ask(If_Unmodified_Since="Mon, 01 Jan 2001 00:00:00 GMT").error == (412, "PRECONDITION_FAILED")


@pytest.mark.parametrize(
    "path",
    [
        "/Volumes/main/default/box/%2e%2e/%2e%2e/x",
        "/Volumes/main/default/box/..%2f..%2f..%2f..%2f..%2fmlflow.db",
        "/Volumes/main/default/%2e%2e/x",
        "/Volumes/../../mlflow.db",
        "/Models/main/default/..%2f..%2f/1/x",
        "/WorkspaceInternal/Mlflow/Artifacts/1/Runs/..%2f..%2f/x",
        "/WorkspaceInternal/Mlflow/Artifacts/..%2f/Runs/00000000000000000000000000000000/x",
        "/WorkspaceInternal/Mlflow/Artifacts/1/Runs/00000000000000000000000000000000/%2e%2e/x",
        "/Volumes/main/default/box/a%00b",
        "/Volumes/main/default/box/a//b",
        "/Volumes/main/default/box/" + "n" * 300,
        "/Volumes/main",
        "/etc/passwd",
        "/",
        "",
    ],
)
def test_no_path_leads_elsewhere(server: Server, path: str) -> None:
    before = sorted(server.data_dir.parent.rglob("x"))
    for method in ("PUT", "GET", "DELETE", "POST"):
        answer = server.ask(method, f"{FILES}{path}", b"{}" if method == "POST" else None)
        assert answer.error[0] in (400, 404), (method, answer.body)
    assert server.ask("GET", f"{DIRECTORIES}{path}").status in (400, 404)
    assert sorted(server.data_dir.parent.rglob("x")) == before


def test_a_volume_itself_is_neither_written_nor_removed(server: Server) -> None:
    assert put(server, VOLUME, b"x").error == (400, "INVALID_PARAMETER_VALUE")
    for route in (FILES, DIRECTORIES):
        assert server.ask("DELETE", route + VOLUME).error == (400, "INVALID_PARAMETER_VALUE")


def test_a_link_in_a_folder_leads_nowhere(server: Server) -> None:
    """Nobody can make one here; one that is there all the same is not followed out of the folder."""
    assert put(server, f"{VOLUME}/links/file", b"x").status == 204
    folder = server.data_dir / "registry" / "files" / "Volumes" / "main" / "default" / "box" / "links"
    (folder / "out").symlink_to(server.data_dir)
    try:
        assert server.ask("GET", f"{FILES}{VOLUME}/links/out/registry/mlflow.db").error[0] == 400
        assert put(server, f"{VOLUME}/links/out/evil", b"x").error[0] == 400
    finally:
        (folder / "out").unlink()


def test_a_token_is_needed(server: Server) -> None:
    for method, path in (
        ("PUT", f"{FILES}{VOLUME}/x"),
        ("GET", f"{DIRECTORIES}{VOLUME}"),
        ("POST", "/api/2.0/fs/create-download-url"),
        ("POST", "/api/2.0/mlflow/artifacts/credentials-for-read"),
        ("GET", "/api/2.0/mlflow/unity-catalog/registered-models/search"),
    ):
        assert server.ask(method, path, b"", token=None).status == 401, path
        assert server.ask(method, path, b"", token="dapi-wrong").status in (401, 403), path


def test_signed_urls_need_no_token_and_allow_one_thing(server: Server) -> None:
    path = f"{VOLUME}/signed/file"
    up = link(server, "upload", path)
    assert server.ask("PUT", up, b"signed", token=None).status == 200
    down = link(server, "download", path)
    assert server.ask("GET", down, token=None).body == b"signed"
    assert server.ask("GET", down, token=None, headers={"Range": "bytes=1-2"}).body == b"ig"
    for method, url in (("PUT", down), ("GET", up), ("DELETE", down), ("POST", up)):
        assert server.ask(method, url, b"x", token=None).error == (403, "PERMISSION_DENIED")
    query = urlencode({"path": path, "expire_time": "2999-01-01T00:00:00Z"})
    assert server.ask("POST", f"/api/2.0/fs/create-download-url?{query}").status == 200
    past = {"path": path, "expire_time": "2001-01-01T00:00:00Z"}
    assert server.ask("POST", "/api/2.0/fs/create-download-url", past).error == (400, "INVALID_PARAMETER_VALUE")
    absent = {"path": f"{path}.not"}
    assert server.ask("POST", "/api/2.0/fs/create-download-url", absent).error == (404, "RESOURCE_DOES_NOT_EXIST")
    assert server.ask("POST", "/api/2.0/fs/create-nothing-url", absent).error == (404, "NOT_FOUND")


def test_forged_and_expired_urls(server: Server, tmp_path: Path) -> None:
    path = f"{VOLUME}/forged"
    assert put(server, path, b"secret").status == 204
    good = link(server, "download", path)
    prefix, _, token = good.rpartition("/")
    claim, _, digest = token.partition(".")
    other = link(server, "upload", path).rpartition("/")[2].partition(".")[0]
    soon = int(time.time()) + 600
    stranger = Signer(tmp_path / "key").token(Grant("get", path, soon))
    for forged in (claim, f"{claim}.", f"{other}.{digest}", f"{claim}.{digest[:-2]}AA", stranger, "x.y", "%FF.%FF"):
        assert server.ask("GET", f"{prefix}/{forged}", token=None).error == (403, "PERMISSION_DENIED"), forged
    ours = Signer(server.data_dir / "registry" / "signed-urls.key")
    assert server.ask("GET", f"{prefix}/{ours.token(Grant('get', path, soon))}", token=None).body == b"secret"
    late = server.ask("GET", f"{prefix}/{ours.token(Grant('get', path, soon - 601))}", token=None)
    assert (late.status, b"Request has expired" in late.body) == (403, True)


def test_an_upload_in_parts(server: Server) -> None:
    path = f"{VOLUME}/parts"
    begun = server.ask("POST", f"{FILES}{path}?action=initiate-upload&overwrite=true").json
    session = begun["multipart_upload"]["session_token"]
    asked = {"path": path, "session_token": session, "start_part_number": 1, "count": 2}
    urls = server.ask("POST", "/api/2.0/fs/create-upload-part-urls", asked).json["upload_part_urls"]
    assert [one["part_number"] for one in urls] == [1, 2]
    paths = [urlsplit(one["url"]).path for one in urls]
    tags = {}
    for number, body in ((2, b"world"), (1, b"wrong "), (1, b"hello ")):
        answer = server.ask("PUT", paths[number - 1], body, token=None)
        assert answer.status == 200
        tags[number] = answer.headers["etag"]
    parts = [{"part_number": number, "etag": tags[number]} for number in (1, 2)]
    complete = f"{FILES}{path}?" + urlencode({"action": "complete-upload", "session_token": session})
    missing = {"parts": [*parts, {"part_number": 3, "etag": "x"}]}
    assert server.ask("POST", complete, missing).error == (400, "INVALID_PARAMETER_VALUE")
    assert server.ask("POST", complete, {"parts": parts[::-1]}).error == (400, "INVALID_PARAMETER_VALUE")
    assert server.ask("POST", complete, {"parts": parts}).status == 200
    assert server.ask("GET", FILES + path).body == b"hello world"
    assert server.ask("POST", complete, {"parts": parts}).error == (404, "NOT_FOUND")
    assert server.ask("PUT", paths[0], b"late", token=None).error == (404, "NOT_FOUND")
    assert not uploads(server)


def test_an_upload_in_parts_that_is_given_up(server: Server) -> None:
    path = f"{VOLUME}/given-up"
    begun = server.ask("POST", f"{FILES}{path}?action=initiate-upload").json
    session = begun["multipart_upload"]["session_token"]
    asked = {"path": path, "session_token": session, "start_part_number": 1}
    (url,) = server.ask("POST", "/api/2.0/fs/create-upload-part-urls", asked).json["upload_part_urls"]
    assert server.ask("PUT", urlsplit(url["url"]).path, b"part", token=None).status == 200
    abort = server.ask("POST", "/api/2.0/fs/create-abort-upload-url", asked).json["abort_upload_url"]
    assert server.ask("DELETE", urlsplit(abort["url"]).path, token=None).status == 200
    assert server.ask("HEAD", FILES + path).status == 404
    assert not uploads(server)


def half_an_upload(server: Server, path: str) -> contextlib.AbstractContextManager[object]:
    head = (
        f"PUT {FILES}{path}?overwrite=true HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n"
        "content-length: 4000000\r\n\r\n"
    )
    return server.raw(head.encode() + b"x" * 2_000_000)


def test_a_client_that_leaves_leaves_nothing(server: Server) -> None:
    path = f"{VOLUME}/half"
    with half_an_upload(server, path):
        poll(lambda: uploads(server), limit_s=20)
    poll(lambda: not uploads(server), limit_s=20)
    assert server.ask("HEAD", FILES + path).status == 404


def test_a_registry_that_is_killed_in_an_upload_leaves_no_half_file(new_server: Factory) -> None:
    server = new_server(models=False).start(registry=True)
    path = f"{VOLUME}/killed"
    assert put(server, path, b"whole").status == 204
    signed = link(server, "download", path)
    with half_an_upload(server, path):
        poll(lambda: uploads(server), limit_s=20)
        (pid,) = server.pids_of("lakeserve.adapters.mlflow --uds")
        server.kill(pid)
    server.wait_ready(registry=True)
    assert server.ask("GET", FILES + path).body == b"whole"
    assert server.ask("GET", signed, token=None).body == b"whole"
    assert not uploads(server)
    server.stop()


def test_another_registry_has_its_own_routes(server: Server, new_server: Factory) -> None:
    other = new_server("--registry", server.url, models=False, MLFLOW_TRACKING_TOKEN=TOKEN).start(registry=True)
    for method, path in (
        ("GET", f"{FILES}{VOLUME}/x"),
        ("GET", "/api/2.0/mlflow/unity-catalog/registered-models/search"),
        ("GET", "/api/2.0/fs-signed/x"),
    ):
        answer = other.ask(method, path)
        assert answer.error == (404, "NOT_FOUND")
        assert "MLFLOW_TRACKING_URI" in answer.json["message"]
    other.stop()
