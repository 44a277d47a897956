"""Preflight: one card, within half a minute, of what can be captured and what stands in the way. Reads only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from irkit import background
from irkit.aws import Identity
from irkit.canonical import plain
from irkit.capture import KINDS
from irkit.capture import surroundings as around
from irkit.capture.asking import Asker
from irkit.capture.destination import Destination
from irkit.capture.instance import Instance, describe
from irkit.capture.memory_tool import names_tool
from irkit.capture.obstacles import Issue, problems, warnings
from irkit.capture.permissions import KEEPING, SIMULATED, Permission, dry_run, dry_runs, simulated
from irkit.capture.run_command import Node, node
from irkit.capture.tracked_paths import lasting
from irkit.errors import IrkitError
from irkit.escape import for_terminal
from irkit.markup import table

if TYPE_CHECKING:
    import pandas as pd

    from irkit.case import Case

BUDGET_SECONDS = 25.0
# Streamed compressed over the network; measured rates of open tools lie around this.
_MEMORY_MIB_A_SECOND = 60.0
_SNAPSHOT_GIB_A_MINUTE = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """What can be captured from an instance. `problems` stop a kind of capture, `warnings` are to be known before.

    `kinds` are those that the case asks for: memory where it names a tool, keep where it says where snapshots go.
    `estimates` are rules of thumb: minutes for the snapshots to complete and for a memory dump.
    """

    instance: Instance
    identity: Identity
    permissions: tuple[Permission, ...]
    node: Node
    surroundings: around.Surroundings
    estimates: Mapping[str, float | None]
    problems: tuple[Issue, ...]
    warnings: tuple[Issue, ...]
    seconds: float
    checked_at: str = field(default="")
    kinds: tuple[str, ...] = ("metadata", "console", "disks", "host")

    @property
    def capturable(self) -> Mapping[str, bool]:
        """Whether each kind of evidence can be had, as far as is known."""
        denied = {p.needed_for for p in self.permissions if p.allowed is False}
        running = self.instance.state == "running"
        reached = running and self.node.online and "host facts" not in denied
        kept = not self.surroundings.forensics_trouble and "keeping the snapshots" not in denied
        can = {
            "metadata": True,
            "console": running and "console" not in denied,
            "disks": bool(self.instance.volumes) and "disks" not in denied,
            "host": reached,
            "memory": reached,
            "keep": bool(self.instance.volumes) and kept,
        }
        return {kind: can[kind] for kind in self.kinds}

    def to_dict(self) -> dict[str, Any]:
        """The card as JSON types."""
        return {
            "schema": "irkit/preflight/1",
            "checked_at": self.checked_at,
            "seconds": round(self.seconds, 2),
            "instance": self.instance.to_dict(),
            "identity": plain(asdict(self.identity)),
            "capturable": dict(self.capturable),
            "permissions": [plain(asdict(p)) for p in self.permissions],
            "ssm": {"online": self.node.online, "why": self.node.why, "platform": self.node.platform,
                    "details": plain(self.node.details)},
            "surroundings": plain(asdict(self.surroundings)),
            "estimates": dict(self.estimates),
            "problems": [plain(asdict(i)) for i in self.problems],
            "warnings": [plain(asdict(i)) for i in self.warnings],
        }  # fmt: skip

    def to_frame(self) -> pd.DataFrame:
        """One row a check: what, how it stands, what to do."""
        import pandas as pd

        return pd.DataFrame(list(self._rows()), columns=["what", "stands", "do"])

    def _rows(self) -> Iterator[tuple[str, str, str]]:
        yield (
            "instance",
            f"{self.instance.id} {self.instance.name}, {self.instance.state}, {self.instance.type}",
            "",
        )
        yield "acting as", f"{self.identity.arn}", ""
        for kind, can in self.capturable.items():
            yield f"capture {kind}", "yes" if can else "no", ""
        yield "Systems Manager", "online" if self.node.online else f"not reachable: {self.node.why}", ""
        for name, minutes in self.estimates.items():
            yield (
                f"estimate: {name}",
                "unknown" if minutes is None else f"about {max(1, round(minutes))} min",
                "",
            )
        for issue in self.problems:
            yield "problem", issue.what, issue.do
        for issue in self.warnings:
            yield "warning", issue.what, issue.do

    def __repr__(self) -> str:
        can = [kind for kind, yes in self.capturable.items() if yes]
        counts = f"{len(self.problems)} problems, {len(self.warnings)} warnings"
        return f"<Preflight {self.instance.id}: can capture {', '.join(can)}; {counts}>"

    def _repr_html_(self) -> str:
        note = f"checked in {self.seconds:.1f} s; nothing was changed"
        return table(
            ("what", "how it stands", "what to do"),
            self._rows(),
            caption=f"Preflight of {self.instance.id}",
            note=note,
        )


def preflight(case: Case, instance_id: str, *, budget: float = BUDGET_SECONDS) -> Preflight:
    """The card for the instance, within about `budget` seconds; checks that take longer are reported as unknown.

    Raises as `describe` does, and `NoCredentials` when AWS does not know us.
    """
    begun = time.monotonic()
    identity = case.aws.identity()
    instance = describe(case, instance_id)
    asker = Asker(case=case)
    to = Destination.of(case)
    kinds = tuple(
        k for k in KINDS if (k != "keep" or to) and (k != "memory" or names_tool(case.facts.sources, None))
    )
    actions = {**SIMULATED, **(KEEPING if to else {})}
    jobs: dict[str, Callable[[], Any]] = {
        "ssm": lambda: node(case, instance.id),
        "simulation": lambda: simulated(case, identity.arn, actions),
        "keys": lambda: around.key_states(asker, instance),
        "hardware": lambda: around.hardware(asker, instance),
        "scaling": lambda: around.scaling(asker, instance),
        "target groups": lambda: around.target_groups(asker, instance),
        "classic balancers": lambda: around.classic_balancers(asker, instance),
        "role": lambda: around.role_sharers(asker, instance),
        "groups": lambda: around.group_sharers(asker, instance),
        "bucket": lambda: around.evidence_bucket(asker, case.facts.sources.get("evidence_bucket")),
        "tracked paths": lambda: lasting(asker, instance),
        "forensics account": lambda: around.forensics_trouble(asker),
    }
    trials = list(dry_runs(instance))
    for operation, needed_for, params in trials:
        jobs[f"dry run {operation}"] = lambda o=operation, n=needed_for, p=params: dry_run(case, o, n, p)  # type: ignore[misc]
    done, unknown = _within(jobs, max(1.0, budget - (time.monotonic() - begun)))
    unknown += [
        f"{a.service} {a.operation}: {a.why}" for a in asker.answers if not a.ok and a.service != "s3"
    ]
    permissions = [done[f"dry run {o}"] for o, _, _ in trials if f"dry run {o}" in done]
    permissions += done.get("simulation") or [
        Permission(action=a, allowed=None, needed_for=n, how="simulation", why="no answer in time")
        for a, n in actions.items()
    ]
    memory, store = done.get("hardware", (None, ()))
    bucket, trouble = done.get("bucket", (None, None))
    found = around.Surroundings(
        keys=done.get("keys", ()), memory_mib=memory, instance_store=store, scaling=done.get("scaling", {}),
        target_groups=done.get("target groups", ()), classic_balancers=done.get("classic balancers", ()),
        role_sharers=done.get("role", ()), group_sharers=done.get("groups", {}),
        bucket_trouble=trouble, bucket=bucket, tracked=done.get("tracked paths", ()),
        forensics_trouble=done.get("forensics account"), unknown=tuple(unknown),
    )  # fmt: skip
    reached = done.get("ssm") or Node(
        online=False, why="Systems Manager gave no answer", platform="", details={}
    )
    estimates = _estimates(instance, memory, copies=to.copies(instance.account))
    return Preflight(
        instance=instance, identity=identity, permissions=tuple(permissions), node=reached, surroundings=found,
        estimates=estimates, kinds=kinds,
        problems=tuple(problems(case, instance, identity, permissions, found)),
        warnings=tuple(warnings(case, instance, reached, permissions, found)), seconds=time.monotonic() - begun,
        checked_at=str(plain(case.journal.now())),
    )  # fmt: skip


def _within(jobs: Mapping[str, Callable[[], Any]], seconds: float) -> tuple[dict[str, Any], list[str]]:
    """What the jobs returned, and one line for each that failed or was too slow."""
    # In threads that the process does not wait for: a call that hangs must not keep the command from ending.
    begun = background.side_by_side(list(jobs.values()), name="irkit-preflight", workers=len(jobs))
    futures: dict[str, Future[Any]] = dict(zip(jobs, begun, strict=True))
    wait(futures.values(), timeout=seconds)
    done: dict[str, Any] = {}
    unknown: list[str] = []
    for name, future in futures.items():
        if not future.done():
            unknown.append(f"{name}: no answer within {seconds:.0f} s")
        elif (error := future.exception()) is None:
            done[name] = future.result()
        elif isinstance(error, IrkitError):
            unknown.append(f"{name}: {error}")
        else:
            unknown.append(f"{name}: {type(error).__name__}: {for_terminal(error)}")
    return done, unknown


def _estimates(instance: Instance, memory_mib: int | None, *, copies: bool) -> dict[str, float | None]:
    largest = max((v.size or 0 for v in instance.volumes), default=0)
    snapshots = largest / _SNAPSHOT_GIB_A_MINUTE if largest else None
    return {
        "snapshots": snapshots,
        "memory": memory_mib / _MEMORY_MIB_A_SECOND / 60 if memory_mib else None,
    } | ({"copies of the snapshots": snapshots} if copies else {})
