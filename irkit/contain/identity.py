"""The instance's credentials: its role session is denied wherever it is used.

The credentials that an instance's metadata service hands out belong to a session whose `aws:userid` is
`<role id>:<instance id>`. A Deny on that value ends exactly this machine's credentials, stolen copies and future ones
included; every other machine on the role goes on.

What this does not reach is said in the result: sessions of other roles that the intruder assumed with them
(`irkit.contain.credentials` revokes those), and what was done before the cut.

References:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#principaltable
    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from irkit.aws.names import arn_parts
from irkit.aws.refusals import translating
from irkit.contain import history
from irkit.contain.control import Args, Changed, Control, State, call, nothing, request_id, unreadable
from irkit.contain.policies import deny, on_role
from irkit.errors import IrkitError, WrongState
from irkit.plan import Running, Step, Undo

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.contain.subject import Subject

STAGE = 20
# What the agent needs to take a command and answer it (AmazonSSMManagedInstanceCore, less what reads parameters).
# https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-setting-up-messageAPIs.html
SSM_CHANNEL = (
    "ec2messages:AcknowledgeMessage",
    "ec2messages:DeleteMessage",
    "ec2messages:FailMessage",
    "ec2messages:GetEndpoint",
    "ec2messages:GetMessages",
    "ec2messages:SendReply",
    "ssm:DescribeAssociation",
    "ssm:DescribeDocument",
    "ssm:GetDocument",
    "ssm:GetManifest",
    "ssm:ListAssociations",
    "ssm:ListInstanceAssociations",
    "ssm:UpdateAssociationStatus",
    "ssm:UpdateInstanceAssociationStatus",
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)


# --- the instance profile and the metadata service -----------------------------------------------------------


def _association(case: Case, instance: str) -> Mapping[str, Any] | None:
    said = case.client("ec2").describe_iam_instance_profile_associations(
        Filters=[{"Name": "instance-id", "Values": [instance]}]
    )
    held = [a for a in said["IamInstanceProfileAssociations"] if a["State"] in {"associated", "associating"}]
    return held[0] if held else None


def _read_profile(case: Case, target: str, _: Args) -> State:
    held = _association(case, target)
    return {"Profile": held["IamInstanceProfile"]["Arn"] if held else None}


def _remove_profile(running: Running, _: State) -> Changed:
    held = _association(running.case, running.step.target)
    if held is None:
        raise WrongState(
            f"{running.step.target} has no instance profile any more", hint="plan the containment again"
        )
    said = running.case.client("ec2").disassociate_iam_instance_profile(AssociationId=held["AssociationId"])
    return Changed(request_ids=request_id(said))


def _return_profile(target: str, _: Args, before: State, __: State) -> Undo:
    return Undo(
        calls=(
            call(
                "ec2",
                "AssociateIamInstanceProfile",
                InstanceId=target,
                IamInstanceProfile={"Arn": before["Profile"]},
            ),
        )
    )


def _read_metadata(case: Case, target: str, _: Args) -> State:
    said = case.client("ec2").describe_instances(InstanceIds=[target])
    return {
        "HttpEndpoint": said["Reservations"][0]["Instances"][0].get("MetadataOptions", {}).get("HttpEndpoint")
    }


def _close_metadata(running: Running, _: State) -> Changed:
    said = running.case.client("ec2").modify_instance_metadata_options(
        InstanceId=running.step.target, HttpEndpoint="disabled"
    )
    return Changed(request_ids=request_id(said))


def _open_metadata(target: str, _: Args, before: State, __: State) -> Undo:
    return Undo(
        calls=(
            call(
                "ec2", "ModifyInstanceMetadataOptions", InstanceId=target, HttpEndpoint=before["HttpEndpoint"]
            ),
        )
    )


SESSION = on_role("identity.session", "every call with this instance's credentials is denied")
SESSION_ROOM = on_role(
    "identity.session-ssm",
    "every call with this instance's credentials is denied, but for the SSM agent's channel",
)
PROFILE = Control(
    verb="identity.profile",
    intended="the instance has no role",
    read=_read_profile,
    reached=lambda _c, _t, _a, state: state["Profile"] is None,
    change=_remove_profile,
    undo=_return_profile,
)
METADATA = Control(
    verb="identity.metadata",
    intended="the metadata service hands out nothing",
    read=_read_metadata,
    reached=lambda _c, _t, _a, state: state["HttpEndpoint"] == "disabled",
    change=_close_metadata,
    undo=_open_metadata,
)
CONTROLS = (SESSION, SESSION_ROOM, PROFILE, METADATA)


# --- the plan ------------------------------------------------------------------------------------------------


def steps(
    case: Case,
    subject: Subject,
    *,
    ssm_room: bool = False,
    remove_profile: bool = False,
    metadata_off: bool = False,
) -> list[Step]:
    """The cut of the credentials of `subject`.

    `ssm_room` leaves the SSM agent its channel while the host is captured; the same plan without it closes that too.
    `remove_profile` takes the role off the instance and `metadata_off` switches its metadata service off; both are
    seen from inside, and neither is needed for the cut.
    """
    made: list[Step] = []
    roles = _roles(case, subject, made)
    made += [_session(case, subject, role, ssm_room=ssm_room) for role in roles]
    if not made:
        made.append(
            nothing(
                "identity.none",
                subject.id,
                stage=STAGE,
                why=f"{subject.id} has no instance profile: there are no role credentials to cut",
            )
        )
    own = {"instance": subject.id}
    if remove_profile and (subject.profile_arn or any(history.targets(case, PROFILE.verb, subject.id))):
        made.append(
            PROFILE.step(
                case,
                subject.id,
                own,
                title=f"take the instance profile off {subject.id}",
                stage=STAGE + 3,
                reversible="associates the same profile; the SSM agent may take up to 30 minutes to come back",
            )
        )
    if metadata_off:
        made.append(
            METADATA.step(
                case,
                subject.id,
                own,
                title=f"switch the metadata service of {subject.id} off",
                stage=STAGE + 3,
                reversible="sets what was there",
            )
        )
    return made


def _roles(case: Case, subject: Subject, made: list[Step]) -> list[tuple[str, str]]:
    """Name and id of the roles whose sessions the instance holds: of its profile now, and those cut earlier."""
    found = {
        str(t): str(a["role_id"])
        for verb in (SESSION.verb, SESSION_ROOM.verb)
        for t, a in history.targets(case, verb, subject.id)
    }
    for profile in _profiles(case, subject):
        name = arn_parts(profile).name
        try:
            with translating("read instance profile", name):
                said = case.client("iam").get_instance_profile(InstanceProfileName=name)
            found |= {r["RoleName"]: r["RoleId"] for r in said["InstanceProfile"]["Roles"]}
        except IrkitError as why:
            made.append(
                unreadable(
                    "identity.profile-roles",
                    subject.id,
                    stage=STAGE,
                    why=why,
                    title=f"find the role of instance profile {name}",
                )
            )
    return list(found.items())


def _profiles(case: Case, subject: Subject) -> list[str]:
    """The instance profile now, and the one that an earlier step took off: its credentials may still be about."""
    taken = [
        b.before.get("Profile")
        for b in history.begun(case)
        if b.verb == PROFILE.verb and b.target == subject.id
    ]
    return [p for p in dict.fromkeys([subject.profile_arn, *taken]) if p]


def _session(case: Case, subject: Subject, role: tuple[str, str], *, ssm_room: bool) -> Step:
    name, role_id = role
    condition = {"StringEquals": {"aws:userid": f"{role_id}:{subject.id}"}}
    document = deny(sid="IrkitInstanceSession", condition=condition, room=SSM_CHANNEL if ssm_room else ())
    args = {
        "instance": subject.id,
        "role_id": role_id,
        "policy": f"irkit-deny-{case.id}-{subject.id}",
        "document": document,
    }
    but = ", but for the SSM agent's channel" if ssm_room else ", the SSM agent's included"
    return (SESSION_ROOM if ssm_room else SESSION).step(
        case,
        name,
        args,
        stage=STAGE,
        reversible="takes the policy off the role, or puts back what it said",
        title=f"deny every call with the credentials of {subject.id} (role {name}){but}; others on the role go on",
    )
