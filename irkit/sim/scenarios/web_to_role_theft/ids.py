"""Identifiers as AWS shapes them, drawn from a seeded generator so that a world can be planted twice."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from random import Random

_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_SECRET = _ALNUM + "+/"


def resource_id(rng: Random, prefix: str) -> str:
    """An EC2 resource id, such as `i-0123456789abcdef0`: like AWS's today, it starts with a zero."""
    return f"{prefix}-0{rng.getrandbits(64):016x}"


def uuid(rng: Random) -> str:
    """A version 4 UUID, as in eventID and requestID."""
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def access_key(rng: Random, prefix: str, account: str) -> str:
    """An access key id (`AKIA…`, `ASIA…`) that carries its account number the way AWS's keys do.

    References: Tal Be'ery, "A short note on AWS KEY ID" (2023): bits 7 to 46 of the decoded id are the account.
    """
    head = (1 << 47) | (int(account) << 7) | rng.getrandbits(7)
    return prefix + base64.b32encode(head.to_bytes(6, "big") + rng.randbytes(4)).decode()


def unique_id(rng: Random, prefix: str) -> str:
    """An IAM unique id: `AROA…` for a role, `AIDA…` for a user."""
    return prefix + "".join(rng.choices(_BASE32, k=17))


def secret_key(rng: Random) -> str:
    """A 40-character secret access key."""
    return "".join(rng.choices(_SECRET, k=40))


def token(rng: Random, length: int) -> str:
    """Letters and digits, for file names, S3 request ids and session names."""
    return "".join(rng.choices(_ALNUM, k=length))


def ssh_public_key(rng: Random) -> tuple[str, str]:
    """An Ed25519 public key: its base64 blob, and its fingerprint as `ssh-keygen -l` prints it."""
    blob = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20" + rng.randbytes(32)
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return base64.b64encode(blob).decode(), f"SHA256:{digest}"


def octet(seed: int, step: int) -> int:
    """A host number from 20 to 251 that differs for any two seeds less than 232 apart.

    Drawing at random from a /24 would let two worlds share an attacker by chance; 20 and above leaves room for
    the organisation's own addresses in the same documentation ranges.
    """
    return 20 + (seed * 89 + step * 53) % 232


def iso(when: datetime) -> str:
    """A UTC time as CloudTrail writes it: whole seconds, `Z`."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
