"""Synthetic cases through the real core: a break-in captured, contained and analysed, and one full of traps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from irkit import hunt
from irkit.canonical import plain
from irkit.case import Case
from irkit.findings import Finding
from irkit.hunt import investigate_instance
from irkit.journal import Kind
from irkit.logs import ingest
from irkit.plan import Call, Outcome, Plan, Running, Step, Undo
from tests.hunt import world
from tests.logs.builders import ACCOUNT, write_flows, write_trail

TRAPS = (
    "<script>alert(1)</script>",
    "</title></style><img src=x onerror=alert(1)>",
    "{{7*7}}{% raw %}",
    "javascript:alert(1)",
    "\x1b[31mred\x1b]8;;https://evil.example\x07link",
    "abc\u202egnp.exe\u2066\u200b",
    "=cmd|' /C calc'!A0",
    '"><a href="https://evil.example/x">x</a>',
    "$\\alpha$ $$ \\frac{1}{0} \\",
    "two\nlines\r\nand a\ttab",
    "日本語 😀 \udcff \x00",
    "x" * 400,
    "@import url(https://evil.example/a.css)",
    "https://evil.example/plain",
)
TRAP = " ".join(TRAPS)


def keep(case: Case, name: str, value: Any) -> None:
    """Write an artifact as notebooks do."""
    path = case.active / "artifacts" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plain(value)), encoding="ascii")


def step(verb: str, target: str, title: str, act: Callable[[Running], Outcome], **more: Any) -> Step:
    """A step of a plan that needs no AWS."""
    return Step(verb=verb, target=target, title=title, act=act, **more)


def opened(folder: Path, *, case_id: str = "2026-11-0042", **more: Any) -> Case:
    """A case with nothing in it."""
    told = {"title": "Web server mines and leaks", "responder": "ana", "account": ACCOUNT} | more
    return Case.open(case_id, region="eu-central-1", cases=folder, **told)


def _responded(case: Case) -> None:
    """Capture and containment: done, done in part, failed, skipped, interrupted."""
    instance = world.INSTANCE

    def screenshot(run: Running) -> Outcome:
        run.keep(b"\xff\xd8jpeg", kind="console-screenshot", name="screenshot.jpg", media_type="image/jpeg")
        return Outcome()

    def facts(run: Running) -> Outcome:
        run.keep(
            json.dumps(world.host_facts()).encode(),
            kind="host-facts",
            name="host-facts.json",
            partial=True,
            notes={"why": "ss is not on the machine"},
        )
        return Outcome(missing=("sockets: ss is not on the machine",))

    def describe(run: Running) -> Outcome:
        for number in range(20):
            run.keep(
                f"{{{number}}}".encode() * 99,
                kind="metadata",
                name=f"describe-{number}.json",
                source="ec2:Describe…",
            )
        return Outcome()

    def quarantine(_: Running) -> Outcome:
        undo = Undo(
            calls=(
                Call(
                    service="ec2", operation="modify_network_interface_attribute", params={"Groups": ["sg-1"]}
                ),
            )
        )
        return Outcome(
            result={"group": "sg-0q"}, before={"groups": ["sg-1"]}, after={"groups": ["sg-0q"]}, undo=undo
        )

    def snapshots(run: Running) -> Outcome:
        run.keep(b"[]", kind="snapshots", name="snapshots.json")
        return Outcome(undo=Undo(impossible="evidence is never deleted"))

    def refused(_: Running) -> Outcome:
        raise ValueError("AccessDenied: iam:PutRolePolicy")

    plan = Plan(
        case,
        [
            step(
                "metadata.read",
                instance,
                "Describe the instance and its surroundings",
                describe,
                changes=False,
            ),
            step("console.screenshot", instance, "Take a console screenshot", screenshot, changes=False),
            step(
                "guard.termination",
                instance,
                "Protect the instance from termination",
                lambda _: Outcome(
                    undo=Undo(calls=(Call(service="ec2", operation="modify_instance_attribute", params={}),))
                ),
                stage=1,
            ),
            step(
                "guard.stop",
                instance,
                "Protect the instance from being stopped",
                lambda _: Outcome(skipped="it was so already"),
                stage=1,
            ),
            step(
                "disks.snapshots", instance, "Snapshot all volumes at one point in time", snapshots, stage=2
            ),
            step(
                "network.quarantine",
                "eni-0123456789abcdef0",
                "Put the interface into quarantine",
                quarantine,
                stage=3,
            ),
            step("identity.deny", "Web", "Deny the stolen session", refused, stage=3),
            step(
                "host.facts", instance, "Collect facts from the running host", facts, changes=False, stage=4
            ),
        ],
        title="respond",
    )
    plan.apply()
    case.journal.append(
        Kind.INTENDED,
        step="0123456789abcdef",
        verb="fleet.standby",
        target=instance,
        title="Move to standby",
        changes=True,
    )


def _ingested(case: Case, folder: Path) -> None:
    for number in range(30):
        case.evidence.add(
            b"log" * (number + 99), kind="cloudtrail", name=f"trail-{number}.json.gz", source="s3://trail/…"
        )
    write_trail(folder / "raw" / "trail.json.gz", world.trail_records())
    write_flows(folder / "raw" / "flow.log.gz", world.flow_lines())
    (folder / "raw" / "broken.json.gz").write_bytes(b"\x1f\x8b\x08\x00broken")
    keep(case, "ingest-cloudtrail", ingest(folder / "raw", case.tables_dir).to_dict())


def answer(case: Case, name: str, **params: object) -> None:
    """Ask a question and keep its answer as notebooks do."""
    raw = hunt.ask(case, name, **params).to_dict()
    keep(case, f"answers/{name}", raw | {"rows": raw["rows"][:500], "total": len(raw["rows"])})


def investigated(folder: Path) -> Case:
    """A case from capture to findings, as the playbook leaves it."""
    case = opened(folder / "cases", simulated="web-to-role-theft")
    keep(
        case,
        "preflight",
        {
            "instance": {
                "id": world.INSTANCE,
                "account": ACCOUNT,
                "type": "m5.large",
                "private": [world.OWN],
            },
            "warnings": [{"what": "IMDSv1 is allowed", "do": "require tokens after containment"}],
            "problems": [],
        },
    )
    _responded(case)
    _ingested(case, folder)
    findings = investigate_instance(case, world.SUBJECT, world.host_facts())
    keep(case, "findings", [finding.to_dict() for finding in findings])
    answer(
        case,
        "credentials_used_elsewhere",
        instance_id=world.INSTANCE,
        addresses=f"{world.OWN},{world.OWN_PUBLIC}",
    )
    answer(case, "created_credentials")
    answer(case, "shared_snapshots")
    answer(case, "outbound_by_destination", addresses=world.OWN)
    answer(case, "beacons", addresses=world.OWN)
    answer(case, "denied_calls")
    answer(case, "coverage")
    keep(
        case,
        "proof",
        {
            "case": case.id,
            "instance": world.INSTANCE,
            "at": "2026-11-20T12:00:00Z",
            "complete": False,
            "verdicts": [
                {
                    "control": "network.quarantine",
                    "target": "eni-0123456789abcdef0",
                    "intended": "only the quarantine group",
                    "observed": {"groups": ["sg-0q"]},
                    "finding": "proved",
                    "why": "",
                },
                {
                    "control": "identity.deny",
                    "target": "Web",
                    "intended": "the session is denied",
                    "observed": None,
                    "finding": "not proved",
                    "why": "the policy is not on the role",
                },
            ],
        },
    )
    case.note("the owner of the server was told")
    return case


def trapped(folder: Path) -> Case:
    """A case in which every text that comes from outside is a trap."""
    case = opened(folder / "cases", case_id="trap", title=TRAP, responder=TRAP, account=TRAP, simulated=TRAP)
    case.evidence.add(b"x", kind=TRAP, name=TRAP, source=TRAP, partial=True, notes={"why": TRAP})

    def fails(_: Running) -> Outcome:
        raise ValueError(TRAP)

    undo = Undo(calls=(Call(service=TRAP, operation=TRAP, params={TRAP: TRAP}),))
    Plan(
        case,
        [
            *(
                step(
                    f"{n}{trap}",
                    trap,
                    trap,
                    lambda _: Outcome(undo=undo, missing=(TRAP,), result={TRAP: TRAP}),
                )
                for n, trap in enumerate(TRAPS)
            ),
            step(TRAP, TRAP, TRAP, fails),
        ],
        title=TRAP,
    ).apply()
    case.note(TRAP, **{TRAP: TRAP})
    when = "2026-11-20T10:00:00+00:00"
    keep(
        case,
        "findings",
        [
            Finding(
                id=f"{n}-{trap}",
                title=trap,
                statement=trap,
                severity="critical",
                confidence="high",
                attack=("T1530", trap),
                facts=dict.fromkeys(
                    (
                        "access_key",
                        "address",
                        "bucket",
                        "object_count",
                        "bytes_read",
                        "pool",
                        "principal",
                        "time_entry",
                        "file",
                        "session",
                        "snapshot",
                        trap,
                    ),
                    TRAPS,
                ),
                basis=TRAPS,
            ).to_dict()
            | {"first_seen": when, "last_seen": when}
            for n, trap in enumerate(TRAPS)
        ],
    )
    rows = [dict.fromkeys(TRAPS, trap) | {"number": {"deep": [trap]}} for trap in TRAPS]
    keep(
        case,
        "answers/trap",
        {
            "question": TRAP,
            "title": TRAP,
            "params": {TRAP: TRAP, "addresses": [TRAP]},
            "columns": [*TRAPS, "number"],
            "rows": rows,
            "total": 9999,
            "coverage": TRAP,
        },
    )
    keep(
        case,
        "preflight",
        {TRAP: TRAP, "instance": {"id": TRAP, TRAP: TRAP}, "problems": [TRAP], "warnings": [{TRAP: TRAP}]},
    )
    keep(case, "proof", {TRAP: TRAP, "verdicts": [dict.fromkeys(("control", "finding", TRAP), TRAP)]})
    keep(
        case,
        "ingest",
        {"quarantined": [{"source": TRAP, "reason": TRAP, "records": 1}], "skipped": {TRAP: 3}},
    )
    # What AWS delivers is valid Unicode; an intruder chooses agents, names of sessions and of things.
    seen = TRAP.encode("utf-8", "replace").decode()
    identity = {"type": "IAMUser", "accountId": ACCOUNT} | dict.fromkeys(
        ("principalId", "arn", "accessKeyId", "userName"), seen
    )
    chosen = {
        "userAgent": seen,
        "userIdentity": identity,
        "sourceIPAddress": seen,
        "requestParameters": {seen: seen},
    }
    write_trail(folder / "raw" / "trail.json.gz", [record | chosen for record in world.trail_records()])
    write_flows(folder / "raw" / "flow.log.gz", world.flow_lines())
    ingest(folder / "raw", case.tables_dir)
    return case
