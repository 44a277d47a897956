"""GuardDuty's findings, AWS Config's histories and Systems Manager's inventory: what was planted, and else nothing.

moto has detectors without findings, the present without a past, and no inventory. A test or a scenario plants; the API
reads it back in AWS's shapes.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from moto.config.models import ConfigBackend
from moto.core.responses import ActionResult
from moto.guardduty import urls
from moto.guardduty.responses import GuardDutyResponse
from moto.ssm.responses import SimpleSystemManagerResponse

from irkit.sim.faults import Refusal
from irkit.sim.seams import adds, mends

_SETTINGS = {"/ssm/managed-instance/default-ec2-instance-management-role": "$None"}
# The paths that moto's detectors lack; it finds the operation by botocore's model.
for _path in ("findings$", "findings/get$"):
    urls.url_paths["{0}/detector/(?P<detector_id>[^/]+)/" + _path] = GuardDutyResponse.dispatch


def plant_finding(account: str, region: str, finding: dict[str, Any]) -> str:
    """Let GuardDuty hold `finding` (members as in the API: Id, Type, Resource, …); returns the detector's id."""
    from moto.guardduty.models import guardduty_backends

    backend: Any = guardduty_backends[account][region]
    if not backend.detectors:
        backend.create_detector(True, "FIFTEEN_MINUTES", {}, {}, [])
    _findings(backend).append(finding)
    return str(next(iter(backend.detectors)))


def plant_history(account: str, region: str, kind: str, ident: str, items: list[dict[str, Any]]) -> None:
    """Let AWS Config remember `items` (newest first, members as in the API) of the resource `ident` of type `kind`."""
    from moto.config.models import config_backends

    backend: Any = config_backends[account][region]
    backend.__dict__.setdefault("irkit_history", {})[kind, ident] = items


def _findings(backend: Any) -> list[dict[str, Any]]:
    held: list[dict[str, Any]] = backend.__dict__.setdefault("irkit_findings", [])
    return held


def _of(self: Any) -> list[dict[str, Any]]:
    detector = self.path.split("/detector/")[1].split("/")[0]
    if detector not in self.guardduty_backend.detectors:
        raise Refusal(
            "BadRequestException", "The request is rejected because the detectorId is not owned.", 400
        )
    return _findings(self.guardduty_backend)


def _instance(finding: dict[str, Any]) -> str:
    return str(finding.get("Resource", {}).get("InstanceDetails", {}).get("InstanceId", ""))


@adds(GuardDutyResponse)
def list_findings(self: Any) -> str:
    """Ids of findings, of all of them or about given instances."""
    asked = json.loads(self.body or "{}")
    wanted = (
        asked.get("findingCriteria", {}).get("criterion", {}).get("resource.instanceDetails.instanceId", {})
    )
    named = wanted.get("equals") or wanted.get("eq")
    found = [f["Id"] for f in _of(self) if not named or _instance(f) in named]
    return json.dumps({"findingIds": found})


@adds(GuardDutyResponse)
def get_findings(self: Any) -> str:
    """The findings with the given ids."""
    ids = json.loads(self.body or "{}").get("findingIds", [])
    return json.dumps({"findings": [_lowered(f) for f in _of(self) if f["Id"] in ids]})


def _lowered(value: Any) -> Any:
    """`value` with keys as they travel: GuardDuty's JSON begins them in lower case."""
    if isinstance(value, dict):
        return {k[:1].lower() + k[1:]: _lowered(v) for k, v in value.items()}
    return [_lowered(v) for v in value] if isinstance(value, list) else value


@mends(ConfigBackend, "get_resource_config_history")
def get_resource_config_history(
    original: Any, self: Any, resource_type: str, resource_id: str, backend_region: str
) -> Any:
    """The history that was planted, else what moto makes of the present."""
    held = self.__dict__.get("irkit_history", {}).get((resource_type, resource_id))
    return (
        {"configurationItems": held} if held else original(self, resource_type, resource_id, backend_region)
    )


@adds(SimpleSystemManagerResponse)
def list_inventory_entries(self: Any) -> ActionResult:
    """The inventory of a node: none is collected in the simulated accounts."""
    return ActionResult({
        "TypeName": self._get_param("TypeName"),
        "InstanceId": self._get_param("InstanceId"),
        "SchemaVersion": "1.1",
        "CaptureTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "Entries": [],
    })  # fmt: skip


@adds(SimpleSystemManagerResponse)
def get_service_setting(self: Any) -> ActionResult:
    """A service setting at its default: Default Host Management is off."""
    name = str(self._get_param("SettingId")).partition(":servicesetting")[2] or self._get_param("SettingId")
    if name not in _SETTINGS:
        raise Refusal("ServiceSettingNotFound", "The specified service setting wasn't found.")
    shown = {"SettingId": name, "SettingValue": _SETTINGS[name], "Status": "Default"}
    return ActionResult({"ServiceSetting": shown})
