"""The documentation names only what is there, and the pages that are made from the source are up to date."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"])
OUTPUT = "bench/out"
"""Not in the repository: ``make bench`` writes it."""
INTERNALS = sorted((ROOT / "docs" / "internals").glob("*.md"))

_PATH = re.compile(r"`((?:src|tests|docs|demo|bench|spec|\.ci)/[\w./-]*\w)/?`")
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(#[^)]*)?\)")
_VARIABLE = re.compile(r"LAKESERVE_[A-Z_]*[A-Z]\b")
_DOC = re.compile(r"\bdocs/[\w/-]+(?:\.md\b)?")


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    named = [path for path in _PATH.findall(page.read_text()) if not path.startswith(OUTPUT)]
    missing = [path for path in named if not (ROOT / path).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = [target for target, _ in _LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert dead == []


@pytest.mark.parametrize("page", [page for page in INTERNALS if page.name != "lifecycle.md"], ids=name)
def test_internals_are_one_page_and_name_modules(page: Path) -> None:
    text = page.read_text()
    assert len(text.splitlines()) <= 70
    assert len(set(re.findall(r"`(src/[\w/]+\.py)`", text))) >= 5


def test_generated_pages_are_up_to_date(generate: ModuleType) -> None:
    stale = [name(page) for page, render in generate.PAGES.items() if page.read_text() != render()]
    assert stale == [], "run: python docs/generate.py"


def test_every_setting_has_a_meaning(generate: ModuleType) -> None:
    assert generate.variables() == set(generate.MEANINGS)
    assert [limit for limit, meaning in generate._limits() if not meaning] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_variable_that_a_page_names_is_a_setting(page: Path, generate: ModuleType) -> None:
    limits = {f"LAKESERVE_LIMIT_{field.upper()}" for field, _ in generate._limits()}
    known = set(generate.MEANINGS) | limits | generate.INTERNAL
    assert set(_VARIABLE.findall(page.read_text())) - known == set()


def test_every_flag_is_in_the_settings_page(generate: ModuleType) -> None:
    app = (ROOT / "src" / "lakeserve" / "cli" / "app.py").read_text()
    flags = {f"--{flag.replace('_', '-')}" for flag in re.findall(r"^    (\w+): Annotated\[", app, re.MULTILINE)}
    assert len(flags) >= 5
    assert flags - set(re.findall(r"--[\w-]+", generate.render_settings())) == set()


def test_decisions_have_numbers_of_their_own_and_a_date() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [page.name[:4] for page in pages]
    assert len(set(numbers)) == len(numbers)
    for page in pages:
        text = page.read_text()
        assert re.search(r"^\d{4}-\d\d-\d\d$", text, re.MULTILINE), page
        for heading in ("## Context", "## Choice", "## Rejected"):
            assert heading in text, (page, heading)


def test_the_source_cites_only_pages_that_a_reader_has() -> None:
    pages = {page.name for page in PAGES}
    cited = {
        (path, found)
        for folder in ("src", "tests", "spec", "bench", "demo")
        for path in (ROOT / folder).rglob("*.py")
        for found in re.findall(r"[\w-]+\.md\b", path.read_text())
    }
    assert sorted(f"{name(path)}: {found}" for path, found in cited if found not in pages) == []


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    packages = {re.match(r"[\w-]+", requirement)[0] for requirement in project["dependencies"]}  # type: ignore[index]
    page = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text()
    rows = re.findall(r"^\| (\w[\w, -]*) \|", page, re.MULTILINE)
    assert {package for row in rows[1:] for package in row.split(", ")} == packages


def test_every_page_that_the_source_names_exists() -> None:
    named = {
        (path, found)
        for folder in ("src", "tests", "spec", "bench", "demo")
        for path in (ROOT / folder).rglob("*.py")
        if path != Path(__file__)
        for found in _DOC.findall(path.read_text())
    }
    missing = sorted(f"{name(path)}: {found}" for path, found in named if not list(ROOT.glob(found.rstrip("/") + "*")))
    assert missing == []
