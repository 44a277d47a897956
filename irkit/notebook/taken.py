"""What earlier notebooks took, read back from evidence: analysis starts from items, never from memory or from AWS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from irkit.errors import IntegrityError, NotFound

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.hunt import Subject


def subject(case: Case, instance_id: str) -> Subject:
    """The instance as its captured metadata has it: account, all addresses, role. Raises `NotFound` without it."""
    from irkit.hunt import Subject

    kept = _latest(case, "instance.json", about=instance_id)
    raw = (kept or {}).get("instance")
    if not isinstance(raw, dict):
        raise NotFound(
            f"case {case.id} holds no metadata of {instance_id}",
            hint="run the notebook capture/instance first",
        )
    addresses = [*raw.get("addresses", ()), raw.get("private_address"), raw.get("public_address")]
    for interface in raw.get("interfaces", ()):
        addresses += [
            *interface.get("addresses", ()),
            *interface.get("ipv6", ()),
            *interface.get("public", ()),
        ]
    return Subject(
        instance_id=instance_id,
        account=str(raw.get("account") or case.facts.account or ""),
        region=str(raw.get("region") or case.facts.region),
        addresses=tuple(dict.fromkeys(str(a) for a in addresses if a)),
    )


def host_facts(case: Case, instance_id: str) -> Mapping[str, Any] | None:
    """What the host said when it was asked last, or None when it was not captured."""
    return _latest(case, "host-facts.json", about=instance_id)


def _latest(case: Case, name: str, *, about: str) -> Mapping[str, Any] | None:
    items = [i for i in case.evidence.items() if i.name == name and about in i.source]
    if not items:
        return None
    try:
        raw = json.loads(case.evidence.read(items[-1]))
    except ValueError as error:
        raise IntegrityError(
            f"evidence item {items[-1].id} is damaged", hint="run `irkit case verify`"
        ) from error
    if not isinstance(raw, dict):
        raise IntegrityError(
            f"evidence item {items[-1].id} is not what irkit writes", hint="run `irkit case verify`"
        )
    return raw
