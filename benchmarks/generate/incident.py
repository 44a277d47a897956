"""The planted incident: a leaked key, denied calls, a backdoor user, a role chain over two accounts, stolen data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import Any

from benchmarks.generate.actors import Actor, assumed, compact, session
from benchmarks.generate.letters import BASE64, UPPER, stamp, token, uuid

_ADDRESS = "203.0.113.66"
_AGENT = "aws-cli/2.15.30 Python/3.11.8 Linux/6.6.9-kali exe/x86_64 prompt/off"
_DENIED = 48
_OBJECTS = 600
_TRIED = (
    "iam:ListUsers",
    "iam:ListRoles",
    "s3:ListBuckets",
    "ec2:DescribeInstances",
    "rds:DescribeDBInstances",
)
_CREATED = "svc-backup-sync"


@dataclass(frozen=True, slots=True)
class Planted:
    """One planted record: when, in which account's files, its text."""

    time: float
    account: str
    text: str


def _call(rng: Random, who: Actor, time: float, call: str, **more: Any) -> Planted:
    service, _, name = call.partition(":")
    record: dict[str, Any] = {
        "eventVersion": "1.10",
        "userIdentity": json.loads(who.identity),
        "eventTime": stamp(time),
        "eventSource": f"{service}.amazonaws.com",
        "eventName": name,
        "awsRegion": "us-east-1",
        "sourceIPAddress": who.address,
        "userAgent": who.agent,
        "requestParameters": None,
        "responseElements": None,
        "requestID": uuid(rng),
        "eventID": uuid(rng),
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": who.account,
        "eventCategory": "Management",
    }
    return Planted(time, who.account, compact(record | more))


def incident(
    seed: int, accounts: list[str], victim: Actor, begin: float
) -> tuple[list[Planted], dict[str, object]]:
    """The records of the incident, and what an investigation of it must find."""
    rng = Random(f"{seed}:incident")
    thief = victim.elsewhere(address=_ADDRESS, agent=_AGENT)
    time = begin
    found = [_call(rng, thief, time, "sts:GetCallerIdentity", readOnly=True)]
    for number in range(_DENIED):
        time += rng.uniform(1, 9)
        found.append(
            _call(rng, thief, time, _TRIED[number % len(_TRIED)], errorCode="AccessDenied", readOnly=True)
        )
    time += 60
    new_key = f"AKIA{token(rng, UPPER, 16)}"
    named = {"userName": _CREATED}
    made = {"accessKey": {"accessKeyId": new_key, "status": "Active", **named}}
    found.append(
        _call(rng, thief, time, "iam:CreateUser", requestParameters=named, responseElements={"user": named})
    )
    found.append(
        _call(rng, thief, time + 5, "iam:CreateAccessKey", requestParameters=named, responseElements=made)
    )
    chain, parent = [thief.key], thief
    for hop, (account, role) in enumerate(
        [
            (accounts[0], "ci-deploy"),
            (accounts[0], "admin"),
            (accounts[1], "admin"),
            (accounts[1], "db-admin"),
        ]
    ):
        time += 90
        child = session(rng, account, role, f"hop{hop}", address=_ADDRESS, agent=_AGENT, issued=time)
        shared = uuid(rng)
        # CloudTrail writes a call across accounts into both.
        for recipient in sorted({parent.account, account}):
            text = assumed(rng, parent, child, region="us-east-1", recipient=recipient, shared=shared)
            found.append(Planted(time, recipient, text))
        chain.append(child.key)
        parent = child
    time += 30
    found.append(_call(rng, parent, time, "cloudtrail:StopLogging", requestParameters={"name": "org-trail"}))
    stolen = 0
    for number in range(_OBJECTS):
        time += rng.uniform(0.2, 3)
        size = rng.randrange(1 << 18, 1 << 23)
        stolen += size
        found.append(
            _call(
                rng,
                parent,
                time,
                "s3:GetObject",
                readOnly=True,
                managementEvent=False,
                eventCategory="Data",
                requestParameters={
                    "bucketName": "corp-finance-archive",
                    "key": f"ledger/{number:05d}.parquet",
                },
                additionalEventData={"bytesTransferredOut": size, "x-amz-id-2": token(rng, BASE64, 76)},
            )
        )
    return found, {
        "leaked_key": thief.key,
        "attacker_ip": _ADDRESS,
        "created_user": _CREATED,
        "created_key": new_key,
        "denied_calls": _DENIED,
        "key_chain": chain,
        "final_arn": parent.arn,
        "s3_get_objects": _OBJECTS,
        "s3_bytes_out": stolen,
        "events": len(found),
    }
