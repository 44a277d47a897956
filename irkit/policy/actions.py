"""Every IAM action that AWS documents, and the ARNs that each takes: 20,455 of them as of 2026.

The list (actions.json.gz) was read from the Service Authorization Reference. An action that is not in it is an error
where irkit is asked about it: a misspelt action would otherwise be "not allowed", which is no answer.
"""

from __future__ import annotations

import difflib
import gzip
import json
import re
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from irkit.errors import BadInput
from irkit.escape import for_terminal
from irkit.policy.patterns import matches
from irkit.policy.samples import shared_arn, tokens_of


@lru_cache(maxsize=1)
def _services() -> dict[str, Any]:
    packed = resources.files("irkit.policy").joinpath("actions.json.gz").read_bytes()
    found: dict[str, Any] = json.loads(gzip.decompress(packed))
    return found


@lru_cache(maxsize=1)
def _lowered() -> dict[str, str]:
    return {action.lower(): action for action in every()}


@lru_cache(maxsize=1)
def every() -> tuple[str, ...]:
    """All actions, such as `s3:GetObject`, by service and name."""
    return tuple(f"{prefix}:{name}" for prefix, service in _services().items() for name in service["actions"])


def known(action: str) -> str:
    """`action` in AWS's spelling; raises `BadInput`, with the nearest name, for one that AWS does not have."""
    found = _lowered().get(action.lower())
    if found is None:
        near = difflib.get_close_matches(action.lower(), _lowered(), n=1)
        hint = f"did you mean {_lowered()[near[0]]}?" if near else "such as s3:GetObject"
        raise BadInput(f"AWS has no action {for_terminal(action)!r} that irkit knows of", hint=hint)
    return found


@lru_cache(maxsize=4096)
def matching(pattern: str) -> tuple[str, ...]:
    """The actions that a pattern of a policy covers, in AWS's spelling."""
    if pattern == "*":
        return every()
    tokens = tokens_of(pattern.lower())
    service = pattern.partition(":")[0].lower()
    among = _lowered() if set("*?") & set(service) else _of_service(service)
    return tuple(name for low, name in among.items() if matches(tokens, low))


@lru_cache(maxsize=512)
def _of_service(service: str) -> dict[str, str]:
    listed = _services().get(service, {"actions": {}})["actions"]
    return {f"{service}:{name}".lower(): f"{service}:{name}" for name in listed}


def expanded(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The actions that any of `patterns` covers; raises `BadInput` for a pattern that covers none."""
    found: dict[str, None] = {}
    for pattern in patterns:
        covered = matching(pattern)
        found.update(dict.fromkeys(covered or (known(pattern),)))
    return tuple(found)


@cache
def arn_formats(action: str) -> tuple[str, ...]:
    """ARN patterns of the resources that `action` takes, with `*` for every part; `("*",)` when it takes none.

    Those of the action's own service come first, the plainest of them before the rest.
    """
    service, _, name = action.partition(":")
    entry = _services().get(service)
    if entry is None or name not in entry["actions"]:
        return ("*",)
    formats = [re.sub(r"\$\{[^}]*\}", "*", entry["arns"][n]) for n in entry["actions"][name]]
    plainest = sorted(formats, key=lambda text: (text.split(":")[2] != service, len(text)))
    return tuple(dict.fromkeys(plainest)) or ("*",)


def takes(action: str, resource: str) -> bool:
    """Whether `action` is about resources like `resource`, an ARN or a pattern; anything is when it takes none."""
    formats = arn_formats(action)
    if formats == ("*",) or (resource == "*" and "*" in formats):
        return True
    return any(shared_arn([tokens_of(text), tokens_of(resource)]) is not None for text in formats)
