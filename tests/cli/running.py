"""Run the command line as a person would, and say what it left behind."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irkit.cli import main
from irkit.sim import daemon

IRKIT = Path(sys.executable).with_name("irkit")
_READING = ("Describe", "Get", "List", "Head", "Lookup", "Simulate", "Assume")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output, which must be exactly one JSON document."""
        return json.loads(self.out)


def irkit(*arguments: object) -> Ran:
    """Run `irkit` with `arguments` in this process."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(a) for a in arguments])
        except SystemExit as ended:
            code = ended.code
    assert isinstance(code, int)
    return Ran(code=code, out=out.getvalue(), err=err.getvalue())


def irkit_program(*arguments: object, **environment: str) -> Ran:
    """Run `irkit` with `arguments` as a program of its own."""
    ran = subprocess.run(
        [IRKIT, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )
    return Ran(code=ran.returncode, out=ran.stdout, err=ran.stderr)


def assert_refused(ran: Ran, code: int, *says: str) -> None:
    """One line on standard error that holds all of `says`, nothing on standard output, no traceback."""
    assert ran.code == code, f"exit code {ran.code}\n{ran.out}\n{ran.err}"
    assert ran.err.startswith("irkit: "), ran.err
    assert ran.err.count("\n") == 1, f"more than one line:\n{ran.err}"
    assert "Traceback" not in ran.err
    assert ran.out == ""
    for word in says:
        assert word in ran.err, f"{word!r} is not in: {ran.err}"


@dataclass(frozen=True, slots=True)
class SimulatedWorld:
    """A simulated account that other processes can use too."""

    up: daemon.Up

    @property
    def instance_id(self) -> str:
        """The suspect."""
        return str(self.up.instance_id)

    def calls(self) -> list[Mapping[str, Any]]:
        """Every API call so far."""
        return list(self._ask("calls"))

    def changes(self) -> list[str]:
        """The calls so far that changed something."""
        return [
            f"{c['service']}:{c['operation']}"
            for c in self.calls()
            if c["error"] is None and not c["operation"].startswith(_READING)
        ]

    @contextlib.contextmanager
    def fault(self, service: str, operation: str, code: str, *, status: int = 400) -> Iterator[None]:
        """While it lasts, the operation fails with `code`."""
        fault = {"service": service, "operation": operation, "code": code, "status": status, "times": 100}
        self._ask("faults", fault)
        try:
            yield
        finally:
            with urllib.request.urlopen(
                urllib.request.Request(f"{self.up.endpoint}/irkit-sim/faults", method="DELETE"), timeout=10
            ):
                pass

    def _ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        with urllib.request.urlopen(f"{self.up.endpoint}/irkit-sim/{path}", data=data, timeout=30) as answer:
            return json.load(answer)


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below `folder`, by path; a folder's content is None."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@contextlib.contextmanager
def nothing_is_left_behind(folder: Path, world: SimulatedWorld | None = None) -> Iterator[None]:
    """What runs inside changes neither `folder` (no case, no journal entry) nor the simulated account."""
    before, changes = contents(folder), world.changes() if world else []
    yield
    assert contents(folder) == before
    if world:
        assert world.changes() == changes
