"""Examples that stand for all: texts that fit patterns, and the values of a condition key that make a difference.

Two requests that fall on the same side of every comparison in the policies get the same answer, so one of each kind is
enough to try. For equality, order, networks and booleans the values here are all kinds there are; for overlapping
wildcards they are each pattern, each pair, and a text that fits none, which is where "bounded" comes from in
`irkit.policy.witness`.
"""

from __future__ import annotations

import ipaddress
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import combinations, product

from irkit.policy.arns import split
from irkit.policy.conditions import Test
from irkit.policy.operators import moment, number
from irkit.policy.patterns import ANY, ONE, Pattern, compiled

FILLER = "x"
OTHER = "some-other-value"
# Beyond this many states two patterns are taken to share no text; a bound, not a proof.
_STATES = 20_000
_COMBINATIONS = 24
_PATTERNS = 12
# A regular expression with more open parts than this, on a longer text, could be made to take for ever.
_CAPTURED = 3
_LONGEST = 256

Tokens = tuple[str, ...]


def shared(patterns: Sequence[Tokens]) -> str | None:
    """A text that fits every pattern, the shortest in which each `*` stands for something; None when there is none."""
    eager = [
        tuple(t for token in one for t in ((ONE, ANY) if token == ANY else (token,))) for one in patterns
    ]
    found = _shared(eager)
    return found if found is not None else _shared(list(patterns))


def _shared(patterns: Sequence[Tokens]) -> str | None:
    start = tuple(0 for _ in patterns)
    seen = {start}
    waiting: deque[tuple[tuple[int, ...], str]] = deque([(start, "")])
    while waiting and len(seen) < _STATES:
        state, text = waiting.popleft()
        if all(at == len(one) for at, one in zip(state, patterns, strict=True)):
            return text
        steps: list[tuple[tuple[int, ...], str]] = []
        for n, (at, one) in enumerate(zip(state, patterns, strict=True)):
            if at < len(one) and one[at] == ANY:
                steps.append(((*state[:n], at + 1, *state[n + 1 :]), ""))
        if all(at < len(one) for at, one in zip(state, patterns, strict=True)):
            heads = {one[at] for at, one in zip(state, patterns, strict=True)}
            letters = heads - {ANY, ONE}
            if len(letters) <= 1:
                after = tuple(
                    at if one[at] == ANY else at + 1 for at, one in zip(state, patterns, strict=True)
                )
                steps.append((after, letters.pop() if letters else FILLER))
        for after, letter in steps:
            if after not in seen:
                seen.add(after)
                (waiting.append if letter else waiting.appendleft)((after, text + letter))
    return None


def shared_arn(patterns: Sequence[Tokens]) -> str | None:
    """An ARN that fits every ARN pattern, segment by segment; None when there is none."""
    real = [one for one in patterns if one != (ANY,)]
    if not real:
        return "*"
    parts = [split(one) + ((ANY,),) * (6 - len(split(one))) for one in real]
    found = [shared([one[n] for one in parts]) for n in range(6)]
    return ":".join(map(str, found)) if None not in found else None


def tokens_of(text: str) -> Tokens:
    """The tokens of a pattern without variables."""
    return compiled(text, variables=False).filled(lambda _: None) or ()


def fillings(pattern: Pattern, values: Mapping[str, Sequence[str]]) -> list[Tokens]:
    """`pattern` with its variables replaced by each of their `values`; a default counts as one more."""
    keys = sorted(pattern.variables)
    if not keys:
        return [pattern.filled(lambda _: None) or ()]
    choices: list[list[str | None]] = [[*values.get(key, ()), None] for key in keys]
    made: list[Tokens] = []
    for chosen in product(*choices):
        lookup: Callable[[str], str | None] = dict(zip(keys, chosen, strict=True)).get
        filled = pattern.filled(lookup)
        if filled is not None:
            made.append(filled)
        if len(made) >= _COMBINATIONS:
            break
    return made


def captured(pattern: Pattern, text: str) -> dict[str, str]:
    """Values of the pattern's variables with which it stands for `text`; empty when there are none, or too many `*`."""
    wild = [token for token in pattern.tokens if not isinstance(token, str) or token == ANY]
    if len(wild) > _CAPTURED or len(text) > _LONGEST:
        return {}
    names: dict[str, str] = {}
    made: list[str] = []
    for token in pattern.tokens:
        if isinstance(token, str):
            made.append({ANY: ".*", ONE: "."}.get(token) or re.escape(token))
        elif token.key in names:
            made.append(f"(?P={names[token.key]})")
        else:
            names[token.key] = f"v{len(names)}"
            made.append(f"(?P<{names[token.key]}>.+?)")
    found = re.fullmatch("".join(made), text, re.DOTALL)
    return {key: found[name] for key, name in names.items()} if found else {}


def values_of(key: str, tests: Iterable[Test], variables: Mapping[str, Sequence[str]]) -> list[str]:
    """Single values of `key`, one for each way in which `tests` can tell values apart."""
    found: dict[str, None] = {}
    likes: list[Tokens] = []
    arns: list[Tokens] = []
    families = set()
    for test in tests:
        if test.operator is None:
            continue
        family = test.operator.family
        families.add(family)
        for pattern in test.values:
            for tokens in fillings(pattern, variables):
                if family in {"like", "arn"}:
                    (likes if family == "like" else arns).append(tokens)
                else:
                    found.update(dict.fromkeys(_around(family, "".join(tokens))))
    for group, make in ((likes, shared), (arns, shared_arn)):
        distinct = list(dict.fromkeys(group))
        for chosen in (*((one,) for one in distinct), *combinations(distinct[:_PATTERNS], 2)):
            text = make(list(chosen))
            if text is not None:
                found[text if make is shared else text.replace("*", FILLER)] = None
    found.update(dict.fromkeys(_elsewhere(key, families)))
    return list(found)


def _around(family: str, text: str) -> list[str]:
    """Values on, just below and just above a value of a policy."""
    if family == "number":
        return [str(number(text) + step) for step in (0, -1, 1)]
    if family == "date":
        at = moment(text)
        # Beyond the calendar's own ends there is nothing to try.
        steps = [step for step in (0, -1, 1) if 2 < at.year < 9998 or not step]
        return [(at + timedelta(seconds=step)).isoformat() for step in steps]
    if family == "bool":
        return ["true", "false"]
    if family == "address":
        network = ipaddress.ip_network(text, strict=False)
        return [str(network[0]), str(network[-1])]
    return [text]


def _elsewhere(key: str, families: set[str]) -> list[str]:
    """Values that no policy is likely to name."""
    if "address" in families:
        return ["192.0.2.77", "2001:db8:77::77"]
    if families & {"number", "date", "bool"}:
        return []
    if "binary" in families:
        return ["b3RoZXI="]
    if "arn" in families or key.endswith("arn"):
        return ["arn:aws:iam::999999999999:role/some-other-role"]
    return [OTHER]
