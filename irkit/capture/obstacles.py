"""What stands in the way of a capture, or is to be known before it, and what to do about each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from irkit.aws import Identity
from irkit.capture import surroundings as around
from irkit.capture.instance import Instance
from irkit.capture.permissions import Permission
from irkit.capture.run_command import Node
from irkit.capture.tracked_paths import behind_network_balancer
from irkit.escape import for_terminal

if TYPE_CHECKING:
    from irkit.case import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """Something in the way, and what to do about it."""

    what: str
    do: str


def problems(
    case: Case,
    instance: Instance,
    identity: Identity,
    permissions: list[Permission],
    found: around.Surroundings,
) -> Iterator[Issue]:
    """What stops a kind of capture."""
    expected = case.facts.account
    if expected and expected != identity.account:
        yield Issue(what=f"the credentials are for account {identity.account}, the case is about {expected}",
                    do="sign in to the case's account, or give the case a role there")  # fmt: skip
    if instance.state not in {"running", "stopped"}:
        yield Issue(
            what=f"the instance is {instance.state}",
            do="capture metadata and disks at once; the rest may be gone soon",
        )
    if not instance.volumes:
        yield Issue(
            what="no EBS volumes: no snapshot can hold its disks",
            do="do not stop it; take memory and files by the host",
        )
    if any(v.size is None for v in instance.volumes):
        yield Issue(what="the volumes could not be described: their sizes and keys are unknown",
                    do="ask for ec2:DescribeVolumes; snapshots are taken all the same")  # fmt: skip
    for permission in permissions:
        if permission.allowed is False:
            yield Issue(what=f"not allowed: {permission.action} (needed for {permission.needed_for})",
                        do="ask for the permission, or use the responder role (--role)")  # fmt: skip
    if found.forensics_trouble:
        yield Issue(what=f"the forensics account cannot be used: {found.forensics_trouble}",
                    do="correct the role's trust or the key; until then snapshots stay where they are")  # fmt: skip
    for key in found.keys:
        if key.state not in {"Enabled", "unknown"}:
            yield Issue(what=f"the KMS key {key.id} is {key.state}: snapshots under it will fail",
                        do="have the key enabled, or its deletion cancelled, before anything else")  # fmt: skip


def warnings(
    case: Case, instance: Instance, reached: Node, permissions: list[Permission], found: around.Surroundings
) -> Iterator[Issue]:
    """What does not stop the capture but changes how it is done, or what must be done with care."""
    yield from _host(case, instance, reached)
    yield from _bucket(case, found)
    yield from _disks(found)
    yield from _neighbours(found)
    yield from _options(instance)
    unknown = [p.action for p in permissions if p.allowed is None]
    if unknown:
        yield Issue(
            what=f"unknown whether allowed: {', '.join(unknown)}",
            do="try; a refusal stops only what needs it",
        )
    for gap in found.unknown:
        yield Issue(what=f"not found out: {gap}", do="the plan tells when it matters")


def _host(case: Case, instance: Instance, reached: Node) -> Iterator[Issue]:
    if instance.state == "stopped":
        yield Issue(
            what="the instance is stopped: memory and live facts are gone",
            do="do not start it; work from its disks",
        )
    elif not reached.online:
        yield Issue(
            what=f"no command reaches the host: {reached.why}",
            do="disks, console and metadata are captured without it",
        )
    if "evidence_bucket" not in case.facts.sources and reached.online:
        yield Issue(what="no evidence bucket: each command's output ends after 24,000 characters",
                    do="open the case with evidence_bucket among its sources")  # fmt: skip


def _bucket(case: Case, found: around.Surroundings) -> Iterator[Issue]:
    if found.bucket_trouble:
        bucket = for_terminal(case.facts.sources["evidence_bucket"])
        yield Issue(what=f"the evidence bucket {bucket} cannot be used: {found.bucket_trouble}",
                    do="correct its name or its policy; until then host facts are fetched in parts")  # fmt: skip
    elif found.bucket is not None:
        bucket = for_terminal(found.bucket.name)
        if not found.bucket.lockable:
            yield Issue(what=f"the evidence bucket {bucket} has no Object Lock: what is put there can be deleted",
                        do="enable it, then deposit with --retention")  # fmt: skip
        if found.bucket.region != case.facts.region:
            apart = f"is in {found.bucket.region}, the suspect in {case.facts.region}"
            yield Issue(what=f"the evidence bucket {bucket} {apart}",
                        do="see whether evidence may leave the region")  # fmt: skip
        if found.bucket.owner is None:
            yield Issue(what=f"nothing says whose the evidence bucket {bucket} must be",
                        do="open the case with --source evidence_owner=ACCOUNT")  # fmt: skip


def _disks(found: around.Surroundings) -> Iterator[Issue]:
    for store in found.instance_store:
        yield Issue(what=store, do="do not stop the instance before these disks are captured by the host")
    for key in found.keys:
        if key.shareable is False:
            yield Issue(what=f"{key.id} is managed by AWS: snapshots under it cannot be shared with another account",
                        do="name a key to pass them on under (--source transfer_key=alias/NAME)")  # fmt: skip


def _neighbours(found: around.Surroundings) -> Iterator[Issue]:
    if found.scaling.get("state") == "InService":
        group = for_terminal(found.scaling["group"])
        yield Issue(what=f"in Auto Scaling group {group}, which terminates it when its health check fails",
                    do="move it to standby before it is quarantined (irkit contain --only fleet)")  # fmt: skip
    balanced = [g.name for g in found.target_groups if behind_network_balancer(g.protocol)]
    ways = [
        *found.tracked,
        *(f"the network load balancer of target group {for_terminal(n)}" for n in balanced),
    ]
    if ways:
        yield Issue(what=f"flows stay tracked through {'; '.join(map(for_terminal, ways))}",
                    do="groups leave them alive: add a network ACL, the host's firewall or a stop")  # fmt: skip
    behind = [g.name for g in found.target_groups] + list(found.classic_balancers)
    if behind:
        yield Issue(
            what=f"takes traffic from {', '.join(map(for_terminal, behind))}",
            do="deregister it as it is contained",
        )
    if found.role_sharers:
        yield Issue(what=f"{len(found.role_sharers)} other instances use its role: {', '.join(found.role_sharers[:5])}",
                    do="contain this instance's session, not the role")  # fmt: skip
    for group, others in found.group_sharers.items():
        if others:
            yield Issue(what=f"{len(others)} others are in {group}: {', '.join(others[:5])}",
                        do="give the instance a group of its own instead of changing this one")  # fmt: skip


def _options(instance: Instance) -> Iterator[Issue]:
    options = instance.raw.get("MetadataOptions", {})
    if options.get("HttpTokens") == "optional":
        yield Issue(what="IMDSv1 is on: any request forgery on the host gets the role's credentials",
                    do="treat the role's credentials as stolen; require tokens as it is contained")  # fmt: skip
    if options.get("InstanceMetadataTags") == "enabled":
        yield Issue(
            what="its tags can be read on the host, so tagging it tells the intruder",
            do="tag after the capture",
        )
    if instance.lifecycle == "spot":
        yield Issue(
            what="a spot instance: AWS may take it back, and refuses termination protection",
            do="capture it first",
        )
