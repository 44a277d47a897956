"""The host's side of a memory capture: the script as it is sent, and what it said when it ended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from irkit.errors import InvalidParameter

LINUX, WINDOWS = "memory.sh", "memory.ps1"
MIB = 1 << 20
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html: a part has 5 MiB at least, an upload 10,000 parts
_LEAST_PART, _MOST_PARTS = 5 * MIB, 9000
_PART = 32 * MIB
_SAFE_ARGUMENT = re.compile(r"[A-Za-z0-9_./:=+,-]+|\{output\}")
_FIRST = "irkit-memory/1"


def script(name: str) -> str:
    """The script that runs on the suspect, without its settings."""
    return files("irkit.capture").joinpath("scripts", name).read_text(encoding="utf-8")


def arguments(text: str) -> str:
    """The tool's arguments, one space between two, if each is a plain word; else `InvalidParameter`."""
    words = text.split()
    bad = [w for w in words if not _SAFE_ARGUMENT.fullmatch(w)]
    if bad:
        raise InvalidParameter(
            f"the acquisition tool cannot be given {bad[0]!r}",
            hint="use plain words such as: acquire --compress --source /proc/kcore {output}",
        )
    return " ".join(words)


def part_bytes(memory: int) -> int:
    """How long a part is so that a dump of `memory` bytes, which may not compress, fits into one upload; whole MiB."""
    return max(_PART, -(-(memory + memory // 20) // _MOST_PARTS // MIB) * MIB, _LEAST_PART)


def with_settings(name: str, settings: Mapping[str, str | int]) -> str:
    """The script with `settings` ahead of its first command. Values hold no quotes; links and words never do."""
    text = script(name)
    if any("'" in str(v) or "\n" in str(v) or "{{" in str(v) for v in settings.values()):
        raise InvalidParameter(
            "a setting of the memory script holds a quote", hint="check the tool's arguments"
        )
    if name == WINDOWS:
        return "".join(f"${k} = '{v}'\n" for k, v in settings.items()) + text
    shebang, _, rest = text.partition("\n")
    return shebang + "\n" + "".join(f"{k}='{v}'\n" for k, v in settings.items()) + rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the script said, line by line; the host's intruder may have chosen every word of it."""

    values: Mapping[str, str]

    @classmethod
    def heard(cls, output: bytes) -> Said:
        """What is in the script's standard output; nothing when it is not that script's."""
        lines = output.decode("utf-8", "replace").replace("\r", "").split("\n")
        if not lines or lines[0].lstrip("\ufeff") != _FIRST:
            return cls(values={})
        return cls(values={k: v[:500] for k, sep, v in (line.partition("=") for line in lines[1:60]) if sep})

    @property
    def sha256(self) -> str | None:
        """SHA-256 of all that was sent and taken, as the host counted it; None when it did not get that far."""
        found = self.values.get("stream_sha256", "")
        return found if re.fullmatch("[0-9a-f]{64}", found) else None

    @property
    def bytes(self) -> int | None:
        """How many bytes were sent and taken, as the host counted."""
        found = self.values.get("bytes", "")
        return int(found) if re.fullmatch("[0-9]{1,18}", found) else None

    @property
    def gap(self) -> str | None:
        """Why the dump is not whole; None when the host says that it is."""
        if failed := self.values.get("failed"):
            return failed
        state = self.values.get("state", "the script did not say how it ended")
        return None if state == "whole" else state
