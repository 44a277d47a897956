from __future__ import annotations

from pathlib import Path

import pytest

from irkit.errors import NotFound, StorageError
from irkit.notebook.catalog import copy, find, notebooks


def test_every_notebook_says_what_it_is_for() -> None:
    listed = notebooks()
    assert len(listed) >= 8
    for notebook in listed:
        assert notebook.path.is_file()
        assert notebook.title
        assert notebook.purpose
        assert notebook.to_dict()["name"] == notebook.name == find(notebook.name).name


@pytest.mark.parametrize("name", ["", "capture", "../capture/instance", "capture/instance.ipynb", "x\x1b[2J"])
def test_a_notebook_that_is_none_is_not_found(name: str) -> None:
    with pytest.raises(NotFound, match=r"there are .*capture/instance") as caught:
        find(name)
    assert "\x1b" not in str(caught.value)


def test_a_copy_is_the_same_and_never_overwrites(tmp_path: Path) -> None:
    path = copy("capture/instance", tmp_path / "mine")
    assert path.name == "capture-instance.ipynb"
    assert path.read_bytes() == find("capture/instance").path.read_bytes()
    path.write_text("my changes")
    with pytest.raises(StorageError, match="exists already and is never overwritten"):
        copy("capture/instance", tmp_path / "mine")
    assert path.read_text() == "my changes"


def test_a_copy_into_a_file_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot make the folder"):
        copy("capture/instance", tmp_path / "file" / "x")
