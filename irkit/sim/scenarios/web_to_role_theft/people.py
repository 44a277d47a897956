"""Users, roles and keys of the account, with the unique ids, secrets and dates of the story."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from irkit.sim.scenarios.web_to_role_theft import ids
from irkit.sim.scenarios.web_to_role_theft.story import Role, Story

if TYPE_CHECKING:
    import boto3

    from irkit.sim.simulator import Simulator

RESPONDER_ROLE = "irkit-responder-role"
FORENSICS_ROLE = "irkit-forensics-role"


def populate(story: Story, sim: Simulator) -> None:
    """Make every identity, and the roles that the responder works through."""
    session, estate = sim.session(), story.estate
    iam = session.client("iam")
    for role, trusted, allowed in _roles(story):
        path = role.arn.partition(":role")[2].removesuffix(role.name)
        iam.create_role(RoleName=role.name, Path=path, AssumeRolePolicyDocument=_document(_trust(trusted)))
        iam.put_role_policy(
            RoleName=role.name, PolicyName=f"{role.name}-access", PolicyDocument=_document(allowed)
        )
    iam.create_instance_profile(InstanceProfileName=estate.web_role.name)
    iam.add_role_to_instance_profile(InstanceProfileName=estate.web_role.name, RoleName=estate.web_role.name)
    for user in estate.users:
        iam.create_user(UserName=user.name)
        allowed = _allow(["ec2:Describe*", "s3:ListAllMyBuckets", "iam:Get*", "iam:List*", "cloudwatch:*"])
        iam.put_user_policy(UserName=user.name, PolicyName="reading", PolicyDocument=_document(allowed))
    _date(story)
    _sessions(story)
    # whichever account the responder's own user lives in, both roles can be assumed from there
    trusted = {
        "AWS": [f"arn:aws:iam::{number}:root" for number in (estate.account, estate.forensics_account)]
    }
    _responder_role(session, RESPONDER_ROLE, trusted)
    _responder_role(sim.session(estate.forensics_account), FORENSICS_ROLE, trusted)


def role_arn(account: str, name: str) -> str:
    """The ARN of a role without a path."""
    return f"arn:aws:iam::{account}:role/{name}"


def _responder_role(session: boto3.Session, name: str, trusted: dict[str, Any]) -> None:
    iam = session.client("iam")
    trust = _trust(trusted, ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"])
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=_document(trust), MaxSessionDuration=3600)
    iam.put_role_policy(RoleName=name, PolicyName="respond", PolicyDocument=_document(_allow(["*"])))


def _roles(story: Story) -> list[tuple[Role, dict[str, Any], dict[str, Any]]]:
    estate = story.estate
    exports = [f"arn:aws:s3:::{estate.export_bucket}", f"arn:aws:s3:::{estate.export_bucket}/*"]
    return [
        # the over-broad grants that the intruder lives on: reading everything, and keys for any user
        (
            estate.web_role,
            {"Service": "ec2.amazonaws.com"},
            _allow(
                [
                    "ssm:*",
                    "ssmmessages:*",
                    "ec2messages:*",
                    "s3:Get*",
                    "s3:List*",
                    "ec2:Describe*",
                    "iam:Get*",
                    "iam:List*",
                    "iam:CreateAccessKey",
                    "secretsmanager:ListSecrets",
                    "rds:Describe*",
                    "lambda:List*",
                    "guardduty:List*",
                    "cloudtrail:Describe*",
                    "cloudtrail:Get*",
                    "sts:AssumeRole",
                ]
            ),
        ),
        (
            estate.export_role,
            {"AWS": [estate.job_role.arn, estate.web_role.arn]},
            _allow(
                ["s3:GetObject", "s3:ListBucket"],
                exports,
                extra=_statement(["ec2:DescribeSnapshots", "ec2:ModifySnapshotAttribute"], ["*"]),
            ),
        ),
        (
            estate.ci_role,
            {"AWS": [estate.users[4].arn]},
            _allow(["ecr:*", "codebuild:*", "cloudformation:*", "s3:PutObject", "autoscaling:Describe*"]),
        ),
        (
            estate.backup_role,
            {"Service": "backup.amazonaws.com"},
            _allow(["ec2:CreateSnapshot", "ec2:ModifySnapshotAttribute", "ec2:Describe*"]),
        ),
        (estate.job_role, {"Service": "lambda.amazonaws.com"}, _allow(["s3:*", "sts:AssumeRole"])),
        (estate.admin_role, {"Federated": f"arn:aws:iam::{estate.account}:saml-provider/sso"}, _allow(["*"])),
    ]


def _statement(actions: list[str], resources: list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources}


def _allow(
    actions: list[str], resources: list[str] | None = None, *, extra: dict[str, Any] | None = None
) -> dict[str, Any]:
    statements = [_statement(actions, resources or ["*"]), *([extra] if extra else [])]
    return {"Version": "2012-10-17", "Statement": statements}


def _trust(principal: dict[str, Any], actions: list[str] | None = None) -> dict[str, Any]:
    action: Any = actions or ("sts:AssumeRoleWithSAML" if "Federated" in principal else "sts:AssumeRole")
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": principal, "Action": action}],
    }


def _document(policy: dict[str, Any]) -> str:
    return json.dumps(policy, separators=(",", ":"))


def _date(story: Story) -> None:
    """Unique ids and keys as the logs name them; the planted key exists and works."""
    from moto.iam.models import iam_backends

    backend, estate = iam_backends[story.estate.account]["aws"], story.estate
    founded = story.times.at - timedelta(days=400)
    for role, _, _ in _roles(story):
        made = backend.get_role(role.name)
        backend.roles[role.unique_id] = backend.roles.pop(made.id)
        made.id, made.create_date = role.unique_id, _naive(founded)
    rng, intruder = story.rng("secrets"), story.intruder
    for user in estate.users:
        made_user = backend.get_user(user.name)
        made_user.id, made_user.create_date = user.unique_id, _naive(founded)
        _key(backend, user.name, user.key, ids.secret_key(rng), founded + timedelta(days=90))
    _key(
        backend,
        intruder.planted_user.name,
        intruder.planted_key,
        intruder.planted_secret,
        story.times.create_key,
    )


def _key(backend: Any, user: str, key: str, secret: str, created: datetime) -> None:
    made = backend.create_access_key(user)
    backend.access_keys.pop(made.physical_resource_id, None)
    made.access_key_id, made.secret_access_key, made.create_date = key, secret, _naive(created)
    backend.access_keys[made.physical_resource_id] = made


def _sessions(story: Story) -> None:
    """The two sessions that the intruder held: known to STS, and over by now."""
    from moto.iam.models import AccessKey
    from moto.sts.models import AssumedRole, sts_backends

    estate, intruder, times = story.estate, story.intruder, story.times
    make_key: Any = AccessKey
    rng = story.rng("sessions")
    for role, name, key, issued, hours in (
        (estate.web_role, estate.suspect.instance, intruder.stolen_key, times.key_issued, 6),
        (estate.export_role, intruder.export_session, intruder.export_key, times.assume, 1),
    ):
        credentials: Any = make_key(user_name=None, prefix="ASIA", account_id=estate.account)
        credentials.access_key_id, credentials.secret_access_key = key, ids.secret_key(rng)
        session: Any = AssumedRole(
            account_id=estate.account,
            region_name=estate.region,
            access_key=credentials,
            role_session_name=name,
            role_arn=role.arn,
            policy="",
            duration=hours * 3600,
            external_id="",
        )
        session.issued_at = issued
        session.expiration = _naive(issued + timedelta(hours=hours))
        sts_backends[estate.account]["aws"].assumed_roles.append(session)


def _naive(moment: datetime) -> datetime:
    # moto keeps dates without a zone, in UTC
    return moment.replace(tzinfo=None)
