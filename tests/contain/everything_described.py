"""Every description of an account that AWS gives: to hold an account against itself before and after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError

from irkit.sim import fidelity
from tests.contain.conftest import describe_all, stable

# Every read of these services that takes no argument is called; of the others irkit's containment changes nothing.
SERVICES = (
    "ec2",
    "iam",
    "autoscaling",
    "elbv2",
    "elb",
    "kms",
    "sns",
    "s3",
    "secretsmanager",
    "lambda",
    "ssm",
)
READS = ("Describe", "List", "Get")
# What AWS itself assigns, counts or times; `ASSIGNED_BY_AWS` of conftest lists ids that change when put back.
NOT_COMPARED = {
    "ResponseMetadata",
    "RoleLastUsed",  # when the responder's own role was used
    "LastPingDateTime",  # the agents go on calling
    "AvailableIpAddressCount",  # an address of the terminated replacement comes free later
}
# What is a record of what was done, and so must have grown.
A_RECORD = {
    ("ec2", "DescribeInstanceTypes"),  # a catalogue of AWS, nothing of the account's
    ("iam", "GetCredentialReport"),
    ("iam", "GetAccountAuthorizationDetails"),
    ("autoscaling", "DescribeScalingActivities"),
    ("ssm", "ListCommands"),
    ("ssm", "ListCommandInvocations"),
}


def operations(client: Callable[[str], Any]) -> list[tuple[str, str]]:
    """The reads that take no argument and that the simulator has, by service and name."""
    found = []
    for row in fidelity.TABLE:
        if row.service not in SERVICES or row.level == "L0" or not row.operation.startswith(READS):
            continue
        model = client(row.service).meta.service_model.operation_model(row.operation)
        if not (model.input_shape and model.input_shape.required_members):
            found.append((row.service, row.operation))
    return [f for f in found if f not in A_RECORD]


def described(client: Callable[[str], Any]) -> dict[str, Any]:
    """What all of them answer now, and what `describe_all` adds of things that are asked for one by one."""
    # AWS forgets the tags of what was deleted, and shows a terminated instance for about an hour
    ec2 = client("ec2")
    pages = ec2.get_paginator("describe_instances").paginate()
    shown = [i for page in pages for r in page["Reservations"] for i in r["Instances"]]
    gone = {i["InstanceId"] for i in shown if i["State"]["Name"] in {"terminated", "shutting-down"}}
    groups = {g["GroupId"] for g in ec2.describe_security_groups()["SecurityGroups"]}
    tagged = {t["ResourceId"] for t in ec2.describe_tags()["Tags"]}
    gone |= {t for t in tagged if t.startswith("sg-")} - groups
    said: dict[str, Any] = {
        "in detail": _living(describe_all(client), gone),
        "identity": _living(_identity(client("iam")), set()),
    }
    for service, operation in operations(client):
        asked, name = client(service), xform_name(operation)
        try:
            if asked.can_paginate(name):
                answer = asked.get_paginator(name).paginate().build_full_result()
            else:
                answer = getattr(asked, name)()
        except ClientError as error:
            answer = error.response["Error"]["Code"]
        said[f"{service}:{operation}"] = stable(_living(answer, gone))
    return said


def _identity(iam: Any) -> Any:
    roles = [r["RoleName"] for r in iam.list_roles()["Roles"]]
    users = [u["UserName"] for u in iam.list_users()["Users"]]
    return stable(
        {
            "roles": {n: iam.get_role(RoleName=n)["Role"] for n in roles},
            "tags": {n: iam.list_role_tags(RoleName=n)["Tags"] for n in roles},
            "profiles": iam.list_instance_profiles()["InstanceProfiles"],
            "policies": iam.list_policies(Scope="Local")["Policies"],
            "users": {
                n: [iam.list_user_policies(UserName=n)["PolicyNames"],
                    iam.list_attached_user_policies(UserName=n)["AttachedPolicies"]]
                for n in users
            },
        }
    )  # fmt: skip


def _living(answer: Any, gone: set[str]) -> Any:
    """`answer` without `gone` instances and what belongs to them, and without `NOT_COMPARED`."""
    if isinstance(answer, list):
        return [_living(v, gone) for v in answer if not _belongs(v, gone)]
    if isinstance(answer, dict):
        left = {k: v for k, v in answer.items() if k not in NOT_COMPARED}
        if ":instance-profile/" in str(left.get("Arn")):
            left.pop("Id", None)  # where an instance shows its profile: moto has another id there at launch
        return {k: _living(v, gone) for k, v in left.items()}
    return answer


def _belongs(value: Any, gone: set[str]) -> bool:
    if not isinstance(value, dict):
        return False
    owner = (
        value.get("InstanceId")
        or value.get("ResourceId")
        or (value.get("Attachment") or {}).get("InstanceId")
    )
    instances = value.get("Instances")
    return owner in gone or bool(instances and all(_belongs(i, gone) for i in instances))


def differences(before: Any, after: Any, path: str = "") -> list[str]:
    """Where two descriptions differ, one line a place."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            line
            for key in sorted({*before, *after})
            for line in differences(before.get(key), after.get(key), f"{path}/{key}")
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [
            line
            for n, (left, right) in enumerate(zip(before, after, strict=True))
            for line in differences(left, right, f"{path}[{n}]")
        ]
    if isinstance(before, list) and isinstance(after, list):
        gone, come = [v for v in before if v not in after], [v for v in after if v not in before]
        return [f"{path}: gone {str(gone)[:600]}, come {str(come)[:600]}"]
    return [] if before == after else [f"{path}: was {str(before)[:300]}, is {str(after)[:300]}"]
