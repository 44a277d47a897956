"""CloudTrail files in the trail's bucket, as AWS delivers them, and signed digests that chain them.

References:
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-examples.html
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-digest-file-structure.html
"""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from irkit.sim.world import World

ALGORITHM = "SHA256withRSA"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_DATA_TYPES = {"s3.amazonaws.com": "AWS::S3::Object", "ebs.amazonaws.com": "AWS::EC2::Snapshot"}


@dataclass(slots=True)
class _Chain:
    """The digests of one trail in one region."""

    files: list[dict[str, str]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    start: datetime = field(default_factory=lambda: datetime.now(UTC))
    previous: dict[str, str] = field(default_factory=dict)


class Delivery:
    """Delivers what is recorded: in the background every few seconds, and at once when asked."""

    def __init__(self, here: World) -> None:
        self._world = here
        self._random = Random(here.seed)
        self._chains: defaultdict[tuple[str, str], _Chain] = defaultdict(_Chain)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._key: RSAPrivateKey | None = None
        self._born = datetime.now(UTC)
        self._thread = threading.Thread(target=self._run, name="irkit-sim-delivery", daemon=True)

    def start(self) -> None:
        """Deliver in the background from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Deliver what waits, and stop."""
        self._stopped.set()
        self._thread.join(timeout=10)

    def flush(self, *, digest: bool = True) -> list[str]:
        """Write waiting records to every trail that wants them; returns the keys written, digests last."""
        with self._lock:
            waiting = self._world.trail.take_undelivered()
            keys = []
            for trail in _logging_trails():
                for region, records in _grouped(trail, waiting).items():
                    keys.append(self._write(trail, region, records))
            if digest:
                for trail in _logging_trails():
                    keys += self._digest(trail)
            return keys

    def public_keys(self, start: datetime | None, end: datetime | None) -> list[dict[str, Any]]:
        """The key that digests are signed with, as ListPublicKeys shows it, if it was valid in the range."""
        del start, end  # one key, valid for the whole life of the world and longer
        der = self._public_der()
        return [
            {
                "Value": der,
                "ValidityStartTime": self._born.replace(hour=0, minute=0, second=0, microsecond=0),
                "ValidityEndTime": self._born.replace(year=self._born.year + 1, day=min(self._born.day, 28)),
                "Fingerprint": _fingerprint(der),
            }
        ]

    def _run(self) -> None:
        while not self._stopped.wait(max(self._world.pace.trail_delivery_seconds, 0.05)):
            self.flush(digest=False)

    def _write(self, trail: Any, region: str, records: list[dict[str, Any]]) -> str:
        now = datetime.now(UTC)
        name = "".join(self._random.choices(_LETTERS, k=16))
        folder = _folder(trail, "CloudTrail", region, now)
        key = f"{folder}/{trail.account_id}_CloudTrail_{region}_{now:%Y%m%dT%H%MZ}_{name}.json.gz"
        text = json.dumps({"Records": records}).encode()
        _put(trail, key, text, {"Content-Encoding": "gzip"})
        trail.status.latest_delivery_time = int(now.timestamp())
        if trail.log_validation:
            chain = self._chains[trail.arn, region]
            times = sorted(str(record["eventTime"]) for record in records)
            chain.events += [times[0], times[-1]]
            chain.files.append(
                {
                    "s3Bucket": trail.bucket_name,
                    "s3Object": key,
                    "hashValue": hashlib.sha256(text).hexdigest(),
                    "hashAlgorithm": "SHA-256",
                    "newestEventTime": times[-1],
                    "oldestEventTime": times[0],
                }
            )
        return key

    def _digest(self, trail: Any) -> Iterator[str]:
        if not trail.log_validation:
            return
        for (arn, region), chain in list(self._chains.items()):
            if arn == trail.arn and chain.files:
                yield self._seal(trail, region, chain)

    def _seal(self, trail: Any, region: str, chain: _Chain) -> str:
        end = max(
            datetime.now(UTC), chain.start + timedelta(seconds=1)
        )  # two in one second would share a key
        folder = _folder(trail, "CloudTrail-Digest", region, end)
        stem = f"{trail.account_id}_CloudTrail-Digest_{region}_{trail.trail_name}_{trail.region_name}"
        key = f"{folder}/{stem}_{end:%Y%m%dT%H%M%SZ}.json.gz"
        der = self._public_der()
        body = {
            "awsAccountId": trail.account_id,
            "digestStartTime": f"{chain.start:%Y-%m-%dT%H:%M:%SZ}",
            "digestEndTime": f"{end:%Y-%m-%dT%H:%M:%SZ}",
            "digestS3Bucket": trail.bucket_name,
            "digestS3Object": key,
            "digestPublicKeyFingerprint": _fingerprint(der),
            "digestSignatureAlgorithm": ALGORITHM,
            "newestEventTime": max(chain.events),
            "oldestEventTime": min(chain.events),
            "previousDigestS3Bucket": chain.previous.get("bucket"),
            "previousDigestS3Object": chain.previous.get("object"),
            "previousDigestHashValue": chain.previous.get("hash"),
            "previousDigestHashAlgorithm": "SHA-256" if chain.previous else None,
            "previousDigestSignature": chain.previous.get("signature"),
            "logFiles": chain.files,
        }
        text = json.dumps(body).encode()
        digest = hashlib.sha256(text).hexdigest()
        signed = "\n".join(
            [
                body["digestEndTime"],
                f"{trail.bucket_name}/{key}",
                digest,
                chain.previous.get("signature", "null"),
            ]
        )
        signature = self._sign(signed.encode())
        metadata = {"x-amz-meta-signature": signature, "x-amz-meta-signature-algorithm": ALGORITHM}
        _put(trail, key, text, {"Content-Encoding": "gzip", **metadata})
        chain.previous = {"bucket": trail.bucket_name, "object": key, "hash": digest, "signature": signature}
        chain.files, chain.events, chain.start = [], [], end
        return key

    def _private_key(self) -> RSAPrivateKey:
        from cryptography.hazmat.primitives.asymmetric import rsa

        if self._key is None:
            self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return self._key

    def _sign(self, data: bytes) -> str:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        return self._private_key().sign(data, padding.PKCS1v15(), hashes.SHA256()).hex()

    def _public_der(self) -> bytes:
        from cryptography.hazmat.primitives import serialization

        public = self._private_key().public_key()
        return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)


def _fingerprint(der: bytes) -> str:
    return hashlib.md5(der, usedforsecurity=False).hexdigest()


def _logging_trails() -> list[Any]:
    from moto.cloudtrail.models import cloudtrail_backends

    return [
        trail
        for account in list(cloudtrail_backends)
        for region in list(cloudtrail_backends[account])
        for trail in list(cloudtrail_backends[account][region].trails.values())
        if trail.status.is_logging
    ]


def _grouped(trail: Any, waiting: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The waiting records that this trail takes, by region."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for record in waiting:
        region = str(record.get("awsRegion"))
        if record.get("recipientAccountId") != trail.account_id:
            continue
        if not trail.is_multi_region and region != trail.region_name:
            continue
        if not record.get("managementEvent", True) and not _selects(trail, record):
            continue
        grouped.setdefault(region, []).append(record)
    return grouped


def _selects(trail: Any, record: dict[str, Any]) -> bool:
    """Whether the trail's event selectors ask for this data event's kind of resource."""
    wanted = _DATA_TYPES.get(str(record.get("eventSource")), "")
    for selector in trail.event_selectors:
        if any(resource.get("Type") == wanted for resource in selector.get("DataResources") or []):
            return True
    for selector in trail.advanced_event_selectors:
        fields = {f["Field"]: f.get("Equals") or [] for f in selector.get("FieldSelectors") or []}
        if "Data" in fields.get("eventCategory", []) and wanted in fields.get("resources.type", []):
            return True
    return False


def _folder(trail: Any, kind: str, region: str, now: datetime) -> str:
    prefix = f"{trail.s3_key_prefix.strip('/')}/" if trail.s3_key_prefix else ""
    return f"{prefix}AWSLogs/{trail.account_id}/{kind}/{region}/{now:%Y/%m/%d}"


def _put(trail: Any, key: str, text: bytes, metadata: dict[str, str]) -> None:
    from moto.s3.models import s3_backends

    for account in list(s3_backends):
        backend = s3_backends[account]["aws"]
        if trail.bucket_name in backend.buckets:
            made = backend.put_object(trail.bucket_name, key, gzip.compress(text, mtime=0))
            made.set_metadata({"Content-Type": "application/json", **metadata})
            return
