"""Reads the golden questions and asks irkit the same."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from irkit.policy import Applicable, Decision, Kind, Policy, Request, Requester, Verdict, evaluate

FILE = Path(__file__).with_name("golden.jsonl.gz")
WORDS = {Verdict.ALLOWED: "allowed", Verdict.DENIED: "denied", Verdict.NOT_ALLOWED: "not allowed"}


def cases() -> Iterator[dict[str, Any]]:
    with gzip.open(FILE, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def request(case: dict[str, Any]) -> Request:
    context = {k.lower(): tuple(v) if isinstance(v, list) else (v,) for k, v in case["context"].items()}
    return Request(
        who=Requester.read(case["who"]),
        action=case["action"],
        resource=case["resource"],
        resource_account=case["owner"],
        context=context,
    )


def applicable(case: dict[str, Any]) -> Applicable:
    def one(name: str, kind: Kind) -> Policy | None:
        return Policy.read(case[name], kind=kind, name=name) if name in case else None

    def levels(name: str, kind: Kind) -> tuple[tuple[Policy, ...], ...]:
        return tuple(
            tuple(Policy.read(d, kind=kind, name=name) for d in level) for level in case.get(name, ())
        )

    trust = case["resource"].split(":")[2] == "iam" and case["action"].startswith("sts:")
    return Applicable(
        identity=tuple(Policy.read(d, kind=Kind.IDENTITY, name="identity") for d in case.get("identity", ())),
        resource=one("policy", Kind.TRUST if trust else Kind.RESOURCE),
        boundary=one("boundary", Kind.BOUNDARY),
        session=one("session", Kind.SESSION),
        endpoint=one("endpoint", Kind.ENDPOINT),
        scps=levels("scps", Kind.SCP),
        rcps=levels("rcps", Kind.RCP),
    )


def decision(case: dict[str, Any]) -> Decision:
    return evaluate(request(case), applicable(case))


def decide(case: dict[str, Any]) -> str:
    return WORDS[decision(case).verdict]
