"""ARNs as policies compare them: segment by segment, a wildcard never reaching over a colon between segments.

`arn:partition:service:region:account:resource`; only the resource may hold colons of its own. An ARN pattern with
fewer parts is completed with `*` (IAM User Guide, "IAM JSON policy elements: Resource", on incomplete ARNs).
"""

from __future__ import annotations

from functools import lru_cache

from irkit.policy.patterns import ANY, Lookup, Pattern, matches

_SEGMENTS = 6


@lru_cache(maxsize=65536)
def segments(arn: str) -> tuple[str, ...] | None:
    """The six parts of an ARN; None when the text is not one."""
    parts = tuple(arn.split(":", _SEGMENTS - 1))
    return parts if len(parts) == _SEGMENTS and parts[0] == "arn" else None


def service_of(arn: str) -> str | None:
    """The service part of an ARN, such as `s3`; None when the text is not an ARN."""
    parts = segments(arn)
    return parts[2] if parts else None


def account_of(arn: str) -> str | None:
    """The account part of an ARN; None when there is none, as in the ARN of a bucket."""
    parts = segments(arn)
    return parts[4] or None if parts else None


@lru_cache(maxsize=65536)
def split(tokens: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The tokens of a pattern, parted at the colons of an ARN; six parts at most."""
    parts: list[tuple[str, ...]] = []
    start = 0
    for at, letter in enumerate(tokens):
        if letter == ":" and len(parts) < _SEGMENTS - 1:
            parts.append(tokens[start:at])
            start = at + 1
    return (*parts, tokens[start:])


@lru_cache(maxsize=65536)
def _matches(tokens: tuple[str, ...], arn: str) -> bool:
    if tokens == (ANY,):
        return True
    parts = segments(arn)
    if parts is None:
        return matches(tokens, arn)
    wanted = split(tokens)
    wanted += ((ANY,),) * (_SEGMENTS - len(wanted))
    return all(matches(one, text) for one, text in zip(wanted, parts, strict=True))


def covers(pattern: Pattern, arn: str, lookup: Lookup) -> bool | None:
    """Whether an ARN pattern stands for `arn`; None when a variable in it has no value."""
    tokens = pattern.filled(lookup)
    return None if tokens is None else _matches(tokens, arn)
