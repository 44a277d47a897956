"""A user as a whole: its keys made inactive, everything denied, and what is known of its password and its MFA.

A user's access keys are one door; the console and session tokens (`GetSessionToken`) are others. A deny on the user
shuts them all, for AWS evaluates the user's policies at every call of theirs. The password is left where it is: it
cannot be read, so taking it away could not be undone, and behind the deny it opens nothing.

References:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_disable-perms.html
    https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSDenyAll.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from irkit.aws.names import arn_parts
from irkit.aws.refusals import error_code, translating
from irkit.canonical import plain
from irkit.contain import policies
from irkit.contain.control import Args, Changed, Control, State, call, nothing, request_id
from irkit.contain.credentials import STAGE, key_step
from irkit.plan import Call, Outcome, Plan, Running, Step, Undo

if TYPE_CHECKING:
    from irkit.case import Case

_NOT_COVERED = (
    "sessions of roles that the user assumed go on until they expire or are revoked (contain.chained)",
    "federation tokens made with its keys end when they expire, 36 hours at most; the deny reaches what they may do",
    "what the user did before (keys, users, shares, copies) stays done",
)
_NO_WAY_BACK = "a password cannot be read, so it cannot be put back; give the user a new one in the console"


def _deny_policy(args: Args) -> str:
    return f"arn:{args['partition']}:iam::aws:policy/AWSDenyAll"


def _document() -> dict[str, Any]:
    return policies.deny(sid="IrkitUser", condition={})


def _read_deny(case: Case, target: str, args: Args) -> State:
    iam = case.client("iam")
    pages = iam.get_paginator("list_attached_user_policies").paginate(UserName=target)
    held = {p["PolicyArn"] for page in pages for p in page["AttachedPolicies"]}
    document = None
    try:
        said = iam.get_user_policy(UserName=target, PolicyName=args["policy"])
        document = policies.as_document(said["PolicyDocument"])
    except Exception as error:
        if error_code(error) != "NoSuchEntity":
            raise
    return {"Attached": _deny_policy(args) in held, "Document": document}


def _put_deny(running: Running, _: State) -> Changed:
    """Attach AWS's own deny, which needs no right to write policies; inline where ten policies are attached."""
    iam, args, user = running.case.client("iam"), running.step.args, running.step.target
    result: dict[str, Any] = {"not_covered": list(_NOT_COVERED)}
    try:
        said = iam.attach_user_policy(UserName=user, PolicyArn=_deny_policy(args))
        return Changed(request_ids=request_id(said), result=result | {"way": "AWSDenyAll"})
    except Exception as error:
        if error_code(error) not in {"LimitExceeded", "AccessDenied"}:
            raise
        passed = [f"AWSDenyAll was passed over: {error_code(error)}"]
    said = iam.put_user_policy(
        UserName=user, PolicyName=args["policy"], PolicyDocument=policies.as_text(_document())
    )
    return Changed(request_ids=request_id(said), result=result | {"way": "inline policy", "passed": passed})


def _take_deny(target: str, args: Args, before: State, after: State) -> Undo:
    calls: list[Call] = []
    if after["Attached"] and not before["Attached"]:
        calls.append(call("iam", "DetachUserPolicy", UserName=target, PolicyArn=_deny_policy(args)))
    if after["Document"] is not None and before["Document"] is None:
        calls.append(call("iam", "DeleteUserPolicy", UserName=target, PolicyName=args["policy"]))
    return Undo(calls=tuple(calls))


def _read_login(case: Case, target: str, _: Args) -> State:
    try:
        said = case.client("iam").get_login_profile(UserName=target)["LoginProfile"]
    except Exception as error:
        if error_code(error) == "NoSuchEntity":
            return {"Password": False}
        raise
    return {"Password": True, "Created": plain(said.get("CreateDate"))}


def _take_login(running: Running, _: State) -> Changed:
    said = running.case.client("iam").delete_login_profile(UserName=running.step.target)
    return Changed(request_ids=request_id(said))


DENY = Control(
    verb="identity.user",
    intended="everything is denied to the user",
    read=_read_deny,
    reached=lambda _c, _t, _a, state: state["Attached"] or state["Document"] == _document(),
    change=_put_deny,
    undo=_take_deny,
)
LOGIN = Control(
    verb="identity.password",
    intended="the user has no console password",
    read=_read_login,
    reached=lambda _c, _t, _a, state: not state["Password"],
    change=_take_login,
    undo=lambda _t, _a, before, _s: Undo(impossible=_NO_WAY_BACK) if before["Password"] else Undo(),
    watched=("Password",),
)
CONTROLS = (DENY, LOGIN)


def user(case: Case, name: str, *, password: bool = False) -> Plan:
    """A plan that takes the user `name` away from whoever has its credentials: keys, console and session tokens.

    `password` also deletes the console password, which cannot be put back. Raises `NotFound` when there is no such
    user, `Refused` when it may not be read.
    """
    iam = case.client("iam")
    with translating("read user", name):
        arn = str(iam.get_user(UserName=name)["User"]["Arn"])
        pages = iam.get_paginator("list_access_keys").paginate(UserName=name)
        held = [k for page in pages for k in page["AccessKeyMetadata"]]
    args = {"partition": arn_parts(arn).partition, "policy": f"irkit-deny-{case.id}"}
    made: list[Step] = [
        DENY.step(
            case,
            name,
            args,
            stage=STAGE,
            reversible="detaches the policy",
            title=f"deny everything to user {name}: its keys, its console sessions and its session tokens",
        )
    ]
    made += [key_step(case, k["AccessKeyId"], name) for k in held]
    if not held:
        made.append(nothing("identity.no-keys", name, why=f"user {name} has no access key", stage=STAGE))
    if password:
        made.append(
            LOGIN.step(
                case,
                name,
                {},
                stage=STAGE,
                reversible=f"cannot be undone: {_NO_WAY_BACK}",
                title=f"delete the console password of user {name}",
            )
        )
    made.append(_sign_in(name, password=password))
    return Plan(case, made, title=f"contain user {name}")


def _sign_in(name: str, *, password: bool) -> Step:
    """The step that notes how the user signs in: irkit changes nothing about MFA, but somebody may have."""

    def look(running: Running) -> Outcome:
        iam = running.case.client("iam")
        pages = iam.get_paginator("list_mfa_devices").paginate(UserName=name)
        devices = [
            {"device": d["SerialNumber"], "enabled": plain(d["EnableDate"])}
            for page in pages
            for d in page["MFADevices"]
        ]
        login = _read_login(running.case, name, {})
        notes = [
            "a device that was enrolled in the incident is the intruder's: compare the dates with CloudTrail"
        ]
        if login["Password"] and not password:
            notes.append("the console password stays; behind the deny it opens nothing")
        return Outcome(result={"mfa": devices, "password": dict(login), "notes": notes})

    return Step(
        verb="identity.sign-in",
        target=name,
        title=f"note the MFA devices and the password of user {name}",
        act=look,
        changes=False,
        stage=STAGE + 1,
    )
