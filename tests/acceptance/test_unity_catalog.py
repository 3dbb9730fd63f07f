"""Unity Catalog's registry routes one by one, and signed URLs for artifacts; whole programs are in tests/clients."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from support.server import Answer, Server

ROUTES = "/api/2.0/mlflow/unity-catalog/"
MLFLOW = "/api/2.0/mlflow/"
FILES = "/api/2.0/fs/files"


def uc(server: Server, method: str, route: str, **given: Any) -> Answer:
    """As MLflow's client sends it: GET with a query, everything else with JSON."""
    if method == "GET":
        return server.ask("GET", f"{ROUTES}{route}?{urlencode(given)}")
    return server.ask(method, ROUTES + route, given)


def created(server: Server, name: str, **more: Any) -> str:
    answer = uc(server, "POST", "registered-models/create", name=name, **more)
    assert answer.status == 200, answer.body
    return name


def registered(server: Server, name: str) -> dict[str, Any]:
    """A version with one file, finalized."""
    answer = uc(server, "POST", "model-versions/create", name=name, source="s3://elsewhere/model")
    assert answer.status == 200, answer.body
    version: dict[str, Any] = answer.json["model_version"]
    file = f"{FILES}{version['storage_location']}/MLmodel"
    assert server.ask("PUT", file, b"flavors: {}\n").status == 204
    done = uc(server, "POST", "model-versions/finalize", name=name, version=version["version"])
    assert done.json["model_version"]["status"] == "READY"
    return version


def test_a_registered_model_s_life(server: Server) -> None:
    tag = {"key": "team", "value": "one"}
    name = created(server, "main.default.life", description="first", tags=[tag])
    again = uc(server, "POST", "registered-models/create", name=name)
    assert again.error == (400, "RESOURCE_ALREADY_EXISTS")
    model = uc(server, "GET", "registered-models/get", name=name).json["registered_model"]
    assert (model["name"], model["description"], model["tags"], model["aliases"]) == (name, "first", [tag], [])
    updated = uc(server, "PATCH", "registered-models/update", name=name, description="second").json
    assert updated["registered_model"]["description"] == "second"
    assert uc(server, "POST", "registered-models/set-tag", name=name, key="a", value="b").json == {}
    assert uc(server, "DELETE", "registered-models/delete-tag", name=name, key="team").json == {}
    model = uc(server, "GET", "registered-models/get", name=name).json["registered_model"]
    assert model["tags"] == [{"key": "a", "value": "b"}]
    renamed = uc(server, "PATCH", "registered-models/update", name=name, new_name="main.default.afterlife")
    assert renamed.json["registered_model"]["name"] == "main.default.afterlife"
    found = uc(server, "GET", "registered-models/search").json["registered_models"]
    assert "main.default.afterlife" in [one["name"] for one in found]
    assert uc(server, "DELETE", "registered-models/delete", name="main.default.afterlife").json == {}
    gone = uc(server, "GET", "registered-models/get", name="main.default.afterlife")
    assert gone.error == (404, "RESOURCE_DOES_NOT_EXIST")


def test_names_of_fewer_levels_stay_out(server: Server) -> None:
    assert server.ask("POST", MLFLOW + "registered-models/create", {"name": "flat"}).status == 200
    found = uc(server, "GET", "registered-models/search").json["registered_models"]
    assert "flat" not in [one["name"] for one in found]
    server.ask("DELETE", MLFLOW + "registered-models/delete", {"name": "flat"})


def test_a_version_is_pending_until_its_files_are_there(server: Server) -> None:
    name = created(server, "main.default.pending")
    answer = uc(server, "POST", "model-versions/create", name=name, source="/home/me/model", description="mine")
    version = answer.json["model_version"]
    assert (version["version"], version["status"], version["source"]) == ("1", "PENDING_REGISTRATION", "/home/me/model")
    assert version["storage_location"] == "/Models/main/default/pending/1"
    plain = server.ask("GET", f"{MLFLOW}model-versions/get?name={name}&version=1").json["model_version"]
    assert plain["status"] == "PENDING_REGISTRATION"
    early = uc(server, "POST", "model-versions/finalize", name=name, version="1")
    assert early.error == (400, "INVALID_STATE")
    endpoint = server.create("too-early", "pending")
    if endpoint.status == 200:
        state = server.settled("too-early")["state"]
        assert state["ready"] == "NOT_READY"
        server.delete("too-early")
    uc(server, "DELETE", "registered-models/delete", name=name)


def test_a_version_s_life(server: Server) -> None:
    name = created(server, "main.default.versions")
    version = registered(server, name)
    number = {"name": name, "version": version["version"]}
    again = uc(server, "POST", "model-versions/finalize", **number)
    assert again.json["model_version"]["status"] == "READY"
    file = f"{FILES}{version['storage_location']}/MLmodel"
    assert server.ask("GET", file).body == b"flavors: {}\n"
    assert server.ask("PUT", f"{file}?overwrite=true", b"other").error == (403, "PERMISSION_DENIED")
    told = uc(server, "PATCH", "model-versions/update", **number, description="good").json["model_version"]
    assert told["description"] == "good"
    assert uc(server, "POST", "model-versions/set-tag", **number, key="a", value="b").json == {}
    assert uc(server, "POST", "registered-models/alias", **number, alias="best").json == {}
    found = uc(server, "GET", "model-versions/search", filter=f"name='{name}'").json["model_versions"]
    assert [(one["version"], one["tags"]) for one in found] == [("1", [{"key": "a", "value": "b"}])]
    by_alias = uc(server, "GET", "registered-models/alias", name=name, alias="best").json["model_version"]
    assert by_alias["aliases"] == [{"alias": "best", "version": "1"}]
    assert uc(server, "GET", "model-versions/get-download-uri", **number).json == {
        "artifact_uri": "/Models/main/default/versions/1"
    }
    given = uc(server, "POST", "model-versions/generate-temporary-credentials", **number).json
    assert given == {"credentials": {"storage_mode": "DEFAULT_STORAGE"}}
    assert uc(server, "POST", "model-versions/emit-lineage", **number).json == {}
    assert uc(server, "DELETE", "model-versions/delete-tag", **number, key="a").json == {}
    assert uc(server, "DELETE", "registered-models/alias", name=name, alias="best").json == {}
    no_alias = uc(server, "GET", "registered-models/alias", name=name, alias="best")
    assert no_alias.error == (404, "RESOURCE_DOES_NOT_EXIST")
    folders = list((server.data_dir / "registry" / "artifacts" / "registered").iterdir())
    assert uc(server, "DELETE", "model-versions/delete", **number).json == {}
    assert len(list((server.data_dir / "registry" / "artifacts" / "registered").iterdir())) == len(folders) - 1
    assert server.ask("GET", file).error == (404, "RESOURCE_DOES_NOT_EXIST")
    # Its number does not come back.
    assert registered(server, name)["version"] == "2"
    assert uc(server, "DELETE", "registered-models/delete", name=name).json == {}


def test_a_model_whose_files_lie_elsewhere_can_be_deleted(server: Server) -> None:
    name = created(server, "main.default.elsewhere")
    made = server.ask("POST", MLFLOW + "model-versions/create", {"name": name, "source": "s3://bucket/model"})
    assert made.status == 200, made.body
    assert server.ask("GET", f"{FILES}/Models/main/default/elsewhere/1/MLmodel").status == 422
    assert uc(server, "DELETE", "registered-models/delete", name=name).json == {}


@pytest.mark.parametrize("name", ["flat", "two.levels", "a.b.c.d", "a.b.c/d", "a.b.c'", "a..c", "", "a.b." + "c" * 300])
def test_names_that_are_none(server: Server, name: str) -> None:
    for method, route in (
        ("POST", "registered-models/create"),
        ("GET", "model-versions/get"),
        ("DELETE", "registered-models/delete"),
    ):
        assert uc(server, method, route, name=name, version="1").error == (400, "INVALID_PARAMETER_VALUE")


def test_what_is_not_there(server: Server) -> None:
    gone = {"name": "main.default.never", "version": "1"}
    for method, route in (
        ("GET", "model-versions/get"),
        ("POST", "model-versions/finalize"),
        ("GET", "model-versions/get-download-uri"),
        ("POST", "model-versions/emit-lineage"),
        ("DELETE", "model-versions/delete"),
        ("GET", "registered-models/get"),
    ):
        assert uc(server, method, route, **gone).error == (404, "RESOURCE_DOES_NOT_EXIST"), route
    made = uc(server, "POST", "model-versions/create", name="main.default.never", source="x")
    assert made.error == (404, "RESOURCE_DOES_NOT_EXIST")
    assert uc(server, "GET", "model-versions/get", name="main.default.wine", version="../1").error[0] == 400
    assert uc(server, "POST", "registered-models/get", **gone).error == (404, "NOT_FOUND")
    assert server.ask("POST", ROUTES + "registered-models/create", b"[1]").error == (400, "BAD_REQUEST")


def test_signed_urls_for_artifacts(server: Server) -> None:
    """What MLflow 2 asks for a run, and MLflow 3 for a logged model when the Files API fails it."""
    experiment = server.ask("POST", MLFLOW + "experiments/create", {"name": "signed"}).json["experiment_id"]
    run = server.ask("POST", MLFLOW + "runs/create", {"experiment_id": experiment}).json["run"]["info"]["run_id"]
    asked = {"run_id": run, "path": ["notes/a.txt"]}
    (up,) = server.ask("POST", MLFLOW + "artifacts/credentials-for-write", asked).json["credential_infos"]
    assert (up["run_id"], up["path"]) == (run, "notes/a.txt")
    assert server.ask("PUT", urlsplit(up["signed_uri"]).path, b"note", token=None).status == 200
    (down,) = server.ask("POST", MLFLOW + "artifacts/credentials-for-read", asked).json["credential_infos"]
    assert server.ask("GET", urlsplit(down["signed_uri"]).path, token=None).body == b"note"
    listed = server.ask("GET", f"{MLFLOW}artifacts/list?run_id={run}&path=notes").json["files"]
    assert [one["path"] for one in listed] == ["notes/a.txt"]
    made = server.ask("POST", MLFLOW + "logged-models", {"experiment_id": experiment, "name": "m"}).json["model"]
    route = f"{MLFLOW}logged-models/{made['info']['model_id']}/artifacts/credentials-for-"
    (up,) = server.ask("POST", route + "upload", {"paths": ["MLmodel"]}).json["credentials"]
    assert server.ask("PUT", urlsplit(up["credential_info"]["signed_uri"]).path, b"x", token=None).status == 200
    (down,) = server.ask("POST", route + "download", {"paths": ["MLmodel"]}).json["credentials"]
    assert server.ask("GET", urlsplit(down["credential_info"]["signed_uri"]).path, token=None).body == b"x"
    climb = {"run_id": run, "path": ["../../x"]}
    assert server.ask("POST", MLFLOW + "artifacts/credentials-for-write", climb).error[0] == 400
    absent = {"run_id": "0" * 32, "path": ["x"]}
    assert server.ask("POST", MLFLOW + "artifacts/credentials-for-read", absent).error[0] == 404
