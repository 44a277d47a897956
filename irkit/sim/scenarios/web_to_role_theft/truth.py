"""What an investigation of this world must find, and in which evidence: a yardstick, never an input."""

from __future__ import annotations

from typing import Any

from irkit.sim.scenarios.web_to_role_theft import ids
from irkit.sim.scenarios.web_to_role_theft.attack import Attack
from irkit.sim.scenarios.web_to_role_theft.cloudtrail import session_arn
from irkit.sim.scenarios.web_to_role_theft.flows import Flows
from irkit.sim.scenarios.web_to_role_theft.story import Story

SCENARIO = "web-to-role-theft"


def truth(story: Story, attack: Attack, flows: Flows) -> dict[str, Any]:
    """The facts, each with an id, a kind, a value, one sentence, and the evidence that shows it."""
    facts = [*_trail_facts(story, attack), *_flow_facts(story, flows), *_host_facts(story)]
    return {
        "scenario": SCENARIO,
        "seed": story.seed,
        "at": ids.iso(story.times.at),
        "facts": facts,
        "hostile": _hostile(story),
    }


def _fact(name: str, kind: str, value: str, how: str, what: str) -> dict[str, str]:
    return {"id": name, "kind": kind, "value": value, "how": how, "what": what}


def _trail_facts(story: Story, attack: Attack) -> list[dict[str, str]]:
    estate, intruder, times = story.estate, story.intruder, story.times
    web = session_arn(estate.web_role, estate.account, estate.suspect.instance)
    export = session_arn(estate.export_role, estate.account, intruder.export_session)
    told = (
        (
            "api-address",
            "address",
            intruder.api_ip,
            "The stolen role credentials were used from this outside address.",
        ),
        ("later-address", "address", intruder.later_ip, "The planted access key was used from this address."),
        (
            "stolen-key",
            "access_key",
            intruder.stolen_key,
            "Role credentials of the instance, used from outside.",
        ),
        (
            "export-key",
            "access_key",
            intruder.export_key,
            "Credentials issued to the intruder for the second role.",
        ),
        (
            "planted-key",
            "access_key",
            intruder.planted_key,
            "A long-lived access key that the intruder created.",
        ),
        ("web-role", "principal", estate.web_role.arn, "The role whose credentials were stolen."),
        ("export-role", "principal", estate.export_role.arn, "The second role that the intruder assumed."),
        ("web-session", "session", web, "The instance's role session, held by the intruder as well."),
        ("export-session", "session", export, "The intruder's session of the second role."),
        (
            "planted-user",
            "user",
            intruder.planted_user.name,
            "The user that the intruder created an access key for.",
        ),
        ("key-created", "api_call", "iam:CreateAccessKey", "The intruder made itself a way back in."),
        ("role-assumed", "api_call", "sts:AssumeRole", "The intruder moved on to a second role."),
        ("snapshot-shared", "api_call", "ec2:ModifySnapshotAttribute", "The intruder shared a snapshot."),
        (
            "account-read",
            "api_call",
            "iam:GetAccountAuthorizationDetails",
            "The intruder listed all permissions.",
        ),
        ("bucket", "bucket", estate.export_bucket, "The bucket that the intruder read."),
        ("objects", "object_count", str(attack.objects), "How many objects the intruder downloaded."),
        (
            "bytes-read",
            "bytes_read",
            str(attack.bytes_read),
            "How many bytes of objects the intruder downloaded.",
        ),
        ("snapshot", "snapshot", estate.snapshot, "The database snapshot that was shared."),
        ("outside-account", "account", intruder.account, "The account that the snapshot was shared with."),
        (
            "first-use",
            "time_first_use",
            ids.iso(times.first_use),
            "First use of the stolen credentials from outside.",
        ),
        (
            "last-use",
            "time_last_use",
            ids.iso(times.last_use),
            "Last use of the stolen credentials from outside.",
        ),
    )
    facts = [_fact(name, kind, value, "cloudtrail", what) for name, kind, value, what in told]
    facts += [
        _fact(
            f"denied-{call.replace(':', '-')}",
            "denied_call",
            call,
            "cloudtrail",
            f"{call} was tried and refused.",
        )
        for call in attack.denied
    ]
    return facts


def _flow_facts(story: Story, flows: Flows) -> list[dict[str, str]]:
    intruder = story.intruder
    return [
        _fact("exfil-address", "address", intruder.exfil_ip, "flow", "The server sent data to this address."),
        _fact(
            "bytes-exfil",
            "bytes_out",
            str(flows.exfil_bytes),
            "flow",
            "Bytes sent to the exfiltration address.",
        ),
        _fact(
            "bytes-pool",
            "bytes_out",
            str(flows.pool_bytes),
            "flow",
            "Bytes sent to the mining pool's address.",
        ),
        _fact(
            "pool",
            "pool",
            f"{intruder.pool_ip}:{intruder.pool_port}",
            "flow",
            "The pool that the miner talks to.",
        ),
    ]


def _host_facts(story: Story) -> list[dict[str, str]]:
    intruder = story.intruder
    told = (
        ("web-address", "address", intruder.web_ip, "The web shell was uploaded and used from this address."),
        ("entry", "time_entry", ids.iso(story.times.entry), "First request to the web shell."),
        ("shell-file", "file", intruder.shell_path, "The web shell, among the site's uploads."),
        ("cron-file", "file", intruder.cron_path, "The cron entry that starts the miner again."),
        ("keys-file", "file", "/home/ec2-user/.ssh/authorized_keys", "A key was added to this file."),
        ("cron-command", "cron", intruder.cron_command, "What the cron entry runs."),
        ("ssh-key", "ssh_key", intruder.ssh_fingerprint, "The key that was added, by its fingerprint."),
        ("miner", "process", intruder.miner, "A process runs from a file that was deleted."),
    )
    return [_fact(name, kind, value, "host", what) for name, kind, value, what in told]


def _hostile(story: Story) -> list[dict[str, str]]:
    """Text under the intruder's control that must come out of every report as text; not facts to be found."""
    intruder = story.intruder
    found = [
        _fact(f"agent-{number}", "hostile", agent, "cloudtrail", "A user agent of the intruder's calls.")
        for number, agent in enumerate(intruder.hostile_agents)
    ]
    found.append(
        _fact("file-name", "hostile", intruder.hostile_file, "host", "A file name with newline and quotes.")
    )
    found.append(_fact("tag", "hostile", hostile_tag(story), "metadata", "A tag value of the instance."))
    return found


def hostile_tag(story: Story) -> str:
    """The value of the instance's `note` tag."""
    return f'"><img src=x onerror=alert({story.seed})>'
