"""The list of operations is complete, keeps its rules, and its page is up to date."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from databricks.sdk.service import apps, iam, serving, settings, workspace

from support.clients import client_python

ROOT = Path(__file__).resolve().parents[2]
ENTRY = {"id": "a.b", "surface": "rest", "group": "g", "call": "GET /a", "status": "open"}
SERVICES = [
    serving.ServingEndpointsAPI,
    apps.AppsAPI,
    apps.AppsSettingsAPI,
    workspace.SecretsAPI,
    iam.CurrentUserAPI,
    settings.TokensAPI,
]
CALL = re.compile(r"""_api\.do\(\s*["'](?P<method>\w+)["'],\s*f?["'](?P<path>/[^"']+)["']""")


@pytest.fixture(scope="module")
def coverage() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT))
    yield importlib.import_module("spec.coverage")
    sys.path.remove(str(ROOT))


def shape(call: str) -> str:
    """A call without the names of its parameters, which differ between clients."""
    return re.sub(r"\{[^}]*\}", "{}", call)


def test_page_is_up_to_date(coverage: ModuleType) -> None:
    expected = coverage.render(coverage.load(coverage.OPERATIONS.read_text()))
    assert coverage.PAGE.read_text() == expected, "run: python -m spec"


def test_every_done_operation_has_its_test(coverage: ModuleType) -> None:
    operations = coverage.load(coverage.OPERATIONS.read_text())
    missing = [each.id for each in operations if each.test and not (ROOT / each.test).is_file()]
    assert missing == []
    assert all(each.test.startswith("tests/") for each in operations if each.test)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.__name__)
def test_no_route_of_the_newest_sdk_is_missing(coverage: ModuleType, service: type) -> None:
    listed = {shape(each.call) for each in coverage.load(coverage.OPERATIONS.read_text())}
    called = {shape(f"{m['method']} {m['path']}") for m in CALL.finditer(inspect.getsource(service))}
    assert called
    assert called - listed == set()


def test_no_route_of_sdk_0_27_is_missing(coverage: ModuleType) -> None:
    listed = {shape(each.call) for each in coverage.load(coverage.OPERATIONS.read_text())}
    python = client_python("databricks-sdk==0.27.0")
    (source,) = python.parents[1].glob("lib/python*/site-packages/databricks/sdk/service/serving.py")
    called = {shape(f"{m['method']} {m['path']}") for m in CALL.finditer(source.read_text())}
    assert len(called) > 20
    assert called - listed == set()


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([ENTRY, ENTRY], "a.b: the id is used 2 times"),
        ([{**ENTRY, "surface": "soap"}], "a.b: surface must be"),
        ([{**ENTRY, "status": "maybe"}], "a.b: status must be"),
        ([{**ENTRY, "status": "done"}], "a.b: a done operation must name the test"),
        ([{**ENTRY, "note": "x"}], "a.b: an entry has the keys"),
        ([{"id": "a.b"}], "a.b: an entry has the keys"),
        (["a.b"], "a.b: an entry has the keys"),
        ([{**ENTRY, "call": ""}], "a.b: call must be text"),
    ],
)
def test_a_wrong_list_is_refused(coverage: ModuleType, entries: list[object], told: str) -> None:
    with pytest.raises(coverage.WrongOperation, match=re.escape(told)):
        coverage.load(str(entries))


def test_a_done_operation_links_to_its_test(coverage: ModuleType) -> None:
    entry = {**ENTRY, "status": "done", "test": "tests/meta/test_coverage.py", "sdk": "x.y"}
    page = coverage.render(coverage.load(str([entry])))
    assert "| a.b | `GET /a` | `x.y` | g | [done](../../tests/meta/test_coverage.py) |" in page
    assert "| REST | 1 | 1 |" in page
