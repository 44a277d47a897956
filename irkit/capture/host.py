"""The live host: volatile facts, read by one script that is shown in the plan and hashed in the journal."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from irkit.capture.host_facts import HostFacts, parse
from irkit.capture.instance import Instance
from irkit.capture.run_command import POWERSHELL, SHELL, Ran, node, run
from irkit.errors import IrkitError, WrongState
from irkit.escape import for_terminal
from irkit.journal import Kind
from irkit.plan import Outcome, Running, Step

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.evidence import Item

VERB = "capture.host"
LINUX, WINDOWS = "facts.sh", "facts.ps1"
OUTPUT = "host-output"
DEADLINE = 420.0
# The script stops beginning new sections after the first, and Systems Manager kills it after the second.
BUDGET_SECONDS = 60
KILL_SECONDS = 150
# Without a bucket each command may print 24,000 characters, which is some 150 KB of text before gzip and base64.
_VOLATILE_TEXTS = ("sockets", "neighbours", "routes", "addresses", "logins", "modules", "mounts")
_VOLATILE = ("host", "processes", "sockets", *(f"text:{t}" for t in _VOLATILE_TEXTS))
_SETTINGS = ("cron", "keys", "preload", "accounts", "sudoers", "units", "histories",
             *(f"text:{t}" for t in ("timers", "services", "containers", "firewall", "disks")))  # fmt: skip
_MORE_TEXTS = (
    "hidden_modules", "deleted_files", "sniffers", "container_processes", "bpf", "kernel", "packages", "setuid",
)  # fmt: skip
_MORE = ("at", "ssh", "startup", *(f"text:{t}" for t in _MORE_TEXTS))
_LINUX_GROUPS = (_VOLATILE, _SETTINGS, _MORE, ("web_shells", "files"), ("web_logs",), ("system_logs",))
_WINDOWS_GROUPS = (
    ("host", "processes"), ("tcp", "udp", "dns", "neighbours", "routes", "addresses", "sessions", "pipes"),
    ("tasks", "autoruns", "wmi", "users", "keys", "histories", "shares", "containers", "firewall"),
    ("services",), ("drivers", "defender"), ("events",), ("files",),
)  # fmt: skip
_SMALL_LOG_BYTES = 98304


def script(name: str = LINUX) -> str:
    """The script that runs on the suspect, as it is sent."""
    return files("irkit.capture").joinpath("scripts", name).read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _Platform:
    """How hosts of one kind are asked: the script, the document that runs it, and parts of it that fit one answer."""

    name: str
    document: str
    groups: tuple[tuple[str, ...], ...]

    def text(self) -> str:
        return script() if self.name == LINUX else script(self.name)

    def asked(self, **settings: str | int) -> str:
        """The script with settings ahead of its first command; their values are ours, never from outside."""
        if self.name == WINDOWS:
            return "".join(f"${name} = '{value}'\n" for name, value in settings.items()) + self.text()
        return _with(self.text(), **settings)


def _platform(instance: Instance) -> _Platform:
    if instance.windows:
        return _Platform(WINDOWS, POWERSHELL, _WINDOWS_GROUPS)
    return _Platform(LINUX, SHELL, _LINUX_GROUPS)


def steps(case: Case, instance: Instance) -> list[Step]:
    """One step: run the script and keep its output as it came and as facts."""
    bucket = case.facts.sources.get("evidence_bucket")
    ways = _platform(instance)
    args = {
        "script": ways.name,
        "sha256": _digest(ways.text()),
        "document": ways.document,
        "output": bucket or "ssm",
    }
    return [
        Step(
            verb=VERB, target=instance.id, args=args, stage=30, deadline=DEADLINE,
            title=f"read volatile facts on the host ({ways.name}, by Systems Manager; takes about a minute)",
            reversible="leaves traces on the host: the agent's copy of the script, access times",
            act=lambda running: _act(running, instance, bucket),
        )
    ]  # fmt: skip


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _act(running: Running, instance: Instance, bucket: str | None) -> Outcome:
    original = running.kept(OUTPUT, "host-facts.out")  # an earlier run got as far as this
    if original is None:
        _reachable(running, instance)
        ways = _platform(instance)
        runs = _whole(running, instance.id, ways, bucket) if bucket else _in_parts(running, instance.id, ways)
        if running.stopped:
            raise IrkitError("stopped before the facts were kept")
        original = _keep_output(running, runs, ways)
    return _keep_facts(running, original)


def _reachable(running: Running, instance: Instance) -> None:
    known = node(running.case, instance.id)
    if not known.online:
        raise WrongState(f"no command reaches {instance.id}: {known.why}",
                         hint="disks, console and metadata need no agent and are captured all the same")  # fmt: skip


def _attaching(running: Running) -> bool:
    entries = running.case.journal.of_step(running.step_id)
    return sum(e.kind is Kind.INTENDED for e in entries) > 1


def _whole(running: Running, instance_id: str, ways: _Platform, bucket: str) -> list[Ran]:
    """One command whose output goes to the bucket; in parts after all when it does not arrive there."""
    first = run(
        running, instance_id, ways.asked(IRKIT_BUDGET=BUDGET_SECONDS), mark=_mark(running, 0),
        seconds=KILL_SECONDS, bucket=bucket, attach=_attaching(running), document=ways.document,
    )  # fmt: skip
    if first.cut is None:
        return [first]
    # The agent writes to S3 with the instance's own role, which the bucket may not know or containment has cut.
    running.keep(
        first.stdout, kind=OUTPUT, name="host-facts.first.out", media_type="text/plain", partial=True,
        notes={"command": first.command_id, "script_sha256": _digest(ways.text()), "cut": [first.cut]},
    )  # fmt: skip
    running.progress(f"{first.cut}; asking in parts")
    try:
        return _in_parts(running, instance_id, ways)
    except IrkitError:
        return [first]


def _in_parts(running: Running, instance_id: str, ways: _Platform) -> list[Ran]:
    """Several commands, each with a part that fits; what is most volatile comes first, in the first of them."""
    runs: list[Ran] = []
    for number, group in enumerate(ways.groups, 1):
        if runs and (running.stopped or running.seconds_left < 30):
            break
        less = {"IRKIT_MOST": 45, "IRKIT_LOG_BYTES": _SMALL_LOG_BYTES}
        if ways.name == WINDOWS:
            less = {"IRKIT_EVENTS": 40, "IRKIT_ROWS": 600}
        asked = ways.asked(IRKIT_SECTIONS=" ".join(group), IRKIT_BUDGET=30, **less)
        try:
            runs.append(
                run(running, instance_id, asked, mark=_mark(running, number), seconds=60, bucket=None,
                    attach=_attaching(running), document=ways.document)
            )  # fmt: skip
        except IrkitError as error:
            if not runs:
                raise
            running.progress(f"{group[0]} and what follows: {error}")
            break
    return runs


def _mark(running: Running, number: int) -> str:
    """What names a command as this step's; a comment may have 100 characters."""
    return f"irkit {running.step_id} {number} case {running.case.id}"[:100]


def _with(text: str, **settings: str | int) -> str:
    """The script with settings ahead of its first command; their values are ours, never from outside."""
    shebang, _, rest = text.partition("\n")
    lines = "".join(f"{name}='{value}'\n" for name, value in settings.items())
    return f"{shebang}\n{lines}{rest}"


def _keep_output(running: Running, runs: list[Ran], ways: _Platform) -> Item:
    """What the script printed, as it came."""
    raw = b"".join(r.stdout.rstrip(b"\n") + b"\n" for r in runs)
    facts = parse(raw)
    if not facts.host.hostname and not facts.processes:
        said = for_terminal(runs[0].stderr[:300] or runs[0].status)
        raise IrkitError(f"the script printed no facts (exit code {runs[0].exit_code}): {said}",
                         hint="apply the plan again; disks and metadata are not affected")  # fmt: skip
    cut = [r.cut for r in runs if r.cut]
    if len(runs) not in {1, len(ways.groups)}:
        cut.append(f"only {len(runs)} of {len(ways.groups)} parts of the script ran in time")
    notes: dict[str, Any] = {
        "script": ways.name,
        "script_sha256": _digest(ways.text()),
        "commands": [r.command_id for r in runs],
        "output": [r.source for r in runs],
        "exit_codes": [r.exit_code for r in runs],
        "encoding": "each second line is base64 of gzip of the script's output",
        "stderr": "".join(r.stderr for r in runs)[:4000],
        "cut": cut,
    }
    return running.keep(raw, kind=OUTPUT, name="host-facts.out", media_type="text/plain", notes=notes,
                        partial=bool(cut or facts.missing))  # fmt: skip


def _keep_facts(running: Running, original: Item) -> Outcome:
    facts = parse(running.case.evidence.read(original))
    missing = [*original.notes.get("cut", ()), *facts.missing]
    shown = json.dumps(facts.to_dict() | {"missing": missing}, indent=1, sort_keys=True).encode("ascii")
    item = running.keep(shown, kind="host-facts", name="host-facts.json", media_type="application/json",
                        partial=bool(missing), notes={"from": original.id, "from_sha256": original.sha256})  # fmt: skip
    kept = {"item": item.id, "output": original.id, "commands": original.notes.get("commands", ())}
    return Outcome(result=_summary(facts) | kept, missing=tuple(missing))


def _summary(facts: HostFacts) -> dict[str, Any]:
    return {
        "hostname": facts.host.hostname,
        "processes": len(facts.processes),
        "deleted": [p.exe for p in facts.deleted],
        "sockets": len(facts.sockets),
        "files": len(facts.files),
    }
