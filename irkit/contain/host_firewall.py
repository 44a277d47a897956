"""The host's own network shut from inside, by a script over Systems Manager: ends flows that groups cannot end.

The script (`scripts/host_firewall.sh`, shown here and hashed in the journal) prohibits by policy routing every
destination but the VPC's endpoints of Systems Manager and S3, the metadata service and the VPC's resolver; what is up
already loses its route. It runs before the quarantine, while Systems Manager still gets through.

It is as strong as the intruder is weak: root on the host can lift it, and packets that come in one way still arrive.
Without the VPC's own endpoints it would cut Systems Manager too and could not be taken back, so it is not done then.

References:
    https://man7.org/linux/man-pages/man8/ip-rule.8.html
    https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html
"""

from __future__ import annotations

import hashlib
import ipaddress
import shlex
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from irkit.aws.refusals import translating
from irkit.contain import endpoints, history, host_command
from irkit.contain.control import Args, Changed, Control, State, call, unreadable
from irkit.errors import IrkitError, WrongState
from irkit.plan import Running, Step, Undo

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.contain.subject import Subject

SCRIPT = "host_firewall.sh"
# The metadata service, which the agent's credentials come from, and the resolver, in IPv4 and IPv6.
_LINK_LOCAL = ("169.254.169.254", "169.254.169.253", "fd00:ec2::254", "fd00:ec2::253")
_TROUBLE = {
    "absent": "the host has no `ip` command",
    "denied": "the agent does not run as root",
    "failed": "the kernel refuses the rules",
}


def script() -> str:
    """The script that runs on the suspect."""
    return files("irkit.contain").joinpath("scripts", SCRIPT).read_text(encoding="utf-8")


def sent(act: str, *allowed: str) -> str:
    """The script as it is sent, with its arguments."""
    return f"set -- {shlex.join([act, *allowed])}\n{script()}"


def opens(params: Mapping[str, Any]) -> bool:
    """Whether a SendCommand of these parameters does nothing but open the network of one host again."""
    instances = params.get("InstanceIds") or []
    wanted = host_command.request(instances[0], sent("open"), mark="") if len(instances) == 1 else {}
    return {k: v for k, v in params.items() if k != "Comment"} == {
        k: v for k, v in wanted.items() if k != "Comment"
    }


def _run(case: Case, instance: str, act: str, *allowed: str) -> tuple[str, list[str]]:
    mark = f"irkit {case.id} host firewall: {act}"
    said = host_command.run(case, instance, sent(act, *allowed), mark=mark)
    words = next((line.split() for line in said.splitlines() if line.startswith("irkit-host-firewall ")), [])
    how = words[1] if len(words) > 1 else "unknown"
    if how not in {"shut", "open"}:
        raise WrongState(
            f"the network of {instance} cannot be shut from inside: {_TROUBLE.get(how, 'the script gave no answer')}",
            hint="choose tracked='nacl' or 'stop'",
        )
    return how, words[2:]


def _read(case: Case, target: str, _: Args) -> State:
    how, allowed = _run(case, target, "state")
    return {"Network": how, "Reaches": sorted(allowed)}


def _reached(_: Case, __: str, args: Args, state: State) -> bool:
    # what the host cannot do, such as IPv6, it does not list; what it lists beyond is somebody else's exception
    return state["Network"] == "shut" and set(state["Reaches"]) <= set(args["allowed"])


def _shut(running: Running, _: State) -> Changed:
    _run(running.case, running.step.target, "shut", *running.step.args["allowed"])
    return Changed(result={"script": SCRIPT, "sha256": running.step.args["sha256"]})


def _open(target: str, _: Args, __: State, ___: State) -> Undo:
    mark = "irkit host firewall: open"
    return Undo(calls=(call("ssm", "SendCommand", **host_command.request(target, sent("open"), mark=mark)),))


SHUT = Control(
    verb="network.host-firewall",
    intended="the host itself reaches nothing but the VPC's endpoints",
    read=_read,
    reached=_reached,
    change=_shut,
    undo=_open,
    settle=60.0,
)
CONTROLS = (SHUT,)


def steps(case: Case, subject: Subject, *, stage: int) -> Iterator[Step]:
    """The step that shuts the network of `subject` from inside; one that fails, with the reason, where it cannot."""
    earlier = dict(history.targets(case, SHUT.verb, subject.id)).get(subject.id)
    title = f"shut the network of {subject.id} from inside ({SCRIPT}, by Systems Manager)"
    try:
        args = earlier or _args(case, subject)
    except IrkitError as why:
        yield unreadable("network.host-firewall-way", subject.id, title=title, why=why, stage=stage)
        return
    yield SHUT.step(
        case,
        subject.id,
        args,
        stage=stage,
        title=f"{title}: it still reaches the VPC's endpoints; root on the host can lift it",
        reversible="runs the script again, once Systems Manager reaches the host; a reboot clears it too",
        deadline=300.0,
    )


def _resolver(case: Case, vpc: str) -> str:
    """The address of the VPC's resolver: the third of its first range."""
    with translating("describe", vpc, region=case.facts.region):
        (said,) = case.client("ec2").describe_vpcs(VpcIds=[vpc])["Vpcs"]
    return str(ipaddress.ip_network(said["CidrBlock"])[2])


def _args(case: Case, subject: Subject) -> dict[str, Any]:
    allowed = set(_LINK_LOCAL)
    for vpc in subject.vpcs:
        way = endpoints.way_out(case, vpc, [i for i in subject.interfaces if i.vpc == vpc])
        if way.lacking:
            raise WrongState(
                f"shutting {subject.id} from inside would cut Systems Manager too: {'; '.join(way.lacking)} in {vpc}",
                hint="choose tracked='nacl' or 'stop'",
            )
        allowed |= {*way.addresses, _resolver(case, vpc)}
    return {
        "instance": subject.id,
        "allowed": sorted(allowed),
        "script": SCRIPT,
        "sha256": hashlib.sha256(script().encode()).hexdigest(),
    }
