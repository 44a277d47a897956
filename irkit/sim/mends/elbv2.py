"""Load balancers: a deregistered target drains before it is gone, and lists come in pages."""

from __future__ import annotations

import time
from typing import Any

from moto.core.responses import ActionResult
from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, FakeTargetGroup
from moto.elbv2.responses import ELBV2Response

from irkit.sim import world
from irkit.sim.faults import Refusal
from irkit.sim.seams import mends

# What AWS gives at most in one answer.
PAGE = 400


def _draining(group: Any) -> dict[str, tuple[float, Any]]:
    held: dict[str, tuple[float, Any]] = group.__dict__.setdefault("irkit_draining", {})
    for target_id, (until, _) in list(held.items()):
        if time.monotonic() >= until or target_id in group.targets:
            held.pop(target_id, None)
    return held


@mends(FakeTargetGroup, "deregister")
def deregister(original: Any, self: Any, targets: list[dict[str, Any]]) -> Any:
    """Take targets out; they drain for a while."""
    leaving = {target["Id"]: self.targets.get(target["Id"]) for target in targets}
    answer = original(self, targets)
    until = time.monotonic() + world.current().pace.draining_seconds
    for target_id, target in leaving.items():
        _draining(self)[target_id] = (until, target)
    return answer


@mends(FakeTargetGroup, "health_for")
def health_for(original: Any, self: Any, target: dict[str, Any], ec2_backend: Any) -> Any:
    """One target's health; `draining` while it drains."""
    held = _draining(self).get(target["Id"])
    if held is None:
        return original(self, target, ec2_backend)
    return FakeHealthStatus(
        target["Id"],
        (held[1] or {}).get("Port", self.port),
        self.health_check_port,
        "draining",
        "Target.DeregistrationInProgress",
        "Target deregistration is in progress",
    )


@mends(ELBv2Backend, "describe_target_health")
def describe_target_health(
    original: Any, self: Any, target_group_arn: str, targets: list[dict[str, Any]]
) -> Any:
    """Health of the targets that are named, or of all registered and draining ones."""
    found = original(self, target_group_arn, targets)
    group = self.target_groups.get(target_group_arn)
    if targets or group is None:
        return found
    return found + [
        group.health_for({"Id": target_id}, self.ec2_backend) for target_id in list(_draining(group))
    ]


@mends(ELBV2Response, "describe_target_groups")
def list_target_groups(original: Any, self: Any) -> ActionResult:
    """Target groups page by page; moto gives all at once whatever page size is asked for."""
    found: Any = original(self).result
    groups = list(found["TargetGroups"])
    marker = self._get_param("Marker")
    arns = [group.arn for group in groups]
    if marker and marker not in arns:
        raise Refusal("ValidationError", "The marker is not valid.")
    start = arns.index(marker) + 1 if marker else 0
    page = groups[start : start + int(self._get_param("PageSize") or PAGE)]
    more = len(groups) > start + len(page)
    return ActionResult({"TargetGroups": page, "NextMarker": page[-1].arn if more else None})
