from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from irkit.case import Case
from irkit.errors import BadInput, NotFound, StorageError
from irkit.evidence import seal, verify
from irkit.journal import Kind
from irkit.sim import Simulator


@pytest.fixture
def case(tmp_path: Path) -> Case:
    opened = Case.open("2026-11-0001", region="us-east-1", cases=tmp_path / "cases", responder="ana")
    opened.evidence.add(b"console", kind="console-output", name="console.txt", source="i-0123456789abcdef0")
    return opened


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return seal.make_key(tmp_path / "keys" / "seal.pem")


def test_a_sealed_case_verifies_with_the_public_key_alone(case: Case, key: Path) -> None:
    path = seal.with_key(case, key)

    verdict = verify(case.root, public_key=key.with_name("seal.pem.pub"))

    assert verdict.sound
    assert any(path.name in note and "sealed" in note for note in verdict.notes)


def test_a_seal_covers_every_entry_before_it_and_the_case_goes_on_after_it(case: Case, key: Path) -> None:
    seal.with_key(case, key)
    case.note("work went on")
    case.evidence.add(b"more", kind="console-output", name="more.txt", source="i-0123456789abcdef0")
    case.close()
    seal.with_key(case, key)

    assert verify(case.root, public_key=key.with_name("seal.pem.pub")).sound


def test_entries_cut_off_the_end_of_a_sealed_journal_are_missed(case: Case, key: Path) -> None:
    seal.with_key(case, key)
    journal = case.root / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]))

    problems = verify(case.root).problems

    assert any("sealed are gone from its end" in p for p in problems)


def test_a_journal_rewritten_with_a_sound_chain_does_not_fit_its_seal(
    case: Case, key: Path, tmp_path: Path
) -> None:
    seal.with_key(case, key)
    other = Case.open("2026-11-0001", region="us-east-1", cases=tmp_path / "other", responder="eve")
    for _ in range(len(case.journal.entries)):
        other.note("nothing happened")
    (other.root / "seals").mkdir()
    for path in (case.root / "seals").iterdir():
        (other.root / "seals" / path.name).write_bytes(path.read_bytes())

    assert any("seals another journal" in p for p in verify(other.root).problems)


@pytest.mark.parametrize("field", ["head", "entries", "sealed_at", "case"])
def test_a_changed_statement_does_not_fit_its_signature(case: Case, key: Path, field: str) -> None:
    path = seal.with_key(case, key)
    raw = json.loads(path.read_text())
    raw["statement"][field] = (
        raw["statement"][field] - 1 if field == "entries" else "0" + str(raw["statement"][field])
    )
    path.write_text(json.dumps(raw))

    assert any(f"seals/{path.name}: the signature does not fit" in p for p in verify(case.root).problems)


def test_a_seal_made_with_another_key_is_told_from_the_one_that_is_trusted(
    case: Case, key: Path, tmp_path: Path
) -> None:
    seal.with_key(case, seal.make_key(tmp_path / "forger.pem"))

    assert verify(case.root).sound  # it fits the key that it carries …
    problems = verify(case.root, public_key=key.with_name("seal.pem.pub")).problems
    assert any("signed with another key" in p for p in problems)  # … which is not the one that we trust


def test_a_public_key_without_any_seal_to_hold_against_it_is_a_problem(case: Case, key: Path) -> None:
    case.close()

    assert any("no seal" in p for p in verify(case.root, public_key=key.with_name("seal.pem.pub")).problems)


def test_every_flipped_byte_of_a_seal_is_noticed(case: Case, key: Path) -> None:
    path = seal.with_key(case, key)
    public = key.with_name("seal.pem.pub")
    original = path.read_bytes()
    unnoticed = []
    for offset in range(0, len(original), 7):
        path.write_bytes(original[:offset] + bytes([original[offset] ^ 1]) + original[offset + 1 :])
        verdict = verify(case.root, public_key=public)
        said = [*verdict.problems, *verdict.notes]
        fields = json.loads(original)
        # The name of the key is a label: it proves nothing and is not signed.
        label = original.find(f'"key": "{fields["key"]}"'.encode())
        inside_label = label <= offset < label + len(fields["key"]) + 10
        if verdict.sound and not inside_label:
            unnoticed.append((offset, original[max(0, offset - 10) : offset + 10], said))
    assert unnoticed == []


def test_sealing_is_journaled_before_it_is_done(case: Case, key: Path) -> None:
    seal.with_key(case, key)

    assert any(e.kind is Kind.NOTE and e.body["what"] == "about to be sealed" for e in case.journal.entries)


def test_a_key_is_never_overwritten_and_a_missing_one_is_told_how_to_make(
    case: Case, key: Path, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match="never overwritten"):
        seal.make_key(key)
    with pytest.raises(NotFound, match="--make-key"):
        seal.with_key(case, tmp_path / "nowhere.pem")
    (tmp_path / "text.pem").write_text("not a key")
    with pytest.raises(BadInput, match="not an unencrypted private key"):
        seal.with_key(case, tmp_path / "text.pem")


def test_a_seal_made_with_a_kms_key_verifies_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Simulator.start(workdir=tmp_path / "sim") as simulator:
        for name, value in simulator.env().items():
            monkeypatch.setenv(name, value)
        opened = Case.open("2026-11-0002", region=simulator.region, cases=tmp_path / "cases", responder="ana")
        made = simulator.session().client("kms").create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
        path = seal.with_kms(opened, made["KeyMetadata"]["KeyId"])
    public = tmp_path / "kms.pub"
    public.write_text(json.loads(path.read_text())["public_key"])

    assert verify(opened.root, public_key=public).sound
    raw = json.loads(path.read_text())
    raw["signature"] = base64.b64encode(b"0" * 70).decode()
    path.write_text(json.dumps(raw))
    assert not verify(opened.root).sound
