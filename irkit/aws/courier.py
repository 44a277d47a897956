"""Links that a suspect machine may hold: signed by a session that can do nothing else, and that ends within the hour.

A presigned URL names the key that signed it and, for temporary credentials, carries their session token. Neither signs
anything without the secret, which never leaves this process; but the responder's own must not be seen by an intruder
at all. So the links are signed by a courier: a session of its own, narrowed to the objects of one transfer.

References:
    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
    https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session
    https://docs.aws.amazon.com/STS/latest/APIReference/API_GetFederationToken.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

from irkit.aws.names import role_arn
from irkit.aws.refusals import translating
from irkit.aws.sessions import Sessions
from irkit.errors import Refused

# A role that is assumed by a role gives an hour at most, and no link may outlive who signed it.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining
SECONDS = 3600
_FEDERATED_NAME = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Courier:
    """A session for links. `expires` is when it ends, `how` says by which call it was made."""

    expires: datetime
    how: str
    arn: str
    _credentials: dict[str, str] = field(repr=False)

    @property
    def seconds_left(self) -> float:
        """Seconds until its links stop working, whatever they themselves say; never below 0."""
        return max(0.0, (self.expires - datetime.now(UTC)).total_seconds())

    def client(self, region: str) -> Any:
        """An S3 client that signs links with Signature Version 4 and asks for no checksum that a host cannot give."""
        session = boto3.Session(
            aws_access_key_id=self._credentials["AccessKeyId"],
            aws_secret_access_key=self._credentials["SecretAccessKey"],
            aws_session_token=self._credentials["SessionToken"],
            region_name=region,
        )
        config = Config(
            signature_version="s3v4",
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return session.client("s3", region_name=region, config=config)


def policy(bucket: str, *, reads: Iterable[str], writes: Iterable[str]) -> dict[str, Any]:
    """A session policy for `bucket`: read the keys `reads`, write the keys `writes`, use its KMS key through S3."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": [f"arn:aws:s3:::{bucket}/{k}" for k in reads]},
            {"Effect": "Allow", "Action": "s3:PutObject", "Resource": [f"arn:aws:s3:::{bucket}/{k}" for k in writes]},
            {
                "Effect": "Allow",
                "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
                "Resource": "*",
                "Condition": {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com"}},
            },
        ],
    }  # fmt: skip


def courier(sessions: Sessions, allowed: dict[str, Any], *, role: str | None = None) -> Courier:
    """A courier that may do what the session policy `allowed` says and its signer may do too.

    `role` is assumed when given; else the case's own role once more; else, with a user's long-term keys, a federation
    token. Raises `Refused` where there are only temporary credentials and no role: their token would be in each link.
    """
    told = {"Policy": json.dumps(allowed, separators=(",", ":")), "DurationSeconds": SECONDS}
    arn = role_arn(role) if role else sessions.role
    if arn is not None:
        with translating("assume the role that signs links", arn, region=sessions.region):
            sts = sessions.client("sts") if role else _own_sts(sessions)
            said = sts.assume_role(
                RoleArn=arn, RoleSessionName=f"courier-{sessions.session_name}"[:64],
                SourceIdentity=sessions.source_identity, **told,
            )  # fmt: skip
        return _made(said, said["AssumedRoleUser"]["Arn"], "sts:AssumeRole")
    with translating("find credentials", region=sessions.region):
        held = sessions.session().get_credentials()
    if held is not None and held.token:
        raise Refused(
            "links for the suspect cannot be signed: the responder's credentials are temporary, and every link would "
            "carry their token",
            hint="open the case with --role, or with --source courier_role=ARN of a role that may be assumed",
        )
    with translating("ask for a federation token", region=sessions.region):
        name = f"irkit-{sessions.case_id}"[:_FEDERATED_NAME].rstrip("-")
        said = sessions.client("sts").get_federation_token(Name=name, **told)
    return _made(said, said["FederatedUser"]["Arn"], "sts:GetFederationToken")


def _own_sts(sessions: Sessions) -> Any:
    """STS by the credentials that the case's role is assumed with: a role need not trust itself."""
    return botocore.session.get_session().create_client(
        "sts", region_name=sessions.region, config=Config(user_agent_extra=sessions.user_agent)
    )


def _made(said: dict[str, Any], arn: str, how: str) -> Courier:
    held = said["Credentials"]
    return Courier(
        expires=held["Expiration"],
        how=how,
        arn=arn,
        _credentials={name: held[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")},
    )
