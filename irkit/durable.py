"""Files that are on disk whole or not there at all, and the operating system's errors in words.

Everything irkit keeps goes through here: a kill, a power cut or a full disk leaves either the old file or the new one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from irkit.errors import IrkitError, StorageError

_HINTS = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again, it goes on where it stopped",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EROFS: "the file system is read-only; choose another folder with --cases",
    errno.EACCES: "no permission; check who owns the folder or choose another with --cases",
    errno.EPERM: "no permission; check who owns the folder or choose another with --cases",
    errno.ENOENT: "it is not there; check the path",
    errno.ENOTDIR: "part of the path is not a folder; check the path",
    errno.EEXIST: "it exists already and is never overwritten",
    errno.ENAMETOOLONG: "the name is too long for this file system",
}


def storage_error(error: OSError, *, doing: str, path: Path) -> StorageError:
    """The error to show for `error`, met while irkit tried to be `doing` something at `path`."""
    hint = _HINTS.get(error.errno or 0, error.strerror or type(error).__name__)
    return StorageError(f"cannot {doing} at {path}", hint=hint)


@contextmanager
def storage(doing: str, path: Path) -> Iterator[None]:
    """Raise `StorageError`, worded for the user, in place of any `OSError` inside."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, doing=doing, path=path) from error


def append_all(fd: int, data: bytes) -> None:
    """Write all of `data` at the end of the file and force it to disk, or leave the file as it was."""
    size = os.fstat(fd).st_size
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    except OSError:
        os.ftruncate(fd, size)
        raise


def sync_folder(folder: Path) -> None:
    """Force the names in `folder` to disk, so that a rename survives a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replace(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one move; readers see the old content or the new, never a part."""
    with storage("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            try:
                append_all(fd, data)
            finally:
                os.close(fd)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def create(path: Path, data: bytes) -> None:
    """Put `data` at `path`, which must not exist yet."""
    with storage("write", path):
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            append_all(fd, data)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)
        sync_folder(path.parent)


@contextmanager
def locked(path: Path, *, waiting: Callable[[], None], patience: float | None = None) -> Iterator[int]:
    """Hold the lock file `path` against other threads and processes; `waiting` is called once if it must be waited for.

    The lock goes with the process, so one that was killed leaves none behind. A thread that must go on holding it
    duplicates the descriptor that is yielded. Raises `Held` after `patience` seconds.
    """
    with storage("lock", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        with storage("lock", path):
            free = try_lock(fd)
        if not free:
            waiting()
            _wait_for(fd, path, patience)
        yield fd
    finally:
        os.close(fd)


class Held(IrkitError):
    """Someone else holds a lock and did not let go in time."""


def try_lock(fd: int) -> bool:
    """Whether the lock on the open file `fd` is ours now; never waits."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_for(fd: int, path: Path, patience: float | None) -> None:
    end = None if patience is None else time.monotonic() + patience
    while True:
        with storage("lock", path):
            if end is None:
                fcntl.flock(fd, fcntl.LOCK_EX)
                return
            if try_lock(fd):
                return
        if time.monotonic() >= end:
            raise Held(
                f"{path.name} is still held by another process or thread after {patience:.0f} s",
                hint="wait for it to end, then run the same command again",
            )
        time.sleep(0.2)
