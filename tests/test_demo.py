"""The demo: one command, a whole investigation, and every planted fact found in captured evidence alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from irkit.sim import daemon, scenarios
from tests.processes import mentioning

IRKIT = Path(sys.executable).with_name("irkit")
SEED = 4711
PRECISE = ("address", "access_key", "account", "snapshot", "user", "bucket", "pool")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs_user_namespaces,
    pytest.mark.needs_mke2fs,
    pytest.mark.timeout(600),
]


@dataclass(kw_only=True)
class Demo:
    """A demo that ran to its end, and what was seen while it ran."""

    out: Path
    code: int
    stdout: str
    stderr: str
    truth: dict[str, Any]
    opened_after_run: list[bool] = field(default_factory=list)

    @property
    def answer(self) -> dict[str, Any]:
        """What it printed: one JSON document."""
        said: dict[str, Any] = json.loads(self.stdout)
        return said

    @property
    def case(self) -> Path:
        """The case's folder."""
        return Path(self.answer["folder"])

    @property
    def artifacts(self) -> Path:
        """What the analysis wrote."""
        return self.case / "active" / "cases" / str(self.answer["case"]) / "artifacts"


class Sealed:
    """The truth behind a pipe: whoever opens `truth.json` is noticed, and waits until it is handed out.

    Written by the simulator as it starts, the file is taken away before anything can read it.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.truth: dict[str, Any] = {}
        self.opened_after_run: list[bool] = []
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while not (found := list(self.out.glob("sim/*/world/truth.json"))):
            time.sleep(0.02)
        path = found[0]
        content = path.read_bytes()
        self.truth = json.loads(content)
        pipe = path.with_name("pipe")
        os.mkfifo(pipe)
        pipe.replace(path)
        while path.exists():
            with suppress(OSError), path.open("wb") as asked:  # waits for a reader
                self.opened_after_run.append(self._run_ended())
                asked.write(content)
            time.sleep(0.2)

    def _run_ended(self) -> bool:
        (journal,) = self.out.glob("cases/*/journal.jsonl")
        return '"kind":"ended"' in journal.read_text()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """One run of the demo with a seed of its own, shared by the tests below."""
    out = tmp_path_factory.mktemp("demo")
    sealed = Sealed(out)
    ran = subprocess.run(
        [IRKIT, "demo", "--json", "--out", out, "--seed", str(SEED)],
        capture_output=True,
        text=True,
        timeout=500,
    )
    return Demo(
        out=out,
        code=ran.returncode,
        stdout=ran.stdout,
        stderr=ran.stderr,
        truth=sealed.truth,
        opened_after_run=sealed.opened_after_run,
    )


def stated(demo: Demo) -> dict[str, set[str]]:
    """The values that the findings state, by kind."""
    values: dict[str, set[str]] = defaultdict(set)
    for finding in json.loads((demo.artifacts / "findings.json").read_text()):
        for kind, found in finding["facts"].items():
            values[kind] |= set(found)
    return values


def planted(demo: Demo) -> dict[str, set[str]]:
    """The values that the scenario planted, by kind. A pool's address is the intruder's, too."""
    values: dict[str, set[str]] = defaultdict(set)
    for fact in demo.truth["facts"]:
        values[fact["kind"]].add(str(fact["value"]))
    values["address"] |= {pool.rpartition(":")[0] for pool in values["pool"]}
    return values


def test_every_planted_fact_is_found_with_a_seed_that_nobody_tuned_for(demo: Demo) -> None:
    assert demo.code == 0, demo.stderr
    assert demo.answer["truths"] == len(demo.truth["facts"])
    assert demo.answer["found"] == demo.answer["truths"], demo.answer["missed"]
    assert demo.answer["truths"] >= 30
    assert demo.answer["missing"] == []


def test_another_seed_is_another_world(demo: Demo) -> None:
    known = scenarios.preview("web-to-role-theft", seed=7, at=datetime.fromisoformat(demo.truth["at"]))
    assert known["instance_id"] not in json.dumps(demo.truth)
    assert known["trail_bucket"] not in json.dumps(demo.truth)


def test_the_truth_is_not_opened_before_the_investigation_has_ended(demo: Demo) -> None:
    assert demo.opened_after_run == [True]


@pytest.mark.parametrize("kind", PRECISE)
def test_nothing_innocent_is_stated_as_a_finding(kind: str, demo: Demo) -> None:
    assert stated(demo)[kind]
    assert stated(demo)[kind] <= planted(demo)[kind]


def test_the_report_is_one_file_that_needs_nothing_else(demo: Demo) -> None:
    page = Path(demo.answer["report"])
    outside: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag in {"script", "iframe", "object", "embed", "base", "form"}:
                outside.append(tag)
            for name, value in attrs:
                loads = name in {"src", "srcset", "data", "poster", "background"} or (
                    name == "href" and tag == "link"
                )
                if name.startswith("on") or (loads and not str(value).startswith("data:")):
                    outside.append(f"{tag} {name}={value}")

    text = page.read_text(encoding="utf-8")
    Reader().feed(text)
    assert outside == []
    assert not re.search(r"@import|url\(\s*['\"]?(?!data:|#)", text)
    assert text.count("<svg") + text.count("<img") >= 4
    assert "simulated" in text.lower()


def test_at_least_eight_questions_were_answered(demo: Demo) -> None:
    answered = [
        a for p in (demo.artifacts / "answers").glob("*.json") if (a := json.loads(p.read_text()))["rows"]
    ]
    assert len(answered) >= 8


def test_the_evidence_is_counted_and_sound(demo: Demo) -> None:
    manifest = json.loads((demo.case / "manifest.json").read_text())
    assert demo.answer["evidence"] > 50
    assert demo.answer["evidence"] == len(manifest["items"])
    verdict = subprocess.run([IRKIT, "case", "verify", demo.case, "--json"], capture_output=True, text=True)
    assert verdict.returncode == 0, verdict.stdout
    assert json.loads(verdict.stdout)["items"] == demo.answer["evidence"]


@pytest.mark.parametrize(
    "what", ["manifest.json", "journal.jsonl", "case.json", "the report", "a notebook", "a capture"]
)
def test_one_changed_byte_is_found_and_named(what: str, demo: Demo, tmp_path: Path) -> None:
    copy = tmp_path / "case"
    shutil.copytree(demo.case, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    kinds = {"the report": "report", "a notebook": "notebook", "a capture": "console-screenshot"}
    path = next(i["path"] for i in manifest["items"] if i["kind"] == kinds[what]) if what in kinds else what
    file = copy / path
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(bytes(content))

    verdict = subprocess.run([IRKIT, "case", "verify", copy], capture_output=True, text=True)
    assert verdict.returncode == 1
    named = "entry " if what == "journal.jsonl" else Path(path).name
    assert named in verdict.stdout + verdict.stderr
    assert "Traceback" not in verdict.stderr


def test_it_says_that_the_account_is_simulated_and_shows_progress_apart_from_the_answer(demo: Demo) -> None:
    assert demo.answer["simulated"] is True
    lines = demo.stderr.splitlines()
    assert "SIMULATED" in lines[0]
    assert len(lines) > 20
    assert all(re.match(r" *\d+\.\d s  ", line) for line in lines)


def test_it_leaves_no_process_behind(demo: Demo) -> None:
    assert not mentioning(str(demo.out))


@pytest.fixture
def second(demo: Demo) -> Iterator[Path]:
    """The folder of the case that a second demo in the same place begins; the run is ended once it is at work."""
    command = [IRKIT, "demo", "--quiet", "--out", demo.out, "--seed", str(SEED)]
    case = demo.out / "cases" / f"demo-{SEED}-2"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(OSError):
                if '"kind":"run"' in (case / "journal.jsonl").read_text():
                    break
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
    yield case
    daemon.down(demo.out / "sim" / case.name)


def test_run_again_in_the_same_place_it_begins_a_second_case(demo: Demo, second: Path) -> None:
    assert '"kind":"run"' in (second / "journal.jsonl").read_text()
    first = subprocess.run([IRKIT, "case", "verify", demo.case], capture_output=True, text=True)
    assert first.returncode == 0, first.stdout
