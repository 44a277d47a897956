"""Texts with wildcards and policy variables, as policies have them in resources and in condition values.

`*` stands for any run of characters, `?` for one, `${key}` for the value of a condition key, `${key, 'x'}` for that or
`x`; `${*}`, `${?}` and `${$}` are those characters themselves. Variables exist in documents of version 2012-10-17 only;
in older ones the same characters are plain text (IAM User Guide, "IAM policy elements: Variables and tags").

A match takes time in proportion to pattern times text, whatever the pattern: policies are read from strangers too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from irkit.errors import BadInput
from irkit.escape import for_terminal

ANY = "\x00*"
ONE = "\x00?"

_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_NAMED = re.compile(r"\s*(?P<key>[^,']+?)\s*(?:,\s*'(?P<default>[^']*)'\s*)?")
# A condition key: a prefix, a colon and a name; the name may have a part of its own after a slash or a colon
# (aws:ResourceTag/x, kms:EncryptionContext:x), the prefix may be an OIDC provider with a path.
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9._-]+)*:[A-Za-z0-9][^\x00-\x1f*?${}]*")

# What a variable stands for: its text, or None when the request has no such key.
Lookup = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Variable:
    """A policy variable: the condition key in lower case, and what stands for it when the request lacks the key."""

    key: str
    default: str | None


Token = str | Variable


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text to compare with; `tokens` are characters, `ANY`, `ONE` and variables."""

    text: str
    tokens: tuple[Token, ...]

    @property
    def variables(self) -> frozenset[str]:
        """The condition keys that it takes values from."""
        return frozenset(token.key for token in self.tokens if isinstance(token, Variable))

    @property
    def literal(self) -> str | None:
        """The one text that it stands for; None when it has wildcards or variables."""
        plain = all(isinstance(token, str) and token not in {ANY, ONE} for token in self.tokens)
        return "".join(str(token) for token in self.tokens) if plain else None

    def filled(self, lookup: Lookup) -> tuple[str, ...] | None:
        """The tokens with every variable replaced by its text, letter by letter; None when one has no value.

        A value's own `*` and `?` are plain characters: a tag cannot widen the policy that refers to it.
        """
        filled: list[str] = []
        for token in self.tokens:
            if isinstance(token, str):
                filled.append(token)
                continue
            value = lookup(token.key)
            if value is None:
                value = token.default
            if value is None:
                return None
            filled.extend(value)
        return tuple(filled)


def condition_key(text: str) -> str:
    """`text` in lower case, as keys are compared; raises `BadInput` unless it is written as condition keys are."""
    if not _KEY.fullmatch(text):
        raise BadInput(
            f"{for_terminal(text)!r} is not a condition key",
            hint="a key has a prefix and a name, such as aws:SourceIp or s3:prefix",
        )
    return text.lower()


@lru_cache(maxsize=8192)
def compiled(text: str, *, variables: bool, wildcards: bool = True) -> Pattern:
    """The pattern written as `text`.

    `variables` says whether `${…}` is one (documents of version 2012-10-17); without `wildcards`, `*` and `?` are plain
    characters, as in StringEquals. Raises `BadInput` for a variable that is not written as variables are.
    """
    tokens: list[Token] = []
    at = 0
    for found in _VARIABLE.finditer(text) if variables else ():
        tokens.extend(_plain(text[at : found.start()], text, wildcards=wildcards, variables=True))
        tokens.append(_variable(found.group(1), text))
        at = found.end()
    tokens.extend(_plain(text[at:], text, wildcards=wildcards, variables=variables))
    return Pattern(text, tuple(tokens))


def _plain(part: str, whole: str, *, wildcards: bool, variables: bool) -> list[Token]:
    if variables and "${" in part:
        raise BadInput(
            f"{for_terminal(whole)!r} opens a policy variable and does not close it",
            hint="write ${key}, or ${$} for a dollar sign",
        )
    if "\x00" in part:
        raise BadInput(f"{for_terminal(whole)!r} holds a NUL character", hint="remove it")
    if not wildcards:
        return list(part)
    return [ANY if c == "*" else ONE if c == "?" else c for c in part]


def _variable(inner: str, whole: str) -> Token:
    if inner in {"*", "?", "$"}:
        return inner
    named = _NAMED.fullmatch(inner)
    if named is None:
        raise BadInput(
            f"{for_terminal(whole)!r} holds a variable that is not written as variables are",
            hint="${key} or ${key, 'default'}",
        )
    return Variable(condition_key(named["key"]), named["default"])


def matches(tokens: tuple[str, ...], text: str) -> bool:
    """Whether `tokens` (letters, `ANY`, `ONE`) stand for the whole of `text`; case matters.

    Goes back to the last `ANY` only, which is enough for wildcards: time is at most tokens times letters.
    """
    at = pos = 0
    last_any, resumed = -1, 0
    while pos < len(text):
        token = tokens[at] if at < len(tokens) else None
        if token == ANY:
            last_any, resumed = at, pos
            at += 1
        elif token is not None and (token == ONE or token == text[pos]):
            at += 1
            pos += 1
        elif last_any >= 0:
            resumed += 1
            at, pos = last_any + 1, resumed
        else:
            return False
    return all(token == ANY for token in tokens[at:])


@lru_cache(maxsize=65536)
def glob(pattern: str, text: str) -> bool:
    """Whether `pattern` with `*` and `?` stands for `text`, without regard to case: how actions are compared."""
    return matches(compiled(pattern.lower(), variables=False).filled(_nothing) or (), text.lower())


def _nothing(key: str) -> None:
    del key
