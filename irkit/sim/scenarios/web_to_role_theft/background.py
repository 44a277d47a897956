"""An ordinary account around the break-in: some 26,000 records in three days, including what looks bad but is not.

Look-alikes on purpose: an administrator rotates an access key (iam:CreateAccessKey), the backup role shares snapshots
with the organisation's own second account (ec2:ModifySnapshotAttribute), the nightly job assumes the export role and
reads the same bucket, developers run into AccessDenied, and the owner of the planted key keeps using the old one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random

from irkit.sim.scenarios.web_to_role_theft import cloudtrail as ct
from irkit.sim.scenarios.web_to_role_theft import ids, machines
from irkit.sim.scenarios.web_to_role_theft.pulse import days, within
from irkit.sim.scenarios.web_to_role_theft.story import OFFICE, OTHER_REGIONS, SDK_AGENT, Host, Story

CREDENTIAL_HOURS = 6
AGENT = "aws-sdk-go/1.55.5 (go1.22.4; linux; amd64) amazon-ssm-agent/"
BROWSER = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6"
)
_LOOKS = (
    "ec2:DescribeInstances",
    "ec2:DescribeVolumes",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeVpcs",
    "ec2:DescribeSubnets",
    "ec2:DescribeInstanceStatus",
    "ec2:DescribeAddresses",
    "iam:ListRoles",
    "iam:GetRole",
    "iam:ListUsers",
    "s3:ListBuckets",
    "rds:DescribeDBInstances",
    "lambda:ListFunctions20150331",
    "cloudtrail:DescribeTrails",
    "monitoring:DescribeAlarms",
    "logs:DescribeLogGroups",
    "kms:ListAliases",
    "autoscaling:DescribeAutoScalingGroups",
    "elasticloadbalancing:DescribeTargetHealth",
)


def background(story: Story) -> list[ct.Record]:
    """The account's ordinary records between `times.begin` and shortly before `at`, oldest first."""
    parts = (
        _fleet,
        _people,
        _rotation,
        machines.builds,
        machines.services,
        machines.jobs,
        machines.backups,
        machines.monitoring,
    )
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


def _fleet(story: Story, rng: Random) -> Iterator[ct.Record]:
    """The web servers themselves: agent, application, secrets, and EC2 handing them credentials."""
    estate = story.estate
    endpoint = dict(estate.endpoints)
    ec2 = ct.service("ec2.amazonaws.com", estate.account)
    for host in (estate.suspect, estate.sibling):
        keys = instance_keys(story, host)
        for number, (issued, key) in enumerate(keys):
            if within(story, issued):
                yield ct.assume_role(
                    rng,
                    ec2,
                    issued,
                    estate.web_role,
                    estate.account,
                    host.instance,
                    key,
                    estate.region,
                    hours=CREDENTIAL_HOURS,
                )
            until = keys[number + 1][0] if number + 1 < len(keys) else story.times.at
            where = (estate.web_role, estate.account, host.instance, key, issued)
            agent = ct.session(*where, host.private_ip, AGENT, delivery="2.0", endpoint=endpoint["ssm"])
            app = ct.session(*where, host.private_ip, SDK_AGENT, delivery="1.0", endpoint=endpoint["s3"])
            outside = ct.session(*where, host.public_ip, SDK_AGENT, delivery="1.0")
            yield from _host_calls(
                story, rng, host, agent, app, outside, max(issued, story.times.begin), until
            )


def _host_calls(
    story: Story,
    rng: Random,
    host: Host,
    agent: ct.Actor,
    app: ct.Actor,
    outside: ct.Actor,
    start: datetime,
    until: datetime,
) -> Iterator[ct.Record]:
    estate, region = story.estate, story.estate.region
    beat = {
        "instanceId": host.instance,
        "agentVersion": "3.3.859.0",
        "agentStatus": "Active",
        "platformType": "Linux",
        "platformName": "Amazon Linux",
        "platformVersion": "2023",
        "iPAddress": host.private_ip,
        "computerName": host.hostname,
        "agentName": "amazon-ssm-agent",
        "availabilityZone": f"{region}a",
    }
    when, beats = start, 0
    while when < until:
        yield ct.record(rng, agent, when, "ssm:UpdateInstanceInformation", region, request=beat)
        if beats % 6 == 0:
            yield ct.record(
                rng,
                agent,
                when + timedelta(seconds=2),
                "ssm:ListInstanceAssociations",
                region,
                request={"instanceId": host.instance, "maxResults": 20},
            )
        if beats % 12 == 0:
            yield ct.record(
                rng,
                outside,
                when + timedelta(seconds=5),
                "secretsmanager:GetSecretValue",
                region,
                request={"secretId": estate.secret},
            )
        for _ in range(rng.randrange(2, 6)):
            moment = when + timedelta(seconds=rng.randrange(6, 290))
            key = f"static/{rng.choice(('img', 'css', 'js', 'doc'))}/{rng.getrandbits(28):07x}"
            if moment < until:
                yield ct.s3_object(
                    rng,
                    app,
                    moment,
                    "s3:GetObject",
                    region,
                    estate.assets_bucket,
                    key,
                    sent=rng.randrange(900, 250_000),
                    error="NoSuchKey" if rng.random() < 0.01 else None,
                )
        when += timedelta(seconds=300 + rng.randrange(-4, 5))
        beats += 1


def _people(story: Story, rng: Random) -> Iterator[ct.Record]:
    """Administrators through single sign-on and developers with MFA, in office hours."""
    estate = story.estate
    for day in days(story):
        for number, person in enumerate(estate.users[:4]):
            for hour in (8, 13):
                start = day + timedelta(hours=hour, seconds=rng.randrange(0, 7200))
                if not within(story, start):
                    continue
                ip = OFFICE[number % 2]
                if number < 2:
                    handed_over, actor = _sign_on(story, rng, person.name, start, ip)
                    yield handed_over
                else:
                    actor = ct.user(person, estate.account, ip, BROWSER)
                    actor.identity["sessionContext"] = {
                        "attributes": {"creationDate": ids.iso(start), "mfaAuthenticated": "true"}
                    }
                yield _login(rng, actor, start)
                yield from _browse(story, rng, actor, start)


def _sign_on(story: Story, rng: Random, person: str, when: datetime, ip: str) -> tuple[ct.Record, ct.Actor]:
    """An administrator's session by single sign-on, and the record that issues it."""
    role, account = story.estate.admin_role, story.estate.account
    key = ids.access_key(rng, "ASIA", account)
    issued = ct.assume_role(
        rng,
        ct.federated(person, account, ip, BROWSER),
        when,
        role,
        account,
        person,
        key,
        story.estate.region,
        call="sts:AssumeRoleWithSAML",
    )
    return issued, ct.session(role, account, person, key, when, ip, BROWSER, mfa=True)


def _login(rng: Random, actor: ct.Actor, when: datetime) -> ct.Record:
    identity = {name: value for name, value in actor.identity.items() if name != "accessKeyId"}
    seen = ct.Actor(identity=identity, ip=actor.ip, agent=actor.agent, account=actor.account)
    return ct.record(
        rng,
        seen,
        when,
        "signin:ConsoleLogin",
        "us-east-1",
        response={"ConsoleLogin": "Success"},
        extra={
            "LoginTo": "https://console.aws.amazon.com/console/home",
            "MobileVersion": "No",
            "MFAUsed": "Yes",
        },
        kind="AwsConsoleSignIn",
    )


def _browse(story: Story, rng: Random, actor: ct.Actor, start: datetime) -> Iterator[ct.Record]:
    when = start
    for _ in range(rng.randrange(50, 110)):
        when += timedelta(seconds=int(rng.expovariate(1 / 70)) + 1)
        region = rng.choice(OTHER_REGIONS) if rng.random() < 0.12 else story.estate.region
        call = rng.choice(_LOOKS)
        region = "us-east-1" if call.startswith("iam:") else region
        if actor.identity["type"] == "IAMUser" and rng.random() < 0.04:
            yield ct.denied(rng, actor, when, call, region)
        else:
            yield ct.record(rng, actor, when, call, region)


def _rotation(story: Story, rng: Random) -> Iterator[ct.Record]:
    """An administrator rotates another service user's key, as the calendar demands."""
    estate = story.estate
    owner = next(user for user in estate.users[4:] if user != story.intruder.planted_user)
    start = story.times.probe - timedelta(hours=rng.randrange(6, 20))
    handed_over, admin = _sign_on(story, rng, estate.users[0].name, start - timedelta(minutes=3), OFFICE[0])
    yield handed_over
    fresh = ids.access_key(rng, "AKIA", estate.account)
    yield _login(rng, admin, start - timedelta(minutes=2))
    yield ct.record(
        rng,
        admin,
        start,
        "iam:CreateAccessKey",
        "us-east-1",
        request={"userName": owner.name},
        response={
            "accessKey": {
                "userName": owner.name,
                "accessKeyId": fresh,
                "status": "Active",
                "createDate": f"{start:%b} {start.day}, {start.year}",
            }
        },
    )
    yield ct.record(
        rng,
        admin,
        start + timedelta(minutes=9),
        "iam:DeleteAccessKey",
        "us-east-1",
        request={"userName": owner.name, "accessKeyId": fresh},
    )
