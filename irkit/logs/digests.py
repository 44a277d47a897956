"""CloudTrail's digest files: what they say, whether they were signed, and whether they follow one another.

Every hour CloudTrail lists the files it delivered, with their SHA-256, in a digest. The digest names its predecessor
with hash and signature, and is signed itself; the signature is in the object's metadata and in the next digest.

References:
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-digest-file-structure.html
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-custom-validation.html
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from irkit.errors import BadInput, MissingExtra

ALGORITHM = "SHA256withRSA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A log file as a digest lists it: its key, and the SHA-256 of its unpacked content."""

    key: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """One digest: what it covers, what it lists, and how it is tied to the one before."""

    key: str
    bucket: str
    sha256: str
    chain: str
    start: datetime
    end: datetime
    fingerprint: str
    files: tuple[Listed, ...]
    previous_key: str | None
    previous_sha256: str | None
    previous_signature: str | None
    signed_end: str

    def signed_text(self) -> bytes:
        """What CloudTrail signs for this digest."""
        before = self.previous_signature or "null"
        return f"{self.signed_end}\n{self.bucket}/{self.key}\n{self.sha256}\n{before}".encode()


def read_digest(text: bytes) -> Digest:
    """The digest in `text` (unpacked). Raises `ValueError` where it is none."""
    try:
        body = json.loads(text)
        key = str(body["digestS3Object"])
        return Digest(
            key=key,
            bucket=str(body["digestS3Bucket"]),
            sha256=hashlib.sha256(text).hexdigest(),
            chain=chain_of(key),
            start=_time(body["digestStartTime"]),
            end=_time(body["digestEndTime"]),
            fingerprint=str(body["digestPublicKeyFingerprint"]),
            files=tuple(
                Listed(key=str(one["s3Object"]), sha256=str(one["hashValue"]).lower())
                for one in body["logFiles"]
            ),
            previous_key=body.get("previousDigestS3Object"),
            previous_sha256=body.get("previousDigestHashValue"),
            previous_signature=body.get("previousDigestSignature"),
            signed_end=str(body["digestEndTime"]),
        )
    except (KeyError, TypeError, RecursionError, AttributeError) as error:
        raise ValueError(f"no CloudTrail digest: {type(error).__name__} {error}") from error


def _time(text: object) -> datetime:
    found = datetime.fromisoformat(str(text))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def chain_of(key: str) -> str:
    """What the digests of one trail in one region have in common in their keys: all but the date and the time."""
    folder, _, name = key.rpartition("/")
    return f"{'/'.join(folder.split('/')[:-3])}/{name.rsplit('_', 1)[0]}"


class PublicKeys:
    """The keys that CloudTrail signs digests with, by fingerprint."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = dict(keys)

    @classmethod
    def of_answer(cls, keys: Iterable[Mapping[str, Any]]) -> PublicKeys:
        """From the `PublicKeyList` of ListPublicKeys, as boto3 or `aws cloudtrail list-public-keys` gives it."""
        found: dict[str, bytes] = {}
        try:
            for key in keys:
                value = key["Value"]
                found[str(key["Fingerprint"])] = (
                    value if isinstance(value, bytes) else base64.b64decode(value)
                )
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(
                "this is no list of CloudTrail's public keys",
                hint="save what `aws cloudtrail list-public-keys` prints",
            ) from error
        return cls(found)

    @classmethod
    def of_file(cls, text: bytes) -> PublicKeys:
        """From a file with what `aws cloudtrail list-public-keys` printed."""
        try:
            answer = json.loads(text)
            keys = answer["PublicKeyList"]
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(
                "this is no list of CloudTrail's public keys",
                hint="save what `aws cloudtrail list-public-keys` prints",
            ) from error
        return cls.of_answer(keys)

    def __contains__(self, fingerprint: object) -> bool:
        return fingerprint in self._keys

    def signed(self, digest: Digest, signature: str) -> bool:
        """Whether `signature` (hexadecimal) is CloudTrail's for `digest`; the key must be known."""
        try:
            from cryptography.exceptions import InvalidSignature
            from cryptography.hazmat.primitives import hashes, serialization
            from cryptography.hazmat.primitives.asymmetric import padding, rsa
        except ModuleNotFoundError as missing:
            raise MissingExtra(
                "checking signatures needs cryptography", hint='pip install "irkit-aws[seal]"'
            ) from missing
        try:
            public = serialization.load_der_public_key(_wrapped(self._keys[digest.fingerprint]))
            if not isinstance(public, rsa.RSAPublicKey):
                return False
            public.verify(bytes.fromhex(signature), digest.signed_text(), padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError):
            return False
        return True


def _wrapped(der: bytes) -> bytes:
    """A PKCS #1 public key, which is what CloudTrail publishes, as the SubjectPublicKeyInfo that libraries load."""
    algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
    bits = b"\x03" + _length(len(der) + 1) + b"\x00" + der
    return b"\x30" + _length(len(algorithm) + len(bits)) + algorithm + bits


def _length(size: int) -> bytes:
    if size < 128:
        return bytes([size])
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(octets)]) + octets
