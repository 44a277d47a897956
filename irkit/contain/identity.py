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

from typing import TYPE_CHECKING

from irkit.aws.names import arn_parts
from irkit.aws.refusals import translating
from irkit.contain import credentials, history, policies, profile, revocation, roles
from irkit.contain.control import Args, Changed, Control, State, call, nothing, request_id, unreadable
from irkit.contain.revocation import on_role
from irkit.contain.roles import Role
from irkit.errors import InvalidParameter, IrkitError
from irkit.plan import Running, Step, Undo

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.contain.subject import Subject

STAGE = 20
_OTHERS_SHOWN = 5


# --- the metadata service ------------------------------------------------------------------------------------


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
METADATA = Control(
    verb="identity.metadata",
    intended="the metadata service hands out nothing",
    read=_read_metadata,
    reached=lambda _c, _t, _a, state: state["HttpEndpoint"] == "disabled",
    change=_close_metadata,
    undo=_open_metadata,
)
CONTROLS = (SESSION, SESSION_ROOM, METADATA, *profile.CONTROLS)


# --- the plan ------------------------------------------------------------------------------------------------


def steps(
    case: Case,
    subject: Subject,
    *,
    ssm_room: bool = False,
    role_wide: bool = False,
    replace_profile: bool = False,
    remove_profile: bool = False,
    metadata_off: bool = False,
) -> list[Step]:
    """The cut of the credentials of `subject`.

    `ssm_room` leaves the SSM agent its channel while the host is captured; the same plan without it closes that too.
    `role_wide` also denies every session of the role that was issued before now, whichever machine holds it.
    `replace_profile` gives the instance a profile that denies everything, `remove_profile` takes the role off it and
    `metadata_off` switches its metadata service off; all three are seen from inside and none is needed for the cut.
    """
    if replace_profile and remove_profile:
        raise InvalidParameter(
            "the instance profile cannot be both replaced and removed", hint="replacing leaves no gap"
        )
    made: list[Step] = []
    held = _roles(case, subject, made)
    for role in held:
        if why := role.unrevocable:
            made.append(roles.beyond_reach(role.arn, subject.id, why=why, stage=STAGE))
            continue
        made.append(_session(case, subject, role, ssm_room=ssm_room))
        if role_wide:
            made.append(_role_wide(case, subject, role, ssm_room=ssm_room))
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
    if remove_profile and (
        subject.profile_arn or any(history.targets(case, profile.REMOVED.verb, subject.id))
    ):
        made.append(
            profile.REMOVED.step(
                case,
                subject.id,
                own,
                title=f"take the instance profile off {subject.id}",
                stage=STAGE + 3,
                reversible="associates the same profile; the SSM agent may take up to 30 minutes to come back",
            )
        )
    if replace_profile:
        made += _replacement(case, subject)
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


def _roles(case: Case, subject: Subject, made: list[Step]) -> list[Role]:
    """The roles whose sessions the instance holds: of its profile now, and those cut earlier."""
    found: dict[str, Role] = {}
    for verb in (SESSION.verb, SESSION_ROOM.verb):
        for target, args in history.targets(case, verb, subject.id):
            if "role_arn" in args:  # steps of before the ARN was kept: their profile still leads to the role
                found[target] = Role(name=target, id=str(args["role_id"]), arn=str(args["role_arn"]))
    for arn in _profiles(case, subject):
        try:
            found |= {r.name: r for r in roles.of_profile(case, arn)}
        except IrkitError as why:
            made.append(
                unreadable(
                    "identity.profile-roles",
                    subject.id,
                    stage=STAGE,
                    why=why,
                    title=f"find the role of instance profile {arn_parts(arn).name}",
                )
            )
    return list(found.values())


def _profiles(case: Case, subject: Subject) -> list[str]:
    """The instance profile now, and the one that an earlier step took away: its credentials may still be about."""
    taken = [
        b.before.get("Profile")
        for b in history.begun(case)
        if b.verb in {profile.REMOVED.verb, profile.REPLACED.verb} and b.target == subject.id and b.before
    ]
    own = {case.facts.sources.get(profile.SOURCE)}
    held = [p for p in dict.fromkeys([subject.profile_arn, *taken]) if p and p not in own]
    return [p for p in held if arn_parts(p).name != profile.deny_all_name(case)]


def _session(case: Case, subject: Subject, role: Role, *, ssm_room: bool) -> Step:
    userid = f"{role.id}:{subject.id}"
    document = policies.deny(
        sid="IrkitInstanceSession",
        condition={"StringEquals": {"aws:userid": userid}},
        room=policies.SSM_CHANNEL if ssm_room else (),
    )
    args = {
        "instance": subject.id,
        "role_id": role.id,
        "role_arn": role.arn,
        "policy": f"irkit-deny-{case.id}-{subject.id}",
        "document": document,
    }
    stack = case.facts.sources.get(revocation.SOURCE)
    args |= {"stack": stack, "userid": userid} if stack else {}
    but = ", but for the SSM agent's channel" if ssm_room else ", the SSM agent's included"
    return (SESSION_ROOM if ssm_room else SESSION).step(
        case,
        role.name,
        args,
        stage=STAGE,
        reversible="takes the policy off the role, or puts back what it said",
        title=f"deny every call with the credentials of {subject.id} (role {role.name}){but}; "
        "others on the role go on",
    )


def _role_wide(case: Case, subject: Subject, role: Role, *, ssm_room: bool) -> Step:
    others, more = _others(case, subject), ""
    if others:
        shown = ", ".join(others[:_OTHERS_SHOWN]) + (" and more" if len(others) > _OTHERS_SHOWN else "")
        more = f"; {len(others)} other instances on it ({shown}) fail until their credentials are renewed"
    return credentials.older_sessions(case, role, before=None, room=ssm_room, also=more)


def _others(case: Case, subject: Subject) -> list[str]:
    """Other instances with the same profile; empty also where that cannot be looked up."""
    if not subject.profile_arn:
        return []
    try:
        with translating("look for other instances with the profile of", subject.id):
            found = profile.holders(case, subject.profile_arn)
    except IrkitError:
        return []
    return sorted(set(found) - {subject.id})


def _replacement(case: Case, subject: Subject) -> list[Step]:
    """The steps that give the instance a profile that denies everything; none where it never had one."""
    known = [subject.profile_arn]
    known += [str(args["profile"]) for _, args in history.targets(case, profile.REPLACED.verb, subject.id)]
    of_account = next((arn for arn in known if arn), None)
    if of_account is None:
        return []
    arn = profile.deny_all(case, of_account)
    made: list[Step] = []
    needs: tuple[str, ...] = ()
    if profile.SOURCE not in case.facts.sources:
        name = profile.deny_all_name(case)
        made.append(
            profile.DENY_ALL.step(
                case,
                name,
                {"partition": arn_parts(arn).partition},
                stage=STAGE,
                reversible="deletes the profile and its role",
                title=f"make {name}, a role and an instance profile that deny everything",
            )
        )
        needs = (profile.DENY_ALL.verb,)
    made.append(
        profile.REPLACED.step(
            case,
            subject.id,
            {"instance": subject.id, "profile": arn},
            stage=STAGE + 3,
            needs=needs,
            deadline=180.0,
            reversible="puts the old profile in its place; the SSM agent may take up to 30 minutes to come back",
            title=f"replace the instance profile of {subject.id} by {arn_parts(arn).name}, which denies everything",
        )
    )
    return made
