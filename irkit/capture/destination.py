"""Where a case's snapshots are kept for good: the forensics account, its region and key, and the lock on them.

It is fixed when the case is opened, among its sources:

    forensics_account   the account that the snapshots are shared with; follows from the role when that is given
    forensics_role      ARN of the role to assume there; with it irkit makes the copies, without it only shares
    forensics_region    where the copies are made [the case's region]
    forensics_key       KMS key (id, ARN or alias, in that account and region) that the copies are encrypted under
    transfer_key        KMS key of the suspect's account, for what is under a key that AWS does not let anyone share
    snapshot_lock       governance:DAYS, compliance:DAYS or compliance:DAYS:HOURS, where HOURS are left to think again

References:
    https://docs.aws.amazon.com/ebs/latest/userguide/ebs-modifying-snapshot-permissions.html
    https://docs.aws.amazon.com/ebs/latest/userguide/ebs-snapshot-lock.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from irkit.aws.names import account_id, arn_parts, region_name, role_arn
from irkit.errors import InvalidParameter
from irkit.escape import for_terminal

if TYPE_CHECKING:
    from irkit.aws.sessions import Sessions
    from irkit.case import Case

NAMES = (
    "forensics_account", "forensics_role", "forensics_region", "forensics_key", "transfer_key", "snapshot_lock",
)  # fmt: skip
_LOCK = re.compile(r"(governance|compliance):([0-9]{1,5})(?::([0-9]{1,2}))?")
_KEY = re.compile(
    r"(?:arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(?:key/[\w-]+|alias/[\w/-]+)|alias/[\w/-]+|(?:mrk-)?[0-9a-f-]{32,36})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A snapshot lock: `mode` governance or compliance, for `days`, with `hours` in which compliance can be undone."""

    mode: str
    days: int
    hours: int | None = None

    @classmethod
    def parsed(cls, text: str) -> Lock:
        """The lock that `snapshot_lock` describes, else `InvalidParameter`."""
        found = _LOCK.fullmatch(text)
        hours = int(found[3]) if found and found[3] else None
        if (
            not found
            or not 1 <= int(found[2]) <= 36_500
            or (hours is not None and (found[1] == "governance" or not 1 <= hours <= 72))
        ):
            raise InvalidParameter(
                f"{for_terminal(text)!r} is not a snapshot lock",
                hint="such as governance:90, compliance:365 or compliance:365:24 (1 to 36500 days, 1 to 72 hours)",
            )
        return cls(mode=found[1], days=int(found[2]), hours=hours)


def key_name(text: str) -> str:
    """`text` if it can name a KMS key (id, ARN, alias or alias ARN), else `InvalidParameter`."""
    if not _KEY.fullmatch(text):
        raise InvalidParameter(
            f"{for_terminal(text)!r} does not name a KMS key",
            hint="give its id, its ARN or an alias such as alias/evidence",
        )
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where snapshots go. `account` is None when they stay where they are, `home` is the region they are of."""

    home: str
    region: str
    account: str | None = None
    role: str | None = None
    key: str | None = None
    transfer_key: str | None = None
    lock: Lock | None = None
    case: Case | None = field(default=None, repr=False, compare=False)

    @classmethod
    def parsed(cls, sources: Mapping[str, str], *, home: str, case: Case | None = None) -> Destination:
        """The destination that a case's sources name; raises `InvalidName` or `InvalidParameter` for what is none."""
        role = role_arn(sources["forensics_role"]) if sources.get("forensics_role") else None
        account = account_id(sources["forensics_account"]) if sources.get("forensics_account") else None
        if role and account and arn_parts(role).account != account:
            raise InvalidParameter(
                f"forensics_role is a role of account {arn_parts(role).account}, forensics_account is {account}",
                hint="give a role of that account, or leave forensics_account out",
            )
        return cls(
            home=home,
            region=region_name(sources["forensics_region"]) if sources.get("forensics_region") else home,
            account=account or (arn_parts(role).account if role else None),
            role=role,
            key=key_name(sources["forensics_key"]) if sources.get("forensics_key") else None,
            transfer_key=key_name(sources["transfer_key"]) if sources.get("transfer_key") else None,
            lock=Lock.parsed(sources["snapshot_lock"]) if sources.get("snapshot_lock") else None,
            case=case,
        )

    @classmethod
    def of(cls, case: Case, *, given: Mapping[str, str] | None = None) -> Destination:
        """The destination of `case`; what is `given` goes before what its sources say."""
        if unknown := sorted(set(given or {}) - set(NAMES)):
            raise InvalidParameter(
                f"{for_terminal(unknown[0])!r} says nothing of where snapshots go",
                hint=f"choose among {', '.join(NAMES)}",
            )
        sources = {**case.facts.sources, **(given or {})}
        return cls.parsed(sources, home=case.facts.region, case=case)

    def __bool__(self) -> bool:
        """Whether there is anything to do for a snapshot beyond having it."""
        return bool(self.account or self.key or self.lock or self.region != self.home)

    def abroad(self, owner: str) -> bool:
        """Whether the snapshots leave the account `owner`."""
        return self.account is not None and self.account != owner

    def copies(self, owner: str) -> bool:
        """Whether irkit makes copies: with a role there, or within the account to another region or key."""
        if self.abroad(owner):
            return self.role is not None
        return self.role is not None or self.key is not None or self.region != self.home

    def principal(self) -> str:
        """The ARN that a grant for the destination names: the role, or the account where no role is known."""
        prefix = self.home.split("-")[0] + "-" + self.home.split("-")[1]
        partition = {"cn-north": "aws-cn", "cn-northwest": "aws-cn", "us-gov": "aws-us-gov"}.get(
            prefix, "aws"
        )
        return self.role or f"arn:{partition}:iam::{self.account}:root"

    def args(self) -> dict[str, Any]:
        """What tells one destination from another, as the journal holds it."""
        shown = {"account": self.account, "region": self.region, "key": self.key, "role": self.role}
        return {k: v for k, v in shown.items() if v} | ({"lock": asdict(self.lock)} if self.lock else {})

    def client(self, service: str) -> Any:
        """The boto3 client for `service` in the destination's account and region."""
        return self._sessions.client(service, region=self.region)

    @property
    def _sessions(self) -> Sessions:
        if self.case is None:
            raise InvalidParameter(
                "a destination without a case has no clients", hint="use Destination.of(case)"
            )
        return self.case.aws if self.role is None else self.case.aws.elsewhere(self.role, region=self.region)
