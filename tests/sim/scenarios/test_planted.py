"""The world as a responder meets it: over boto3, through Systems Manager's sandbox, and on the disks."""

from __future__ import annotations

import json
import re
import subprocess
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from irkit.errors import NotFound
from irkit.sim.scenarios import SCENARIOS, World, plant

if TYPE_CHECKING:
    from irkit.sim.simulator import Simulator

pytestmark = [pytest.mark.needs_mke2fs, pytest.mark.needs_user_namespaces]
AT = datetime(2026, 11, 23, 14, 0, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def world(sim: Simulator) -> World:
    began = time.monotonic()
    planted = plant("web-to-role-theft", sim, seed=7, at=AT)
    print(f"planted in {time.monotonic() - began:.1f} s")
    return planted


def value(world: World, name: str) -> str:
    return next(str(fact["value"]) for fact in world.truth["facts"] if fact["id"] == name)


def suspect(sim: Simulator, world: World) -> dict[str, Any]:
    answer = sim.session().client("ec2").describe_instances(InstanceIds=[world.public["instance_id"]])
    return dict(answer["Reservations"][0]["Instances"][0])


def on_the_host(sim: Simulator, world: World, script: str) -> str:
    host = sim.hosts.find(world.public["instance_id"])
    assert host is not None
    assert host.running, host.trouble
    path = host.root / "tmp" / "look.sh"
    path.write_text(script)
    out = sim.workdir / "out"
    with out.open("wb") as stdout:
        host.run(path, timeout=20, stdout=stdout, stderr=stdout).wait(timeout=30)
    path.unlink()
    return out.read_text()


def test_every_scenario_has_a_line_that_describes_it() -> None:
    assert all(SCENARIOS.values())


def test_an_unknown_scenario_is_refused_with_the_known_ones(sim: Simulator) -> None:
    with pytest.raises(NotFound, match="web-to-role-theft"):
        plant("no-such-thing", sim)


def test_what_is_public_gives_nothing_of_the_truth_away(world: World) -> None:
    public = json.dumps(world.public)
    told = [f["id"] for f in world.truth["facts"] if f["kind"] != "object_count" and f["value"] in public]
    assert told == []


def test_planting_leaves_no_call_of_today_behind(sim: Simulator, world: World) -> None:
    names = {
        record["eventName"] for record in sim.trail.records() if record["eventTime"] > world.public["at"]
    }
    assert "RunInstances" not in names


def test_the_instance_is_as_the_story_needs_it(sim: Simulator, world: World) -> None:
    instance = suspect(sim, world)
    assert instance["State"]["Name"] == "running"
    assert instance["MetadataOptions"]["HttpTokens"] == "optional"
    assert len(instance["NetworkInterfaces"]) == 2
    assert [m["Ebs"]["DeleteOnTermination"] for m in instance["BlockDeviceMappings"]] == [True, True]
    assert instance["RootDeviceName"] == instance["BlockDeviceMappings"][0]["DeviceName"]
    assert instance["PublicIpAddress"]
    tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
    assert tags["note"] in {h["value"] for h in world.truth["hostile"]}


def test_the_fleet_is_healthy_and_needs_two(sim: Simulator, world: World) -> None:
    group = sim.session().client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]
    assert group["MinSize"] == 2
    assert world.public["instance_id"] in {member["InstanceId"] for member in group["Instances"]}
    balancing = sim.session().client("elbv2")
    health = balancing.describe_target_health(TargetGroupArn=group["TargetGroupARNs"][0])[
        "TargetHealthDescriptions"
    ]
    assert [target["TargetHealth"]["State"] for target in health] == ["healthy", "healthy"]


def test_the_planted_key_exists_on_its_user_and_works(sim: Simulator, world: World) -> None:
    keys = (
        sim.session()
        .client("iam")
        .list_access_keys(UserName=value(world, "planted-user"))["AccessKeyMetadata"]
    )
    planted = next(key for key in keys if key["AccessKeyId"] == value(world, "planted-key"))
    assert planted["Status"] == "Active"
    assert planted["CreateDate"] < AT
    held = world.intruder
    session = sim._session(held["access_key_id"], held["secret_access_key"])
    assert session.client("sts").get_caller_identity()["Arn"].endswith(f":user/{held['user']}")


def test_the_snapshot_is_shared_with_the_outside_account(sim: Simulator, world: World) -> None:
    answer = (
        sim.session()
        .client("ec2")
        .describe_snapshot_attribute(SnapshotId=value(world, "snapshot"), Attribute="createVolumePermission")
    )
    assert [p["UserId"] for p in answer["CreateVolumePermissions"]] == [value(world, "outside-account")]


def test_the_trail_is_logging_and_its_files_are_delivered(sim: Simulator, world: World) -> None:
    session = sim.session()
    assert session.client("cloudtrail").get_trail_status(Name=world.public["trail_name"])["IsLogging"]
    pages = (
        session.client("s3")
        .get_paginator("list_objects_v2")
        .paginate(
            Bucket=world.public["trail_bucket"],
            Prefix=f"{world.public['trail_prefix']}/AWSLogs/{sim.account}/CloudTrail/",
        )
    )
    assert sum(len(page.get("Contents", [])) for page in pages) > 200


def test_event_history_answers_for_the_intruder(sim: Simulator, world: World) -> None:
    found = (
        sim.session()
        .client("cloudtrail")
        .lookup_events(LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "StopLogging"}])[
            "Events"
        ]
    )
    record = json.loads(found[0]["CloudTrailEvent"])
    assert record["errorCode"] == "AccessDenied"
    assert record["sourceIPAddress"] == value(world, "api-address")


def test_the_responder_can_take_both_roles(sim: Simulator, world: World) -> None:
    sts = sim.session().client("sts")
    for name in ("responder_role_arn", "forensics_role_arn"):
        answer = sts.assume_role(
            RoleArn=world.public[name], RoleSessionName="case-1", SourceIdentity="ana",
            Tags=[{"Key": "case", "Value": "1"}],
        )  # fmt: skip
        assert answer["AssumedRoleUser"]["Arn"].endswith("/case-1")


def test_evidence_has_a_versioned_bucket_and_notices_a_topic(sim: Simulator, world: World) -> None:
    status = sim.session().client("s3").get_bucket_versioning(Bucket=world.public["evidence_bucket"])
    assert status["Status"] == "Enabled"
    topics = sim.session().client("sns").list_topics()["Topics"]
    assert world.public["sns_topic_arn"] in {topic["TopicArn"] for topic in topics}


def test_the_miner_runs_from_a_deleted_file_and_talks_to_its_pool(sim: Simulator, world: World) -> None:
    said = on_the_host(sim, world, "ls -l /proc/[0-9]*/exe 2>/dev/null; ss -tn; ps -ef\n")
    assert f"{value(world, 'miner')} (deleted)" in said
    assert re.search(rf"ESTAB\s.*\s{re.escape(value(world, 'pool'))}\s", said)


def test_only_the_miner_runs_from_a_deleted_file(sim: Simulator, world: World) -> None:
    said = on_the_host(sim, world, "ls -l /proc/[0-9]*/exe 2>/dev/null | grep deleted\n")
    assert len(said.splitlines()) == 1


def test_the_host_shows_what_was_left_on_it(sim: Simulator, world: World) -> None:
    said = on_the_host(
        sim,
        world,
        "cat /etc/cron.d/*; ssh-keygen -lf /home/ec2-user/.ssh/authorized_keys\n"
        "ls -d /etc/cron.d/* /var/www/html/uploads/*\n",
    )
    for name in ("cron-command", "ssh-key", "cron-file", "shell-file"):
        assert value(world, name) in said, name


def test_the_access_log_tells_who_came_first_and_when(sim: Simulator, world: World) -> None:
    shell = value(world, "shell-file").removeprefix("/var/www/html")
    said = on_the_host(sim, world, f"grep -F {shell} /var/log/httpd/access_log | head -1\n")
    assert said.startswith(value(world, "web-address") + " ")
    stamp = re.search(r"\[(.+?)\]", said)
    assert stamp is not None
    first = datetime.strptime(stamp[1], "%d/%b/%Y:%H:%M:%S %z")
    assert f"{first:%Y-%m-%dT%H:%M:%SZ}" == value(world, "entry")


def test_files_that_appeared_after_the_entry_are_the_intruders(sim: Simulator, world: World) -> None:
    probe = "find /etc /home /root /var/www -xdev -type f -newermt '2026-11-16' ! -newermt '2026-11-23 12:00' -print0\n"
    files = {name for name in on_the_host(sim, world, probe).split("\0") if name}
    expected = {
        value(world, "shell-file"),
        value(world, "cron-file"),
        value(world, "keys-file"),
        "/root/.bash_history",
    }
    hostile = {h["value"] for h in world.truth["hostile"] if h["how"] == "host"}
    assert files == expected | hostile


def test_the_sibling_is_clean(sim: Simulator, world: World) -> None:
    other = next(host for host in sim.hosts if host.instance_id != world.public["instance_id"])
    assert other.running
    assert not (other.root / value(world, "cron-file").lstrip("/")).exists()
    assert not (other.root / value(world, "shell-file").lstrip("/")).exists()


def test_both_volumes_are_file_systems_and_the_root_keeps_deleted_files(sim: Simulator, world: World) -> None:
    root, data = (m["Ebs"]["VolumeId"] for m in suspect(sim, world)["BlockDeviceMappings"])
    images = [sim.disks.volume_image(volume) for volume in (root, data)]
    for image in images:
        assert image is not None
        assert (
            subprocess.run(
                ["/usr/sbin/e2fsck", "-fn", str(image)], capture_output=True, check=False
            ).returncode
            == 0
        )
        assert image.stat().st_blocks * 512 < 32 << 20, "the image is sparse"
    said = subprocess.run(
        ["/usr/sbin/debugfs", "-R", "lsdel", str(images[0])], capture_output=True, text=True, check=True
    )
    assert "2 deleted inodes found" in said.stdout


def test_the_alert_names_the_instance_and_a_type_only(world: World) -> None:
    alert = world.public["alert"]
    assert alert["Resource"]["InstanceDetails"] == {"InstanceId": world.public["instance_id"]}
    assert alert["Type"].startswith("CryptoCurrency:EC2/")
