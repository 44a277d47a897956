"""The facts script's output, taken apart: encoding, sections, records. What the records mean is `host_parse`'s.

The script prints sections between lines that carry a nonce it drew when it ran. Output may end anywhere (a limit of
Systems Manager, a kill): what came through is used, and what did not is named.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

_HEADER = re.compile(rb"irkit-facts/1 ([0-9a-f]{32})")
_FIRST = re.compile(rb"irkit-facts (gzip|plain) (base64|hex)\r?\n")
# A host that an attacker owns may send a bomb; the script's own sections add up to less.
MOST = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section's bytes. `exit_code` is None when the section was cut before it ended."""

    name: str
    nonce: bytes
    content: bytes
    exit_code: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What the script printed. `late` are the sections that it had no time for."""

    sections: dict[str, Section] = field(default_factory=dict)
    late: tuple[str, ...] = ()
    complete: bool = False
    problems: tuple[str, ...] = ()

    def text(self, name: str) -> str:
        """A section as text; bytes that are not UTF-8 survive as surrogates."""
        section = self.sections.get(name)
        return decoded(section.content) if section else ""

    def records(self, name: str) -> Iterator[list[bytes]]:
        """The NUL-separated fields of a section, up to each nonce."""
        section = self.sections.get(name)
        fields: list[bytes] = []
        for token in section.content.split(b"\0") if section else ():
            if section and token == section.nonce:
                yield fields
                fields = []
            else:
                fields.append(token)

    def pairs(self, name: str) -> dict[str, str]:
        """A section of names and values."""
        return {
            decoded(record[0]): decoded(b"\0".join(record[1:])).strip()
            for record in self.records(name)
            if record
        }


def decoded(raw: bytes) -> str:
    """Bytes from a host as text from which the bytes can be had back."""
    return raw.decode("utf-8", "surrogateescape")


def taken_apart(raw: bytes) -> Output:
    """The sections in `raw`: the standard output of the script, or of several runs of it one after the other."""
    starts = [m.start() for m in _FIRST.finditer(raw)]
    if not starts:
        return Output(problems=("the output does not begin as the facts script's does",))
    parts = [_one(raw[a:b]) for a, b in zip(starts, [*starts[1:], len(raw)], strict=True)]
    return Output(
        sections={name: section for part in parts for name, section in part.sections.items()},
        late=tuple(name for part in parts for name in part.late),
        complete=all(part.complete for part in parts),
        problems=tuple(problem for part in parts for problem in part.problems),
    )


def _one(raw: bytes) -> Output:
    plain, problems = _plain(raw)
    header = _HEADER.match(plain)
    if header is None:
        return Output(problems=(*problems, "the output does not begin as the facts script's does"))
    nonce = header[1]
    marker = re.compile(rb"\n--" + nonce + rb" (begin|exit|end|late|complete) ?([^\n]*)")
    sections: dict[str, Section] = {}
    late: list[str] = []
    name, start, code = "", 0, None
    content: bytes | None = None
    complete = False
    for mark in marker.finditer(plain):
        kind, word = mark[1], decoded(mark[2]).strip()
        if kind == b"begin":
            name, start, content, code = word, mark.end() + 1, None, None
        elif kind == b"exit" and name:
            content, code = plain[start : mark.start()], int(word) if word.isdecimal() else None
        elif kind == b"end" and name:
            held = plain[start : mark.start()] if content is None else content
            sections[name] = Section(
                name=name, nonce=nonce, content=_without_marker(held, nonce), exit_code=code
            )
            name = ""
        elif kind == b"late":
            late.append(word)
        elif kind == b"complete":
            complete = True
    if name:  # the output ends in the middle of this section
        held = plain[start:] if content is None else content
        sections[name] = Section(name=name, nonce=nonce, content=_without_marker(held, nonce), exit_code=code)
    return Output(sections=sections, late=tuple(late), complete=complete, problems=tuple(problems))


def _without_marker(content: bytes, nonce: bytes) -> bytes:
    """`content` without the part of its own end marker that a limit left over."""
    tail = content.rfind(b"\n--")
    return (
        content[:tail] if tail >= 0 and (b"\n--" + nonce + b" exit").startswith(content[tail:]) else content
    )


def _plain(raw: bytes) -> tuple[bytes, list[str]]:
    """The bytes that the script encoded, as far as they came through."""
    first = _FIRST.match(raw)
    if first is None:
        return b"", []
    body = re.sub(rb"[^0-9A-Za-z+/=]", b"", raw[first.end() :].split(b"\n", 1)[0])
    problems: list[str] = []
    if first[2] == b"hex":
        digits = re.sub(rb"[^0-9a-fA-F]", b"", body).decode("ascii")
        held = bytes.fromhex(digits[: len(digits) // 2 * 2])
    else:
        try:
            held = base64.b64decode(body[: len(body) // 4 * 4])
        except binascii.Error:
            return b"", ["the output is not base64"]
    if first[1] == b"plain":
        return held[:MOST], problems
    unpack = zlib.decompressobj(wbits=31)
    try:
        plain = unpack.decompress(held, MOST)
    except zlib.error as error:
        return b"", [f"the output does not unpack ({error})"]
    if unpack.unconsumed_tail:
        problems.append(f"the output is larger than {MOST >> 20} MiB; the rest was left")
    return plain, problems
