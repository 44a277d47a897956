"""The simulator as a background process: `up`, `status`, `down`.

The daemon is its own session, so it outlives whoever started it, however that ends; it goes by itself when nobody has
called it for a while, and takes its hosts with it.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import IO, Any, NoReturn

from irkit.errors import IrkitError, StorageError

STATE_FILE = "sim.json"
LOG_FILE = "sim.log"
LOCK_FILE = "sim.lock"
START_SECONDS = 90.0
DEFAULT_SCENARIO = "web-to-role-theft"
DEFAULT_IDLE_MINUTES = 120.0
_started: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Up:
    """A running simulator, as `sim.json` describes it."""

    pid: int
    endpoint: str
    world: str
    scenario: str
    seed: int
    started: str
    workdir: str
    env: dict[str, str]
    public: dict[str, Any]

    @property
    def instance_id(self) -> str | None:
        """The suspect instance of the scenario."""
        found = self.public.get("instance_id")
        return str(found) if found else None


def up(
    state_dir: Path,
    *,
    scenario: str = DEFAULT_SCENARIO,
    seed: int = 7,
    at: datetime | None = None,
    port: int = 0,
    idle_minutes: float = DEFAULT_IDLE_MINUTES,
) -> Up:
    """Start a simulator in the background, or return the one that already runs from `state_dir`.

    Returns when it answers; one that somebody else is starting is waited for. Raises `IrkitError` with the end of its
    log when it does not come up.
    """
    running = status(state_dir)
    if running is not None:
        return running
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(state_dir / LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            running = _beside(state_dir, lock)
            if running is not None:
                return running
            (state_dir / STATE_FILE).unlink(missing_ok=True)
            log = (state_dir / LOG_FILE).open("wb")
            return _started_in(state_dir, log, lock, scenario, seed, at, port, idle_minutes)
        finally:
            os.close(lock)
    except OSError as error:
        raise StorageError(
            f"the simulator's folder {state_dir} cannot be written", hint=str(error)
        ) from error


def _beside(state_dir: Path, lock: int) -> Up | None:
    """The simulator that somebody else started meanwhile, or None once `lock` is ours and one may be started."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found = status(state_dir)
            if found is not None:
                return found
            time.sleep(0.1)
        else:
            return status(state_dir)
    raise IrkitError(
        f"a simulator holds {state_dir} and does not answer",
        hint=f"end it, or use another folder; {_last_words(state_dir)}",
    )


def _started_in(
    state_dir: Path,
    log: IO[bytes],
    lock: int,
    scenario: str,
    seed: int,
    at: datetime | None,
    port: int,
    idle_minutes: float,
) -> Up:
    command = [sys.executable, "-m", "irkit.sim.daemon", "--state-dir", str(state_dir.resolve())]
    command += [
        "--scenario",
        scenario,
        "--seed",
        str(seed),
        "--port",
        str(port),
        "--idle-minutes",
        str(idle_minutes),
    ]
    if at is not None:
        command += ["--at", at.astimezone(UTC).isoformat()]
    with log:
        process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            env=_environment(),
            # It holds the folder as long as it lives, so that none is started beside it even if we are killed now.
            pass_fds=(lock,),
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = status(state_dir)
        if found is not None:
            _started[found.pid] = process
            return found
        if process.poll() is not None:
            break
        time.sleep(0.1)
    if process.poll() is None:
        process.terminate()
        process.wait(timeout=10)
    raise IrkitError("the simulator did not start", hint=_last_words(state_dir))


def status(state_dir: Path) -> Up | None:
    """The simulator that runs from `state_dir`; None when there is none, or it does not answer."""
    try:
        read = json.loads((state_dir / STATE_FILE).read_text())
        found = Up(**read)
    except (OSError, ValueError, TypeError):
        return None
    try:
        with urllib.request.urlopen(f"{found.endpoint}/irkit-sim/health", timeout=10) as answer:  # noqa: S310 - our own
            healthy = json.load(answer)
    except (OSError, ValueError):
        return None
    return found if healthy.get("world") == found.world and healthy.get("pid") == found.pid else None


def down(state_dir: Path, *, wait_seconds: float = 20.0) -> bool:
    """Stop the simulator that runs from `state_dir`, or is being started there; False when there is none."""
    if not (state_dir / LOCK_FILE).exists():
        return False
    lock = os.open(state_dir / LOCK_FILE, os.O_RDWR)
    try:
        running = status(state_dir) or _beside(state_dir, lock)
        if running is not None:
            os.kill(running.pid, signal.SIGTERM)
            if not _released(lock, wait_seconds):
                os.kill(running.pid, signal.SIGKILL)
                _released(lock, wait_seconds)
    finally:
        os.close(lock)
    (state_dir / STATE_FILE).unlink(missing_ok=True)
    child = _started.pop(running.pid, None) if running is not None else None
    if child is not None:
        child.wait(timeout=wait_seconds)  # ours to reap
    return running is not None


def _released(lock: int, seconds: float) -> bool:
    """Whether the process that held `lock` ended within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def _environment() -> dict[str, str]:
    """The caller's environment without what would point the daemon's own clients elsewhere."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_") and k != "IRKIT_SIMULATED"}
    root = str(Path(__file__).resolve().parents[2])
    kept["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [kept.get("PYTHONPATH")])])
    return kept


def _last_words(state_dir: Path) -> str:
    try:
        lines = (state_dir / LOG_FILE).read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return f"{' / '.join(lines[-3:]) or 'its log is empty'} (see {state_dir / LOG_FILE})"


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the simulator in the foreground until it is told to stop or has been idle for too long."""
    parser = argparse.ArgumentParser(prog="python -m irkit.sim.daemon")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--scenario", default=DEFAULT_SCENARIO)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--at", type=datetime.fromisoformat, default=None)
    parser.add_argument("--idle-minutes", type=float, default=DEFAULT_IDLE_MINUTES)
    asked = parser.parse_args(arguments)
    _serve(asked)
    logging.shutdown()
    # What is left is a world in memory; giving it back object by object would take seconds.
    os._exit(0)


def _serve(asked: argparse.Namespace) -> None:
    from irkit.sim.simulator import Simulator

    told: list[int] = []

    def tell(number: int, _frame: FrameType | None) -> None:
        told.append(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, tell)
    state_dir: Path = asked.state_dir
    workdir = state_dir / "world"
    with Simulator.start(workdir=workdir, seed=asked.seed, port=asked.port) as simulator:
        public = _plant(simulator, asked, workdir)
        described = Up(
            pid=os.getpid(),
            endpoint=simulator.endpoint,
            world=simulator.world_id,
            scenario=asked.scenario,
            seed=asked.seed,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            workdir=str(workdir),
            env=simulator.env(),
            public=public,
        )
        state = state_dir / STATE_FILE
        _write(state, asdict(described), private=True)
        try:
            while not told and simulator.idle_seconds < asked.idle_minutes * 60 and state.exists():
                time.sleep(0.1)
        finally:
            simulator.trail.deliver()
    state.unlink(missing_ok=True)


def _plant(simulator: Any, asked: argparse.Namespace, workdir: Path) -> dict[str, Any]:
    if asked.scenario == "empty":
        return {}
    from irkit.sim import scenarios

    with simulator.backstage():
        planted = scenarios.plant(asked.scenario, simulator, seed=asked.seed, at=asked.at)
    _write(workdir / "world.json", planted.public)
    _write(workdir / "truth.json", planted.truth)
    return dict(planted.public)


def _write(path: Path, value: Any, *, private: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.touch(mode=0o600 if private else 0o644)
    beside.write_text(json.dumps(value, indent=2, default=str) + "\n")
    beside.replace(path)


if __name__ == "__main__":
    main()
