"""The simulated AWS as one object: start it, talk to it with boto3, look at what was called, stop it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from irkit.sim import world
from irkit.sim.world import Call, Pace

if TYPE_CHECKING:
    import boto3

    from irkit.sim.disks import Disks
    from irkit.sim.faults import Faults
    from irkit.sim.host import Hosts
    from irkit.sim.server import Server
    from irkit.sim.trail import Trail

RESPONDER = "irkit-responder"
_ADMINISTRATOR = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}
_BACKGROUND = "MOTO_EC2_LOAD_DEFAULT_AMIS"


class Simulator:
    """A running simulated AWS; one a process, since moto's state is the process's. Use it in a `with` statement."""

    def __init__(self, here: world.World, server: Server | None, mock: Any = None) -> None:
        self._world = here
        self._server = server
        self._mock = mock
        self._keys: dict[str, tuple[str, str]] = {}
        self._cleanup: list[Callable[[], None]] = []

    @classmethod
    def start(cls, *, workdir: Path, seed: int = 7, port: int = 0, pace: Pace | None = None) -> Simulator:
        """A simulator that answers HTTP on 127.0.0.1; `workdir` takes disk images and snapshots."""
        from irkit.sim.server import Server

        here = _new_world(Path(workdir), seed, pace or Pace())
        world.enter(here)
        try:
            _reset(seed)
            simulator = cls(here, None)
            server = Server(port, simulator._control)
            server.start()
            simulator._server = server
            here.hosts.port = server.port
            simulator._furnish()
        except BaseException:
            world.leave(here)
            raise
        return simulator

    @classmethod
    def in_process(cls, *, workdir: Path, seed: int = 7, pace: Pace | None = None) -> Simulator:
        """A simulator without a server: boto3 clients made while it runs are answered in this process (mock_aws)."""
        from moto import mock_aws

        here = _new_world(Path(workdir), seed, pace or Pace())
        world.enter(here)
        mock = mock_aws()
        try:
            os.environ.setdefault(_BACKGROUND, "false")
            mock.start()
            _reset(seed, backends=False)
            simulator = cls(here, None, mock)
            simulator._furnish()
        except BaseException:
            mock.stop()
            world.leave(here)
            raise
        return simulator

    @property
    def world_id(self) -> str:
        """What names this world in IRKIT_SIMULATED and in reports."""
        return self._world.world_id

    @property
    def endpoint(self) -> str:
        """The URL to send AWS calls to; empty when there is no server."""
        return f"http://127.0.0.1:{self._server.port}" if self._server else ""

    @property
    def region(self) -> str:
        """The region that the accounts live in."""
        return self._world.region

    @property
    def account(self) -> str:
        """The compromised member account."""
        return self._world.account

    @property
    def forensics_account(self) -> str:
        """The account that evidence is copied to."""
        return self._world.forensics_account

    @property
    def workdir(self) -> Path:
        """Where the simulator keeps its files."""
        return self._world.workdir

    @property
    def pace(self) -> Pace:
        """How long things take."""
        return self._world.pace

    @property
    def faults(self) -> Faults:
        """Errors to answer with, on request."""
        return self._world.faults

    @property
    def trail(self) -> Trail:
        """CloudTrail: planted and live records, and their delivery."""
        return self._world.trail

    @property
    def hosts(self) -> Hosts:
        """The live systems behind instances."""
        return self._world.hosts

    @property
    def disks(self) -> Disks:
        """The images behind volumes and snapshots."""
        return self._world.disks

    def calls(self) -> list[Call]:
        """Every API call so far, oldest first."""
        with self._world.lock:
            return list(self._world.calls)

    def env(self) -> dict[str, str]:
        """The environment that points any AWS tool at the simulator, as the responder of the member account."""
        access_key, secret = self._keys[self.account]
        shown = {
            "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "IRKIT_SIMULATED": self.world_id,
        }
        return shown | ({"AWS_ENDPOINT_URL": self.endpoint} if self.endpoint else {})

    def session(self, account: str | None = None) -> boto3.Session:
        """A boto3 session of the responder's own user in an account (the member account by default)."""
        access_key, secret = self._keys[account or self.account]
        return self._session(access_key, secret)

    def instance_session(self, instance_id: str) -> boto3.Session:
        """A session with the credentials that the instance's metadata service would hand out now."""
        from irkit.sim.imds import instance_credentials

        held = instance_credentials(instance_id, self.account, self.region)
        return self._session(held.access_key_id, held.secret_access_key, held.session_token)

    def stop(self) -> None:
        """End the hosts and the server; the files in `workdir` stay."""
        while self._cleanup:
            self._cleanup.pop()()
        self._world.hosts.stop_all()
        if self._server is not None:
            self._server.stop()
            self._server = None
        if self._mock is not None:
            self._mock.stop()
            self._mock = None
        world.leave(self._world)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Simulator {self.world_id} at {self.endpoint or 'in process'}>"

    def _session(self, access_key: str, secret: str, token: str | None = None) -> boto3.Session:
        from irkit.sim.session import SimulatedSession

        return SimulatedSession(
            endpoint=self.endpoint,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            region_name=self.region,
        )

    @contextlib.contextmanager
    def backstage(self) -> Iterator[None]:
        """While it lasts, calls leave no trace: not in the trail, not in `calls()`. For planting a scenario."""
        before, self._world.recording = self._world.recording, False
        try:
            yield
        finally:
            self._world.recording = before

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last API call."""
        return datetime.now(UTC).timestamp() - self._world.last_call

    def _furnish(self) -> None:
        from irkit.sim.delivery import Delivery

        delivery = Delivery(self._world)
        self._world.delivery = delivery
        self._world.trail.deliverer = delivery.flush
        delivery.start()
        self._cleanup.append(delivery.stop)
        for account in (self.account, self.forensics_account):
            self._keys[account] = _responder_key(account)

    def _control(self, environ: dict[str, Any]) -> tuple[int, bytes]:
        from irkit.sim import control

        return control.answer(self, environ)


def _new_world(workdir: Path, seed: int, pace: Pace) -> world.World:
    from irkit.sim import choke
    from irkit.sim.disks import Disks
    from irkit.sim.faults import Faults
    from irkit.sim.host import Hosts
    from irkit.sim.trail import Trail

    os.environ[_BACKGROUND] = "false"  # 1,300 made-up images a region would drown describe_snapshots
    choke.install()
    workdir.mkdir(parents=True, exist_ok=True)
    return world.World(
        world_id=f"sim-{hashlib.sha256(f'irkit world {seed}'.encode()).hexdigest()[:12]}",
        seed=seed,
        workdir=workdir,
        region=world.HOME_REGION,
        account=world.MEMBER_ACCOUNT,
        forensics_account=world.FORENSICS_ACCOUNT,
        pace=pace,
        faults=Faults(),
        trail=Trail(),
        hosts=Hosts(),
        disks=Disks(workdir / "disks"),
        last_call=datetime.now(UTC).timestamp(),
    )


def _reset(seed: int, *, backends: bool = True) -> None:
    from moto.core.model_instances import reset_model_data
    from moto.moto_api._internal import mock_random

    if backends:
        from moto.core.base_backend import BackendDict

        instances: list[Any] = BackendDict._instances  # type: ignore[misc]
        for known in instances:
            known.reset()
    with contextlib.suppress(Exception):
        reset_model_data()
    mock_random.seed(seed)


def _responder_key(account: str) -> tuple[str, str]:
    from moto.iam.models import iam_backends

    backend = iam_backends[account]["aws"]
    backend.create_user("us-east-1", RESPONDER)
    backend.put_user_policy(RESPONDER, "Respond", json.dumps(_ADMINISTRATOR))
    key = backend.create_access_key(RESPONDER)
    return key.access_key_id, key.secret_access_key
