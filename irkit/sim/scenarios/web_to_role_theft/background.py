"""An ordinary account around the break-in: some 26,000 records in three days, including what looks bad but is not.

Look-alikes on purpose: an administrator rotates an access key (iam:CreateAccessKey), the backup role shares snapshots
with the organisation's own second account (ec2:ModifySnapshotAttribute), the nightly job assumes the export role and
reads the same bucket, developers run into AccessDenied, and the owner of the planted key keeps using the old one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any

from irkit.sim.scenarios.web_to_role_theft import cloudtrail as ct
from irkit.sim.scenarios.web_to_role_theft import ids
from irkit.sim.scenarios.web_to_role_theft.story import OFFICE, Host, Role, Story

CREDENTIAL_HOURS = 6
AGENT = "aws-sdk-go/1.55.5 (go1.22.4; linux; amd64) amazon-ssm-agent/"
BOTO = "Boto3/1.35.20 md/Botocore#1.35.20 ua/2.0 os/linux#6.1.109 md/arch#x86_64 lang/python#3.9.16"
BROWSER = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6"
CI_IP = "192.0.2.15"
MONITOR_IP = "192.0.2.16"
_OTHER_REGIONS = ("us-west-2", "eu-west-1")
_LOOKS = (
    "ec2:DescribeInstances", "ec2:DescribeVolumes", "ec2:DescribeSecurityGroups", "ec2:DescribeVpcs",
    "ec2:DescribeSubnets", "ec2:DescribeInstanceStatus", "ec2:DescribeAddresses", "iam:ListRoles", "iam:GetRole",
    "iam:ListUsers", "s3:ListBuckets", "rds:DescribeDBInstances", "lambda:ListFunctions20150331",
    "cloudtrail:DescribeTrails", "monitoring:DescribeAlarms", "logs:DescribeLogGroups", "kms:ListAliases",
    "autoscaling:DescribeAutoScalingGroups", "elasticloadbalancing:DescribeTargetHealth",
)
_DEPLOY = (
    "ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:PutImage", "codebuild:BatchGetBuilds",
    "cloudformation:DescribeStacks", "cloudformation:DescribeStackEvents", "autoscaling:DescribeAutoScalingGroups",
    "elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeTargetHealth", "ssm:GetParameter",
)
_CONFIG = (
    "ec2:DescribeInstances", "ec2:DescribeVolumes", "ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups", "s3:GetBucketPolicy", "s3:GetBucketAcl", "s3:GetBucketEncryption",
    "iam:GetAccountPasswordPolicy", "lambda:GetPolicy20150331v2", "kms:GetKeyRotationStatus", "rds:DescribeDBClusters",
)


def background(story: Story) -> list[ct.Record]:
    """The account's ordinary records between `times.begin` and shortly before `at`, oldest first."""
    parts = (_fleet, _builds, _people, _services, _jobs, _backups, _monitoring, _rotation)
    records = [record for part in parts for record in part(story, story.rng(part.__name__))]
    until = ids.iso(story.times.at - timedelta(minutes=12))
    records = [record for record in records if record["eventTime"] < until]
    records.sort(key=lambda record: str(record["eventTime"]))
    return records


def instance_keys(story: Story, host: Host) -> list[tuple[datetime, str]]:
    """When each set of role credentials was handed to the instance, and its key; the stolen one is among them."""
    rng, times = story.rng(f"keys-{host.private_ip}"), story.times
    account = story.estate.account
    hosts_stolen = host is story.estate.suspect
    start = times.key_issued if hosts_stolen else times.begin + timedelta(minutes=rng.randrange(10, 300))
    step = timedelta(hours=CREDENTIAL_HOURS - 0.25)
    while start > times.begin:
        start -= step
    keys = []
    while start < times.at:
        stolen = hosts_stolen and start == times.key_issued
        keys.append((start, story.intruder.stolen_key if stolen else ids.access_key(rng, "ASIA", account)))
        start += step
    return keys


def _every(story: Story, rng: Random, minutes: float, jitter: float = 0.3) -> Iterator[datetime]:
    when = story.times.begin + timedelta(seconds=rng.uniform(0, minutes * 60))
    while when < story.times.at:
        yield when
        when += timedelta(seconds=minutes * 60 * rng.uniform(1 - jitter, 1 + jitter))


def _days(story: Story) -> Iterator[datetime]:
    day = story.times.begin.replace(hour=0, minute=0, second=0)
    while day < story.times.at:
        yield day
        day += timedelta(days=1)


def _within(story: Story, when: datetime) -> bool:
    return story.times.begin <= when < story.times.at


def _fleet(story: Story, rng: Random) -> Iterator[ct.Record]:
    """The web servers themselves: agent, application, secrets, and EC2 handing them credentials."""
    estate = story.estate
    endpoint = dict(estate.endpoints)
    ec2 = ct.service("ec2.amazonaws.com", estate.account)
    for host in (estate.suspect, estate.sibling):
        keys = instance_keys(story, host)
        for number, (issued, key) in enumerate(keys):
            if _within(story, issued):
                yield ct.assume_role(rng, ec2, issued, estate.web_role, estate.account, host.instance, key,
                                     estate.region, hours=CREDENTIAL_HOURS)
            until = keys[number + 1][0] if number + 1 < len(keys) else story.times.at
            where = (estate.web_role, estate.account, host.instance, key, issued)
            agent = ct.session(*where, host.private_ip, AGENT, delivery="2.0", endpoint=endpoint["ssm"])
            app = ct.session(*where, host.private_ip, BOTO, delivery="1.0", endpoint=endpoint["s3"])
            outside = ct.session(*where, host.public_ip, BOTO, delivery="1.0")
            yield from _host_calls(story, rng, host, agent, app, outside, max(issued, story.times.begin), until)


def _host_calls(
    story: Story, rng: Random, host: Host, agent: ct.Actor, app: ct.Actor, outside: ct.Actor, start: datetime,
    until: datetime,
) -> Iterator[ct.Record]:
    estate, region = story.estate, story.estate.region
    beat = {
        "instanceId": host.instance, "agentVersion": "3.3.859.0", "agentStatus": "Active", "platformType": "Linux",
        "platformName": "Amazon Linux", "platformVersion": "2023", "iPAddress": host.private_ip,
        "computerName": host.hostname, "agentName": "amazon-ssm-agent", "availabilityZone": f"{region}a",
    }
    when, beats = start, 0
    while when < until:
        yield ct.record(rng, agent, when, "ssm:UpdateInstanceInformation", region, request=beat)
        if beats % 6 == 0:
            yield ct.record(rng, agent, when + timedelta(seconds=2), "ssm:ListInstanceAssociations", region,
                            request={"instanceId": host.instance, "maxResults": 20})
        if beats % 12 == 0:
            yield ct.record(rng, outside, when + timedelta(seconds=5), "secretsmanager:GetSecretValue", region,
                            request={"secretId": estate.secret})
        for _ in range(rng.randrange(2, 6)):
            moment = when + timedelta(seconds=rng.randrange(6, 290))
            key = f"static/{rng.choice(('img', 'css', 'js', 'doc'))}/{rng.getrandbits(28):07x}"
            if moment < until:
                yield ct.s3_object(rng, app, moment, "s3:GetObject", region, estate.assets_bucket, key,
                                   sent=rng.randrange(900, 250_000), error=rng.random() < 0.01 and "NoSuchKey" or None)
        when += timedelta(seconds=300 + rng.randrange(-4, 5))
        beats += 1


def _builds(story: Story, rng: Random) -> Iterator[ct.Record]:
    estate, region = story.estate, story.estate.region
    owner = ct.user(estate.users[4], estate.account, CI_IP, "aws-sdk-js/3.620.0 os/linux lang/js md/nodejs/20.15")
    for start in _every(story, rng, 38, 0.6):
        key, name = ids.access_key(rng, "ASIA", estate.account), f"build-{rng.randrange(10_000, 99_999)}"
        yield ct.assume_role(rng, owner, start, estate.ci_role, estate.account, name, key, region)
        actor = ct.session(estate.ci_role, estate.account, name, key, start, CI_IP, owner.agent)
        when = start
        for _ in range(rng.randrange(15, 32)):
            when += timedelta(seconds=rng.randrange(1, 14))
            if rng.random() < 0.3:
                path = f"{name}/{rng.getrandbits(32):08x}.zip"
                yield ct.s3_object(rng, actor, when, "s3:PutObject", region, estate.artifact_bucket, path,
                                   received=rng.randrange(10_000, 9_000_000))
            elif rng.random() < 0.015:
                yield ct.denied(rng, actor, when, "iam:ListAttachedRolePolicies", "us-east-1",
                                request={"roleName": estate.web_role.name}, resource=estate.web_role.arn)
            else:
                yield ct.record(rng, actor, when, rng.choice(_DEPLOY), region)


def _people(story: Story, rng: Random) -> Iterator[ct.Record]:
    """Administrators through single sign-on and developers with MFA, in office hours."""
    estate = story.estate
    for day in _days(story):
        for number, person in enumerate(estate.users[:4]):
            for hour in (8, 13):
                start = day + timedelta(hours=hour, seconds=rng.randrange(0, 7200))
                if not _within(story, start):
                    continue
                ip = OFFICE[number % 2]
                if number < 2:
                    key = ids.access_key(rng, "ASIA", estate.account)
                    actor = ct.session(estate.admin_role, estate.account, person.name, key, start, ip, BROWSER, mfa=True)
                else:
                    actor = ct.user(person, estate.account, ip, BROWSER)
                    actor.identity["sessionContext"] = {
                        "attributes": {"creationDate": ids.iso(start), "mfaAuthenticated": "true"}
                    }
                yield _login(story, rng, actor, start)
                yield from _browse(story, rng, actor, start)


def _login(story: Story, rng: Random, actor: ct.Actor, when: datetime) -> ct.Record:
    identity = {name: value for name, value in actor.identity.items() if name != "accessKeyId"}
    seen = ct.Actor(identity=identity, ip=actor.ip, agent=actor.agent, account=actor.account)
    return ct.record(
        rng, seen, when, "signin:ConsoleLogin", "us-east-1", response={"ConsoleLogin": "Success"},
        extra={"LoginTo": "https://console.aws.amazon.com/console/home", "MobileVersion": "No", "MFAUsed": "Yes"},
        kind="AwsConsoleSignIn",
    )


def _browse(story: Story, rng: Random, actor: ct.Actor, start: datetime) -> Iterator[ct.Record]:
    when = start
    for _ in range(rng.randrange(50, 110)):
        when += timedelta(seconds=int(rng.expovariate(1 / 70)) + 1)
        region = rng.choice(_OTHER_REGIONS) if rng.random() < 0.12 else story.estate.region
        call = rng.choice(_LOOKS)
        region = "us-east-1" if call.startswith("iam:") else region
        if actor.identity["type"] == "IAMUser" and rng.random() < 0.04:
            yield ct.denied(rng, actor, when, call, region)
        else:
            yield ct.record(rng, actor, when, call, region)


def _services(story: Story, rng: Random) -> Iterator[ct.Record]:
    """AWS Config, autoscaling and KMS, working through their service-linked roles."""
    estate = story.estate
    for minutes, host, linked, calls in (
        (1.1, "config.amazonaws.com", "AWSServiceRoleForConfig", _CONFIG),
        (6, "autoscaling.amazonaws.com", "AWSServiceRoleForAutoScaling",
         ("ec2:DescribeInstanceStatus", "elasticloadbalancing:DescribeTargetHealth")),
    ):
        role = Role(name=linked, unique_id=ids.unique_id(rng, "AROA"),
                    arn=f"arn:aws:iam::{estate.account}:role/aws-service-role/{host}/{linked}")
        actor = None
        for number, when in enumerate(_every(story, rng, minutes)):
            if actor is None or number % 50 == 0:
                key, name = ids.access_key(rng, "ASIA", estate.account), host.partition(".")[0]
                yield ct.assume_role(rng, ct.service(host, estate.account), when, role, estate.account, name, key,
                                     estate.region)
                actor = ct.session(role, estate.account, name, key, when, host, host, invoked_by=host)
            region = estate.region if rng.random() < 0.8 else rng.choice(_OTHER_REGIONS)
            yield ct.record(rng, actor, when + timedelta(seconds=1), rng.choice(calls), region)
    key_arn = f"arn:aws:kms:{estate.region}:{estate.account}:key/{ids.uuid(rng)}"
    for when in _every(story, rng, 2.5):
        actor = ct.service("secretsmanager.amazonaws.com", estate.account)
        yield ct.record(rng, actor, when, rng.choice(("kms:Decrypt", "kms:GenerateDataKey")), estate.region,
                        request={"encryptionContext": {"SecretARN": estate.secret}, "keyId": key_arn},
                        resources=[{"accountId": estate.account, "type": "AWS::KMS::Key", "ARN": key_arn}])


def _jobs(story: Story, rng: Random) -> Iterator[ct.Record]:
    """A scheduled function every quarter of an hour, and the nightly export that reads the customers' bucket."""
    estate, region = story.estate, story.estate.region
    agent = f"{BOTO} exec-env/AWS_Lambda_python3.12"
    ip, service = "10.20.3.40", ct.service("lambda.amazonaws.com", estate.account)

    def run(when: datetime, name: str) -> tuple[ct.Record, ct.Actor]:
        key = ids.access_key(rng, "ASIA", estate.account)
        issued = ct.assume_role(rng, service, when, estate.job_role, estate.account, name, key, region)
        return issued, ct.session(estate.job_role, estate.account, name, key, when, ip, agent)

    for when in _every(story, rng, 15, 0.02):
        issued, actor = run(when, f"{estate.organisation}-sync")
        yield issued
        for step in range(rng.randrange(8, 15)):
            yield ct.s3_object(rng, actor, when + timedelta(seconds=step + 1), "s3:PutObject", region,
                               estate.assets_bucket, f"feeds/{rng.getrandbits(32):08x}.json",
                               received=rng.randrange(500, 40_000))
    for day in _days(story):
        when = day + timedelta(hours=3, minutes=rng.randrange(0, 20))
        if not _within(story, when):
            continue
        issued, job = run(when, f"{estate.organisation}-nightly-export")
        yield issued
        key, name = ids.access_key(rng, "ASIA", estate.account), f"nightly-{day:%Y%m%d}"
        yield ct.assume_role(rng, job, when + timedelta(seconds=3), estate.export_role, estate.account, name, key, region)
        actor = ct.session(estate.export_role, estate.account, name, key, when, ip, agent)
        yield ct.s3_object(rng, actor, when + timedelta(seconds=4), "s3:ListObjects", region, estate.export_bucket,
                           None, sent=20_000)
        for step in range(rng.randrange(40, 70)):
            yield ct.s3_object(rng, actor, when + timedelta(seconds=5 + step * 2), "s3:GetObject", region,
                               estate.export_bucket, f"invoices/2026/{step:04d}-{ids.token(rng, 6).lower()}.parquet",
                               sent=rng.randrange(200_000, 900_000))


def _backups(story: Story, rng: Random) -> Iterator[ct.Record]:
    estate, region = story.estate, story.estate.region
    backup = "backup.amazonaws.com"
    for day, snapshot in zip(_days(story), estate.other_snapshots, strict=False):
        when = day + timedelta(hours=5, minutes=rng.randrange(0, 30))
        if not _within(story, when):
            continue
        key = ids.access_key(rng, "ASIA", estate.account)
        yield ct.assume_role(rng, ct.service(backup, estate.account), when, estate.backup_role, estate.account,
                             "AWSBackup", key, region)
        actor = ct.session(estate.backup_role, estate.account, "AWSBackup", key, when, backup, backup,
                           invoked_by=backup)
        yield ct.record(rng, actor, when + timedelta(seconds=9), "ec2:CreateSnapshot", region,
                        request={"volumeId": estate.database_volume, "description": "nightly"},
                        response={"snapshotId": snapshot, "volumeId": estate.database_volume, "status": "pending",
                                  "ownerId": estate.account, "volumeSize": "100", "encrypted": False})
        yield ct.record(rng, actor, when + timedelta(minutes=20), "ec2:ModifySnapshotAttribute", region,
                        request={"snapshotId": snapshot, "attributeType": "CREATE_VOLUME_PERMISSION",
                                 "createVolumePermission": {"add": {"items": [{"userId": estate.forensics_account}]}}},
                        response={"requestId": ids.uuid(rng), "_return": True})


def _monitoring(story: Story, rng: Random) -> Iterator[ct.Record]:
    """The service users: each has one address, one key, one habit; one of them is the one the intruder picks."""
    estate = story.estate
    habits: tuple[tuple[Any, ...], ...] = (
        (4, 20, ("ssm:GetParameter", "ecr:DescribeRepositories")),
        (5, 5, ("monitoring:DescribeAlarms", "monitoring:ListMetrics", "ec2:DescribeInstanceStatus")),
        (6, 5, ("rds:DescribeDBInstances", "logs:DescribeLogGroups", "s3:ListBuckets")),
    )
    for index, minutes, calls in habits:
        actor = ct.user(estate.users[index], estate.account, MONITOR_IP, BOTO)
        for when in _every(story, rng, minutes, 0.05):
            for step, call in enumerate(calls):
                moment = when + timedelta(seconds=step)
                if rng.random() < 0.004:
                    yield ct.record(rng, actor, moment, call, estate.region, error="ThrottlingException",
                                    message="Rate exceeded")
                else:
                    yield ct.record(rng, actor, moment, call, estate.region)


def _rotation(story: Story, rng: Random) -> Iterator[ct.Record]:
    """An administrator rotates another service user's key, as the calendar demands."""
    estate = story.estate
    owner = next(user for user in estate.users[4:] if user != story.intruder.planted_user)
    start = story.times.probe - timedelta(hours=rng.randrange(6, 20))
    admin = ct.session(estate.admin_role, estate.account, estate.users[0].name,
                       ids.access_key(rng, "ASIA", estate.account), start, OFFICE[0], BROWSER, mfa=True)
    fresh = ids.access_key(rng, "AKIA", estate.account)
    yield _login(story, rng, admin, start - timedelta(minutes=2))
    yield ct.record(rng, admin, start, "iam:CreateAccessKey", "us-east-1", request={"userName": owner.name},
                    response={"accessKey": {"userName": owner.name, "accessKeyId": fresh, "status": "Active",
                                            "createDate": f"{start:%b} {start.day}, {start.year}"}})
    yield ct.record(rng, admin, start + timedelta(minutes=9), "iam:DeleteAccessKey", "us-east-1",
                    request={"userName": owner.name, "accessKeyId": fresh})
