"""Sharing: who may see a snapshot, told exactly; and the grant that lets another account read it.

A snapshot under the key that AWS manages for EBS cannot be shared; one under a key of one's own can, when the key
admits the other account as well. irkit gives that admission as a KMS grant, which is taken back by one call and leaves
the key's policy alone.

References:
    https://docs.aws.amazon.com/ebs/latest/userguide/ebs-modifying-snapshot-permissions.html
    https://docs.aws.amazon.com/kms/latest/developerguide/grants.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from irkit.aws import translating, wait_until
from irkit.errors import WrongState
from irkit.plan import Call, Outcome, Running, Undo

PERMISSION = "createVolumePermission"
# What EBS asks KMS for on behalf of who copies: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html
OPERATIONS = ("DescribeKey", "Decrypt", "CreateGrant", "ReEncryptFrom", "GenerateDataKeyWithoutPlaintext")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visible:
    """The accounts that a snapshot is shared with, and whether it is with all the world. Empty: its owner alone."""

    accounts: tuple[str, ...]
    public: bool

    def beyond(self, *expected: str) -> tuple[str, ...]:
        """Who sees it besides `expected`."""
        return tuple(a for a in self.accounts if a not in expected) + (("everyone",) if self.public else ())


def visible(ec2: Any, snapshot: str, *, region: str) -> Visible:
    """Who `snapshot`, which `ec2` owns, is shared with."""
    with translating("ask who can see", snapshot, region=region):
        said = ec2.describe_snapshot_attribute(SnapshotId=snapshot, Attribute=PERMISSION)
    held = said.get("CreateVolumePermissions", ())
    return Visible(
        accounts=tuple(sorted(str(p["UserId"]) for p in held if p.get("UserId"))),
        public=any(p.get("Group") == "all" for p in held),
    )


def shared(running: Running, snapshot: str, account: str, *, held: Iterable[str]) -> Outcome:
    """Let `account` see `snapshot`, and see that it does; whoever else sees it is told as missing, for it is wrong.

    `held` are the accounts that it was shared with before.
    """
    case, region = running.case, running.case.facts.region
    ec2, requests = case.client("ec2"), []
    if account not in held:
        with translating("share snapshot", snapshot, region=region):
            answer = ec2.modify_snapshot_attribute(
                SnapshotId=snapshot, Attribute=PERMISSION, OperationType="add", UserIds=[account]
            )
        requests.append(str(answer["ResponseMetadata"]["RequestId"]))

    def seen() -> Visible | None:
        now = visible(ec2, snapshot, region=region)
        return now if account in now.accounts else None

    now = wait_until(
        seen, what=f"the sharing of {snapshot} with {account}", timeout=max(1.0, running.seconds_left - 5),
        stop=lambda: running.stopped,
    )  # fmt: skip
    return outcome(snapshot, account, now, ours=account not in held, region=region, requests=requests)


def outcome(
    snapshot: str, account: str, now: Visible, *, ours: bool, region: str, requests: Iterable[str] = ()
) -> Outcome:
    """What sharing came to: `ours` says whether it is to irkit that `account` owes it, and so to irkit to end it."""
    back = Call(
        service="ec2", operation="ModifySnapshotAttribute", region=region,
        params={"SnapshotId": snapshot, "Attribute": PERMISSION, "OperationType": "remove", "UserIds": [account]},
    )  # fmt: skip
    strangers = now.beyond(account)
    return Outcome(
        result={"snapshot": snapshot, "accounts": list(now.accounts), "public": now.public},
        after={"accounts": list(now.accounts)},
        request_ids=tuple(requests),
        undo=Undo(calls=(back,)) if ours else Undo(impossible=f"it was shared with {account} before irkit"),
        missing=tuple(
            f"{snapshot} is also shared with {who}: not by irkit; see CloudTrail" for who in strangers
        ),
    )


def manager(kms: Any, key: str, *, region: str) -> str:
    """Who manages `key`: AWS, whose keys nobody can share, or CUSTOMER. Raises `WrongState` for one not in use."""
    with translating("describe key", key, region=region):
        said = kms.describe_key(KeyId=key)["KeyMetadata"]
    if said.get("KeyState", "Enabled") != "Enabled":
        raise WrongState(
            f"the KMS key {key} is {said['KeyState']}, so what is under it can be neither read nor copied",
            hint="have it enabled, or its deletion cancelled, then apply the plan again",
        )
    return str(said.get("KeyManager", "CUSTOMER"))


def granted(running: Running, keys: Iterable[str], principal: str) -> Outcome:
    """Let `principal` read what is under each of `keys`; a grant of this step that stands already is kept."""
    region = running.case.facts.region
    kms = running.case.client("kms")
    name = f"irkit-{running.case.id}-{running.step_id}"
    grants: dict[str, str] = {}
    requests: list[str] = []
    for key in sorted(set(keys)):
        with translating("grant the use of", key, region=region):
            pages = kms.get_paginator("list_grants").paginate(KeyId=key)
            held = [g for page in pages for g in page["Grants"] if g.get("Name") == name]
            if not held:
                made = kms.create_grant(
                    KeyId=key, GranteePrincipal=principal, Operations=list(OPERATIONS), Name=name
                )
                requests.append(str(made["ResponseMetadata"]["RequestId"]))
                held = [made]
        grants[key] = str(held[0]["GrantId"])
    if not grants:
        return Outcome(skipped="nothing in the set is under a key that could be granted")
    back = tuple(
        Call(service="kms", operation="RevokeGrant", region=region, params={"KeyId": k, "GrantId": g})
        for k, g in grants.items()
    )
    return Outcome(
        result={"principal": principal, "grants": grants}, request_ids=tuple(requests), undo=Undo(calls=back)
    )
