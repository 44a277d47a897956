"""Seals: the journal's head, signed, so that whoever holds the public key can tell that nothing before it has changed.

A hash chain proves order to those who trust its head. A seal is that trust: a small statement (case, number of entries,
head, hash of the manifest, time) signed with an asymmetric KMS key in the forensics account, or a local Ed25519 key.
KMS is asked with MessageType RAW and ECDSA_SHA_256, so the signature verifies offline as plain ECDSA over SHA-256.
https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irkit import durable
from irkit.canonical import dumps, timestamp
from irkit.errors import BadInput, MissingExtra, NotFound
from irkit.evidence.manifest import MANIFEST
from irkit.journal import Kind

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.journal import Entry, Reading

FOLDER = "seals"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A signed statement. `public_key` is PEM; `signature` is base64, over the canonical JSON of `statement`."""

    statement: Mapping[str, Any]
    algorithm: str
    key: str
    public_key: str
    signature: str

    @property
    def message(self) -> bytes:
        """The bytes that are signed."""
        return dumps(self.statement).encode("ascii")

    def to_dict(self) -> dict[str, Any]:
        """The seal as its file holds it."""
        return {
            "schema": "irkit/seal/1",
            "statement": dict(self.statement),
            "algorithm": self.algorithm,
            "key": self.key,
            "public_key": self.public_key,
            "signature": self.signature,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Seal:
        """The seal that `to_dict` wrote; `ValueError` or `KeyError` where it is none."""
        if raw["schema"] != "irkit/seal/1" or not isinstance(raw["statement"], dict):
            raise ValueError("not a seal")
        return cls(
            statement=raw["statement"],
            algorithm=str(raw["algorithm"]),
            key=str(raw["key"]),
            public_key=str(raw["public_key"]),
            signature=str(raw["signature"]),
        )


def with_kms(case: Case, key_id: str) -> Path:
    """Seal the case with the asymmetric KMS key `key_id` (ECC_NIST_P256, usage SIGN_VERIFY); returns the seal's file.

    The request is in CloudTrail of the key's account: a witness that this machine cannot change.
    """
    return _keep(case, sign_with_kms(case, key_id, lambda signer: _statement(case, signer)))


def sign_with_kms(case: Case, key_id: str, statement_of: Callable[[str], Mapping[str, Any]]) -> Seal:
    """The statement that `statement_of` makes for a signer, signed with the KMS key `key_id` as `with_kms` does."""
    from irkit.aws.refusals import translating

    kms = case.client("kms")
    with translating("read the public key of", key_id, region=case.facts.region):
        public = kms.get_public_key(KeyId=key_id)
    statement = statement_of(f"kms {public['KeyId']}")
    with translating("sign with", key_id, region=case.facts.region):
        signed = kms.sign(
            KeyId=key_id,
            Message=dumps(statement).encode("ascii"),
            MessageType="RAW",
            SigningAlgorithm="ECDSA_SHA_256",
        )
    pem = (
        "-----BEGIN PUBLIC KEY-----\n"
        + base64.encodebytes(public["PublicKey"]).decode("ascii")
        + "-----END PUBLIC KEY-----\n"
    )
    return Seal(
        statement=statement,
        algorithm="ECDSA_SHA_256",
        key=public["KeyId"],
        public_key=pem,
        signature=base64.b64encode(signed["Signature"]).decode("ascii"),
    )


def with_key(case: Case, path: Path) -> Path:
    """Seal the case with the Ed25519 private key in the PEM file `path`; returns the seal's file."""
    return _keep(case, sign_with_key(path, lambda signer: _statement(case, signer)))


def sign_with_key(path: Path, statement_of: Callable[[str], Mapping[str, Any]]) -> Seal:
    """The statement that `statement_of` makes for a signer, signed with the Ed25519 private key in the PEM file."""
    ed25519, serialization = _cryptography()
    try:
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError as error:
        raise NotFound(f"no key at {path}", hint="make one with `irkit case seal --make-key`") from error
    except (ValueError, TypeError) as error:
        raise BadInput(
            f"{path} is not an unencrypted private key in PEM", hint="make one with --make-key"
        ) from error
    if not isinstance(private, ed25519.Ed25519PrivateKey):
        raise BadInput(
            f"{path} holds another kind of key", hint="irkit signs with Ed25519; make one with --make-key"
        )
    pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    statement = statement_of(f"key {sha256(pem).hexdigest()[:16]}")
    return Seal(
        statement=statement,
        algorithm="Ed25519",
        key=sha256(pem).hexdigest()[:16],
        public_key=pem.decode("ascii"),
        signature=base64.b64encode(private.sign(dumps(statement).encode("ascii"))).decode("ascii"),
    )


def make_key(path: Path) -> Path:
    """A new Ed25519 private key at `path`, for its owner only, and its public half at `path`.pub; never overwrites."""
    ed25519, serialization = _cryptography()
    private = ed25519.Ed25519PrivateKey.generate()
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.create(
        path,
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    durable.create(path.with_name(f"{path.name}.pub"), public)
    return path


def problems(root: Path, reading: Reading, *, public_key: Path | None = None) -> tuple[list[str], list[str]]:
    """What is wrong with the seals of the case at `root`, and what is worth knowing of them.

    `public_key` is a PEM file that every seal must be signed with; without it a seal shows only that it fits the key
    that it carries.
    """
    faults: list[str] = []
    notes: list[str] = []
    wanted = public_key.read_text() if public_key else None
    for path in sorted((root / FOLDER).glob("*.json")):
        name = f"{FOLDER}/{path.name}"
        try:
            content = path.read_bytes()
            seal = Seal.from_dict(json.loads(content))
            entries, head = int(seal.statement["entries"]), str(seal.statement["head"])
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
            faults.append(f"{name}: changed: it is no seal any more")
            continue
        if content != _rendered(seal) or set(seal.public_key) & set("\r\t\b\f\v"):
            faults.append(f"{name}: changed: not as irkit wrote it")
        if wanted is not None and seal.public_key.split() != wanted.split():
            faults.append(f"{name}: signed with another key than {public_key}")
        try:
            if not fits(seal):
                faults.append(f"{name}: the signature does not fit the statement")
                continue
        except MissingExtra as missing:
            notes.append(f"{name}: signature not checked: {missing.hint}")
        if entries > len(reading.entries):
            faults.append(
                f"journal.jsonl: {entries - len(reading.entries)} entries that {name} sealed are gone from its end"
            )
        elif entries < 1 or reading.entries[entries - 1].hash != head:
            faults.append(f"{name}: seals another journal than journal.jsonl")
        elif not _names_signer(seal, reading.entries[entries - 1]):
            faults.append(f"{name}: changed: it names another key than the journal does")
        else:
            notes.append(
                f"{name}: {entries} entries sealed at {seal.statement.get('sealed_at')} by {seal.key}"
            )
    if wanted is not None and not any((root / FOLDER).glob("*.json")):
        faults.append(f"{FOLDER}: there is no seal to hold against {public_key}")
    return faults, notes


def _statement(case: Case, signer: str) -> dict[str, Any]:
    """What is signed. The journal says first that it is about to be, so the seal covers that entry too."""
    with (
        case.journal.exclusive()
    ):  # or another process could put its own manifest between the entry and its hash
        case.evidence.write_manifest()
        case.journal.append(Kind.NOTE, what="about to be sealed", signer=signer)
        case.evidence.write_manifest()
        seq, head = case.journal.head
        manifest = (case.root / MANIFEST).read_bytes()
    return {
        "case": case.id,
        "entries": seq + 1,
        "head": head,
        "manifest_sha256": sha256(manifest).hexdigest(),
        "sealed_at": timestamp(datetime.now(UTC)),
    }


def _keep(case: Case, seal: Seal) -> Path:
    path = case.root / FOLDER / f"{seal.statement['entries']:08d}-{os.urandom(3).hex()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.create(path, _rendered(seal))
    return path


def _rendered(seal: Seal) -> bytes:
    return (json.dumps(seal.to_dict(), indent=1, sort_keys=True) + "\n").encode("ascii")


def _names_signer(seal: Seal, entry: Entry) -> bool:
    """Whether the sealed entry says that it is this key that is about to sign."""
    return str(entry.body.get("signer", "")).partition(" ")[2] == seal.key


def fits(seal: Seal) -> bool:
    """Whether the signature is one of the statement with the key that the seal carries."""
    ed25519, serialization = _cryptography()
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_pem_public_key(seal.public_key.encode())
        signature = base64.b64decode(seal.signature, validate=True)
        if isinstance(key, ed25519.Ed25519PublicKey) and seal.algorithm == "Ed25519":
            key.verify(signature, seal.message)
        elif isinstance(key, ec.EllipticCurvePublicKey) and seal.algorithm == "ECDSA_SHA_256":
            key.verify(signature, seal.message, ec.ECDSA(hashes.SHA256()))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingExtra(
            "signatures need the package cryptography", hint="pip install 'irkit-aws[seal]'"
        ) from error
    return ed25519, serialization
