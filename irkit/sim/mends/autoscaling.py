"""Auto Scaling: standby and detach within the group's sizes, processes suspended more than once."""

from __future__ import annotations

from typing import Any

from moto.autoscaling.models import AutoScalingBackend

from irkit.sim.faults import Refusal
from irkit.sim.seams import mends


def _group(backend: Any, name: str) -> Any:
    group = backend.autoscaling_groups.get(name)
    if group is None:
        raise Refusal(
            "ValidationError", f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found"
        )
    return group


def _members(group: Any, instance_ids: list[str], state: str | None = None) -> list[Any]:
    states = {member.instance.id: member for member in group.instance_states}
    for instance_id in instance_ids:
        if instance_id not in states:
            raise Refusal(
                "ValidationError",
                f"The instance {instance_id} is not part of Auto Scaling group {group.name}.",
            )
        if state and states[instance_id].lifecycle_state != state:
            raise Refusal("ValidationError", f"The instance {instance_id} is not in {state}.")
    return [states[instance_id] for instance_id in instance_ids]


def _room(group: Any, leaving: int, what: str) -> None:
    if group.desired_capacity - leaving < group.min_size:
        raise Refusal(
            "ValidationError",
            f"AutoScalingGroup {group.name} has min-size={group.min_size}, max-size={group.max_size}, and "
            f"desired-size={group.desired_capacity}. To {what} {leaving} instance, please update the "
            "AutoScalingGroup sizes appropriately.",
        )


@mends(AutoScalingBackend, "enter_standby_instances")
def enter_standby_instances(
    original: Any, self: Any, group_name: str, instance_ids: list[str], should_decrement: bool
) -> Any:
    """Out of service but still a member; out of the group's target groups too, and replaced unless decremented."""
    group = _group(self, group_name)
    _members(group, instance_ids, "InService")
    if should_decrement:
        _room(group, len(instance_ids), "place into standby")
    activities = original(self, group_name, instance_ids, should_decrement)
    _drain(self, group, instance_ids)
    self.update_attached_target_groups(group_name)
    return activities


@mends(AutoScalingBackend, "update_attached_target_groups")
def update_attached_target_groups(_original: Any, self: Any, group_name: str) -> None:
    """Register the members that are in service with the group's target groups; moto takes those in standby too."""
    group = self.autoscaling_groups[group_name]
    for arn in list(group.target_group_arns or []):
        target_group = self.elbv2_backend.target_groups.get(arn)
        if target_group is not None:
            members = [{"Id": m.instance.id, "Port": target_group.port} for m in group.active_instances()]
            self.elbv2_backend.register_targets(
                arn, [m for m in members if m["Id"] not in target_group.targets]
            )


@mends(AutoScalingBackend, "exit_standby_instances")
def exit_standby_instances(original: Any, self: Any, group_name: str, instance_ids: list[str]) -> Any:
    """Back into service, and back into the group's target groups."""
    group = _group(self, group_name)
    _members(group, instance_ids, "Standby")
    if group.desired_capacity + len(instance_ids) > group.max_size:
        raise Refusal(
            "ValidationError", f"AutoScalingGroup {group.name} would exceed its max-size={group.max_size}."
        )
    activities = original(self, group_name, instance_ids)
    self.update_attached_target_groups(group_name)
    return activities


@mends(AutoScalingBackend, "detach_instances")
def detach_instances(
    original: Any, self: Any, group_name: str, instance_ids: list[str], should_decrement: bool
) -> Any:
    """Out of the group for good; with decrement never below its minimum."""
    group = _group(self, group_name)
    _members(group, instance_ids)
    if should_decrement:
        _room(group, len(instance_ids), "detach")
    return original(self, group_name, instance_ids, should_decrement)


@mends(AutoScalingBackend, "set_instance_protection")
def set_instance_protection(
    original: Any, self: Any, group_name: str, instance_ids: list[str], protected_from_scale_in: bool | None
) -> Any:
    """Protect members from scale-in, or stop to."""
    _members(_group(self, group_name), instance_ids)
    return original(self, group_name, instance_ids, protected_from_scale_in)


def _drain(backend: Any, group: Any, instance_ids: list[str]) -> None:
    for arn in list(group.target_group_arns or []):
        target_group = backend.elbv2_backend.target_groups.get(arn)
        held = [{"Id": i} for i in instance_ids if target_group is not None and i in target_group.targets]
        if held:
            target_group.deregister(held)
