"""The replacement that a scaling group launched for an instance in standby, ended once that is back.

Undoing a standby brings the instance back beside its replacement, so the group is larger by one. Ending the surplus
destroys a machine, so it is done only when asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from irkit.contain.control import request_id
from irkit.errors import WrongState
from irkit.journal import Entry, Kind
from irkit.plan import Outcome, Running, Step, Undo

if TYPE_CHECKING:
    from irkit.case import Case

_STANDBY = "fleet.standby"
_UNDO = "undo."


def steps(case: Case, *, stage: int, wanted: tuple[str, ...] | None) -> list[Step]:
    """The steps that end what scaling groups launched in place of contained instances, from `stage` on.

    `wanted` narrows them as in `undo_plan`. A group that wants no more instances than before keeps them all.
    """
    done = [e for e in case.journal.entries if e.kind is Kind.DONE and e.body.get("verb") == _STANDBY]
    latest = {str(e.body["target"]): e for e in done if (e.body.get("before") or {}).get("Group")}
    mine = set(wanted or ())
    return [
        _retirement(group, entry, stage=stage)
        for group, entry in latest.items()
        if wanted is None or mine & {"fleet", _STANDBY, group, str(entry.step)}
    ]


def _retirement(group: str, entry: Entry, *, stage: int) -> Step:
    return Step(
        verb=f"{_UNDO}fleet.replacement",
        target=group,
        args={"of": entry.step, "entry": entry.seq},
        stage=stage,
        title=f"terminate what {group} launched as a replacement, as far as it has more instances than before",
        reversible="cannot be undone; the group can launch others",
        act=lambda running: _retire(running, entry.body["before"]["Group"]),
    )


def _retire(running: Running, was: Mapping[str, Any]) -> Outcome:
    client, name = running.case.client("autoscaling"), running.step.target
    found = client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    if not found:
        raise WrongState(f"scaling group {name} is gone", hint="nothing is left to retire")
    if running.results.get(f"{_UNDO}{_STANDBY}") is None and any(
        i["LifecycleState"] == "Standby" for i in found[0]["Instances"]
    ):
        raise WrongState(f"an instance of {name} is still in standby", hint="undo fleet.standby first")
    surplus = int(found[0]["DesiredCapacity"]) - int(was["DesiredCapacity"])
    newcomers = sorted(
        i["InstanceId"] for i in found[0]["Instances"] if i["InstanceId"] not in was["Instances"]
    )
    if surplus <= 0 or not newcomers:
        return Outcome(skipped=f"{name} wants no more instances than before")
    gone = newcomers[:surplus]
    ids: tuple[str, ...] = ()
    for instance in gone:
        ids += request_id(
            client.terminate_instance_in_auto_scaling_group(
                InstanceId=instance, ShouldDecrementDesiredCapacity=True
            )
        )
    return Outcome(
        result={"terminated": gone},
        request_ids=ids,
        undo=Undo(impossible="a terminated instance does not come back"),
    )
