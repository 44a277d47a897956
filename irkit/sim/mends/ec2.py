"""EC2 instances: read-backs that tell the truth, and the calls that moto lacks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.core.types import Base64EncodedString
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.iam_instance_profile import IamInstanceProfileAssociationBackend
from moto.ec2.models.instances import Instance, InstanceBackend, MetadataOptions
from moto.ec2.responses import EC2Response

from irkit.sim import console, world
from irkit.sim.faults import Refusal
from irkit.sim.seams import adds, covers, mends

_WRITABLE_TEXT = {
    "InstanceInitiatedShutdownBehavior": ("instance_initiated_shutdown_behavior", {"stop", "terminate"})
}


def _first_interface(instance: Any) -> Any:
    interfaces = instance.__dict__.get("nics")
    return interfaces[min(interfaces)] if interfaces else None


def _groups_of_instance(instance: Any) -> Any:
    interface = _first_interface(instance)
    return interface._group_set if interface is not None else instance.__dict__.get("_irkit_groups", [])


def _keep_groups_of_instance(instance: Any, groups: Any) -> None:
    instance.__dict__["_irkit_groups"] = list(groups or [])
    interface = _first_interface(instance)
    if interface is not None:
        interface._group_set = list(groups or [])


# An instance's groups are those of its first interface; moto keeps two lists and answers with their union.
covers(NetworkInterface, group_set=property(lambda interface: interface._group_set))
covers(Instance, security_groups=property(_groups_of_instance, _keep_groups_of_instance))


@mends(EC2Response, "run_instances")
def run_instances(original: Any, self: Any) -> ActionResult:
    """Launch; termination protection that is asked for at launch is kept, and for how long Spot was asked for."""
    result: ActionResult = original(self)
    market = self._get_param("InstanceMarketOptions.SpotOptions.SpotInstanceType")
    for instance in result.result.instances:  # type: ignore[attr-defined]
        instance.irkit_spot_type = market or "one-time"
    if str(self._get_param("DisableApiTermination")).lower() == "true":
        reservation: Any = result.result
        for instance in reservation.instances:
            instance.disable_api_termination = True
    return result


def _powering(name: str, *states: bool) -> None:
    @mends(EC2Response, name)
    def power(original: Any, self: Any) -> ActionResult:
        named = self._get_param("InstanceIds") or []
        for held in [self.ec2_backend.get_instance(i) for i in named] if name == "stop_instances" else []:
            if held.lifecycle == "spot" and getattr(held, "irkit_spot_type", "") != "persistent":
                raise Refusal(
                    "UnsupportedOperation",
                    f"You can't stop the Spot Instance '{held.id}' because it is associated with a one-time Spot "
                    "Instance request.",
                )
        answer: ActionResult = original(self)
        for instance_id in named:
            for on in states:
                world.current().hosts.power(instance_id, on=on)
        return answer


_powering("stop_instances", False)
_powering("terminate_instances", False)
_powering("start_instances", True)
_powering("reboot_instances", False, True)


@mends(EC2Response, "modify_instance_attribute")
def modify_instance_attribute(original: Any, self: Any) -> Any:
    """Change one attribute of an instance."""
    instance_id = self._get_param("InstanceId")
    instance = self.ec2_backend.get_instance(instance_id)
    if instance.state == "terminated":
        raise Refusal(
            "IncorrectInstanceState", f"The instance '{instance_id}' is not in a valid state: terminated."
        )
    if instance.lifecycle == "spot" and str(self._get_param("DisableApiTermination.Value")).lower() == "true":
        raise Refusal("UnsupportedOperation", "You can't enable termination protection for Spot Instances.")
    for attribute, (member, allowed) in _WRITABLE_TEXT.items():
        value = self._get_param(f"{attribute}.Value")
        if value is None:
            continue
        if value not in allowed:
            raise Refusal("InvalidParameterValue", f"Value ({value}) for parameter {attribute} is invalid.")
        setattr(instance, member, value)
        return EmptyResult()
    if self._get_param("Groups") and len(instance.nics) > 1:
        raise Refusal(
            "InvalidInstanceID",
            f"There are multiple interfaces attached to instance '{instance_id}'. "
            "Please specify an interface ID for the operation instead.",
        )
    for mapping in self._get_param("BlockDeviceMappings") or []:
        if mapping.get("DeviceName") not in instance.block_device_mapping:
            raise Refusal(
                "InvalidInstanceAttributeValue",
                f"No device is currently mapped at {mapping.get('DeviceName')}",
            )
    return original(self)


@mends(InstanceBackend, "describe_instance_attribute")
def describe_instance_attribute(original: Any, self: Any, instance_id: str, attribute: str) -> Any:
    """One attribute; the values that moto has no member for get a truthful empty one."""
    if attribute == "enclaveOptions":
        return self.get_instance(instance_id), None
    return original(self, instance_id, attribute)


@mends(EC2Response, "describe_instance_attribute")
def show_instance_attribute(original: Any, self: Any) -> ActionResult:
    """The block device mapping and the enclave options, which moto leaves empty or refuses; the rest is moto's."""
    attribute = self._get_param("Attribute")
    if attribute not in {"blockDeviceMapping", "enclaveOptions"}:
        answer: ActionResult = original(self)
        return answer
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    if attribute == "enclaveOptions":
        return ActionResult({"InstanceId": instance.id, "EnclaveOptions": {"Enabled": False}})
    return ActionResult({"InstanceId": instance.id, "BlockDeviceMappings": instance.block_device_mappings})


@mends(InstanceBackend, "modify_instance_metadata_options")
def modify_instance_metadata_options(
    _original: Any, self: Any, instance_id: str, **asked: Any
) -> MetadataOptions:
    """Change the metadata options that are named and keep the others."""
    options: MetadataOptions = self.get_instance(instance_id).metadata_options
    members = {
        "http_tokens": "http_tokens",
        "hop_limit": "http_put_response_hop_limit",
        "http_endpoint": "http_endpoint",
        "http_protocol": "http_protocol_ipv6",
        "metadata_tags": "instance_metadata_tags",
    }
    for name, member in members.items():
        if asked.get(name) is not None:
            setattr(options, member, asked[name])
    options.state = "applied"
    return options


def _show_profile(instance: Any, profile: Any) -> None:
    instance.iam_instance_profile = {"Arn": profile.arn, "Id": profile.id} if profile is not None else None


@mends(IamInstanceProfileAssociationBackend, "associate_iam_instance_profile")
def associate_iam_instance_profile(
    original: Any, self: Any, instance_id: str, *args: Any, **kwargs: Any
) -> Any:
    """Associate, and show the profile's own id on the instance."""
    association = original(self, instance_id, *args, **kwargs)
    _show_profile(association.instance, association.iam_instance_profile)
    return association


@mends(IamInstanceProfileAssociationBackend, "replace_iam_instance_profile_association")
def replace_iam_instance_profile_association(
    original: Any, self: Any, association_id: str, *args: Any, **kwargs: Any
) -> Any:
    """Replace at once: a new association id, read back from the instance too; only while it runs."""
    held = next(
        (a for a in self.iam_instance_profile_associations.values() if a.association_id == association_id),
        None,
    )
    if held is not None and held.instance.state != "running":
        raise Refusal("IncorrectState", f"The instance {held.instance_id} is not in the 'running' state.")
    association = original(self, association_id, *args, **kwargs)
    from moto.ec2.utils import random_iam_instance_profile_association_id

    association.association_id = random_iam_instance_profile_association_id()
    _show_profile(association.instance, association.iam_instance_profile)
    return association


def _running(self: Any) -> Any:
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    if instance.state != "running":
        raise Refusal("IncorrectInstanceState", f"The instance '{instance.id}' is not in the running state.")
    return instance


@adds(EC2Response)
def get_console_screenshot(self: Any) -> ActionResult:
    """A JPEG of the console's last lines."""
    instance = _running(self)
    host = world.current().hosts.find(instance.id)
    image = console.screenshot(console.text(instance.id, instance.private_ip_address, host))
    return ActionResult({"InstanceId": instance.id, "ImageData": image})


@mends(EC2Response, "get_console_output")
def get_console_output(_original: Any, self: Any) -> ActionResult:
    """The console's text, last 64 KiB; the screenshot shows the end of the same text."""
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    host = world.current().hosts.find(instance.id)
    shown = console.text(instance.id, instance.private_ip_address, host).encode()[-console.OUTPUT_BYTES :]
    output = Base64EncodedString.from_raw_string(shown.decode(errors="replace"))
    return ActionResult({"InstanceId": instance.id, "Timestamp": datetime.now(UTC), "Output": output})


@adds(EC2Response)
def monitor_instances(self: Any) -> ActionResult:
    """Switch detailed monitoring on."""
    return _monitor(self, "enabled", "pending")


@adds(EC2Response)
def unmonitor_instances(self: Any) -> ActionResult:
    """Switch detailed monitoring off."""
    return _monitor(self, "disabled", "disabling")


def _monitor(self: Any, state: str, shown: str) -> ActionResult:
    instances = [self.ec2_backend.get_instance(i) for i in self._get_param("InstanceIds") or []]
    for instance in instances:
        instance.monitoring_state = state
    listed = [{"InstanceId": instance.id, "Monitoring": {"State": shown}} for instance in instances]
    return ActionResult({"InstanceMonitorings": listed})


@mends(EC2Response, "describe_regions")
def describe_regions(_original: Any, self: Any) -> ActionResult:
    """Regions that the account has on; with AllRegions also those that are off."""
    named = self._get_param("RegionNames") or []
    every = str(self._get_param("AllRegions")).lower() == "true"
    known = {region.name: region for region in self.ec2_backend.regions}
    for name in named:
        if name not in known:
            raise Refusal("InvalidParameterValue", f"Invalid region name {name}")
    shown = []
    for name, region in known.items():
        off = name in world.DISABLED_REGIONS
        if (named and name not in named) or (off and not every and name not in named):
            continue
        status = "not-opted-in" if off else "opt-in-not-required"
        shown.append({"RegionName": name, "Endpoint": region.endpoint, "OptInStatus": status})
    return ActionResult({"Regions": shown})
