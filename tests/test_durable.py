from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from irkit import durable
from irkit.errors import StorageError


def names_in(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def no_room(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_is_replaced_in_one_move_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a" / "file"
    durable.replace(path, b"old")
    durable.replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert names_in(path.parent) == ["file"]
    assert path.stat().st_mode & 0o077 == 0


def test_a_file_that_cannot_be_replaced_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    durable.replace(path, b"old")
    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(StorageError, match=r"cannot write at .*file: the disk is full"):
        durable.replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["file"]


def test_a_file_that_cannot_be_created_whole_is_not_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(StorageError):
        durable.create(tmp_path / "file", b"new")
    assert names_in(tmp_path) == []


def test_what_exists_is_never_created_again(tmp_path: Path) -> None:
    durable.create(tmp_path / "file", b"old")
    with pytest.raises(StorageError, match="exists already and is never overwritten"):
        durable.create(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "quota"), (errno.EROFS, "read-only"),
        (errno.EACCES, "no permission"), (errno.ENOENT, "not there"), (errno.ENAMETOOLONG, "too long"),
        (errno.EIO, "Input/output error"),
    ],
)  # fmt: skip
def test_the_operating_system_is_quoted_in_words(number: int, said: str) -> None:
    with pytest.raises(StorageError, match=said) as caught, durable.storage("write it", Path("/x")):
        raise OSError(number, os.strerror(number))
    assert str(caught.value).startswith("cannot write it at /x: ")
    assert isinstance(caught.value.__cause__, OSError)


# --- locks --------------------------------------------------------------------------------------------------


def test_a_lock_is_waited_for_and_says_so_once(tmp_path: Path) -> None:
    path, said, order = tmp_path / "locks" / "a", [], []
    held = threading.Event()

    def first() -> None:
        with durable.locked(path, waiting=lambda: None):
            held.set()
            time.sleep(0.3)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    held.wait(10)
    with durable.locked(path, waiting=lambda: said.append("waiting"), patience=20):
        order.append("second")
    thread.join()
    assert (order, said) == (["first", "second"], ["waiting"])


def test_patience_has_an_end(tmp_path: Path) -> None:
    held = durable.locked(tmp_path / "a", waiting=lambda: None)
    again = durable.locked(tmp_path / "a", waiting=lambda: None, patience=0.1)
    with held, pytest.raises(durable.Held, match="still held by another process or thread after 0 s"), again:
        pytest.fail("held twice")


def test_a_lock_outlives_the_block_for_who_shares_it(tmp_path: Path) -> None:
    with durable.locked(tmp_path / "a", waiting=lambda: None) as fd:
        shared = os.dup(fd)
    with pytest.raises(durable.Held), durable.locked(tmp_path / "a", waiting=lambda: None, patience=0):
        pass
    os.close(shared)
    with durable.locked(tmp_path / "a", waiting=lambda: pytest.fail("had to wait")):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from irkit.durable import locked\n"
        "with locked(Path(sys.argv[1]), waiting=lambda: None): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")])
    with durable.locked(tmp_path / "a", waiting=lambda: pytest.fail("had to wait")):
        pass
