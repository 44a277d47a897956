"""Managed nodes: which instances Systems Manager knows, and which of them it reaches."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.ssm.responses import SimpleSystemManagerResponse

from irkit.sim import authority, callers, world
from irkit.sim.faults import Refusal
from irkit.sim.host import Host
from irkit.sim.imds import instance_role
from irkit.sim.seams import adds

_MANAGED_PAGE = 10
_AGENT_ACTIONS = ("ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel")


def find_instance(account: str, region: str, instance_id: str) -> Any:
    """Moto's instance of that id, or None."""
    from moto.ec2.models import ec2_backends

    for reservation in list(ec2_backends[account][region].reservations.values()):
        for instance in reservation.instances:
            if instance.id == instance_id:
                return instance
    return None


def reaches_endpoints(instance: Any) -> bool:
    """Whether the instance's security groups let its agent reach Systems Manager over 443."""
    groups = [group for nic in instance.nics.values() for group in nic.group_set] or list(
        instance.security_groups
    )
    return any(_allows_443(rule) for group in groups for rule in getattr(group, "egress_rules", []))


def _allows_443(rule: Any) -> bool:
    protocol = str(rule.ip_protocol)
    if protocol not in {"-1", "tcp", "6"}:
        return False
    low, high = rule.from_port, rule.to_port
    return protocol == "-1" or low in {None, ""} or int(low) <= 443 <= int(high)


def reachable_in(account: str, region: str) -> Callable[[str], Host | None]:
    """A function that gives the host of an instance whose agent would pick a command up now, or None."""

    def reachable(instance_id: str) -> Host | None:
        host = world.current().hosts.find(instance_id)
        instance = find_instance(account, region, instance_id)
        if host is None or instance is None or instance.state != "running":
            return None
        connected = host.agent and host.running and reaches_endpoints(instance)
        return host if connected and _role_lets_agent_in(instance, account) else None

    return reachable


def _role_lets_agent_in(instance: Any, account: str) -> bool:
    """Whether no policy denies the agent its channel: an agent that is denied by its own role goes quiet."""
    role = instance_role(instance, account)
    if role is None:
        return True
    agent = callers.Caller(
        kind="AssumedRole",
        account=account,
        access_key="",
        arn=role.arn,
        principal_id=f"{role.id}:{instance.id}",
        role=role,
        session=AgentSession(role.arn),
    )
    return not any(authority.denies(agent, action) for action in _AGENT_ACTIONS)


class AgentSession:
    """The session that the agent gets from the metadata service whenever it asks: always a fresh one."""

    policy = None

    def __init__(self, role_arn: str) -> None:
        self.role_arn = role_arn
        self.issued_at = datetime.now(UTC)


@adds(SimpleSystemManagerResponse)
def describe_instance_information(self: Any) -> ActionResult:
    """Managed nodes, 10 a page by default; stopped instances are not among them."""
    reachable = reachable_in(self.current_account, self.region)
    nodes = []
    for host in world.current().hosts:
        instance = find_instance(self.current_account, self.region, host.instance_id)
        if instance is not None and instance.state == "running":
            nodes.append(_node(host, instance, reachable(host.instance_id) is not None))
    filters = [(f["Key"], f["Values"]) for f in self._get_param("Filters") or []]
    filters += [(f["key"], f["valueSet"]) for f in self._get_param("InstanceInformationFilterList") or []]
    for key, values in filters:
        nodes = [node for node in nodes if _node_matches(node, key, values)]
    page, token = paged(nodes, self._get_param("MaxResults"), self._get_param("NextToken"), _MANAGED_PAGE)
    return ActionResult({"InstanceInformationList": page, "NextToken": token})


def _node(host: Host, instance: Any, online: bool) -> dict[str, Any]:
    if online:
        host.last_ping = datetime.now(UTC)
    return {
        "InstanceId": host.instance_id,
        "PingStatus": "Online" if online else "ConnectionLost",
        "LastPingDateTime": host.last_ping,
        "AgentVersion": "3.3.987.0",
        "IsLatestVersion": True,
        "PlatformType": host.platform.kind,
        "PlatformName": host.platform.name,
        "PlatformVersion": host.platform.version,
        "ResourceType": "EC2Instance",
        "IPAddress": instance.private_ip_address,
        "ComputerName": host.hostname,
        "SourceId": host.instance_id,
        "SourceType": "AWS::EC2::Instance",
    }


def _node_matches(node: dict[str, Any], key: str, values: list[str]) -> bool:
    member = {
        "InstanceIds": "InstanceId",
        "PingStatus": "PingStatus",
        "PlatformTypes": "PlatformType",
        "AgentVersion": "AgentVersion",
        "ResourceType": "ResourceType",
    }.get(key)
    if member is None:
        raise Refusal("InvalidFilterKey", f"The filter key {key} is not valid.")
    return node[member] in values


def paged(found: list[Any], size: Any, token: Any, default: int) -> tuple[list[Any], str | None]:
    """One page of what was found, and the token of the next."""
    count = int(size) if size else default
    try:
        start = int(token) if token else 0
    except ValueError:
        raise Refusal("InvalidNextToken", "The specified token is not valid.") from None
    following = str(start + count) if start + count < len(found) else None
    return found[start : start + count], following
