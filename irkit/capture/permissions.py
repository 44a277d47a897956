"""What the responder may do, asked before it is needed: EC2's dry runs, and IAM's simulation where there is none.

A dry run is EC2's own verdict, with every policy and boundary that applies. The simulation knows the identity's
policies but not, for instance, service control policies with conditions: its "allowed" is a good sign and no promise.

References:
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/CommonParameters.html
    https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from irkit.aws import arn_parts, error_code
from irkit.capture.asking import NO_ANSWER
from irkit.capture.instance import Instance
from irkit.plan import reason

if TYPE_CHECKING:
    from irkit.case import Case

# Action: what cannot be done without it.
SIMULATED: Mapping[str, str] = {
    "ssm:DescribeInstanceInformation": "host facts",
    "ssm:SendCommand": "host facts",
    "ssm:GetCommandInvocation": "host facts",
    "iam:GetInstanceProfile": "metadata",
    "iam:GetRolePolicy": "metadata",
    "iam:PutRolePolicy": "containment of the role",
    "iam:UpdateAccessKey": "containment of access keys",
    "autoscaling:EnterStandby": "containment of the fleet",
    "autoscaling:SetInstanceProtection": "containment of the fleet",
    "elasticloadbalancing:DeregisterTargets": "containment of the fleet",
}
# What keeping the snapshots needs on top.
KEEPING: Mapping[str, str] = {
    "ec2:ModifySnapshotAttribute": "keeping the snapshots",
    "ec2:CopySnapshot": "keeping the snapshots",
    "ec2:LockSnapshot": "keeping the snapshots",
    "kms:CreateGrant": "keeping the snapshots",
    "sts:AssumeRole": "keeping the snapshots",
}
_DENIED = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """Whether an action is allowed; None when that could not be found out. `needed_for` says what it is good for."""

    action: str
    allowed: bool | None
    needed_for: str
    how: str
    why: str = ""


def dry_runs(instance: Instance) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Operation, what it is needed for, and parameters, of every EC2 write that capture and containment may make."""
    yield "create_snapshots", "disks", {"InstanceSpecification": {"InstanceId": instance.id}}
    if instance.volumes:
        tags = [{"Key": "irkit:case", "Value": "preflight"}]
        yield "create_tags", "disks", {"Resources": [instance.volumes[0].id], "Tags": tags}
    yield "get_console_screenshot", "console", {"InstanceId": instance.id}
    yield "get_console_output", "console", {"InstanceId": instance.id}
    guarded = {"InstanceId": instance.id, "DisableApiTermination": {"Value": True}}
    yield "modify_instance_attribute", "guard rails", guarded
    if instance.vpc:
        group = {"GroupName": "irkit-preflight", "Description": "never made", "VpcId": instance.vpc}
        yield "create_security_group", "containment of the network", group
    for interface in instance.interfaces[:1]:
        change = {"NetworkInterfaceId": interface.id, "Groups": list(interface.groups)}
        yield "modify_network_interface_attribute", "containment of the network", change


def dry_run(case: Case, operation: str, needed_for: str, params: Mapping[str, Any]) -> Permission:
    """EC2's verdict on one operation; nothing is done."""
    action = "ec2:" + "".join(word.capitalize() for word in operation.split("_"))
    code, why = "", "AWS did not answer as to a dry run"
    try:
        getattr(case.client("ec2"), operation)(**params, DryRun=True)
    except ClientError as error:
        code = error_code(error)
        why = reason(error, doing=operation.replace("_", " "), resource="")
    except NO_ANSWER as error:
        why = reason(error, doing=operation.replace("_", " "), resource="")
    allowed = True if code == "DryRunOperation" else False if code in _DENIED else None
    return Permission(
        action=action, allowed=allowed, needed_for=needed_for, how="dry run", why="" if allowed else why
    )


def simulated(case: Case, arn: str, actions: Mapping[str, str] = SIMULATED) -> list[Permission]:
    """IAM's verdicts on `actions`, which have no dry run; all unknown when IAM does not let us ask.

    `actions` says what each is needed for.
    """
    try:
        source = _principal(case, arn)
        answer = case.client("iam").simulate_principal_policy(
            PolicySourceArn=source, ActionNames=list(actions)
        )
    except NO_ANSWER as error:
        why = reason(error, doing="simulate policies", resource="")
        return [_verdict(action, None, why, actions) for action in actions]
    decisions = {r["EvalActionName"]: r["EvalDecision"] for r in answer.get("EvaluationResults", ())}
    return [
        _verdict(
            a, decisions[a] == "allowed" if a in decisions else None, decisions.get(a, "no answer"), actions
        )
        for a in actions
    ]


def _verdict(action: str, allowed: bool | None, why: str, actions: Mapping[str, str]) -> Permission:
    return Permission(
        action=action,
        allowed=allowed,
        needed_for=actions[action],
        how="simulation",
        why="" if allowed else why,
    )


def _principal(case: Case, arn: str) -> str:
    """The ARN that policies hang on: of the role, with its path, when `arn` is that of one of its sessions."""
    parts = arn_parts(arn)
    if parts.service == "sts" and parts.resource.startswith("assumed-role/"):
        role = case.client("iam").get_role(RoleName=parts.resource.split("/")[1])
        return str(role["Role"]["Arn"])
    return arn
