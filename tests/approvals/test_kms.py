"""An approval signed by a KMS key: the public half stands in the approvers file, and no key lies on a disk."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from irkit.approvals import gate, registry, votes
from irkit.approvals.registry import Requirement
from irkit.approvals.rules import Verb
from irkit.case import Case
from irkit.plan import Outcome, Plan, Step
from irkit.sim import Simulator

pytest.importorskip("cryptography")


def pem(der: bytes) -> str:
    return f"-----BEGIN PUBLIC KEY-----\n{base64.encodebytes(der).decode()}-----END PUBLIC KEY-----\n"


def test_an_approval_signed_by_the_persons_kms_key_counts_and_by_anothers_does_not(tmp_path: Path) -> None:
    with Simulator.start(workdir=tmp_path / "sim") as sim:
        os.environ.update(sim.env())
        kms: Any = sim.session().client("kms")
        beas, other = (
            kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["KeyId"]
            for _ in range(2)
        )
        person = {"name": "bea", "roles": ["ir-lead"]}
        person["public_key"] = pem(kms.get_public_key(KeyId=beas)["PublicKey"])
        path = tmp_path / "approvers.yaml"
        path.write_text(json.dumps({"schema": "irkit/approvers/1", "people": [person]}))
        case = Case.open(
            "C-1", region=sim.region, cases=tmp_path / "cases", responder="ana",
            sources={registry.SOURCE: str(path)},
        )  # fmt: skip
        step = Step(verb="b.close", target="t", title="close", act=lambda _: Outcome())
        ask = {"b.close": Requirement(role="ir-lead")}

        def waits() -> int:
            return len(gate.divide(case, Plan(case, [step], title="b"), ask, stop=True)[1])

        assert waits() == 1
        for key, left in ((other, 1), (beas, 0)):
            held = step.id(case.id)
            votes.cast(case, step=held, what="b.close", by="bea", verb=Verb.APPROVE, kms_key=key)
            assert waits() == left
