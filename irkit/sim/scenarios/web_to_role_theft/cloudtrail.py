"""CloudTrail records, field for field in the shapes and the order that AWS delivers.

References: AWS CloudTrail user guide, "CloudTrail record contents" and "CloudTrail userIdentity element"; the shapes
of EC2 (`items` lists, `Client.` error codes), S3 (additionalEventData) and STS were checked against records that
were published from real accounts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from irkit.sim.scenarios.web_to_role_theft import ids
from irkit.sim.scenarios.web_to_role_theft.story import Role, User

Record = dict[str, Any]

_READING = (
    "Get",
    "List",
    "Describe",
    "Head",
    "Lookup",
    "AssumeRole",
    "Decrypt",
    "Batch",
    "Filter",
    "Simulate",
)
_OPAQUE = "IQoJb3JpZ2luX2VjE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Whoever signs a call: the userIdentity element, and where and with what the calls come."""

    identity: dict[str, Any]
    ip: str
    agent: str
    account: str
    endpoint: str | None = None
    """The VPC endpoint that the calls go through; their source address is then a private one."""


def user(owner: User, account: str, ip: str, agent: str, *, key: str | None = None) -> Actor:
    """An IAM user signing with its own key, or with `key`."""
    identity = {
        "type": "IAMUser",
        "principalId": owner.unique_id,
        "arn": owner.arn,
        "accountId": account,
        "accessKeyId": key or owner.key,
        "userName": owner.name,
    }
    return Actor(identity=identity, ip=ip, agent=agent, account=account)


def session(
    role: Role,
    account: str,
    name: str,
    key: str,
    created: datetime,
    ip: str,
    agent: str,
    *,
    mfa: bool = False,
    delivery: str | None = None,
    endpoint: str | None = None,
    invoked_by: str | None = None,
) -> Actor:
    """A session of `role`; `delivery` is the IMDS version (`1.0`, `2.0`) for credentials of an instance."""
    context: dict[str, Any] = {
        "sessionIssuer": {
            "type": "Role",
            "principalId": role.unique_id,
            "arn": role.arn,
            "accountId": account,
            "userName": role.name,
        },
        "attributes": {"creationDate": ids.iso(created), "mfaAuthenticated": str(mfa).lower()},
    }
    if delivery:
        context["ec2RoleDelivery"] = delivery
    identity = {
        "type": "AssumedRole",
        "principalId": f"{role.unique_id}:{name}",
        "arn": session_arn(role, account, name),
        "accountId": account,
        "accessKeyId": key,
        "sessionContext": context,
    }
    if invoked_by:
        identity["invokedBy"] = invoked_by
    return Actor(identity=identity, ip=ip, agent=agent, account=account, endpoint=endpoint)


def service(name: str, account: str) -> Actor:
    """An AWS service that acts on its own account's behalf, such as `ec2.amazonaws.com` assuming a role."""
    return Actor(identity={"type": "AWSService", "invokedBy": name}, ip=name, agent=name, account=account)


def federated(name: str, account: str, ip: str, agent: str) -> Actor:
    """A person at the moment single sign-on hands over: no key yet, only the provider's word."""
    identity = {
        "type": "SAMLUser",
        "principalId": f"SSO:{name}",
        "userName": name,
        "identityProvider": f"arn:aws:iam::{account}:saml-provider/sso",
    }
    return Actor(identity=identity, ip=ip, agent=agent, account=account)


def session_arn(role: Role, account: str, name: str) -> str:
    """The ARN of one session of a role; the role's path is not part of it."""
    return f"arn:aws:sts::{account}:assumed-role/{role.name}/{name}"


def record(
    rng: Random,
    actor: Actor,
    when: datetime,
    call: str,
    region: str,
    *,
    request: dict[str, Any] | None = None,
    response: dict[str, Any] | None = None,
    error: str | None = None,
    message: str | None = None,
    extra: dict[str, Any] | None = None,
    resources: list[dict[str, str]] | None = None,
    data: bool = False,
    kind: str = "AwsApiCall",
) -> Record:
    """The record of `call` (`iam:CreateAccessKey`) by `actor` at `when`."""
    source, _, name = call.partition(":")
    of_service = actor.identity["type"] == "AWSService"
    entry: Record = {
        "eventVersion": "1.09" if not data else "1.11",
        "userIdentity": actor.identity,
        "eventTime": ids.iso(when),
        "eventSource": f"{source}.amazonaws.com",
        "eventName": name,
        "awsRegion": region,
        "sourceIPAddress": actor.ip,
        "userAgent": actor.agent,
    }
    if error:
        entry["errorCode"] = error
        entry["errorMessage"] = message or "An unknown error occurred"
    entry["requestParameters"] = request
    entry["responseElements"] = response
    if extra:
        entry["additionalEventData"] = extra
    entry["requestID"] = ids.uuid(rng) if source != "s3" else ids.token(rng, 16).upper()
    entry["eventID"] = ids.uuid(rng)
    entry["readOnly"] = name.startswith(_READING)
    if resources:
        entry["resources"] = resources
    entry["eventType"] = kind
    entry["managementEvent"] = not data
    entry["recipientAccountId"] = actor.account
    if actor.endpoint:
        entry["vpcEndpointId"] = actor.endpoint
    entry["eventCategory"] = "Data" if data else "Management"
    if not of_service and not actor.identity.get("invokedBy"):
        local = source not in ("iam", "organizations", "signin")
        entry["tlsDetails"] = {
            "tlsVersion": "TLSv1.3",
            "cipherSuite": "TLS_AES_128_GCM_SHA256",
            "clientProvidedHostHeader": f"{source}.{region}.amazonaws.com"
            if local
            else f"{source}.amazonaws.com",
        }
    return entry


def denied(
    rng: Random,
    actor: Actor,
    when: datetime,
    call: str,
    region: str,
    *,
    request: dict[str, Any] | None = None,
    resource: str = "*",
) -> Record:
    """A call that IAM refused; EC2 words it differently from the rest."""
    source = call.partition(":")[0]
    who = actor.identity["arn"]
    why = "because no identity-based policy allows the"
    if source == "ec2":
        error = "Client.UnauthorizedOperation"
        message = (
            f"You are not authorized to perform this operation. User: {who} is not authorized to perform: {call} on "
            f"resource: {resource} {why} {call} action. Encoded authorization failure message: {ids.token(rng, 60)}"
        )
    else:
        error = "AccessDeniedException" if source == "organizations" else "AccessDenied"
        message = (
            f"User: {who} is not authorized to perform: {call} on resource: {resource} {why} {call} action"
        )
    return record(rng, actor, when, call, region, request=request, error=error, message=message)


def assume_role(
    rng: Random,
    actor: Actor,
    when: datetime,
    role: Role,
    account: str,
    name: str,
    key: str,
    region: str,
    *,
    hours: float = 1.0,
    call: str = "sts:AssumeRole",
) -> Record:
    """The record that issues the session key `key`: what role-chain lineage is made from."""
    expires = when + timedelta(hours=hours)
    hour = expires.hour % 12 or 12
    return record(
        rng,
        actor,
        when,
        call,
        region,
        request={"roleArn": role.arn, "roleSessionName": name, "durationSeconds": int(hours * 3600)},
        response={
            "credentials": {
                "accessKeyId": key,
                "sessionToken": _OPAQUE + ids.token(rng, 96) + "==",
                "expiration": f"{expires:%b} {expires.day}, {expires.year}, {hour}:{expires:%M:%S %p}",
            },
            "assumedRoleUser": {
                "assumedRoleId": f"{role.unique_id}:{name}",
                "arn": session_arn(role, account, name),
            },
        },
        resources=[{"accountId": account, "type": "AWS::IAM::Role", "ARN": role.arn}],
    )


def s3_object(
    rng: Random,
    actor: Actor,
    when: datetime,
    call: str,
    region: str,
    bucket: str,
    key: str | None,
    *,
    sent: int = 0,
    received: int = 0,
    error: str | None = None,
) -> Record:
    """An S3 data event; `sent` bytes left the bucket, `received` came in. `key` None is a listing."""
    request = {"bucketName": bucket, "Host": f"{bucket}.s3.{region}.amazonaws.com"}
    resources = [{"accountId": actor.account, "type": "AWS::S3::Bucket", "ARN": f"arn:aws:s3:::{bucket}"}]
    if key is None:
        request |= {"list-type": "2", "prefix": "", "encoding-type": "url"}
        resources.append({"type": "AWS::S3::Object", "ARNPrefix": f"arn:aws:s3:::{bucket}/"})
    else:
        request["key"] = key
        resources.append({"type": "AWS::S3::Object", "ARN": f"arn:aws:s3:::{bucket}/{key}"})
    return record(
        rng,
        actor,
        when,
        call,
        region,
        request=request,
        resources=resources,
        data=True,
        error=error,
        message="Access Denied" if error else None,
        extra={
            "SignatureVersion": "SigV4",
            "CipherSuite": "TLS_AES_128_GCM_SHA256",
            "bytesTransferredIn": received,
            "SSEApplied": "Default_SSE_S3",
            "AuthenticationMethod": "AuthHeader",
            "x-amz-id-2": ids.token(rng, 40),
            "bytesTransferredOut": sent,
        },
    )
