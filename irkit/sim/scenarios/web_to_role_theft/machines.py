"""What machines ask of the account: builds, AWS services, scheduled jobs, backups and monitoring."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any

from irkit.sim.scenarios.web_to_role_theft import cloudtrail as ct
from irkit.sim.scenarios.web_to_role_theft import ids
from irkit.sim.scenarios.web_to_role_theft.pulse import days, every, within
from irkit.sim.scenarios.web_to_role_theft.story import OTHER_REGIONS, SDK_AGENT, Role, Story

CI_IP = "192.0.2.15"
MONITOR_IP = "192.0.2.16"
_DEPLOY = (
    "ecr:GetAuthorizationToken",
    "ecr:BatchCheckLayerAvailability",
    "ecr:PutImage",
    "codebuild:BatchGetBuilds",
    "cloudformation:DescribeStacks",
    "cloudformation:DescribeStackEvents",
    "autoscaling:DescribeAutoScalingGroups",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
    "ssm:GetParameter",
)
_CONFIG = (
    "ec2:DescribeInstances",
    "ec2:DescribeVolumes",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups",
    "s3:GetBucketPolicy",
    "s3:GetBucketAcl",
    "s3:GetBucketEncryption",
    "iam:GetAccountPasswordPolicy",
    "lambda:GetPolicy20150331v2",
    "kms:GetKeyRotationStatus",
    "rds:DescribeDBClusters",
)


def builds(story: Story, rng: Random) -> Iterator[ct.Record]:
    """The build service: a role session per build, uploads, and the odd refusal."""
    estate, region = story.estate, story.estate.region
    owner = ct.user(
        estate.users[4], estate.account, CI_IP, "aws-sdk-js/3.620.0 os/linux lang/js md/nodejs/20.15"
    )
    for start in every(story, rng, 38, 0.6):
        key, name = ids.access_key(rng, "ASIA", estate.account), f"build-{rng.randrange(10_000, 99_999)}"
        yield ct.assume_role(rng, owner, start, estate.ci_role, estate.account, name, key, region)
        actor = ct.session(estate.ci_role, estate.account, name, key, start, CI_IP, owner.agent)
        when = start
        for _ in range(rng.randrange(15, 32)):
            when += timedelta(seconds=rng.randrange(1, 14))
            if rng.random() < 0.3:
                path = f"{name}/{rng.getrandbits(32):08x}.zip"
                yield ct.s3_object(
                    rng,
                    actor,
                    when,
                    "s3:PutObject",
                    region,
                    estate.artifact_bucket,
                    path,
                    received=rng.randrange(10_000, 9_000_000),
                )
            elif rng.random() < 0.015:
                yield ct.denied(
                    rng,
                    actor,
                    when,
                    "iam:ListAttachedRolePolicies",
                    "us-east-1",
                    request={"roleName": estate.web_role.name},
                    resource=estate.web_role.arn,
                )
            else:
                yield ct.record(rng, actor, when, rng.choice(_DEPLOY), region)


def services(story: Story, rng: Random) -> Iterator[ct.Record]:
    """AWS Config, autoscaling and KMS, working through their service-linked roles."""
    estate = story.estate
    for minutes, host, linked, calls in (
        (1.1, "config.amazonaws.com", "AWSServiceRoleForConfig", _CONFIG),
        (
            6,
            "autoscaling.amazonaws.com",
            "AWSServiceRoleForAutoScaling",
            ("ec2:DescribeInstanceStatus", "elasticloadbalancing:DescribeTargetHealth"),
        ),
    ):
        role = Role(
            name=linked,
            unique_id=ids.unique_id(rng, "AROA"),
            arn=f"arn:aws:iam::{estate.account}:role/aws-service-role/{host}/{linked}",
        )
        actor = None
        for number, when in enumerate(every(story, rng, minutes)):
            if actor is None or number % 50 == 0:
                key, name = ids.access_key(rng, "ASIA", estate.account), host.partition(".")[0]
                yield ct.assume_role(
                    rng,
                    ct.service(host, estate.account),
                    when,
                    role,
                    estate.account,
                    name,
                    key,
                    estate.region,
                )
                actor = ct.session(role, estate.account, name, key, when, host, host, invoked_by=host)
            region = estate.region if rng.random() < 0.8 else rng.choice(OTHER_REGIONS)
            yield ct.record(rng, actor, when + timedelta(seconds=1), rng.choice(calls), region)
    key_arn = f"arn:aws:kms:{estate.region}:{estate.account}:key/{ids.uuid(rng)}"
    for when in every(story, rng, 2.5):
        actor = ct.service("secretsmanager.amazonaws.com", estate.account)
        yield ct.record(
            rng,
            actor,
            when,
            rng.choice(("kms:Decrypt", "kms:GenerateDataKey")),
            estate.region,
            request={"encryptionContext": {"SecretARN": estate.secret}, "keyId": key_arn},
            resources=[{"accountId": estate.account, "type": "AWS::KMS::Key", "ARN": key_arn}],
        )


def jobs(story: Story, rng: Random) -> Iterator[ct.Record]:
    """A scheduled function every quarter of an hour, and the nightly export that reads the customers' bucket."""
    estate, region = story.estate, story.estate.region
    agent = f"{SDK_AGENT} exec-env/AWS_Lambda_python3.12"
    ip, service = "10.20.3.40", ct.service("lambda.amazonaws.com", estate.account)

    def run(when: datetime, name: str) -> tuple[ct.Record, ct.Actor]:
        key = ids.access_key(rng, "ASIA", estate.account)
        issued = ct.assume_role(rng, service, when, estate.job_role, estate.account, name, key, region)
        return issued, ct.session(estate.job_role, estate.account, name, key, when, ip, agent)

    for when in every(story, rng, 15, 0.02):
        issued, actor = run(when, f"{estate.organisation}-sync")
        yield issued
        for step in range(rng.randrange(8, 15)):
            yield ct.s3_object(
                rng,
                actor,
                when + timedelta(seconds=step + 1),
                "s3:PutObject",
                region,
                estate.assets_bucket,
                f"feeds/{rng.getrandbits(32):08x}.json",
                received=rng.randrange(500, 40_000),
            )
    for day in days(story):
        when = day + timedelta(hours=3, minutes=rng.randrange(0, 20))
        if not within(story, when):
            continue
        issued, job = run(when, f"{estate.organisation}-nightly-export")
        yield issued
        key, name = ids.access_key(rng, "ASIA", estate.account), f"nightly-{day:%Y%m%d}"
        assumed = when + timedelta(seconds=3)
        yield ct.assume_role(rng, job, assumed, estate.export_role, estate.account, name, key, region)
        actor = ct.session(estate.export_role, estate.account, name, key, when, ip, agent)
        yield ct.s3_object(
            rng,
            actor,
            when + timedelta(seconds=4),
            "s3:ListObjects",
            region,
            estate.export_bucket,
            None,
            sent=20_000,
        )
        for step in range(rng.randrange(40, 70)):
            yield ct.s3_object(
                rng,
                actor,
                when + timedelta(seconds=5 + step * 2),
                "s3:GetObject",
                region,
                estate.export_bucket,
                f"invoices/2026/{step:04d}-{ids.token(rng, 6).lower()}.parquet",
                sent=rng.randrange(200_000, 900_000),
            )


def backups(story: Story, rng: Random) -> Iterator[ct.Record]:
    """The backup service: a snapshot a night, shared with the organisation's second account."""
    estate, region = story.estate, story.estate.region
    backup = "backup.amazonaws.com"
    for day, snapshot in zip(days(story), estate.other_snapshots, strict=False):
        when = day + timedelta(hours=5, minutes=rng.randrange(0, 30))
        if not within(story, when):
            continue
        key = ids.access_key(rng, "ASIA", estate.account)
        yield ct.assume_role(
            rng,
            ct.service(backup, estate.account),
            when,
            estate.backup_role,
            estate.account,
            "AWSBackup",
            key,
            region,
        )
        actor = ct.session(
            estate.backup_role, estate.account, "AWSBackup", key, when, backup, backup, invoked_by=backup
        )
        yield ct.record(
            rng,
            actor,
            when + timedelta(seconds=9),
            "ec2:CreateSnapshot",
            region,
            request={"volumeId": estate.database_volume, "description": "nightly"},
            response={
                "snapshotId": snapshot,
                "volumeId": estate.database_volume,
                "status": "pending",
                "ownerId": estate.account,
                "volumeSize": "100",
                "encrypted": False,
            },
        )
        yield ct.record(
            rng,
            actor,
            when + timedelta(minutes=20),
            "ec2:ModifySnapshotAttribute",
            region,
            request={
                "snapshotId": snapshot,
                "attributeType": "CREATE_VOLUME_PERMISSION",
                "createVolumePermission": {"add": {"items": [{"userId": estate.forensics_account}]}},
            },
            response={"requestId": ids.uuid(rng), "_return": True},
        )


def monitoring(story: Story, rng: Random) -> Iterator[ct.Record]:
    """The service users: each has one address, one key, one habit; one of them is the one the intruder picks."""
    estate = story.estate
    habits: tuple[tuple[Any, ...], ...] = (
        (4, 20, ("ssm:GetParameter", "ecr:DescribeRepositories")),
        (5, 5, ("monitoring:DescribeAlarms", "monitoring:ListMetrics", "ec2:DescribeInstanceStatus")),
        (6, 5, ("rds:DescribeDBInstances", "logs:DescribeLogGroups", "s3:ListBuckets")),
    )
    for index, minutes, calls in habits:
        # the first of them is the build service's user
        actor = ct.user(estate.users[index], estate.account, MONITOR_IP if index > 4 else CI_IP, SDK_AGENT)
        for when in every(story, rng, minutes, 0.05):
            for step, call in enumerate(calls):
                moment = when + timedelta(seconds=step)
                if rng.random() < 0.004:
                    yield ct.record(
                        rng,
                        actor,
                        moment,
                        call,
                        estate.region,
                        error="ThrottlingException",
                        message="Rate exceeded",
                    )
                else:
                    yield ct.record(rng, actor, moment, call, estate.region)
