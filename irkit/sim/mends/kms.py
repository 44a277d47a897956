"""KMS: signatures that verify outside KMS, and keys by ARN wherever AWS takes one."""

from __future__ import annotations

from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from moto.kms.models import KmsBackend
from moto.kms.responses import KmsResponse
from moto.kms.utils import ECDSAPrivateKey, RSAPrivateKey

from irkit.sim.faults import Refusal
from irkit.sim.seams import mends

RAW_LIMIT = 4096
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}


class _Digest(bytes):
    """A message that is a digest already, on its way through moto's key classes."""


def _hash_of(algorithm: str, message: bytes) -> Any:
    chosen = _HASHES[algorithm.rsplit("_", 1)[-1]]
    if not isinstance(message, _Digest):
        return chosen
    if len(message) != chosen.digest_size:
        raise Refusal("ValidationException", "Digest is invalid length for algorithm " + algorithm)
    return utils.Prehashed(chosen)


def _padding_of(algorithm: str) -> Any:
    if "PSS" not in algorithm:
        return padding.PKCS1v15()
    chosen = _HASHES[algorithm.rsplit("_", 1)[-1]]
    return padding.PSS(
        mgf=padding.MGF1(chosen), salt_length=chosen.digest_size
    )  # AWS: salt as long as the hash


@mends(RSAPrivateKey, "sign")
def sign_rsa(_original: Any, self: Any, message: bytes, signing_algorithm: str) -> bytes:
    """An RSA signature over a message or a digest."""
    _check(signing_algorithm, "RSASSA")
    key: rsa.RSAPrivateKey = self.private_key
    return key.sign(bytes(message), _padding_of(signing_algorithm), _hash_of(signing_algorithm, message))


@mends(RSAPrivateKey, "verify")
def verify_rsa(_original: Any, self: Any, message: bytes, signature: bytes, signing_algorithm: str) -> bool:
    """Whether an RSA signature is right."""
    _check(signing_algorithm, "RSASSA")
    key: rsa.RSAPublicKey = self.private_key.public_key()
    try:
        key.verify(
            signature, bytes(message), _padding_of(signing_algorithm), _hash_of(signing_algorithm, message)
        )
    except InvalidSignature:
        return False
    return True


@mends(ECDSAPrivateKey, "sign")
def sign_ecdsa(_original: Any, self: Any, message: bytes, signing_algorithm: str) -> bytes:
    """An ECDSA signature over a message or a digest."""
    _check_ecdsa(self, signing_algorithm)
    key: ec.EllipticCurvePrivateKey = self.private_key
    return key.sign(bytes(message), ec.ECDSA(_hash_of(signing_algorithm, message)))


@mends(ECDSAPrivateKey, "verify")
def verify_ecdsa(_original: Any, self: Any, message: bytes, signature: bytes, signing_algorithm: str) -> bool:
    """Whether an ECDSA signature is right."""
    _check_ecdsa(self, signing_algorithm)
    key: ec.EllipticCurvePublicKey = self.private_key.public_key()
    try:
        key.verify(signature, bytes(message), ec.ECDSA(_hash_of(signing_algorithm, message)))
    except InvalidSignature:
        return False
    return True


def _check(algorithm: str, family: str) -> None:
    if not algorithm.startswith(family):
        raise Refusal("InvalidKeyUsageException", f"{algorithm} is not an algorithm of this key.")


def _check_ecdsa(key: Any, algorithm: str) -> None:
    if algorithm not in key.valid_signing_algorithms:
        raise Refusal("InvalidKeyUsageException", f"{algorithm} is not an algorithm of this key.")


def _before(self: Any) -> None:
    kind = self._get_param("MessageType") or "RAW"
    key = _key(self)
    if key.key_state != "Enabled":
        code = "DisabledException" if key.key_state == "Disabled" else "KMSInvalidStateException"
        raise Refusal(code, f"{key.arn} is {key.key_state}.")
    if key.key_usage != "SIGN_VERIFY":
        raise Refusal(
            "InvalidKeyUsageException", f"{key.arn} key usage is {key.key_usage} which is not valid for Sign."
        )
    message = self._get_param("Message")
    raw = message.encode() if isinstance(message, str) else bytes(message or b"")
    if kind == "RAW" and len(raw) > RAW_LIMIT:
        raise Refusal(
            "ValidationException",
            "Value at 'message' failed: Member must have length less than or equal to 4096",
        )


def _key(self: Any) -> Any:
    backend = self.kms_backend
    try:
        return backend.keys[backend.any_id_to_key_id(self._get_param("KeyId"))]
    except (KeyError, AttributeError, TypeError):
        raise Refusal("NotFoundException", f"Key '{self._get_param('KeyId')}' does not exist") from None


@mends(KmsResponse, "sign")
def sign(original: Any, self: Any) -> Any:
    """Sign a message of up to 4,096 bytes, or a digest."""
    _before(self)
    return original(self)


@mends(KmsResponse, "verify")
def verify(original: Any, self: Any) -> Any:
    """Verify; a wrong signature is an error, as in AWS."""
    _before(self)
    answer = original(self)
    if '"SignatureValid": false' in str(answer):
        raise Refusal("KMSInvalidSignatureException", "")
    return answer


@mends(KmsResponse, "_get_param")
def _parameter(original: Any, self: Any, name: str, if_none: Any = None) -> Any:
    value = original(self, name, if_none)
    if name == "Message" and value is not None and original(self, "MessageType", None) == "DIGEST":
        raw = value if isinstance(value, bytes) else str(value).encode()
        return _Digest(raw)
    return value


def _by_any_id(name: str) -> None:
    @mends(KmsBackend, name)
    def taking_an_arn(original: Any, self: Any, key_id: str, *args: Any, **kwargs: Any) -> Any:
        return original(self, self.any_id_to_key_id(key_id), *args, **kwargs)


for _name in ("enable_key", "disable_key", "schedule_key_deletion", "cancel_key_deletion"):
    _by_any_id(_name)
