"""Reading and checking a model's folder, without mlflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakeserve.adapters.mlflow.model_files import UnsafePath, check_links, copy_model, inside, whole_or_absent
from lakeserve.adapters.mlflow.package import check_package, read_package
from lakeserve.ports.models import ModelUnusable

MLMODEL = "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    model_path: model.pkl\n"


def package(folder: Path, mlmodel: str = MLMODEL, **files: str) -> Path:
    folder.mkdir()
    (folder / "MLmodel").write_text(mlmodel)
    for name, text in files.items():
        (folder / name.replace("_yaml", ".yaml").replace("_txt", ".txt")).write_text(text)
    return folder


def test_a_package_is_read(tmp_path: Path) -> None:
    folder = package(tmp_path / "m", requirements_txt="six\n", python_env_yaml="python: 3.10\n")
    read = read_package(folder, "Version 1")
    assert read.path == folder
    assert read.python_version == "3.10"
    assert read.requirements_file == folder / "requirements.txt"
    assert read.mlmodel["flavors"]["python_function"]["loader_module"] == "mlflow.sklearn"


@pytest.mark.parametrize(
    ("conda", "version"),
    [
        ("dependencies:\n- python=3.9.18\n- pip\n- pip: [six]\n", "3.9.18"),
        ("dependencies:\n- numpy=1\n- python == 3.10\n", "3.10"),
        ("dependencies:\n- python-dateutil=2\n", None),
        ("name: x\n", None),
    ],
)
def test_python_version_of_conda(tmp_path: Path, conda: str, version: str | None) -> None:
    folder = package(tmp_path / "m", conda_yaml=conda)
    assert read_package(folder, "x").python_version == version
    assert read_package(folder, "x").requirements_file is None


def test_python_version_of_the_flavor(tmp_path: Path) -> None:
    assert read_package(package(tmp_path / "m", MLMODEL + "    python_version: 3.8.1\n"), "x").python_version == "3.8.1"


@pytest.mark.parametrize(
    ("mlmodel", "words"),
    [
        ("[1, 2]", "does not hold a mapping"),
        ("a: [", "cannot be read"),
        ("\x00", "cannot be read"),
        ("flavors: {sklearn: {}}", "no python_function flavor"),
        ("flavors: 3", "no python_function flavor"),
        (MLMODEL.replace("model.pkl", "../../etc/passwd"), r"'\.\./\.\./etc/passwd' .* leads out"),
        (MLMODEL.replace("model.pkl", "/etc/passwd"), "leads out"),
        (MLMODEL + "    artifacts: {a: {path: artifacts/../../x}}\n", "leads out"),
    ],
)
def test_what_cannot_be_used(tmp_path: Path, mlmodel: str, words: str) -> None:
    with pytest.raises(ModelUnusable, match=f"^Version 1 of x .*{words}"):
        read_package(package(tmp_path / "m", mlmodel), "Version 1 of x")


def test_no_mlmodel(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="has no MLmodel file"):
        read_package(tmp_path, "x")


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "nowhere", ".", "loop"])
def test_links_that_lead_out(tmp_path: Path, target: str) -> None:
    (tmp_path / "outside").mkdir()
    folder = package(tmp_path / "m")
    (folder / "loop").symlink_to(target)
    with pytest.raises(UnsafePath, match="The link loop leads out"):
        check_links(folder)
    with pytest.raises(ModelUnusable, match="leads out"):
        check_package(folder, "x")
    with pytest.raises(UnsafePath):
        copy_model(folder, tmp_path / "copy")


def test_links_inside_are_followed_by_a_copy(tmp_path: Path) -> None:
    folder = package(tmp_path / "m")
    (folder / "sub").mkdir()
    (folder / "sub" / "link").symlink_to(folder / "MLmodel")
    copy_model(folder, tmp_path / "copy")
    copied = tmp_path / "copy" / "sub" / "link"
    assert copied.read_text() == MLMODEL
    assert not copied.is_symlink()


@pytest.mark.parametrize("relative", ["../x", "a/../../x", "a/..", "link/x", "a\0b"])
def test_inside_refuses(tmp_path: Path, relative: str) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path)
    with pytest.raises(UnsafePath):
        inside(tmp_path / "root", relative)


def test_inside_allows(tmp_path: Path) -> None:
    assert inside(tmp_path, "/0/my model%20/x") == tmp_path / "0" / "my model%20" / "x"


def test_whole_or_absent(tmp_path: Path) -> None:
    def fail() -> None:
        with whole_or_absent(tmp_path / "d") as folder:
            (folder / "half").touch()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []
    for text in ("first", "second"):
        with whole_or_absent(tmp_path / "d") as folder:
            (folder / "file").write_text(text)
    assert [path.name for path in tmp_path.iterdir()] == ["d"]
    assert (tmp_path / "d" / "file").read_text() == "first"
