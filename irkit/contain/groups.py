"""The security groups that containment makes: one a case, VPC and purpose, found again by tag, checked rule by rule.

A group is never taken for empty because it is new: AWS gives a new group an outbound rule for IPv4, in a VPC with IPv6
one for IPv6 too, and someone who knows the name may have planted a group with rules. So every rule is revoked by its
id, and the result is read back before an interface is put into the group.

References:
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RevokeSecurityGroupEgress.html
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from irkit.aws.refusals import error_code
from irkit.aws.waiting import wait_until
from irkit.contain import history
from irkit.contain.control import Args, Changed, Control, State, call, request_id
from irkit.plan import Running, Undo

if TYPE_CHECKING:
    from irkit.case import Case

PURPOSE = "irkit:purpose"
_VISIBLE_SECONDS = 30.0


def group_name(case: Case, purpose: str) -> str:
    """The name of the group for `purpose` (`quarantine`, `ssm`, `hop`) in any VPC of the case."""
    return f"irkit-{purpose}-{case.id}"


def made(case: Case, purpose: str, vpc: str) -> str | None:
    """The id of the group that the journal says was made for `purpose` in `vpc`, None when there is none."""
    held = [
        b
        for b in history.begun(case)
        if b.verb == f"network.{purpose}" and b.target == vpc and b.done is not None
    ]
    return str(held[-1].after["GroupId"]) if held else None


def rules(case: Case, group: str) -> list[dict[str, Any]]:
    """Every rule of `group` as AWS describes it, both directions, all pages."""
    pages = (
        case.client("ec2")
        .get_paginator("describe_security_group_rules")
        .paginate(Filters=[{"Name": "group-id", "Values": [group]}])
    )
    return [rule for page in pages for rule in page["SecurityGroupRules"]]


def in_words(rule: Mapping[str, Any]) -> str:
    """A rule on one line, the same for the same rule: `out tcp 443-443 10.0.0.5/32`."""
    reference = (rule.get("ReferencedGroupInfo") or {}).get("GroupId")
    peer = rule.get("CidrIpv4") or rule.get("CidrIpv6") or rule.get("PrefixListId") or reference or "?"
    ports = "" if rule.get("IpProtocol") == "-1" else f" {rule.get('FromPort')}-{rule.get('ToPort')}"
    return f"{'out' if rule.get('IsEgress') else 'in'} {rule.get('IpProtocol')}{ports} {peer}"


def revoke_all(case: Case, group: str) -> tuple[str, ...]:
    """Take every rule out of `group`, by rule id; returns request ids. What is not there any more is no error."""
    client, ids = case.client("ec2"), list[str]()
    found = rules(case, group)
    for outbound, revoke in (
        (True, client.revoke_security_group_egress),
        (False, client.revoke_security_group_ingress),
    ):
        mine = [r["SecurityGroupRuleId"] for r in found if bool(r["IsEgress"]) is outbound]
        if mine:
            ids += request_id(revoke(GroupId=group, SecurityGroupRuleIds=mine))
    return tuple(ids)


def authorize(
    case: Case, group: str, *, outbound: bool, permissions: list[dict[str, Any]]
) -> tuple[str, ...]:
    """Give `group` rules; those that it has already are no error."""
    client, ids = case.client("ec2"), list[str]()
    add = client.authorize_security_group_egress if outbound else client.authorize_security_group_ingress
    for permission in permissions:
        try:
            ids += request_id(add(GroupId=group, IpPermissions=[permission]))
        except Exception as error:
            if error_code(error) != "InvalidPermission.Duplicate":
                raise
    return tuple(ids)


def https_to(args: Args) -> list[dict[str, Any]]:
    """Permissions for HTTPS to the single `addresses` (IPv4 and IPv6) and the `prefix_lists` that `args` name."""
    tcp = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    hosts: list[dict[str, Any]] = [
        {"Ipv6Ranges": [{"CidrIpv6": f"{a}/128"}]} if ":" in a else {"IpRanges": [{"CidrIp": f"{a}/32"}]}
        for a in sorted(args.get("addresses", ()))
    ]
    lists: list[dict[str, Any]] = [
        {"PrefixListIds": [{"PrefixListId": p}]} for p in sorted(args.get("prefix_lists", ()))
    ]
    return [tcp | peer for peer in (*hosts, *lists)]


def _expected(args: Args) -> list[str]:
    hosts = [f"{a}/{128 if ':' in a else 32}" for a in args.get("addresses", ())]
    return sorted(f"out tcp 443-443 {peer}" for peer in (*hosts, *args.get("prefix_lists", ())))


def control(purpose: str, intended: str) -> Control:
    """The control that makes the group for `purpose` with exactly the rules that its arguments allow."""

    def read(case: Case, vpc: str, _: Args) -> State:
        group = _find(case, purpose, vpc)
        if group is None:
            return {"GroupId": None, "GroupName": None, "Rules": []}
        held = sorted(in_words(rule) for rule in rules(case, group["GroupId"]))
        return {"GroupId": group["GroupId"], "GroupName": group["GroupName"], "Rules": held}

    def change(running: Running, state: State) -> Changed:
        case, vpc = running.case, running.step.target
        group, ids = state["GroupId"], tuple[str, ...]()
        if group is None:
            group, ids = _create(case, purpose, vpc)
        ids += revoke_all(case, group)
        ids += authorize(case, group, outbound=True, permissions=https_to(running.step.args))
        return Changed(request_ids=ids, result={"GroupId": group})

    def undo(_: str, __: Args, ___: State, after: State) -> Undo:
        return Undo(calls=(call("ec2", "DeleteSecurityGroup", GroupId=after["GroupId"]),))

    def reached(_: Case, __: str, args: Args, state: State) -> bool:
        return state["GroupId"] is not None and list(state["Rules"]) == _expected(args)

    return Control(
        verb=f"network.{purpose}",
        intended=intended,
        read=read,
        reached=reached,
        change=change,
        undo=undo,
        ours=lambda _c, _t, _a, state: state["GroupId"] is not None,
        watched=("GroupId",),
    )


def _find(case: Case, purpose: str, vpc: str) -> Mapping[str, Any] | None:
    known = made(case, purpose, vpc)
    tried = [b for b in history.begun(case) if b.verb == f"network.{purpose}" and b.target == vpc]
    # Tags can be forged: a group that the journal does not know is taken for ours only while one is being made.
    making = any(b.done is None for b in tried)
    if known is None and not tried:
        return None
    pages = (
        case.client("ec2")
        .get_paginator("describe_security_groups")
        .paginate(
            Filters=[
                {"Name": "vpc-id", "Values": [vpc]},
                {"Name": "tag:irkit:case", "Values": [case.id]},
                {"Name": f"tag:{PURPOSE}", "Values": [purpose]},
            ]
        )
    )
    found = sorted((g for page in pages for g in page["SecurityGroups"]), key=lambda g: str(g["GroupId"]))
    mine = next((g for g in found if g["GroupId"] == known), None)
    return mine or (found[0] if found and making else None)


def _create(case: Case, purpose: str, vpc: str) -> tuple[str, tuple[str, ...]]:
    client, name = case.client("ec2"), group_name(case, purpose)
    tags = case.tags() | {"Name": name, PURPOSE: purpose}
    request = {
        "Description": f"irkit case {case.id}: {purpose}",
        "VpcId": vpc,
        "TagSpecifications": [
            {"ResourceType": "security-group", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}
        ],
    }
    try:
        said = client.create_security_group(GroupName=name, **request)
    except Exception as error:
        if error_code(error) != "InvalidGroup.Duplicate":
            raise
        # A group of our name that does not carry our tags is not ours, whoever made it: leave it and take another name.
        said = client.create_security_group(GroupName=f"{name}-{secrets.token_hex(4)}", **request)
    group = str(said["GroupId"])

    def visible() -> bool | None:
        try:
            found = client.describe_security_groups(GroupIds=[group])["SecurityGroups"]
            return True if found and (rules(case, group) or _seen_empty(case, group)) else None
        except Exception as error:
            if error_code(error) == "InvalidGroup.NotFound":
                return None
            raise

    wait_until(visible, what=f"seeing the new group {group}", timeout=_VISIBLE_SECONDS)
    return group, request_id(said)


def _seen_empty(case: Case, group: str) -> bool:
    """Whether the group's own description, another view than its rules, shows no rule either."""
    found = case.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return bool(found) and not found[0].get("IpPermissions") and not found[0].get("IpPermissionsEgress")
