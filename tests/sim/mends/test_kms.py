from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

from irkit.sim import Simulator
from tests.sim.builders import code_of

MESSAGE = b"the manifest"
DIGEST = hashlib.sha256(MESSAGE).digest()


def signing_key(sim: Simulator, spec: str) -> tuple[str, Any]:
    kms = sim.session().client("kms")
    arn = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec=spec)["KeyMetadata"]["Arn"]
    return arn, serialization.load_der_public_key(kms.get_public_key(KeyId=arn)["PublicKey"])


@pytest.mark.parametrize(("message", "kind"), [(MESSAGE, "RAW"), (DIGEST, "DIGEST")], ids=["raw", "digest"])
def test_signatures_of_messages_and_digests_verify_outside_kms(
    sim: Simulator, message: bytes, kind: str
) -> None:
    kms = sim.session().client("kms")
    arn, public = signing_key(sim, "RSA_2048")
    asked = {"KeyId": arn, "Message": message, "MessageType": kind}
    pss = kms.sign(**asked, SigningAlgorithm="RSASSA_PSS_SHA_256")["Signature"]
    salted = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
    public.verify(pss, DIGEST, salted, utils.Prehashed(hashes.SHA256()))
    plain = kms.sign(**asked, SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256")["Signature"]
    public.verify(plain, MESSAGE, padding.PKCS1v15(), hashes.SHA256())
    assert kms.verify(**asked, SigningAlgorithm="RSASSA_PSS_SHA_256", Signature=pss)["SignatureValid"]


def test_an_elliptic_signature_of_a_digest_verifies_outside_kms(sim: Simulator) -> None:
    arn, public = signing_key(sim, "ECC_NIST_P256")
    signed = (
        sim.session()
        .client("kms")
        .sign(KeyId=arn, Message=DIGEST, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256")
    )
    public.verify(signed["Signature"], MESSAGE, ec.ECDSA(hashes.SHA256()))


def test_wrong_signatures_and_keys_that_are_off_are_refused(sim: Simulator) -> None:
    kms = sim.session().client("kms")
    arn, _ = signing_key(sim, "ECC_NIST_P256")
    asked = {"KeyId": arn, "Message": MESSAGE, "SigningAlgorithm": "ECDSA_SHA_256"}
    signature = kms.sign(**asked)["Signature"]
    asked["Message"] = b"another"
    assert code_of(kms.verify, **asked, Signature=signature) == "KMSInvalidSignatureException"
    assert code_of(kms.sign, **{**asked, "Message": b"x" * 5000}) == "ValidationException"
    kms.disable_key(KeyId=arn)
    assert code_of(kms.sign, **asked) == "DisabledException"
    kms.enable_key(KeyId=arn)
    kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)
    assert code_of(kms.sign, **asked) == "KMSInvalidStateException"


def test_what_was_signed_is_not_in_the_trail(sim: Simulator) -> None:
    arn, _ = signing_key(sim, "ECC_NIST_P256")
    sim.session().client("kms").sign(KeyId=arn, Message=MESSAGE, SigningAlgorithm="ECDSA_SHA_256")
    record = sim.trail.records()[-1]
    assert record["requestParameters"]["keyId"] == arn
    assert MESSAGE.decode() not in str(record)
