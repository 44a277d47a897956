"""EC2 networks: groups in use stay, network ACLs deny and have limits, what is named must exist, AWS's own is AWS's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.models.network_acls import NetworkAclBackend
from moto.ec2.models.security_groups import SecurityGroupBackend
from moto.ec2.responses import EC2Response

from irkit.sim.faults import Refusal
from irkit.sim.seams import mends

if TYPE_CHECKING:
    from moto.core.responses import ActionResult


# https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html
ENTRIES = 20
IMPLICIT = 32767


@mends(SecurityGroupBackend, "delete_security_group")
def delete_security_group(
    original: Any, self: Any, name: str | None = None, group_id: str | None = None
) -> Any:
    """Delete a group that no interface uses and no other group's rule names."""
    target = group_id or getattr(self.get_security_group_by_name_or_id(name) if name else None, "id", None)
    if target:
        used = any(
            group.id == target for interface in list(self.enis.values()) for group in interface._group_set
        )
        if used or _referenced(self, target):
            raise Refusal("DependencyViolation", f"resource {target} has a dependent object")
    return original(self, name, group_id)


def _referenced(backend: Any, group_id: str) -> bool:
    for groups in list(backend.groups.values()):
        for other in list(groups.values()):
            if other.id == group_id:
                continue
            for rule in [*other.ingress_rules, *other.egress_rules]:
                source = getattr(rule, "source_group", None) or {}
                if source.get("GroupId") == group_id:
                    return True
    return False


@mends(EC2Response, "modify_network_interface_attribute")
def modify_network_interface_attribute(original: Any, self: Any) -> ActionResult:
    """Change an interface; its groups must exist and belong to its VPC."""
    interface = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
    if getattr(interface, "requester_managed", False):
        raise Refusal("AuthFailure", "You do not have permission to access the specified resource.")
    for group_id in self._get_param("Groups") or []:
        group = self.ec2_backend.get_security_group_from_id(group_id)
        if group is None:
            raise Refusal("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
        if group.vpc_id != interface.vpc_id:
            raise Refusal(
                "InvalidParameterValue",
                f"You have specified two resources that belong to different networks: {group_id}, {interface.id}",
            )
    attachment = self._get_param("Attachment")
    if attachment:
        if attachment.get("AttachmentId") != interface.attachment_id:
            raise Refusal(
                "InvalidAttachmentID.NotFound",
                f"The attachment '{attachment.get('AttachmentId')}' does not exist.",
            )
        interface.delete_on_termination = str(attachment.get("DeleteOnTermination")).lower() == "true"
    if tracking := self._get_param("ConnectionTrackingSpecification"):
        interface.connection_tracking_configuration = tracking
    answer: ActionResult = original(self)
    return answer


@mends(NetworkAclBackend, "create_network_acl")
def create_network_acl(original: Any, self: Any, vpc_id: str, tags: Any = None, default: bool = False) -> Any:
    """A network ACL with its two implicit deny entries."""
    made = original(self, vpc_id, tags=tags, default=default)
    if not default:
        for egress in (True, False):
            self.create_network_acl_entry(
                network_acl_id=made.id,
                rule_number=32767,
                protocol="-1",
                rule_action="deny",
                egress=egress,
                cidr_block="0.0.0.0/0",
                icmp_code=None,
                icmp_type=None,
                port_range_from=None,
                port_range_to=None,
                ipv6_cidr_block=None,
            )
    return made


@mends(NetworkAclBackend, "create_network_acl_entry")
def create_network_acl_entry(original: Any, self: Any, network_acl_id: str, *args: Any, **entry: Any) -> Any:
    """An entry; 20 a direction is AWS's quota, and only the implicit ones have numbers above 32766."""
    acl, number = self.get_network_acl(network_acl_id), int(entry.get("rule_number") or args[0])
    egress = str(entry.get("egress")).lower() == "true"
    held = [
        e
        for e in acl.network_acl_entries
        if (str(e.egress).lower() == "true") is egress and int(e.rule_number) < IMPLICIT
    ]
    if number < IMPLICIT and len(held) >= ENTRIES:
        raise Refusal(
            "NetworkAclEntryLimitExceeded",
            f"The maximum number of network acl entries ({ENTRIES}) has been reached",
        )
    return original(self, network_acl_id, *args, **entry)


@mends(NetworkAclBackend, "replace_network_acl_association")
def replace_network_acl_association(
    original: Any, self: Any, association_id: str, network_acl_id: str
) -> Any:
    """Give a subnet another ACL of its VPC; the association gets a new id."""
    held = [acl for acl in self.network_acls.values() if association_id in acl._associations]
    if not held:
        raise Refusal(
            "InvalidAssociationID.NotFound", f"The association ID '{association_id}' does not exist"
        )
    if self.get_network_acl(network_acl_id).vpc_id != held[0].vpc_id:
        raise Refusal(
            "InvalidParameterValue",
            f"{network_acl_id} and the subnet of {association_id} belong to different networks",
        )
    return original(self, association_id, network_acl_id)


@mends(EC2Response, "create_network_acl_entry")
def answer_network_acl_entry(original: Any, self: Any) -> ActionResult:
    """An entry with its ICMP type and code, which moto looks for under another name."""
    answer: ActionResult = original(self)
    kind, code = self._get_param("IcmpTypeCode.Type"), self._get_param("IcmpTypeCode.Code")
    if kind is not None or code is not None:
        entry = self.ec2_backend.get_network_acl(self._get_param("NetworkAclId")).network_acl_entries[-1]
        entry.icmp_type, entry.icmp_code = kind, code
    return answer
