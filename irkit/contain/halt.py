"""Stopping the instance: the last resort against flows that nothing else ends.

It ends every connection and everything that runs. It also costs evidence: memory and instance-store volumes are gone
for good, unless the instance was set up to hibernate, and a public address that AWS gave on launch is given to somebody
else. The system is not shut down first, so that no script of the intruder runs on the way; a machine that can hibernate
does so, and keeps its memory on the root volume.

References:
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Stop_Start.html
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StopInstances.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from irkit.contain.control import Args, Changed, Control, State, call, request_id
from irkit.plan import Running, Step, Undo

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.contain.subject import Subject

# Spot instances that were asked for once, and instances whose root is an instance store.
_REFUSALS = frozenset({"UnsupportedOperation", "UnsupportedHibernationConfiguration"})


def _read(case: Case, target: str, _: Args) -> State:
    said = case.client("ec2").describe_instances(InstanceIds=[target])["Reservations"][0]["Instances"][0]
    return {
        "State": said["State"]["Name"],
        "Hibernates": bool((said.get("HibernationOptions") or {}).get("Configured")),
    }


def _stop(running: Running, state: State) -> Changed:
    client, instance = running.case.client("ec2"), running.step.target
    if state["State"] == "stopping":
        return Changed()
    shown = client.describe_instance_attribute(InstanceId=instance, Attribute="disableApiStop")
    protected = bool((shown.get("DisableApiStop") or {}).get("Value"))
    how: dict[str, Any] = {"Hibernate": True} if state["Hibernates"] else {"SkipOsShutdown": True}
    try:
        if protected:  # it binds irkit too, and comes back whatever happens
            client.modify_instance_attribute(InstanceId=instance, DisableApiStop={"Value": False})
        said = client.stop_instances(InstanceIds=[instance], **how)
    finally:
        if protected:
            client.modify_instance_attribute(InstanceId=instance, DisableApiStop={"Value": True})
    kept = "memory is on the root volume, as the system wrote it" if state["Hibernates"] else "memory is lost"
    return Changed(request_ids=request_id(said), result={"note": kept})


STOPPED = Control(
    verb="network.stopped",
    intended="the instance is stopped",
    read=_read,
    reached=lambda _c, _t, _a, state: state["State"] == "stopped",
    ours=lambda _c, _t, _a, state: state["State"] in {"stopping", "stopped"},
    change=_stop,
    undo=lambda target, _a, _b, _s: Undo(calls=(call("ec2", "StartInstances", InstanceIds=[target]),)),
    refusals=_REFUSALS,
    watched=("State",),
    settle=300.0,
)
CONTROLS = (STOPPED,)


def steps(case: Case, subject: Subject, *, stage: int) -> list[Step]:
    """The step that stops `subject`."""
    return [
        STOPPED.step(
            case,
            subject.id,
            {"instance": subject.id},
            stage=stage,
            title=f"stop {subject.id}, without a shutdown of its system: memory, instance-store volumes and a public "
            "address that is no Elastic IP are lost; capture memory and disks first",
            reversible="starts it again, with an empty memory and whatever starts by itself on it",
            deadline=420.0,
        )
    ]
