"""Guard rails: the machine and its disks survive the response, whoever or whatever tries to remove them.

Termination protection alone does not do it: it stops neither the scaling group, nor a shutdown from inside, nor the
deletion of volumes with the instance. Each of these is an attribute of its own, and AWS takes one attribute a call.

References:
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyInstanceAttribute.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from irkit.contain import history
from irkit.contain.control import Args, Changed, Control, State, call, request_id
from irkit.errors import NotFound
from irkit.plan import Running, Step, Undo

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.contain.subject import Subject

STAGE = 10
# What AWS answers where an attribute does not apply, as for Spot instances and some of their parents.
_REFUSALS = frozenset(
    {"OperationNotPermitted", "UnsupportedOperation", "InvalidParameterCombination", "Unsupported"}
)


def _attribute(verb: str, name: str, wanted: bool | str, intended: str) -> Control:
    """The control of one attribute of the instance. `name` is the attribute as ModifyInstanceAttribute calls it."""
    shown = name[0].lower() + name[1:]

    def read(case: Case, target: str, _: Args) -> State:
        said = case.client("ec2").describe_instance_attribute(InstanceId=target, Attribute=shown)
        return {name: (said.get(name) or {}).get("Value")}

    def change(running: Running, _: State) -> Changed:
        target = running.step.target
        said = running.case.client("ec2").modify_instance_attribute(
            InstanceId=target, **{name: {"Value": wanted}}
        )
        return Changed(request_ids=request_id(said))

    def undo(target: str, _: Args, before: State, __: State) -> Undo:
        value = {"Value": before.get(name)}
        return Undo(calls=(call("ec2", "ModifyInstanceAttribute", InstanceId=target, **{name: value}),))

    return Control(
        verb=verb,
        intended=intended,
        read=read,
        reached=lambda _c, _t, _a, state: state.get(name) == wanted,
        change=change,
        undo=undo,
        refusals=_REFUSALS,
    )


def _mapping(case: Case, target: str, args: Args) -> State:
    said = case.client("ec2").describe_instances(InstanceIds=[args["instance"]])
    for reservation in said["Reservations"]:
        for instance in reservation["Instances"]:
            for mapping in instance.get("BlockDeviceMappings", []):
                if mapping.get("Ebs", {}).get("VolumeId") == target:
                    return {
                        "DeleteOnTermination": bool(mapping["Ebs"].get("DeleteOnTermination")),
                        "Device": mapping["DeviceName"],
                    }
    return {"DeleteOnTermination": None, "Device": None}


def _keeps(device: str, delete: bool) -> list[dict[str, Any]]:
    return [{"DeviceName": device, "Ebs": {"DeleteOnTermination": delete}}]


def _keep_volume(running: Running, state: State) -> Changed:
    if state["Device"] is None:
        raise NotFound(
            f"{running.step.target} is no longer attached to {running.step.args['instance']}",
            hint="see who detached it in CloudTrail; the volume itself may still be there",
        )
    said = running.case.client("ec2").modify_instance_attribute(
        InstanceId=running.step.args["instance"], BlockDeviceMappings=_keeps(state["Device"], delete=False)
    )
    return Changed(request_ids=request_id(said))


def _release_volume(_: str, args: Args, before: State, __: State) -> Undo:
    mappings = _keeps(str(before["Device"]), bool(before["DeleteOnTermination"]))
    return Undo(
        calls=(
            call("ec2", "ModifyInstanceAttribute", InstanceId=args["instance"], BlockDeviceMappings=mappings),
        )
    )


def _attachment(case: Case, target: str, _: Args) -> State:
    said = case.client("ec2").describe_network_interfaces(NetworkInterfaceIds=[target])
    held = said["NetworkInterfaces"][0].get("Attachment") or {}
    return {"AttachmentId": held.get("AttachmentId"), "DeleteOnTermination": held.get("DeleteOnTermination")}


def _keep_interface(running: Running, state: State) -> Changed:
    said = running.case.client("ec2").modify_network_interface_attribute(
        NetworkInterfaceId=running.step.target,
        Attachment={"AttachmentId": state["AttachmentId"], "DeleteOnTermination": False},
    )
    return Changed(request_ids=request_id(said))


def _release_interface(target: str, _: Args, before: State, __: State) -> Undo:
    held = {"AttachmentId": before["AttachmentId"], "DeleteOnTermination": before["DeleteOnTermination"]}
    return Undo(
        calls=(call("ec2", "ModifyNetworkInterfaceAttribute", NetworkInterfaceId=target, Attachment=held),)
    )


TERMINATION = _attribute(
    "guard.termination", "DisableApiTermination", True, "nobody can terminate it through the API"
)
STOP = _attribute("guard.stop", "DisableApiStop", True, "nobody can stop it through the API")
SHUTDOWN = _attribute(
    "guard.shutdown",
    "InstanceInitiatedShutdownBehavior",
    "stop",
    "a shutdown from inside stops it and does not terminate it",
)
VOLUME = Control(
    verb="guard.volume",
    intended="the volume stays when the instance goes",
    read=_mapping,
    reached=lambda _c, _t, _a, state: state.get("DeleteOnTermination") is False,
    change=_keep_volume,
    undo=_release_volume,
    refusals=_REFUSALS,
)
INTERFACE = Control(
    verb="guard.interface",
    intended="the interface, with its addresses, stays when the instance goes",
    read=_attachment,
    reached=lambda _c, _t, _a, state: state.get("DeleteOnTermination") is False,
    change=_keep_interface,
    undo=_release_interface,
    refusals=_REFUSALS,
)
CONTROLS = (TERMINATION, STOP, SHUTDOWN, VOLUME, INTERFACE)


def steps(case: Case, subject: Subject) -> list[Step]:
    """The guard rails of `subject`, one attribute a step."""
    spot = " (AWS refuses this for Spot instances; it is tried and recorded)" if subject.spot else ""
    own = {"instance": subject.id}

    def rail(control: Control, target: str, title: str, reversible: str, **args: Any) -> Step:
        return control.step(case, target, own | args, title=title, reversible=reversible, stage=STAGE)

    back = "sets the value that was there"
    rails = [
        rail(TERMINATION, subject.id, f"switch termination protection of {subject.id} on{spot}", back),
        rail(
            STOP,
            subject.id,
            f"switch stop protection of {subject.id} on (irkit's own stop needs it off again){spot}",
            back,
        ),
        rail(
            SHUTDOWN,
            subject.id,
            f"let a shutdown from inside {subject.id} stop it, not terminate it{spot}",
            back,
        ),
    ]
    rails += _each(
        case,
        subject,
        VOLUME,
        [v.id for v in subject.volumes],
        lambda target: rail(VOLUME, target, f"keep volume {target} if {subject.id} is terminated", back),
    )
    rails += _each(
        case,
        subject,
        INTERFACE,
        [i.id for i in subject.interfaces if i.attachment],
        lambda target: rail(
            INTERFACE, target, f"keep interface {target} if {subject.id} is terminated", back
        ),
    )
    return rails


def _each(
    case: Case, subject: Subject, control: Control, now: list[str], make: Callable[[str], Step]
) -> list[Step]:
    earlier = [target for target, _ in history.targets(case, control.verb, subject.id)]
    return [make(target) for target in dict.fromkeys([*now, *earlier])]
