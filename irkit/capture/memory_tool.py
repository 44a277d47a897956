"""The acquisition tool: the operator's own, pinned by its SHA-256, and refused when it is another."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from irkit.capture.memory_host import arguments
from irkit.errors import BadInput, InvalidParameter
from irkit.escape import for_terminal

# AVML 0.20 and WinPmem mini: https://github.com/microsoft/avml https://github.com/Velocidex/WinPmem
# Without a source AVML tries all it knows, and begins its output anew for each; a pipe takes no second beginning.
_LINUX_ARGUMENTS, _WINDOWS_ARGUMENTS = "acquire --compress --source /proc/kcore {output}", "-"


# https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html: e_machine; EC2 says architectures in these words
_MACHINES = {"x86_64": 62, "arm64": 183, "i386": 3}


def _other(data: bytes, windows: bool, architecture: str) -> str | None:
    """What the tool is, where it shows that the host cannot run it."""
    for_windows, for_linux = data.startswith(b"MZ"), data.startswith(b"\x7fELF")
    if windows:
        return None if for_windows else "no program for Windows, which the host runs"
    if for_windows:
        return "a program for Windows, and the host runs Linux"
    machine = int.from_bytes(data[18:20], "little")
    if for_linux and machine != _MACHINES.get(architecture, machine):
        built = next((name for name, number in _MACHINES.items() if number == machine), "another processor")
        return f"built for {built}, and the host has {architecture}"
    return None


NAMES = ("memory_tool", "memory_tool_sha256", "memory_tool_args")


def names_tool(sources: Mapping[str, str], given: Mapping[str, str] | None) -> bool:
    """Whether a case's sources, or what was given over them, name an acquisition tool."""
    return bool({**sources, **(given or {})}.get("memory_tool"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """An acquisition tool as it was pinned: `arguments` hold {output} where it is told where to write."""

    path: Path
    sha256: str
    arguments: str

    @classmethod
    def of(
        cls, sources: Mapping[str, str], given: Mapping[str, str] | None = None, *, windows: bool
    ) -> Tool | None:
        """The tool that `given`, over a case's sources, names by `NAMES`: path, SHA-256, arguments; or None.

        Raises `InvalidParameter` for a name that is none of these, a tool without a hash, or a hash that is none.
        """
        if unknown := sorted(set(given or {}) - set(NAMES)):
            raise InvalidParameter(f"{for_terminal(unknown[0])} says nothing of an acquisition tool",
                                   hint=f"known are {', '.join(NAMES)}")  # fmt: skip
        sources = {**sources, **(given or {})}
        path, sha256 = sources.get("memory_tool", ""), sources.get("memory_tool_sha256", "").lower()
        if not path:
            return None
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise InvalidParameter(
                f"the acquisition tool {for_terminal(path)} is not pinned",
                hint="give its SHA-256 (64 hexadecimal digits), from whom you have it from, as memory_tool_sha256",
            )
        asked = sources.get("memory_tool_args") or (_WINDOWS_ARGUMENTS if windows else _LINUX_ARGUMENTS)
        if windows and "{output}" in asked:
            raise InvalidParameter(
                "on Windows the acquisition tool has to write to standard output; {output} is a Linux pipe",
                hint="WinPmem does with the argument -",
            )
        return cls(path=Path(path).expanduser(), sha256=sha256, arguments=arguments(asked))

    @property
    def suffix(self) -> str:
        """What the dump's name ends in: the script packs what the tool does not."""
        return "" if self.compresses else ".gz"

    @property
    def compresses(self) -> bool:
        """Whether the tool compresses by itself."""
        return "--compress" in self.arguments

    def read(self, *, windows: bool, architecture: str) -> bytes:
        """The tool, if it is the one that was pinned and a program for such a host. Raises `BadInput`."""
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise BadInput(f"the acquisition tool {for_terminal(self.path)} cannot be read ({error.strerror})",
                           hint="give the path of the tool for the suspect's platform") from error  # fmt: skip
        found = hashlib.sha256(data).hexdigest()
        if found != self.sha256:
            raise BadInput(f"{for_terminal(self.path)} is not the tool that was pinned: its SHA-256 is {found}",
                           hint="nothing was sent; get the tool again, or pin the right hash")  # fmt: skip
        if other := _other(data, windows, architecture):
            raise BadInput(f"{for_terminal(self.path)} is {other}",
                           hint="nothing was sent; give the build for the host's platform and processor")  # fmt: skip
        return data
