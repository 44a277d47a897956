"""Metadata: what AWS itself knows of the instance and of what surrounds it, every answer kept word for word.

All of it reads; nothing changes. A question that AWS refuses, or that nobody answers, is named as missing and stops
nothing: a terminating instance, a service that is not used and a permission that is lacking are all ordinary here.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from irkit.canonical import plain
from irkit.capture.asking import Answer, Asker, side_by_side
from irkit.capture.inquiries import chains, questions
from irkit.capture.instance import Instance
from irkit.evidence.store import Staged
from irkit.plan import Outcome, Running, Step

if TYPE_CHECKING:
    from irkit.case import Case

VERB = "capture.metadata"
KIND = "aws-metadata"
# Answers that mean "there is none of it", which is a fact and not a gap: an image that was deregistered, say.
_NONE_HERE = frozenset({
    "NoSuchEntity", "NoSuchConfigurationRecorder", "ResourceNotDiscoveredException", "InvalidAMIID.NotFound",
    "InvalidAMIID.Unavailable", "ServiceSettingNotFound", "NoAvailableConfigurationRecorderException",
})  # fmt: skip
# Machines that boot by BIOS have no UEFI variables; EC2 says so with one of these.
_NO_UEFI = frozenset({"UnsupportedOperation", "InvalidParameterValue", "UnsupportedOperationException"})


def steps(case: Case, instance: Instance) -> list[Step]:
    """One step: ask everything side by side, keep each answer as an item, and one tidy view of all."""
    _ = case
    return [
        Step(
            verb=VERB, target=instance.id, changes=False, deadline=180, act=lambda running: _act(running, instance),
            title="keep what AWS knows of the instance: network, disks, user data, role and policies, fleet, agent",
        )
    ]  # fmt: skip


def _act(running: Running, instance: Instance) -> Outcome:
    held = {i.name: i for i in running.case.evidence.items(step=running.step_id)}
    if (
        "instance.json" in held
    ):  # stored last of the batch: the earlier run had everything but the journal's `done`
        return Outcome(
            result={"items": len(held), "item": held["instance.json"].id}, missing=_earlier_gaps(running)
        )
    asker = Asker(case=running.case, stop=lambda: running.stopped)
    asks = [
        partial(asker.ask, service, operation, **params) for service, operation, params in questions(instance)
    ]
    todo: list[Callable[[], object]] = [*chains(asker, instance), *asks]
    side_by_side(_call, todo)
    answers = [a for a in asker.answers if a.ok]
    missing = tuple(_gap(a) for a in asker.answers if not a.ok and not _none_here(a))
    running.progress(f"{len(answers)} answers, {len(missing)} refusals")
    batch = [*_raw(running, answers, instance.account), *_user_data(running, answers, instance)]
    absent = [_gap(a) for a in asker.answers if _none_here(a)] + asker.absent
    view = tidy(instance, answers) | {"missing": list(missing), "absent": absent}
    text = (json.dumps(plain(view), indent=1, sort_keys=True) + "\n").encode("ascii")
    batch.append(
        _staged(
            running,
            text,
            kind="instance",
            name="instance.json",
            notes={"answers": len(answers), **instance.place},
        )
    )
    items = running.case.evidence.commit(batch)
    return Outcome(
        result={"items": len(items), "item": items[-1].id, "answers": len(answers)},
        missing=missing,
        request_ids=tuple(i for a in answers for i in a.request_ids),
    )


def _none_here(answer: Answer) -> bool:
    return answer.code in _NONE_HERE or (
        answer.operation == "get_instance_uefi_data" and answer.code in _NO_UEFI
    )


def _call(work: Callable[[], object]) -> None:
    work()


def _earlier_gaps(running: Running) -> tuple[str, ...]:
    item = running.kept("instance", "instance.json")
    if item is None:
        return ()
    return tuple(json.loads(running.case.evidence.read(item)).get("missing", ()))


def _gap(answer: Answer) -> str:
    about = ", ".join(str(v) for v in answer.params.values() if isinstance(v, str))
    return f"{answer.service} {answer.operation}{f' ({about})' if about else ''}: {answer.why}"


def _staged(running: Running, data: bytes, *, kind: str, name: str, media: str = "application/json",
            notes: Mapping[str, Any]) -> Staged:  # fmt: skip
    with running.case.evidence.stage(
        kind=kind, name=name, source=running.step.target, step=running.step_id, media_type=media, notes=notes
    ) as (writer, staged):
        writer.write(data)
    return staged


def _raw(running: Running, answers: list[Answer], account: str) -> Iterator[Staged]:
    counts: dict[str, int] = {}
    for answer in sorted(
        answers, key=lambda a: (a.service, a.operation, json.dumps(plain(a.params), sort_keys=True))
    ):
        name = f"{answer.service}.{answer.operation}"
        counts[name] = counts.get(name, 0) + 1
        if counts[name] > 1:
            name = f"{name}.{counts[name]}"
        notes = {
            "service": answer.service, "operation": answer.operation, "params": answer.params, "region": answer.region,
            "asked_at": answer.asked_at, "pages": len(answer.pages), "request_ids": answer.request_ids,
            "account": account,
        }  # fmt: skip
        yield _staged(running, answer.to_json(), kind=KIND, name=f"{name}.json", notes=notes)


def attributes(answers: list[Answer]) -> dict[str, Any]:
    """The instance's attributes by name, from the answers that hold one each."""
    found: dict[str, Any] = {}
    for answer in answers:
        if answer.operation == "describe_instance_attribute":
            name = str(answer.params["Attribute"])
            value = (
                answer[name[0].upper() + name[1:]]
                or answer["BlockDeviceMappings" if name == "blockDeviceMapping" else "Groups"]
            )
            found[name] = value.get("Value") if isinstance(value, dict) and set(value) <= {"Value"} else value
    return found


def _user_data(running: Running, answers: list[Answer], instance: Instance) -> Iterator[Staged]:
    """The start-up script as it was given: secrets and attackers' changes are found in it."""
    encoded = attributes(answers).get("userData")
    if not encoded:
        return
    try:
        data = base64.b64decode(str(encoded))
    except binascii.Error:
        return
    notes: dict[str, Any] = {
        "service": "ec2",
        "operation": "describe_instance_attribute",
        "decoded": "base64",
        **instance.place,
    }
    yield _staged(
        running, data, kind="user-data", name="user-data", media="application/octet-stream", notes=notes
    )
    if data[:2] == b"\x1f\x8b":  # cloud-init takes it compressed
        try:
            unpacked = gzip.decompress(data)[: 1 << 22]
        except (OSError, EOFError, zlib.error):
            return
        yield _staged(running, unpacked, kind="user-data", name="user-data.unpacked", media="text/plain",
                      notes=notes | {"decoded": "base64, gzip", "instance": instance.id})  # fmt: skip


def tidy(instance: Instance, answers: list[Answer]) -> dict[str, Any]:
    """One view of the instance for people and for later steps, drawn from the answers."""

    def first(operation: str, key: str) -> Any:
        return next((a[key] for a in answers if a.operation == operation and a[key]), None)

    def each(operation: str, key: str) -> list[Any]:
        return [a[key] for a in answers if a.operation == operation and a[key] is not None]

    mine = {instance.id, *instance.addresses}
    health = [
        {"target_group": a.params["TargetGroupArn"], "state": d.get("TargetHealth", {}).get("State")}
        for a in answers
        if a.operation == "describe_target_health"
        for d in a["TargetHealthDescriptions"] or ()
        if d.get("Target", {}).get("Id") in mine
    ]
    classic = [
        b["LoadBalancerName"]
        for b in first("describe_load_balancers", "LoadBalancerDescriptions") or ()
        if instance.id in {i.get("InstanceId") for i in b.get("Instances", ())}
    ]
    return {
        "schema": "irkit/instance/1",
        "instance": instance.to_dict(),
        "attributes": {k: v for k, v in attributes(answers).items() if k != "userData"},
        "metadata_options": instance.raw.get("MetadataOptions"),
        "security_groups": first("describe_security_groups", "SecurityGroups"),
        "flow_logs": first("describe_flow_logs", "FlowLogs"),
        "scaling": first("describe_auto_scaling_instances", "AutoScalingInstances"),
        "target_groups": health,
        "classic_load_balancers": classic,
        "ssm": first("describe_instance_information", "InstanceInformationList"),
        "profile": first("get_instance_profile", "InstanceProfile"),
        "role_policies": [
            {"role": a["RoleName"], "policy": a["PolicyName"], "document": a["PolicyDocument"]}
            for a in answers
            if a.operation == "get_role_policy"
        ],
        "attached_policies": [
            p for found in each("list_attached_role_policies", "AttachedPolicies") for p in found
        ],
        "policy_versions": [
            {"policy": a.params["PolicyArn"], "version": a.params["VersionId"],
             "default": (a["PolicyVersion"] or {}).get("IsDefaultVersion")}
            for a in answers if a.operation == "get_policy_version"
        ],
        "findings": [
            {"id": f.get("Id"), "type": f.get("Type"), "severity": f.get("Severity")}
            for found in each("get_findings", "Findings") for f in found
        ],
        "config_history": {
            a.params["resourceId"]: len(a["configurationItems"] or ())
            for a in answers if a.operation == "get_resource_config_history"
        },
        "older_snapshots": [s["SnapshotId"] for s in first("describe_snapshots", "Snapshots") or ()],
    }  # fmt: skip
