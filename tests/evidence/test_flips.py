"""One byte changed anywhere in a sealed case that was copied to another place: found and named, with no AWS at hand."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from irkit.case import Case
from irkit.evidence import seal, verify


@pytest.fixture
def copy(tmp_path: Path) -> tuple[Path, Path]:
    """A sealed case as somebody else receives it, and the public key that they had before."""
    case = Case.open("F-1", region="us-east-1", cases=tmp_path / "here", responder="ana")
    for number, size in enumerate((0, 1, 40, 3_000, 200_000)):
        case.evidence.add(os.urandom(size), kind="k", name=f"{number}.bin", source="i-1", step="abc")
    case.note("something happened")
    key = seal.make_key(tmp_path / "seal.pem")
    seal.with_key(case, key)
    case.close()
    shutil.copytree(case.root, tmp_path / "there" / "F-1")
    return tmp_path / "there" / "F-1", tmp_path / "seal.pem.pub"


def found(root: Path, public_key: Path, times: int) -> int:
    """How many of so many changes of one byte `verify` finds and names by its file."""
    assert verify(root, public_key=public_key).problems == ()
    draw = random.Random(times)
    files = sorted(p for p in root.rglob("*") if p.is_file() and p.stat().st_size and "locks" not in p.parts)
    assert {"journal.jsonl", "manifest.json", "manifest-sha256.txt", "case.json"} <= {p.name for p in files}
    assert any(p.parent.name == "seals" for p in files)
    named = 0
    for _ in range(times):
        path = draw.choice(files)
        before = path.read_bytes()
        offset = draw.randrange(len(before))
        after = bytearray(before)
        after[offset] ^= draw.randrange(1, 256)
        path.chmod(0o600)
        path.write_bytes(bytes(after))
        problems = verify(root, public_key=public_key).problems
        name = str(path.relative_to(root))
        assert any(p.startswith(name) for p in problems), (
            name,
            offset,
            before[offset],
            after[offset],
            problems,
        )
        path.write_bytes(before)
        named += 1
    assert verify(root, public_key=public_key).sound
    return named


def test_twenty_changes_of_one_byte_in_a_sealed_copy_are_found_and_named(copy: tuple[Path, Path]) -> None:
    named = found(*copy, 20)
    print(f"{named} of 20 changed bytes found and named")


@pytest.mark.soak
def test_two_hundred_changes_of_one_byte_in_a_sealed_copy_are_found_and_named(
    copy: tuple[Path, Path],
) -> None:
    named = found(*copy, 200)
    print(f"{named} of 200 changed bytes found and named")
    assert named == 200


def test_every_byte_of_a_seal_counts(copy: tuple[Path, Path]) -> None:
    root, public_key = copy
    (path,) = (root / "seals").glob("*.json")
    before = path.read_bytes()
    for offset in range(0, len(before), 3):
        for mask in (
            0x01,
            0x1C,
        ):  # 0x1C makes the n of an escaped newline an r, which still reads as a line's end
            after = bytearray(before)
            after[offset] ^= mask
            path.write_bytes(bytes(after))
            problems = verify(root, public_key=public_key).problems
            assert any(p.startswith(f"seals/{path.name}") for p in problems), (offset, mask, problems)
    path.write_bytes(before)
