"""The instance's profile: taken off, or replaced in one call by one that denies everything.

Replacing beats taking off: there is no moment without a profile in which the SSM agent and everything else on the
machine begins to back off, and whoever is on the machine gets credentials that are good for nothing. Either is seen
from inside, so it belongs after the capture of the host. Credentials handed out before go on being valid; the deny of
the session (`irkit.contain.identity`) is what ends those.

References:
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ReplaceIamInstanceProfileAssociation.html
    https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSDenyAll.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from irkit.aws.names import arn_parts
from irkit.aws.refusals import error_code
from irkit.aws.waiting import TimedOut, wait_until
from irkit.contain.control import Args, Changed, Control, State, call, request_id
from irkit.errors import WrongState
from irkit.plan import Call, Running, Undo

if TYPE_CHECKING:
    from irkit.case import Case

SOURCE = "deny_profile_arn"
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
# EC2 does not know a new profile for some seconds, and says so with InvalidParameterValue.
_NOT_YET = frozenset({"InvalidParameterValue", "IncorrectState", "IncorrectInstanceState"})
_NOT_YET_SECONDS = 60.0


def association(case: Case, instance: str) -> Mapping[str, Any] | None:
    """The association of the instance with a profile; None when it has none."""
    said = case.client("ec2").describe_iam_instance_profile_associations(
        Filters=[{"Name": "instance-id", "Values": [instance]}]
    )
    held = [a for a in said["IamInstanceProfileAssociations"] if a["State"] in {"associated", "associating"}]
    return held[0] if held else None


# --- taken off -----------------------------------------------------------------------------------------------


def _read_profile(case: Case, target: str, _: Args) -> State:
    held = association(case, target)
    return {"Profile": held["IamInstanceProfile"]["Arn"] if held else None}


def _remove(running: Running, _: State) -> Changed:
    held = association(running.case, running.step.target)
    if held is None:
        raise WrongState(
            f"{running.step.target} has no instance profile any more", hint="plan the containment again"
        )
    said = running.case.client("ec2").disassociate_iam_instance_profile(AssociationId=held["AssociationId"])
    return Changed(request_ids=request_id(said))


def _return(target: str, _: Args, before: State, __: State) -> Undo:
    return Undo(calls=(_associate(target, before["Profile"]),))


def _associate(instance: str, arn: str) -> Call:
    return call("ec2", "AssociateIamInstanceProfile", InstanceId=instance, IamInstanceProfile={"Arn": arn})


# --- a profile that denies everything ------------------------------------------------------------------------


def deny_all(case: Case, account_of: str) -> str:
    """The ARN of the profile that denies everything: the stack's, else one that the case makes.

    `account_of` is any ARN of the account that the instance is in.
    """
    if stack := case.facts.sources.get(SOURCE):
        return stack
    there = arn_parts(account_of)
    return f"arn:{there.partition}:iam::{there.account}:instance-profile/{deny_all_name(case)}"


def deny_all_name(case: Case) -> str:
    """The name of the role and of the profile that the case makes."""
    return f"irkit-deny-all-{case.id}"


def _read_deny_all(case: Case, target: str, _: Args) -> State:
    iam = case.client("iam")
    role = _present(lambda: iam.get_role(RoleName=target)["Role"])
    profile = _present(lambda: iam.get_instance_profile(InstanceProfileName=target)["InstanceProfile"])
    state: dict[str, Any] = {"Role": None, "Profile": None}
    if role is not None:
        attached = iam.list_attached_role_policies(RoleName=target)["AttachedPolicies"]
        state["Role"] = {
            "Ours": _tagged(case, role),
            "Trust": role["AssumeRolePolicyDocument"],
            "Attached": sorted(p["PolicyArn"] for p in attached),
            "Inline": sorted(iam.list_role_policies(RoleName=target)["PolicyNames"]),
        }
    if profile is not None:
        state["Profile"] = {
            "Arn": profile["Arn"],
            "Ours": _tagged(case, profile),
            "Roles": [r["RoleName"] for r in profile["Roles"]],
        }
    return state


def _present(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Exception as error:
        if error_code(error) == "NoSuchEntity":
            return None
        raise


def _tagged(case: Case, raw: Mapping[str, Any]) -> bool:
    return {"Key": "irkit:case", "Value": case.id} in raw.get("Tags", [])


def _deny_policy(args: Args) -> str:
    return f"arn:{args['partition']}:iam::aws:policy/AWSDenyAll"


def _denies_all(_: Case, target: str, args: Args, state: State) -> bool:
    role, profile = state["Role"], state["Profile"]
    wanted = {"Ours": True, "Trust": _TRUST, "Attached": [_deny_policy(args)], "Inline": []}
    return role == wanted and bool(profile and profile["Ours"] and profile["Roles"] == [target])


def _make_deny_all(running: Running, state: State) -> Changed:
    case, name, args = running.case, running.step.target, running.step.args
    iam = case.client("iam")
    ids: tuple[str, ...] = ()
    tags = [{"Key": k, "Value": v} for k, v in case.tags().items()]
    role, profile = state["Role"], state["Profile"]
    if any(held is not None and not held["Ours"] for held in (role, profile)):
        raise WrongState(
            f"a role or an instance profile called {name} is there and this case did not make it",
            hint="look in CloudTrail for who did; it would be given to the suspect instance",
        )
    if role is None:
        said = iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=json.dumps(_TRUST),
            Description=f"irkit case {case.id}: what contained instances get instead of their role",
            Tags=tags,
        )
        ids += request_id(said)
    if role is None or _deny_policy(args) not in role["Attached"]:
        ids += request_id(iam.attach_role_policy(RoleName=name, PolicyArn=_deny_policy(args)))
    if profile is None:
        ids += request_id(iam.create_instance_profile(InstanceProfileName=name, Tags=tags))
    if profile is None or name not in profile["Roles"]:
        ids += request_id(iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name))
    return Changed(request_ids=ids)


def _unmake_deny_all(target: str, args: Args, before: State, after: State) -> Undo:
    calls: list[Call] = []
    role, profile = after["Role"], after["Profile"]
    if profile and not before["Profile"]:
        if target in profile["Roles"]:
            calls.append(
                call("iam", "RemoveRoleFromInstanceProfile", InstanceProfileName=target, RoleName=target)
            )
        calls.append(call("iam", "DeleteInstanceProfile", InstanceProfileName=target))
    if role and not before["Role"]:
        if _deny_policy(args) in role["Attached"]:
            calls.append(call("iam", "DetachRolePolicy", RoleName=target, PolicyArn=_deny_policy(args)))
        calls.append(call("iam", "DeleteRole", RoleName=target))
    return Undo(calls=tuple(calls))


def holders(case: Case, arn: str) -> list[str]:
    """The instances that have the profile with this ARN."""
    pages = case.client("ec2").get_paginator("describe_iam_instance_profile_associations").paginate()
    held = [a for page in pages for a in page["IamInstanceProfileAssociations"]]
    return sorted(
        a["InstanceId"]
        for a in held
        if a["IamInstanceProfile"]["Arn"] == arn and a["State"] in {"associated", "associating"}
    )


# --- replaced ------------------------------------------------------------------------------------------------


def _read_replaced(case: Case, target: str, _: Args) -> State:
    held = association(case, target)
    said = case.client("ec2").describe_instances(InstanceIds=[target])
    return {
        "Profile": held["IamInstanceProfile"]["Arn"] if held else None,
        "AssociationId": held["AssociationId"] if held else None,
        "State": said["Reservations"][0]["Instances"][0]["State"]["Name"],
    }


def _replace(running: Running, state: State) -> Changed:
    """Replace; where the instance is stopped EC2 does not, and there nothing is between taking off and putting on."""
    ec2, arn = running.case.client("ec2"), running.step.args["profile"]
    instance, held = running.step.target, state["AssociationId"]
    put = {"Arn": arn}

    def replace() -> Mapping[str, Any]:
        if held and state["State"] == "running":
            return ec2.replace_iam_instance_profile_association(AssociationId=held, IamInstanceProfile=put)  # type: ignore[no-any-return]
        if association(running.case, instance):
            ec2.disassociate_iam_instance_profile(AssociationId=held)
        return ec2.associate_iam_instance_profile(InstanceId=instance, IamInstanceProfile=put)  # type: ignore[no-any-return]

    return Changed(request_ids=request_id(_once_known(running, replace)))


def _once_known(running: Running, request: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    unknown: list[Exception] = []

    def attempt() -> Mapping[str, Any] | None:
        try:
            return request()
        except Exception as error:
            if error_code(error) not in _NOT_YET:
                raise
            unknown[:] = [error]
            return None

    try:
        timeout = min(_NOT_YET_SECONDS, running.seconds_left)
        return wait_until(
            attempt, what="EC2 knowing the profile", timeout=timeout, first=0.5, stop=lambda: running.stopped
        )
    except TimedOut:
        raise unknown[0] from None


def _put_back(target: str, _: Args, before: State, now: State) -> Undo:
    """The calls that bring the profile back from the state `now`: an association's id changes with every change."""
    held, arn = now["AssociationId"], before["Profile"]
    if arn is None:
        gone = (call("ec2", "DisassociateIamInstanceProfile", AssociationId=held),) if held else ()
        return Undo(calls=gone)
    if held is None:
        return Undo(calls=(_associate(target, arn),))
    if now["State"] == "running":
        back = {"AssociationId": held, "IamInstanceProfile": {"Arn": arn}}
        return Undo(calls=(call("ec2", "ReplaceIamInstanceProfileAssociation", **back),))
    off = call("ec2", "DisassociateIamInstanceProfile", AssociationId=held)
    return Undo(calls=(off, _associate(target, arn)))


REMOVED = Control(
    verb="identity.profile",
    intended="the instance has no role",
    read=_read_profile,
    reached=lambda _c, _t, _a, state: state["Profile"] is None,
    change=_remove,
    undo=_return,
)
DENY_ALL = Control(
    verb="identity.deny-profile",
    intended="there is an instance profile that denies everything",
    read=_read_deny_all,
    reached=_denies_all,
    ours=lambda _c, _t, _a, state: any(h and h["Ours"] for h in (state["Role"], state["Profile"])),
    change=_make_deny_all,
    undo=_unmake_deny_all,
)
REPLACED = Control(
    verb="identity.profile-replaced",
    intended="the instance's profile is the one that denies everything",
    read=_read_replaced,
    reached=lambda _c, _t, args, state: state["Profile"] == args["profile"],
    change=_replace,
    undo=_put_back,
    watched=("Profile",),
)
CONTROLS = (REMOVED, DENY_ALL, REPLACED)
