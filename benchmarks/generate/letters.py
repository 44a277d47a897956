"""Identifiers as AWS writes them, drawn from a seeded generator."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
BASE64 = f"{ALNUM}+/"
REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-northeast-1", "sa-east-1")
REGION_WEIGHTS = (40, 22, 14, 10, 8, 6)


def token(rng: Random, alphabet: str, length: int) -> str:
    """So many letters of `alphabet`."""
    return "".join(rng.choices(alphabet, k=length))


def uuid(rng: Random) -> str:
    """A version 4 UUID."""
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def steady(text: str) -> int:
    """A 64-bit number that follows from `text`, the same in every process (FNV-1a)."""
    number = 1469598103934665603
    for letter in text.encode():
        number = ((number ^ letter) * 1099511628211) & (2**64 - 1)
    return number


def stamp(seconds: float) -> str:
    """Seconds since 1970 as CloudTrail writes a time."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
