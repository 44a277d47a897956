"""Credentials: the role session of this instance is denied wherever it is used; keys and other sessions on request.

The credentials that an instance's metadata service hands out belong to a session whose `aws:userid` is
`<role id>:<instance id>`. A Deny on that value ends exactly this machine's credentials, stolen copies and future ones
included; every other machine on the role goes on.

What cannot be revoked is said: sessions of other roles that the intruder assumed before (see `sessions`), presigned
URLs' effects, and what a role's resource policies give to others.

References:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#principaltable
    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from irkit.aws.names import arn_parts
from irkit.aws.refusals import error_code, translating
from irkit.canonical import timestamp
from irkit.contain import history
from irkit.contain.control import Args, Changed, Control, State, call, nothing, request_id, unreadable
from irkit.errors import InvalidParameter, IrkitError, WrongState
from irkit.plan import Plan, Running, Step, Undo

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.contain.subject import Subject

STAGE = 20
# What the agent needs to take a command and answer it (AmazonSSMManagedInstanceCore, less what reads parameters).
# https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-setting-up-messageAPIs.html
SSM_CHANNEL = (
    "ec2messages:AcknowledgeMessage", "ec2messages:DeleteMessage", "ec2messages:FailMessage", "ec2messages:GetEndpoint",
    "ec2messages:GetMessages", "ec2messages:SendReply", "ssm:DescribeAssociation", "ssm:DescribeDocument", "ssm:GetDocument",
    "ssm:GetManifest", "ssm:ListAssociations", "ssm:ListInstanceAssociations", "ssm:UpdateAssociationStatus",
    "ssm:UpdateInstanceAssociationStatus", "ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
)  # fmt: skip
_NOT_COVERED = (
    "sessions of other roles that were assumed with these credentials go on until they expire or are revoked",
    "what was done before the cut (keys, users, shares, copies) stays done",
)


# --- a policy on the role ------------------------------------------------------------------------------------


def _read_policy(case: Case, target: str, args: Args) -> State:
    try:
        said = case.client("iam").get_role_policy(RoleName=target, PolicyName=args["policy"])
    except Exception as error:
        if error_code(error) == "NoSuchEntity":
            return {"Document": None}
        raise
    document = said["PolicyDocument"]
    return {"Document": json.loads(unquote(document)) if isinstance(document, str) else document}


def _put_policy(running: Running, _: State) -> Changed:
    args, role = running.step.args, running.step.target
    said = running.case.client("iam").put_role_policy(
        RoleName=role, PolicyName=args["policy"], PolicyDocument=_text(args["document"])
    )
    return Changed(request_ids=request_id(said), result={"policy": args["policy"], "not_covered": list(_NOT_COVERED)})


def _take_policy(target: str, args: Args, before: State, _: State) -> Undo:
    held = {"RoleName": target, "PolicyName": args["policy"]}
    if before["Document"] is None:
        return Undo(calls=(call("iam", "DeleteRolePolicy", **held),))
    return Undo(calls=(call("iam", "PutRolePolicy", **held, PolicyDocument=_text(before["Document"])),))


def _policy_reached(_: Case, __: str, args: Args, state: State) -> bool:
    return bool(state["Document"] == args["document"])


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), sort_keys=True)


def _on_role(verb: str, intended: str) -> Control:
    return Control(verb=verb, intended=intended, read=_read_policy, reached=_policy_reached, change=_put_policy, undo=_take_policy)


def deny(*, sid: str, condition: Mapping[str, Any], room: Iterable[str] = ()) -> dict[str, Any]:
    """A policy that denies everything, but for the actions in `room`, where `condition` holds."""
    actions: dict[str, Any] = {"NotAction": sorted(room)} if room else {"Action": "*"}
    statement = {"Sid": sid, "Effect": "Deny", **actions, "Resource": "*", "Condition": dict(condition)}
    return {"Version": "2012-10-17", "Statement": [statement]}


# --- the instance profile and the metadata service -----------------------------------------------------------


def _association(case: Case, instance: str) -> Mapping[str, Any] | None:
    said = case.client("ec2").describe_iam_instance_profile_associations(Filters=[{"Name": "instance-id", "Values": [instance]}])
    held = [a for a in said["IamInstanceProfileAssociations"] if a["State"] in {"associated", "associating"}]
    return held[0] if held else None


def _read_profile(case: Case, target: str, _: Args) -> State:
    held = _association(case, target)
    return {"Profile": held["IamInstanceProfile"]["Arn"] if held else None}


def _remove_profile(running: Running, _: State) -> Changed:
    held = _association(running.case, running.step.target)
    if held is None:
        raise WrongState(f"{running.step.target} has no instance profile any more", hint="plan the containment again")
    said = running.case.client("ec2").disassociate_iam_instance_profile(AssociationId=held["AssociationId"])
    return Changed(request_ids=request_id(said))


def _return_profile(target: str, _: Args, before: State, __: State) -> Undo:
    return Undo(calls=(call("ec2", "AssociateIamInstanceProfile", InstanceId=target, IamInstanceProfile={"Arn": before["Profile"]}),))


def _read_metadata(case: Case, target: str, _: Args) -> State:
    said = case.client("ec2").describe_instances(InstanceIds=[target])
    return {"HttpEndpoint": said["Reservations"][0]["Instances"][0].get("MetadataOptions", {}).get("HttpEndpoint")}


def _close_metadata(running: Running, _: State) -> Changed:
    said = running.case.client("ec2").modify_instance_metadata_options(InstanceId=running.step.target, HttpEndpoint="disabled")
    return Changed(request_ids=request_id(said))


def _open_metadata(target: str, _: Args, before: State, __: State) -> Undo:
    return Undo(calls=(call("ec2", "ModifyInstanceMetadataOptions", InstanceId=target, HttpEndpoint=before["HttpEndpoint"]),))


# --- access keys of users ------------------------------------------------------------------------------------


def _read_key(case: Case, target: str, args: Args) -> State:
    pages = case.client("iam").get_paginator("list_access_keys").paginate(UserName=args["user"])
    held = [k for page in pages for k in page["AccessKeyMetadata"] if k["AccessKeyId"] == target]
    return {"Status": held[0]["Status"] if held else None}


def _deactivate(running: Running, state: State) -> Changed:
    if state["Status"] is None:
        raise WrongState(f"user {running.step.args['user']} has no access key {running.step.target}",
                         hint="look in CloudTrail for who deleted it; a deleted key is of no use to anybody")  # fmt: skip
    said = running.case.client("iam").update_access_key(
        UserName=running.step.args["user"], AccessKeyId=running.step.target, Status="Inactive"
    )
    return Changed(request_ids=request_id(said))


def _activate(target: str, args: Args, before: State, _: State) -> Undo:
    return Undo(calls=(call("iam", "UpdateAccessKey", UserName=args["user"], AccessKeyId=target, Status=before["Status"]),))


SESSION = _on_role("identity.session", "every call with this instance's credentials is denied")
SESSION_ROOM = _on_role("identity.session-ssm", "every call with this instance's credentials is denied, but for the SSM agent's channel")
ROLE_SESSIONS = _on_role("identity.role-sessions", "every session of the role that is older than the cut is denied")
PROFILE = Control(
    verb="identity.profile", intended="the instance has no role", read=_read_profile,
    reached=lambda _c, _t, _a, state: state["Profile"] is None, change=_remove_profile, undo=_return_profile,
)  # fmt: skip
METADATA = Control(
    verb="identity.metadata", intended="the metadata service hands out nothing", read=_read_metadata,
    reached=lambda _c, _t, _a, state: state["HttpEndpoint"] == "disabled", change=_close_metadata, undo=_open_metadata,
)  # fmt: skip
KEY = Control(
    verb="identity.key", intended="the access key is inactive", read=_read_key,
    reached=lambda _c, _t, _a, state: state["Status"] == "Inactive", change=_deactivate, undo=_activate,
)  # fmt: skip
CONTROLS = (SESSION, SESSION_ROOM, ROLE_SESSIONS, PROFILE, METADATA, KEY)


# --- the plans -----------------------------------------------------------------------------------------------


def steps(case: Case, subject: Subject, *, ssm_room: bool = False, remove_profile: bool = False, metadata_off: bool = False) -> list[Step]:
    """The cut of the credentials of `subject`.

    `ssm_room` leaves the SSM agent its channel while the host is captured; the same plan without it closes that too.
    `remove_profile` takes the role off the instance and `metadata_off` switches its metadata service off; both are
    seen from inside, and neither is needed for the cut.
    """
    made: list[Step] = []
    for role in _roles(case, subject, made):
        made.append(_session(case, subject, role, ssm_room=ssm_room))
    if not made:
        made.append(nothing("identity.none", subject.id, stage=STAGE,
                            why=f"{subject.id} has no instance profile: there are no role credentials to cut"))  # fmt: skip
    own = {"instance": subject.id}
    if remove_profile and (subject.profile_arn or any(history.targets(case, PROFILE.verb, subject.id))):
        made.append(PROFILE.step(case, subject.id, own, title=f"take the instance profile off {subject.id}", stage=STAGE + 3,
                                 reversible="associates the same profile; the SSM agent may take up to 30 minutes to come back"))  # fmt: skip
    if metadata_off:
        made.append(METADATA.step(case, subject.id, own, title=f"switch the metadata service of {subject.id} off", stage=STAGE + 3,
                                  reversible="sets what was there"))  # fmt: skip
    return made


def _roles(case: Case, subject: Subject, made: list[Step]) -> list[tuple[str, str]]:
    """Name and id of the roles whose sessions the instance holds: of its profile now, and those cut earlier."""
    found = {str(t): str(a["role_id"]) for verb in (SESSION.verb, SESSION_ROOM.verb) for t, a in history.targets(case, verb, subject.id)}
    if subject.profile_arn:
        name = arn_parts(subject.profile_arn).name
        try:
            with translating("read instance profile", name):
                said = case.client("iam").get_instance_profile(InstanceProfileName=name)
            found |= {r["RoleName"]: r["RoleId"] for r in said["InstanceProfile"]["Roles"]}
        except IrkitError as why:
            made.append(unreadable("identity.profile-roles", subject.id, stage=STAGE, why=why,
                                   title=f"find the role of instance profile {name}"))  # fmt: skip
    return list(found.items())


def _session(case: Case, subject: Subject, role: tuple[str, str], *, ssm_room: bool) -> Step:
    name, role_id = role
    condition = {"StringEquals": {"aws:userid": f"{role_id}:{subject.id}"}}
    document = deny(sid="IrkitInstanceSession", condition=condition, room=SSM_CHANNEL if ssm_room else ())
    args = {"instance": subject.id, "role_id": role_id, "policy": f"irkit-deny-{case.id}-{subject.id}", "document": document}
    but = ", but for the SSM agent's channel" if ssm_room else ", the SSM agent's included"
    return (SESSION_ROOM if ssm_room else SESSION).step(
        case, name, args, stage=STAGE, reversible="takes the policy off the role, or puts back what it said",
        title=f"deny every call with the credentials of {subject.id} (role {name}){but}; others on the role go on",
    )  # fmt: skip


def keys(case: Case, access_key_ids: Iterable[str], *, user: str | None = None) -> Plan:
    """A plan that makes long-term access keys inactive; undone, they have the status that they had.

    `user` is their owner; AWS is asked for each key when it is not given. Raises `InvalidParameter` for keys of a
    session (ASIA…), which belong to nobody: their role's sessions are revoked instead.
    """
    made: list[Step] = []
    for key in dict.fromkeys(access_key_ids):
        if not key.startswith("AKIA") or not key.isalnum():
            raise InvalidParameter(f"{key[:32]!r} is not a user's access key id",
                                   hint="AKIA… keys are deactivated; for ASIA… ones revoke the role's sessions")  # fmt: skip
        try:
            owner = user or _owner(case, key)
        except IrkitError as why:
            made.append(unreadable("identity.key-owner", key, title=f"find the owner of access key {key}", why=why, stage=STAGE))
            continue
        made.append(KEY.step(case, key, {"user": owner}, stage=STAGE, reversible="sets the status that was there",
                             title=f"make access key {key} of user {owner} inactive"))  # fmt: skip
    return Plan(case, made, title="deactivate access keys")


def _owner(case: Case, key: str) -> str:
    with translating("find the owner of access key", key):
        return str(case.client("iam").get_access_key_last_used(AccessKeyId=key)["UserName"])


def sessions(case: Case, role_name: str, *, before: datetime | None = None) -> Plan:
    """A plan that denies every session of `role_name` issued before `before` (aware; default: now, kept for a retry).

    It reaches everybody who uses the role: sessions begun later work, running ones must be renewed. It is for a role
    that the intruder assumed; the instance's own is cut by `identity.session` without harm to others.
    """
    if before is not None and before.tzinfo is None:
        raise InvalidParameter("the time before which sessions are revoked has no time zone", hint="give it in UTC: 2026-11-23T14:00:00Z")
    earlier = [b for b in history.begun(case) if b.verb == ROLE_SESSIONS.verb and b.target == role_name and before is None]
    args = earlier[-1].args if earlier else _older(case, before or case.journal.now())
    step = ROLE_SESSIONS.step(
        case, role_name, args, stage=STAGE, reversible="takes the policy off the role, or puts back what it said",
        title=f"deny every session of role {role_name} issued before {args['before']}, whoever holds it",
    )  # fmt: skip
    return Plan(case, [step], title=f"revoke older sessions of {role_name}")


def _older(case: Case, before: datetime) -> dict[str, Any]:
    moment = timestamp(before.replace(microsecond=0))
    document = deny(sid="IrkitOlderSessions", condition={"DateLessThan": {"aws:TokenIssueTime": moment}})
    return {"policy": f"irkit-revoke-{case.id}", "before": moment, "document": document}
