"""Makes the questions of golden.jsonl.gz: `python golden_cases.py SEED COUNT` prints one JSON object a line.

The answers were added once by an evaluator that is not ours and is no part of this repository: see README.md here.
Left out is what that evaluator and the AWS documentation see differently, or what irkit refuses to answer; both are
listed there.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

HOME, AWAY = "111111111111", "222222222222"
Doc = dict[str, Any]

TAGS = ["aws:PrincipalTag/case", "aws:ResourceTag/case", "aws:RequestTag/case"]
CONTEXT: dict[str, list[Any]] = {
    "aws:PrincipalTag/case": ["c1", "c2", "C1", "a*b"],
    "aws:ResourceTag/case": ["c1", "c2", "c 3"],
    "aws:RequestTag/case": ["c1", "c2"],
    "aws:username": ["ana", "bob"],
    "aws:SourceIp": ["10.1.2.3", "203.0.113.7", "198.51.100.255"],
    "aws:VpcSourceIp": ["2001:db8::1", "2001:db9::"],
    "aws:SecureTransport": ["true", "false"],
    "aws:MultiFactorAuthPresent": ["true", "false"],
    "aws:MultiFactorAuthAge": ["60", "3600", "59.5"],
    "aws:CurrentTime": ["2026-06-01T00:00:00Z", "2026-01-01T00:00:00Z", "2025-12-31T23:59:59Z"],
    "aws:PrincipalArn": [
        f"arn:aws:iam::{HOME}:role/R",
        f"arn:aws:iam::{HOME}:user/ana",
        f"arn:aws:iam::{AWAY}:role/team/X",
    ],
    "aws:SourceArn": [f"arn:aws:cloudtrail:us-east-1:{HOME}:trail/t", f"arn:aws:sns:eu-west-1:{AWAY}:t"],
    "aws:PrincipalOrgID": ["o-aaaaaaaaaa", "o-bbbbbbbbbb"],
    "aws:SourceVpce": ["vpce-1", "vpce-2"],
    "aws:TagKeys": [["case"], ["case", "owner"], ["owner"], ["Case"]],
    "aws:CalledVia": [["athena.amazonaws.com"], ["athena.amazonaws.com", "cloudformation.amazonaws.com"]],
}

STRINGS = [
    "StringEquals",
    "StringNotEquals",
    "StringLike",
    "StringNotLike",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
]
NUMBERS = [
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
]
DATES = [
    "DateEquals",
    "DateNotEquals",
    "DateLessThan",
    "DateLessThanEquals",
    "DateGreaterThan",
    "DateGreaterThanEquals",
]
ARNS = ["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"]


class Questions:
    """A seeded source of questions."""

    def __init__(self, seed: int) -> None:
        self.r = random.Random(seed)

    # Conditions

    def context(self) -> Doc:
        return {k: self.r.choice(v) for k, v in CONTEXT.items() if self.r.random() < 0.55}

    def condition(self) -> Doc:
        block: Doc = {}
        for _ in range(self.r.choice([1, 1, 1, 2])):
            operator, key, values = self.test()
            block.setdefault(operator, {})[key] = values if len(values) > 1 else values[0]
        return block

    def test(self) -> tuple[str, str, list[Any]]:
        make: Callable[[], tuple[str, str, list[Any]]] = self.r.choice(
            [
                self.string,
                self.string,
                self.string,
                self.many,
                self.number,
                self.date,
                self.arn,
                self.address,
                self.boolean,
                self.null,
            ]
        )
        operator, key, values = make()
        if operator != "Null" and ":" not in operator and self.r.random() < 0.25:
            operator += "IfExists"
        if self.r.random() < 0.05:
            operator = operator.lower()
        if self.r.random() < 0.05:
            key = key.swapcase() if "/" not in key else key
        return operator, key, values

    def string(self) -> tuple[str, str, list[Any]]:
        key = self.r.choice([*TAGS, "aws:username", "aws:PrincipalOrgID", "aws:SourceVpce"])
        own = [v for v in CONTEXT[key] if isinstance(v, str)]
        texts = [
            *own,
            "c*",
            "?1",
            "*",
            "o-?aaaaaaaaa",
            "none",
            "${aws:username}",
            "${aws:PrincipalTag/case}",
            "${aws:PrincipalTag/case, 'c1'}",
            "x${aws:ResourceTag/case}*",
            "c${aws:username, '1'}",
        ]
        return self.r.choice(STRINGS), key, self.some(texts)

    def many(self) -> tuple[str, str, list[Any]]:
        over = self.r.choice(["ForAllValues", "ForAnyValue"])
        if self.r.random() < 0.6:
            return (
                f"{over}:{self.r.choice(STRINGS)}",
                "aws:TagKeys",
                self.some(["case", "owner", "c*", "CASE", "none"]),
            )
        texts = ["athena.amazonaws.com", "cloud*", "cloudformation.amazonaws.com"]
        return f"{over}:{self.r.choice(STRINGS[:4])}", "aws:CalledVia", self.some(texts)

    def number(self) -> tuple[str, str, list[Any]]:
        return self.r.choice(NUMBERS), "aws:MultiFactorAuthAge", self.some(["60", "3600", 60, "59.5", "-1"])

    def date(self) -> tuple[str, str, list[Any]]:
        moments = ["2026-01-01T00:00:00Z", "2026-01-01", "2026-06-01T02:00:00+02:00", "2024-02-29T12:00:00Z"]
        return self.r.choice(DATES), "aws:CurrentTime", self.some(moments)

    def arn(self) -> tuple[str, str, list[Any]]:
        key = self.r.choice(["aws:PrincipalArn", "aws:SourceArn"])
        texts = [
            *CONTEXT[key],
            f"arn:aws:iam::{HOME}:role/*",
            "arn:aws:iam::*:*/R",
            f"arn:*:iam::{AWAY}:role/*/X",
            f"arn:aws:sns:*:{AWAY}:*",
            f"arn:aws:iam::{HOME}:*",
            "arn:aws:iam::1?1111111111:role/?",
        ]
        return self.r.choice(ARNS), key, self.some(texts)

    def address(self) -> tuple[str, str, list[Any]]:
        if self.r.random() < 0.2:
            texts = ["2001:db8::/32", "2001:db8::1", "2001:db8:0:0::/64", "::/1"]
            return self.r.choice(["IpAddress", "NotIpAddress"]), "aws:VpcSourceIp", self.some(texts)
        texts = [
            "10.0.0.0/8",
            "203.0.113.7",
            "203.0.113.0/25",
            "198.51.100.128/25",
            "10.1.2.3/32",
            "10.1.0.0/23",
        ]
        return self.r.choice(["IpAddress", "NotIpAddress"]), "aws:SourceIp", self.some(texts)

    def boolean(self) -> tuple[str, str, list[Any]]:
        key = self.r.choice(["aws:SecureTransport", "aws:MultiFactorAuthPresent"])
        return "Bool", key, [self.r.choice(["true", "false", "True", True, False])]

    def null(self) -> tuple[str, str, list[Any]]:
        return "Null", self.r.choice(list(CONTEXT)), [self.r.choice(["true", "false", True])]

    def some(self, of: list[Any]) -> list[Any]:
        return self.r.sample(of, min(len(of), self.r.choice([1, 1, 2])))

    # Policies

    def document(self, statements: list[Doc]) -> Doc:
        return {"Version": "2012-10-17", "Statement": statements}

    def statement(self, actions: list[str], resources: list[str], *, deny: float = 0.3, **more: Any) -> Doc:
        made: Doc = {"Effect": "Deny" if self.r.random() < deny else "Allow", **more}
        made["NotAction" if self.r.random() < 0.12 else "Action"] = self.some(actions)
        if resources:
            made["NotResource" if self.r.random() < 0.15 else "Resource"] = self.some(resources)
        if self.r.random() < 0.55:
            made["Condition"] = self.condition()
        return made

    def policy(self, actions: list[str], resources: list[str], *, deny: float = 0.3, **more: Any) -> Doc:
        count = self.r.choice([1, 1, 2, 3])
        return self.document([self.statement(actions, resources, deny=deny, **more) for _ in range(count)])

    def with_principals(
        self, actions: list[str], resources: list[str], names: list[Any], *, deny: float = 0.25
    ) -> Doc:
        statements = []
        for _ in range(self.r.choice([1, 1, 2, 3])):
            one = self.statement(actions, resources, deny=deny)
            one["Principal"] = self.r.choice(names)
            statements.append(one)
        return self.document(statements)

    def broad(self, service: str) -> Doc:
        return self.document([{"Effect": "Allow", "Action": f"{service}:*", "Resource": "*"}])

    def scps(self, actions: list[str], resources: list[str]) -> list[list[Doc]]:
        full = self.document([{"Effect": "Allow", "Action": "*", "Resource": "*"}])
        levels = []
        for _ in range(self.r.choice([1, 1, 2])):
            level = [full] if self.r.random() < 0.8 else []
            if self.r.random() < 0.8 or not level:
                level.append(self.policy([*actions, "*"], ["*", *resources], deny=0.6))
            levels.append(level)
        return levels

    def rcps(self, actions: list[str], resources: list[str]) -> list[list[Doc]]:
        denies = self.policy(actions, ["*", *resources], deny=1.1, Principal="*")
        for one in denies["Statement"]:
            one["Action"] = one.pop("NotAction", one.get("Action"))
        return [[denies]]

    def guards(self, case: Doc, actions: list[str], resources: list[str]) -> None:
        r = self.r
        if r.random() < 0.25:
            case["boundary"] = self.policy(actions, resources, deny=0.2)
        if r.random() < 0.3:
            case["scps"] = self.scps(actions, resources)
        if r.random() < 0.2:
            case["rcps"] = self.rcps([a for a in actions if a != "*"], resources)
        if r.random() < 0.08:
            case["endpoint"] = self.with_principals(actions, resources, ["*"], deny=0.2)

    # Questions

    def asked(self, who: str, action: str, resource: str, owner: str, family: str) -> Doc:
        return {
            "family": family,
            "who": who,
            "action": action,
            "resource": resource,
            "owner": owner,
            "context": self.context(),
        }

    def callers(self, account: str) -> list[str]:
        return [
            f"arn:aws:iam::{account}:user/ana",
            f"arn:aws:iam::{account}:role/R",
            f"arn:aws:sts::{account}:assumed-role/R/session",
        ]

    def names(self) -> list[Any]:
        r = self.r
        away = [
            f"arn:aws:iam::{AWAY}:root",
            AWAY,
            f"arn:aws:iam::{AWAY}:role/R",
            f"arn:aws:iam::{AWAY}:user/ana",
            f"arn:aws:sts::{AWAY}:assumed-role/R/session",
        ]
        home = [name.replace(AWAY, HOME) for name in away]
        return [
            "*",
            {"AWS": "*"},
            {"AWS": r.choice(home)},
            {"AWS": r.choice(home)},
            {"AWS": r.choice(away)},
            {"AWS": r.sample(home + away, 3)},
            {"AWS": r.choice(home), "Service": "cloudtrail.amazonaws.com"},
        ]

    def on_s3(self) -> Doc:
        action, resource = self.r.choice(
            [
                ("s3:GetObject", "arn:aws:s3:::evidence/cases/c1/x"),
                ("s3:PutObject", "arn:aws:s3:::evidence/cases/ana/y"),
                ("s3:DeleteObjectVersion", "arn:aws:s3:::evidence/x"),
                ("s3:ListBucket", "arn:aws:s3:::evidence"),
            ]
        )
        actions = ["s3:*", "s3:Get*", "S3:getobject", action, "s3:Put*", "s3:?etObject", "*", "s3:List*"]
        resources = [
            "*",
            "arn:aws:s3:::evidence*",
            "arn:aws:s3:::evidence/*",
            "arn:aws:s3:::evidence/cases/?1/x",
            "arn:aws:s3:::evidence/cases/${aws:PrincipalTag/case}/*",
            "arn:aws:s3:::other/*",
            resource,
            "arn:aws:s3:::evidence/cases/${aws:username}/*",
            "arn:*:s3:::evidence",
        ]
        owner = HOME if self.r.random() < 0.7 else AWAY
        case = self.asked(self.r.choice(self.callers(HOME)), action, resource, owner, "s3")
        if self.r.random() < 0.8:
            case["identity"] = [self.policy(actions, resources) for _ in range(self.r.choice([1, 1, 2]))]
        if self.r.random() < 0.7:
            case["policy"] = self.with_principals(actions, resources, self.names())
        self.guards(case, actions, resources)
        return case

    def on_key(self) -> Doc:
        owner = HOME if self.r.random() < 0.6 else AWAY
        key = f"arn:aws:kms:us-east-1:{owner}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
        action = self.r.choice(
            ["kms:Decrypt", "kms:GenerateDataKey", "kms:ScheduleKeyDeletion", "kms:CreateGrant"]
        )
        actions = ["kms:*", action, "kms:Dec*", "kms:Gen*", "kms:*Grant", "kms:ScheduleKeyDeletion"]
        resources = ["*", key, f"arn:aws:kms:*:{owner}:key/*", "arn:aws:kms:eu-west-1:*:key/*"]
        case = self.asked(self.r.choice(self.callers(HOME)), action, key, owner, "kms")
        if self.r.random() < 0.8:
            case["identity"] = [self.policy(actions, resources, deny=0.2)]
        case["policy"] = self.with_principals(actions, ["*"], self.names(), deny=0.2)
        self.guards(case, actions, resources)
        return case

    def on_role(self) -> Doc:
        owner = HOME if self.r.random() < 0.6 else AWAY
        role = f"arn:aws:iam::{owner}:role/Target"
        action = self.r.choice(
            ["sts:AssumeRole", "sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
        )
        actions = ["sts:*", "sts:AssumeRole", action, "sts:Tag*"]
        resources = ["*", role, f"arn:aws:iam::{owner}:role/*", "arn:aws:iam::*:role/Other"]
        case = self.asked(self.r.choice(self.callers(HOME)), action, role, owner, "trust")
        if self.r.random() < 0.8:
            case["identity"] = [self.policy(actions, resources, deny=0.2)]
        case["policy"] = self.with_principals(actions, [], self.names(), deny=0.2)
        self.guards(case, actions, resources)
        return case

    def by_federation(self) -> Doc:
        kind, action = self.r.choice(
            [
                ("saml-provider/Idp", "sts:AssumeRoleWithSAML"),
                ("oidc-provider/token.example.com", "sts:AssumeRoleWithWebIdentity"),
            ]
        )
        who = f"arn:aws:iam::{HOME}:{kind}"
        case = self.asked(who, action, f"arn:aws:iam::{HOME}:role/Target", HOME, "federated")
        names = [{"Federated": who}, {"Federated": f"arn:aws:iam::{HOME}:saml-provider/Other"}, {"AWS": AWAY}]
        case["policy"] = self.with_principals(
            [action, "sts:AssumeRole*", "sts:*", "sts:AssumeRole"], [], names
        )
        return case

    def by_service(self) -> Doc:
        service = self.r.choice(["cloudtrail.amazonaws.com", "config.amazonaws.com"])
        case = self.asked(service, "s3:PutObject", "arn:aws:s3:::logs/AWSLogs/x", HOME, "service")
        names = [
            {"Service": "cloudtrail.amazonaws.com"},
            {"Service": ["config.amazonaws.com", "sns.amazonaws.com"]},
            "*",
            {"AWS": HOME},
        ]
        resources = ["*", "arn:aws:s3:::logs/AWSLogs/*", "arn:aws:s3:::logs/other"]
        case["policy"] = self.with_principals(["s3:PutObject", "s3:*", "s3:Get*"], resources, names)
        if self.r.random() < 0.3:
            case["rcps"] = self.rcps(["s3:*", "s3:PutObject"], resources)
        return case

    def by_nobody(self) -> Doc:
        case = self.asked("*", "s3:GetObject", "arn:aws:s3:::public/x", HOME, "anonymous")
        resources = ["*", "arn:aws:s3:::public/*", "arn:aws:s3:::other/*"]
        names = ["*", {"AWS": "*"}, {"AWS": HOME}, {"Service": "config.amazonaws.com"}]
        case["policy"] = self.with_principals(["s3:GetObject", "s3:*", "s3:Put*"], resources, names)
        return case

    def with_exclusion(self) -> Doc:
        who = self.r.choice(self.callers(HOME))
        case = self.asked(who, "s3:GetObject", "arn:aws:s3:::evidence/x", HOME, "not-principal")
        case["identity"] = [self.broad("s3")]
        listed = {
            "user": [f"arn:aws:iam::{HOME}:user/ana", HOME],
            "role": [f"arn:aws:iam::{HOME}:role/R", f"arn:aws:iam::{HOME}:root"],
            "session": [f"arn:aws:sts::{HOME}:assumed-role/R/session", f"arn:aws:iam::{HOME}:role/R", HOME],
        }
        kind = "user" if ":user/" in who else "session" if ":sts:" in who else "role"
        strangers = [f"arn:aws:iam::{AWAY}:role/Z", AWAY]
        excluded = listed[kind] if self.r.random() < 0.5 else strangers
        deny = self.statement(["s3:*", "s3:Get*", "s3:Put*"], ["*", "arn:aws:s3:::evidence/*"], deny=1.1)
        deny["NotPrincipal"] = {"AWS": excluded}
        case["policy"] = self.document([deny])
        return case

    def in_session(self) -> Doc:
        owner = HOME if self.r.random() < 0.7 else AWAY
        resource = "arn:aws:s3:::evidence/cases/c1/x"
        case = self.asked(self.callers(HOME)[2], "s3:GetObject", resource, owner, "session")
        actions = ["s3:*", "s3:Get*", "s3:GetObject", "s3:Put*"]
        resources = ["*", "arn:aws:s3:::evidence/*", resource, "arn:aws:s3:::other/*"]
        case["identity"] = [self.policy(actions, resources, deny=0.2)]
        case["session"] = self.policy(actions, resources, deny=0.2)
        if self.r.random() < 0.6:
            names = [{"AWS": f"arn:aws:iam::{HOME}:role/R"}, {"AWS": HOME}, {"AWS": AWAY}, "*"]
            case["policy"] = self.with_principals(actions, resources, names, deny=0.2)
        return case

    def elsewhere(self) -> Doc:
        owner = HOME if self.r.random() < 0.7 else AWAY
        action, resource = self.r.choice(
            [
                ("sqs:SendMessage", f"arn:aws:sqs:us-east-1:{owner}:queue"),
                ("sns:Publish", f"arn:aws:sns:us-east-1:{owner}:topic"),
                ("ec2:StartInstances", f"arn:aws:ec2:us-east-1:{HOME}:instance/i-0123456789abcdef0"),
                ("iam:PassRole", f"arn:aws:iam::{HOME}:role/team/X"),
                ("lambda:InvokeFunction", f"arn:aws:lambda:us-east-1:{HOME}:function:f"),
                ("dynamodb:DeleteTable", f"arn:aws:dynamodb:us-east-1:{owner}:table/t"),
                (
                    "secretsmanager:GetSecretValue",
                    f"arn:aws:secretsmanager:us-east-1:{owner}:secret:s-AbCdEf",
                ),
            ]
        )
        service = action.split(":")[0]
        if service in {"ec2", "iam", "lambda"}:
            owner = HOME
        actions = [f"{service}:*", action, action[:-3] + "*", "*", f"{service}:List*"]
        parts = resource.split(":")
        resources = [
            "*",
            resource,
            ":".join([*parts[:3], "*", *parts[4:]]),
            ":".join([*parts[:5], "*"]),
            ":".join(parts[:5]) + ":none",
            f"arn:aws:{service}:*:*:*",
            f"arn:*:{service}:us-*-1:*:*",
        ]
        case = self.asked(self.r.choice(self.callers(HOME)), action, resource, owner, "other services")
        case["identity"] = [self.policy(actions, resources)]
        if service in {"sqs", "sns", "dynamodb", "secretsmanager"} and self.r.random() < 0.6:
            case["policy"] = self.with_principals(
                [a for a in actions if a != "*"], ["*", resource], self.names()
            )
        self.guards(case, actions, resources)
        return case

    def of_condition(self) -> Doc:
        """One allow whose condition alone decides."""
        case = self.asked(self.callers(HOME)[0], "s3:GetObject", "arn:aws:s3:::evidence/x", HOME, "condition")
        effect = self.r.choice(["Allow", "Deny"])
        one = {"Effect": effect, "Action": "s3:GetObject", "Resource": "*", "Condition": self.condition()}
        more = [] if effect == "Allow" else [{"Effect": "Allow", "Action": "*", "Resource": "*"}]
        case["identity"] = [self.document([one, *more])]
        return case

    def one(self) -> Doc:
        return self.r.choices(
            [
                self.on_s3,
                self.on_key,
                self.on_role,
                self.by_federation,
                self.by_service,
                self.by_nobody,
                self.with_exclusion,
                self.in_session,
                self.elsewhere,
                self.of_condition,
            ],
            weights=[22, 16, 14, 4, 4, 3, 4, 7, 12, 14],
        )[0]()


def questions(seed: int, count: int) -> Iterator[Doc]:
    source = Questions(seed)
    for _ in range(count):
        yield source.one()


if __name__ == "__main__":
    for question in questions(int(sys.argv[1]), int(sys.argv[2])):
        print(json.dumps(question, separators=(",", ":")))
