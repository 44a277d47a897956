"""The parameters of the notebooks that come with irkit, one model each: names, types, limits, what they mean."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, IPvAnyAddress

from irkit.aws.names import (
    access_key_id,
    bucket_name,
    instance_id,
    principal_arn,
    snapshot_id,
    topic_arn,
)
from irkit.errors import InvalidParameter
from irkit.notebook.catalog import find
from irkit.notebook.parameters import Parameters, named

InstanceId = Annotated[str, named(instance_id)]
Topic = Annotated[str, named(lambda text: text and topic_arn(text))]
Bucket = Annotated[str, named(lambda text: text and bucket_name(text))]
AccessKeyId = Annotated[str, named(access_key_id)]
SnapshotId = Annotated[str, named(snapshot_id)]
Principal = Annotated[str, named(principal_arn)]
Days = Annotated[int, Field(ge=1, le=3650)]
Mode = Annotated[Literal["plan", "apply"], Field(description="plan shows what would be done; apply does it")]
Capture = Literal["metadata", "console", "disks", "host", "keep"]
Containment = Literal["guard", "fleet", "network", "identity"]


class Preflight(Parameters):
    """`capture/preflight`: what can be captured and contained, and what stands in the way."""

    instance_id: InstanceId


class CaptureInstance(Parameters):
    """`capture/instance`: take evidence of one instance.

    `disk_set` names the snapshot set: a second one, `B`, is taken after a host was asked. Without `wait` a set is begun
    and not waited for. `keep` shares, copies and locks the snapshots, where the case says where to.
    """

    instance_id: InstanceId
    only: tuple[Capture, ...] = ("metadata", "console", "disks", "host")
    disk_set: Annotated[str, Field(pattern=r"^[A-Z]$")] = "A"
    wait: bool = True
    mode: Mode = "plan"


class CaptureMemory(Parameters):
    """`capture/memory`: dump the memory. `tool` is a file of yours, pinned by `tool_sha256`; empty: the case's own."""

    instance_id: InstanceId
    tool: str = ""
    tool_sha256: str = ""
    tool_args: str = ""
    mode: Mode = "plan"

    def memory(self) -> dict[str, str]:
        """What was given of the tool, by the names that a case's sources have."""
        given = {
            "memory_tool": self.tool,
            "memory_tool_sha256": self.tool_sha256,
            "memory_tool_args": self.tool_args,
        }
        return {name: value for name, value in given.items() if value}


class CaptureDiskImage(Parameters):
    """`capture/disk-image`: an EBS snapshot as a raw image. `since` names an earlier snapshot of the same volume."""

    snapshot_id: SnapshotId
    since: Annotated[str, named(lambda text: text and snapshot_id(text))] = ""
    to: str = ""
    mode: Mode = "plan"


class ContainInstance(Parameters):
    """`contain/instance`: limit the attacker. `ssm_room` leaves the SSM agent its channel for the capture to come.

    `rather_cut` closes the network where that channel cannot be kept. `addresses`, `replace_profile`, `metadata_off`
    close what is left; `role_wide` denies older sessions of the role on all its machines; `tracked` says what ends
    connections that a security group does not.
    """

    instance_id: InstanceId
    only: tuple[Containment, ...] = ("guard", "fleet", "network", "identity")
    ssm_room: bool = False
    rather_cut: bool = False
    addresses: bool = False
    replace_profile: bool = False
    metadata_off: bool = False
    role_wide: bool = False
    tracked: Literal["", "nacl", "host-firewall", "stop"] = ""
    mode: Mode = "plan"

    def options(self) -> dict[str, Any]:
        """What `irkit.contain.plan` takes beside the instance: what was chosen, of the kinds that are wanted."""
        of = {
            "network": ("addresses", "tracked"),
            "identity": ("replace_profile", "metadata_off", "role_wide"),
        }
        chosen = {name: getattr(self, name) for kind in self.only for name in of.get(kind, ())}
        kept = {"ssm_room": self.ssm_room, "rather_cut": self.rather_cut}
        return {name: value for name, value in (chosen | kept).items() if value}


class ContainCredentials(Parameters):
    """`contain/credentials`: users, access keys, roles, and what was issued with stolen keys (`chain_of`)."""

    users: tuple[str, ...] = ()
    keys: tuple[AccessKeyId, ...] = ()
    roles: tuple[str, ...] = ()
    chain_of: tuple[AccessKeyId, ...] = ()
    mode: Mode = "plan"


class UndoContainment(Parameters):
    """`contain/undo`: put back what was there. `only` narrows it; `force` overwrites what others changed since."""

    only: tuple[str, ...] = ()
    force: bool = False
    mode: Mode = "plan"


class Notify(Parameters):
    """`report/notify`: tell people what was done and what needs a decision. `topic` is the ARN of an SNS topic."""

    instance_id: InstanceId
    topic: Topic = ""
    mode: Mode = "plan"


class AnalyzeCloudTrail(Parameters):
    """`analyze/cloudtrail-overview`: `source` is a folder, a file or `s3://bucket/prefix`; `days` back from now."""

    instance_id: InstanceId
    source: str = ""
    days: Days = 14
    mode: Mode = "plan"


class AnalyzeNetwork(AnalyzeCloudTrail):
    """`analyze/network-flows`: VPC flow logs, as for CloudTrail."""


class AnalyzeFindings(Parameters):
    """`analyze/instance-findings`: from tables and host facts to findings."""

    instance_id: InstanceId


class AnalyzeAccount(Parameters):
    """`analyze/s3-access-and-exfiltration`, `analyze/persistence-and-escalation`: questions to CloudTrail as a whole.

    `source` is as for `analyze/cloudtrail-overview`; empty, the questions are asked of what the case has in tables.
    """

    source: str = ""
    days: Days = 14
    mode: Mode = "plan"


class AnalyzeAccessKey(AnalyzeAccount):
    """`analyze/access-key`: everything one key did. `addresses` are the intruder's, if its owner goes on using it."""

    access_key_id: AccessKeyId
    addresses: tuple[IPvAnyAddress, ...] = ()


class AnalyzeDetections(AnalyzeAccount):
    """`analyze/detections`: Sigma rules asked of CloudTrail; `rules` are folders or files, irkit's own when empty."""

    rules: tuple[str, ...] = ()


class AnalyzePrincipal(AnalyzeAccount):
    """`analyze/principal-sessions`: everything that a user, role or session (an ARN) did."""

    principal: Principal


class Timeline(Parameters):
    """`report/timeline`: findings, calls and steps in one order, and as files for other tools."""


class FinalReport(Parameters):
    """`report/final-report`: the report of the case."""


class Deposit(Parameters):
    """`report/deposit`: copy the evidence to a bucket; empty: the case's evidence bucket."""

    bucket: Bucket = ""
    mode: Mode = "plan"


BY_NOTEBOOK: dict[str, type[Parameters]] = {
    "capture/preflight": Preflight,
    "capture/instance": CaptureInstance,
    "capture/memory": CaptureMemory,
    "contain/instance": ContainInstance,
    "capture/disk-image": CaptureDiskImage,
    "contain/credentials": ContainCredentials,
    "contain/undo": UndoContainment,
    "report/notify": Notify,
    "analyze/cloudtrail-overview": AnalyzeCloudTrail,
    "analyze/network-flows": AnalyzeNetwork,
    "analyze/instance-findings": AnalyzeFindings,
    "analyze/access-key": AnalyzeAccessKey,
    "analyze/detections": AnalyzeDetections,
    "analyze/principal-sessions": AnalyzePrincipal,
    "analyze/s3-access-and-exfiltration": AnalyzeAccount,
    "analyze/persistence-and-escalation": AnalyzeAccount,
    "report/timeline": Timeline,
    "report/final-report": FinalReport,
    "report/deposit": Deposit,
}


def model_of(notebook: str) -> type[Parameters]:
    """The parameters of the notebook called `notebook`. Raises `NotFound` with the names there are."""
    if notebook not in BY_NOTEBOOK:
        find(notebook)
        raise InvalidParameter(
            f"no parameters are known for notebook {notebook}", hint="see `irkit notebooks list`"
        )
    return BY_NOTEBOOK[notebook]
