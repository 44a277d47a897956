"""The intruder's API calls, in the order of the break-in, as CloudTrail saw them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from irkit.sim.scenarios.web_to_role_theft import cloudtrail as ct
from irkit.sim.scenarios.web_to_role_theft import ids
from irkit.sim.scenarios.web_to_role_theft.story import Story

_FOLDERS = ("customers/eu", "customers/us", "invoices/2026", "payroll", "contracts", "backups/crm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """The intruder's records, and the totals that an investigation must arrive at."""

    records: list[ct.Record]
    objects: int
    bytes_read: int
    denied: tuple[str, ...]
    """Calls that were refused, such as `cloudtrail:StopLogging`, in the order they were first tried."""


def attack(story: Story) -> Attack:
    """Everything the intruder asked AWS for."""
    stolen = _stolen_credentials(story)
    theft, bytes_read = _read_the_bucket(story)
    calls = [*stolen, *theft, *_persistence(story)]
    calls.sort(key=lambda r: str(r["eventTime"]))
    refused = dict.fromkeys(
        f"{r['eventSource'].partition('.')[0]}:{r['eventName']}" for r in calls if "errorCode" in r
    )
    return Attack(records=calls, objects=story.intruder.objects, bytes_read=bytes_read, denied=tuple(refused))


def _surveys(story: Story) -> list[tuple[str, str, dict[str, Any] | None]]:
    estate = story.estate
    everything: dict[str, Any] = {"maxResults": 1000, "filterSet": {}}
    return [
        ("iam:ListUsers", "us-east-1", {"maxItems": 1000}),
        ("iam:ListRoles", "us-east-1", {"maxItems": 1000}),
        ("iam:GetAccountAuthorizationDetails", "us-east-1", None),
        ("iam:GetAccountSummary", "us-east-1", None),
        ("iam:ListAttachedRolePolicies", "us-east-1", {"roleName": estate.web_role.name}),
        ("iam:ListAttachedRolePolicies", "us-east-1", {"roleName": estate.export_role.name}),
        ("iam:GetRole", "us-east-1", {"roleName": estate.export_role.name}),
        ("s3:ListBuckets", estate.region, {"Host": "s3.amazonaws.com"}),
        ("s3:GetBucketLocation", estate.region, {"bucketName": estate.export_bucket, "location": ""}),
        ("ec2:DescribeRegions", estate.region, {"regionSet": {}}),
        ("ec2:DescribeInstances", estate.region, everything),
        ("ec2:DescribeInstances", "us-west-2", everything),
        ("ec2:DescribeInstances", "eu-west-1", everything),
        (
            "ec2:DescribeSnapshots",
            estate.region,
            {"ownersSet": {"items": [{"owner": "self"}]}, "filterSet": {}},
        ),
        ("ec2:DescribeVolumes", estate.region, everything),
        ("ec2:DescribeSecurityGroups", estate.region, everything),
        ("rds:DescribeDBInstances", estate.region, None),
        ("lambda:ListFunctions20150331", estate.region, None),
        ("cloudtrail:DescribeTrails", estate.region, {"trailNameList": []}),
        ("cloudtrail:GetTrailStatus", estate.region, {"name": estate.trail}),
        ("guardduty:ListDetectors", estate.region, None),
        ("ssm:DescribeInstanceInformation", estate.region, {"maxResults": 50}),
        ("secretsmanager:ListSecrets", estate.region, {"maxResults": 100}),
    ]


def _refusals(story: Story) -> list[tuple[str, str, dict[str, Any], str]]:
    estate = story.estate
    user = story.intruder.planted_user
    admin_secret = f"{estate.organisation}/admin/root-database"
    return [
        (
            "iam:CreateUser",
            "us-east-1",
            {"userName": "support-admin"},
            f"arn:aws:iam::{estate.account}:user/support-admin",
        ),
        (
            "iam:AttachUserPolicy",
            "us-east-1",
            {"userName": user.name, "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"},
            user.arn,
        ),
        (
            "secretsmanager:GetSecretValue",
            estate.region,
            {"secretId": admin_secret},
            f"arn:aws:secretsmanager:{estate.region}:{estate.account}:secret:{admin_secret}",
        ),
        ("organizations:DescribeOrganization", "us-east-1", {}, "*"),
        (
            "ec2:RunInstances",
            estate.region,
            {
                "instancesSet": {"items": [{"imageId": estate.image, "minCount": 8, "maxCount": 8}]},
                "instanceType": "c6i.16xlarge",
            },
            f"arn:aws:ec2:{estate.region}:{estate.account}:instance/*",
        ),
    ]


def _stolen_credentials(story: Story) -> list[ct.Record]:
    rng, estate, intruder, times = story.rng("stolen"), story.estate, story.intruder, story.times

    def hand(agent: str) -> ct.Actor:
        return ct.session(
            estate.web_role,
            estate.account,
            estate.suspect.instance,
            intruder.stolen_key,
            times.key_issued,
            intruder.api_ip,
            agent,
            delivery="1.0",
        )

    actor = hand(intruder.api_agent)
    calls = [ct.record(rng, actor, times.first_use, "sts:GetCallerIdentity", estate.region)]
    surveys: list[Any] = [*_surveys(story), *_refusals(story)]
    rng.shuffle(surveys)
    when = times.first_use
    for number, (call, region, request, *resource) in enumerate(surveys):
        when += timedelta(seconds=rng.randrange(3, 25))
        # some tools send whatever agent they please: the text must not get out of hand in a report or a terminal
        teller = hand(intruder.hostile_agents[number]) if number < len(intruder.hostile_agents) else actor
        if resource:
            calls.append(ct.denied(rng, teller, when, call, region, request=request, resource=resource[0]))
        else:
            calls.append(ct.record(rng, teller, when, call, region, request=request))

    name = intruder.planted_user.name
    before = times.create_key - timedelta(seconds=20)
    calls.append(ct.record(rng, actor, before, "iam:ListAccessKeys", "us-east-1", request={"userName": name}))
    created = times.create_key
    calls.append(
        ct.record(
            rng,
            actor,
            created,
            "iam:CreateAccessKey",
            "us-east-1",
            request={"userName": name},
            response={
                "accessKey": {
                    "userName": name,
                    "accessKeyId": intruder.planted_key,
                    "status": "Active",
                    "createDate": f"{created:%b} {created.day}, {created.year}, "
                    f"{created.hour % 12 or 12}:{created:%M:%S %p}",
                }
            },
        )
    )
    calls.append(
        ct.assume_role(
            rng,
            actor,
            times.assume,
            estate.export_role,
            estate.account,
            intruder.export_session,
            intruder.export_key,
            estate.region,
            hours=1.0,
        )
    )
    trail = f"arn:aws:cloudtrail:{estate.region}:{estate.account}:trail/{estate.trail}"
    calls.append(
        ct.denied(
            rng,
            actor,
            times.stop_trail,
            "cloudtrail:StopLogging",
            estate.region,
            request={"name": trail},
            resource=trail,
        )
    )
    calls.extend(
        ct.record(
            rng,
            actor,
            times.stop_trail + timedelta(minutes=minutes),
            "cloudtrail:GetTrailStatus",
            estate.region,
            request={"name": trail},
        )
        for minutes in (9, 22)
    )
    calls.append(ct.record(rng, actor, times.last_use, "sts:GetCallerIdentity", estate.region))
    return calls


def _read_the_bucket(story: Story) -> tuple[list[ct.Record], int]:
    rng, estate, intruder, times = story.rng("read"), story.estate, story.intruder, story.times

    def hand(agent: str) -> ct.Actor:
        return ct.session(
            estate.export_role,
            estate.account,
            intruder.export_session,
            intruder.export_key,
            times.assume,
            intruder.api_ip,
            agent,
        )

    cli, sync = hand(intruder.api_agent), hand(intruder.export_agent)
    bucket, region = estate.export_bucket, estate.region
    calls = [
        ct.record(rng, cli, times.assume + timedelta(seconds=9), "sts:GetCallerIdentity", region),
        ct.s3_object(
            rng, cli, times.read - timedelta(seconds=12), "s3:ListObjects", region, bucket, None, sent=41_337
        ),
    ]
    total = 0
    span = (times.share - times.read).total_seconds() - 180
    for number in range(intruder.objects):
        size = rng.randrange(700_000, 4_200_000)
        total += size
        key = f"{rng.choice(_FOLDERS)}/{number:04d}-{ids.token(rng, 6).lower()}.parquet"
        when = times.read + timedelta(seconds=int(span * number / intruder.objects))
        calls.append(ct.s3_object(rng, sync, when, "s3:GetObject", region, bucket, key, sent=size))
    before = times.share - timedelta(seconds=40)
    calls.append(
        ct.record(
            rng,
            cli,
            before,
            "ec2:DescribeSnapshots",
            region,
            request={"snapshotSet": {"items": [{"snapshotId": estate.snapshot}]}, "filterSet": {}},
        )
    )
    calls.append(
        ct.record(
            rng,
            cli,
            times.share,
            "ec2:ModifySnapshotAttribute",
            region,
            request={
                "snapshotId": estate.snapshot,
                "createVolumePermission": {"add": {"items": [{"userId": intruder.account}]}},
                "attributeType": "CREATE_VOLUME_PERMISSION",
            },
            response={"requestId": ids.uuid(rng), "_return": True},
        )
    )
    return calls, total


def _persistence(story: Story) -> list[ct.Record]:
    rng, estate, intruder, times = story.rng("later"), story.estate, story.intruder, story.times
    actor = ct.user(
        intruder.planted_user,
        estate.account,
        intruder.later_ip,
        intruder.later_agent,
        key=intruder.planted_key,
    )
    when = times.later
    calls = []
    for call, region in (
        ("sts:GetCallerIdentity", estate.region),
        ("iam:GetUser", "us-east-1"),
        ("s3:ListBuckets", estate.region),
        ("ec2:DescribeInstances", estate.region),
        ("iam:ListAccessKeys", "us-east-1"),
    ):
        calls.append(ct.record(rng, actor, when, call, region))
        when += timedelta(seconds=rng.randrange(15, 90))
    return calls
