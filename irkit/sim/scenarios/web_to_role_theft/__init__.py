"""The scenario `web-to-role-theft`: a web shell, stolen role credentials, a planted key, a read bucket, a miner."""

from __future__ import annotations

import logging
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irkit.sim.scenarios.web_to_role_theft import account, live, people
from irkit.sim.scenarios.web_to_role_theft.attack import attack
from irkit.sim.scenarios.web_to_role_theft.background import background
from irkit.sim.scenarios.web_to_role_theft.delivery import TRAIL_PREFIX, trail_files
from irkit.sim.scenarios.web_to_role_theft.disks import data_files, data_image, root_image
from irkit.sim.scenarios.web_to_role_theft.flows import FLOW_PREFIX, Flows, flows
from irkit.sim.scenarios.web_to_role_theft.host import boot_text, plan_tree, write_tree
from irkit.sim.scenarios.web_to_role_theft.ids import iso
from irkit.sim.scenarios.web_to_role_theft.story import Story, tell
from irkit.sim.scenarios.web_to_role_theft.truth import SCENARIO, truth

if TYPE_CHECKING:
    from irkit.sim.simulator import Simulator

_log = logging.getLogger(__name__)


def build(
    sim: Simulator, *, seed: int, at: datetime
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Plant the world in a running simulator; returns what is public, the truth, and what the intruder holds."""
    began = time.monotonic()
    story = tell(
        seed=seed, at=at, account=sim.account, forensics_account=sim.forensics_account, region=sim.region
    )
    intrusion, traffic = attack(story), flows(story)
    records = sorted([*background(story), *intrusion.records], key=lambda record: str(record["eventTime"]))
    sim.trail.plant(records)
    with account.unrecorded():
        people.populate(story, sim)
        account.furnish(story, sim)
    _fill_buckets(story, traffic, records)
    _bring_up_hosts(story, sim)
    _log.info(
        "planted %s: %d records, %d flows, %.1f s",
        SCENARIO,
        len(records),
        traffic.records,
        time.monotonic() - began,
    )
    return _public(story), truth(story, intrusion, traffic), _intruder(story)


def preview(*, seed: int, at: datetime) -> dict[str, Any]:
    """What `build` would return as public."""
    from irkit.sim.world import FORENSICS_ACCOUNT, HOME_REGION, MEMBER_ACCOUNT

    return _public(
        tell(
            seed=seed, at=at, account=MEMBER_ACCOUNT, forensics_account=FORENSICS_ACCOUNT, region=HOME_REGION
        )
    )


def _fill_buckets(story: Story, traffic: Flows, records: list[dict[str, Any]]) -> None:
    # straight into moto's store: six hundred uploads by HTTP would take longer than all the rest
    from moto.s3.models import s3_backends

    backend = s3_backends[story.estate.account]["aws"]
    for key, content in trail_files(story, records):
        backend.put_object(story.estate.trail_bucket, key, content)
    for key, content in traffic.files:
        backend.put_object(story.estate.flow_bucket, key, content)


def _bring_up_hosts(story: Story, sim: Simulator) -> None:
    for host in (story.estate.suspect, story.estate.sibling):
        folder = Path(sim.workdir) / "hosts" / host.instance
        tree = folder / "root"
        write_tree(plan_tree(story, host), tree)
        sim.disks.back(host.root_volume, root_image(story, host, tree, folder / "root.img"))
        write_tree(data_files(story), tree)
        sim.disks.back(host.data_volume, data_image(story, host, tree / "srv" / "data", folder / "data.img"))
        sim.hosts.add(
            host.instance,
            root=tree,
            hostname=host.hostname,
            init=live.init_commands(story, host),
            console=boot_text(story, host),
        )


def _public(story: Story) -> dict[str, Any]:
    """What a responder knows when the case opens."""
    estate = story.estate
    return {
        "scenario": SCENARIO,
        "seed": story.seed,
        "at": iso(story.times.at),
        "account": estate.account,
        "forensics_account": estate.forensics_account,
        "region": estate.region,
        "instance_id": estate.suspect.instance,
        "trail_name": estate.trail,
        "trail_bucket": estate.trail_bucket,
        "trail_prefix": TRAIL_PREFIX,
        "flow_log_bucket": estate.flow_bucket,
        "flow_log_prefix": FLOW_PREFIX,
        "evidence_bucket": estate.evidence_bucket,
        "sns_topic_arn": account.topic_arn(story),
        "responder_role_arn": people.role_arn(estate.account, people.RESPONDER_ROLE),
        "forensics_role_arn": people.role_arn(estate.forensics_account, people.FORENSICS_ROLE),
        "alert": _alert(story),
    }


def _alert(story: Story) -> dict[str, Any]:
    """The GuardDuty finding that starts it all: it names the instance and a type, nothing else."""
    estate, at = story.estate, iso(story.times.at)
    finding = f"{story.rng('alert').getrandbits(128):032x}"
    return {
        "SchemaVersion": "2.0",
        "AccountId": estate.account,
        "Region": estate.region,
        "Partition": "aws",
        "Id": finding,
        "Arn": f"arn:aws:guardduty:{estate.region}:{estate.account}:detector/{finding[::-1]}/finding/{finding}",
        "Type": "CryptoCurrency:EC2/BitcoinTool.B!DNS",
        "Resource": {"ResourceType": "Instance", "InstanceDetails": {"InstanceId": estate.suspect.instance}},
        "Severity": 8,
        "CreatedAt": at,
        "UpdatedAt": at,
        "Title": f"EC2 instance {estate.suspect.instance} is behaving like a cryptocurrency miner.",
    }


def _intruder(story: Story) -> dict[str, Any]:
    """Credentials that still work for the intruder, so that a test can act as one before and after containment."""
    intruder = story.intruder
    return {
        "access_key_id": intruder.planted_key,
        "secret_access_key": intruder.planted_secret,
        "user": intruder.planted_user.name,
    }
