"""Who calls: users with keys, and role sessions that somebody's call issued."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import Any

from benchmarks.generate.letters import BASE64, UPPER, stamp, steady, token, uuid


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """One set of credentials and where it is used from."""

    account: str
    key: str
    arn: str
    name: str
    address: str
    agent: str
    identity: str
    issued: float = 0.0

    def elsewhere(self, *, address: str, agent: str) -> Actor:
        """The same credentials in other hands."""
        return Actor(
            account=self.account,
            key=self.key,
            arn=self.arn,
            name=self.name,
            address=address,
            agent=agent,
            identity=self.identity,
            issued=self.issued,
        )


def compact(value: object) -> str:
    """`value` as JSON without blanks."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def user(rng: Random, account: str, name: str, *, address: str, agent: str) -> Actor:
    """An IAM user with a key."""
    key, arn = f"AKIA{token(rng, UPPER, 16)}", f"arn:aws:iam::{account}:user/{name}"
    identity = {
        "type": "IAMUser",
        "principalId": f"AIDA{token(rng, UPPER, 17)}",
        "arn": arn,
        "accountId": account,
        "accessKeyId": key,
        "userName": name,
    }
    return Actor(
        account=account, key=key, arn=arn, name=name, address=address, agent=agent, identity=compact(identity)
    )


def session(
    rng: Random, account: str, role: str, name: str, *, address: str, agent: str, issued: float
) -> Actor:
    """A role session."""
    role_id = "AROA" + f"{steady(account + role):017X}"[:17]
    key = f"ASIA{token(rng, UPPER, 16)}"
    arn = f"arn:aws:sts::{account}:assumed-role/{role}/{name}"
    identity = {
        "type": "AssumedRole",
        "principalId": f"{role_id}:{name}",
        "arn": arn,
        "accountId": account,
        "accessKeyId": key,
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": role_id,
                "arn": f"arn:aws:iam::{account}:role/{role}",
                "accountId": account,
                "userName": role,
            },
            "webIdFederationData": {},
            "attributes": {"creationDate": stamp(issued), "mfaAuthenticated": "false"},
        },
    }
    return Actor(
        account=account,
        key=key,
        arn=arn,
        name=role,
        address=address,
        agent=agent,
        identity=compact(identity),
        issued=issued,
    )


def assumed(
    rng: Random, parent: Actor | None, child: Actor, *, region: str, recipient: str = "", shared: str = ""
) -> str:
    """The AssumeRole record that issued `child`; without a parent an AWS service assumed the role."""
    role = f"arn:aws:iam::{child.account}:role/{child.name}"
    principal = json.loads(child.identity)["principalId"]
    service = "ec2.amazonaws.com"
    record: dict[str, Any] = {
        "eventVersion": "1.08",
        "userIdentity": json.loads(parent.identity)
        if parent
        else {"type": "AWSService", "invokedBy": service},
        "eventTime": stamp(child.issued),
        "eventSource": "sts.amazonaws.com",
        "eventName": "AssumeRole",
        "awsRegion": region,
        "sourceIPAddress": parent.address if parent else service,
        "userAgent": parent.agent if parent else service,
        "requestParameters": {
            "roleArn": role,
            "roleSessionName": child.arn.rsplit("/", 1)[1],
            "durationSeconds": 3600,
        },
        "responseElements": {
            "credentials": {
                "accessKeyId": child.key,
                "expiration": stamp(child.issued + 3600),
                "sessionToken": token(rng, BASE64, 480) + "==",
            },
            "assumedRoleUser": {"assumedRoleId": principal, "arn": child.arn},
        },
        "requestID": uuid(rng),
        "eventID": uuid(rng),
        "readOnly": True,
        "resources": [{"accountId": child.account, "type": "AWS::IAM::Role", "ARN": role}],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": recipient or child.account,
        "sharedEventID": shared or uuid(rng),
        "eventCategory": "Management",
    }
    return compact(record)
