"""`irkit workbench` in a real headless browser: every notebook opens, runs to its end, and talks to nobody else.

`make test-workbench` runs this in an environment of its own: beside JupyterLab every start of papermill takes seconds
longer (https://github.com/jupyter-server/jupyter_server/issues/1559).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from irkit.case import Case
from irkit.notebook import workbench
from irkit.notebook.catalog import find
from irkit.notebook.models import BY_NOTEBOOK
from irkit.sim import daemon

pytestmark = [
    pytest.mark.needs_jupyterlab,
    pytest.mark.needs_chromium,
    pytest.mark.needs_user_namespaces,
    pytest.mark.needs_mke2fs,
    pytest.mark.slow,
]
IRKIT = Path(sys.executable).with_name("irkit")
PICTURES = os.environ.get("DOCS_PICTURES")  # a folder: the screenshots of the docs are put there


@dataclass
class Lab:
    """A running workbench, the page that looks at it, and what that page asked for and complained of."""

    page: Any
    case: Case
    values: dict[str, str]
    url: str
    token: str
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Open a file of the case's folder in Lab, alone."""
        self.page.goto(f"{self.url}/lab/tree/{path}?token={self.token}&reset", timeout=90_000)

    def run_all(self, path: str) -> None:
        """Open a notebook, run all of it, and wait for its last cell."""
        self.open(path)
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=90_000)
        # The notebook's own indicator says idle before there is a kernel, and running then asks for one.
        self.page.wait_for_selector(
            '#jp-main-statusbar >> text="Python 3 (ipykernel) | Idle"', timeout=90_000
        )
        self.page.click('li.lm-MenuBar-item:has-text("Run")')
        self.page.click('[data-command="runmenu:run-all"]')
        self.page.wait_for_function(
            """() => { const cells = [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')];
            const failed = document.querySelector('[data-mime-type="application/vnd.jupyter.error"]');
            return failed || (cells.length > 0 && cells.every(c => /\\[\\d+\\]/.test(c.textContent))); }""",
            timeout=150_000,
        )

    def picture(self, name: str) -> None:
        """Keep a screenshot for the docs, where that is asked for."""
        if PICTURES:
            self.page.screenshot(path=str(Path(PICTURES) / f"{name}.png"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[Lab]:
    from playwright.sync_api import sync_playwright

    folder = tmp_path_factory.mktemp("workbench")
    account = daemon.up(folder / "sim", idle_minutes=60)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "IRKIT_"))}
    env |= account.env | {"HOME": str(folder), "IRKIT_CASES": str(folder / "cases"), "PYTHONUNBUFFERED": "1"}
    public = account.public
    opening = ["case", "open", "2026-11-0042", "--title", "Web server <b>mines</b> and leaks"]
    opening += ["--source", f"evidence_bucket={public['evidence_bucket']}"]
    taking = [
        "capture",
        public["instance_id"],
        "--case",
        "2026-11-0042",
        "--only",
        "metadata",
        "--only",
        "disks",
    ]
    taking.append("--apply")
    for arguments in (opening, taking):
        ran = subprocess.run([IRKIT, *arguments], env=env, capture_output=True, text=True, timeout=120)
        assert ran.returncode in {0, 3}, ran.stderr
    asking = "import boto3; s = boto3.client('ec2').describe_snapshots(OwnerIds=['self'])['Snapshots']"
    listed = [sys.executable, "-c", f"{asking}; print(s[0]['SnapshotId'])"]
    snapshot = subprocess.run(listed, env=env, capture_output=True, text=True, timeout=60, check=True)
    tool = folder / "avml"
    tool.write_bytes(b"#!/bin/sh\n")
    typed = {
        "instance_id": public["instance_id"],
        "access_key_id": "ASIAIOSFODNN7EXAMPLE",
        "principal": "arn:aws:iam::111122223333:role/web",
        "topic": public["sns_topic_arn"],
        "snapshot_id": snapshot.stdout.strip(),
        "tool": str(tool),
        "tool_sha256": hashlib.sha256(tool.read_bytes()).hexdigest(),
    }
    with (folder / "lab.log").open("w") as log:
        command = [IRKIT, "workbench", "--case", "2026-11-0042", "--no-browser"]
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        url, token = _address(folder / "lab.log", server)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1400, "height": 2600})
            case = Case.load("2026-11-0042", cases=folder / "cases")
            lab = Lab(page=page, case=case, values=typed, url=url, token=token)
            page.on("request", lambda request: lab.hosts.add(request.url.split("/")[2]))
            page.on(
                "console",
                lambda said: lab.complaints.append(said.text) if said.type == "error" else None,
            )
            yield lab
            browser.close()
    finally:
        server.terminate()
        server.wait(timeout=30)
        daemon.down(folder / "sim")


def _address(log: Path, server: subprocess.Popen[bytes]) -> tuple[str, str]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        if found := re.search(r"(http://127\.0\.0\.1:\d+)/lab\S*\?token=(\w+)", log.read_text()):
            return found[1], found[2]
        time.sleep(0.2)
    pytest.fail(f"the workbench did not start: {log.read_text()[-2000:]}")


@pytest.fixture(autouse=True)
def _nobody_else_was_asked(lab: Lab) -> Iterator[None]:
    lab.hosts.clear()
    lab.complaints.clear()
    yield
    assert lab.hosts <= {lab.url.removeprefix("http://")}
    assert lab.complaints == []


def _with_values(lab: Lab, name: str) -> dict[str, Any]:
    """The template as a person fills it in: what the case does not know already."""
    document = workbench.filled_in(find(name), lab.case)
    for cell in document["cells"]:
        if "parameters" in cell["metadata"].get("tags", ()):
            for field_name, value in lab.values.items():
                cell["source"] = [
                    re.sub(rf'^{field_name}: str = ""', f'{field_name}: str = "{value}"', line)
                    for line in cell["source"]
                ]
    return document


def test_the_card_of_the_case_is_what_opens_first(lab: Lab) -> None:
    lab.page.goto(f"{lab.url}/lab?token={lab.token}&reset", timeout=90_000)
    lab.page.goto(f"{lab.url}/lab/tree/{workbench.CARD}?token={lab.token}&reset", timeout=90_000)
    lab.page.wait_for_selector(".jp-MarkdownViewer h1", timeout=90_000)
    told = lab.page.inner_text(".jp-MarkdownViewer")
    assert "Case 2026-11-0042" in told
    assert "Web server <b>mines</b> and leaks" in told
    assert "simulated account" in told
    lab.picture("workbench-card")


def test_the_launcher_offers_every_notebook_as_a_template(lab: Lab) -> None:
    lab.open(workbench.CARD)
    lab.page.wait_for_selector(".jp-MarkdownViewer h1", timeout=90_000)
    lab.page.click('[title^="New Launcher"]')
    lab.page.click('.jp-LauncherCard:has-text("Template")')
    lab.page.wait_for_selector(".jp-Dialog select option", state="attached", timeout=30_000)
    phases = lab.page.eval_on_selector_all(
        ".jp-Dialog select >> nth=0 >> option", "all => all.map(o => o.value)"
    )
    assert set(phases) == {name.partition("/")[0] for name in BY_NOTEBOOK}
    offered = set()
    for phase in phases:
        lab.page.select_option(".jp-Dialog select >> nth=0", phase)
        lab.page.wait_for_function(
            f"() => document.querySelectorAll('.jp-Dialog select')[1].value.startsWith('/{phase}/')"
        )
        offered |= set(
            lab.page.eval_on_selector_all(
                ".jp-Dialog select >> nth=1 >> option", "all => all.map(o => o.value)"
            )
        )
    assert offered == {f"/{name}.ipynb" for name in BY_NOTEBOOK}


@pytest.mark.parametrize("name", sorted(BY_NOTEBOOK))
def test_a_notebook_opens_and_runs_to_its_end(lab: Lab, name: str) -> None:
    path = f"{name.replace('/', '-')}.ipynb"
    (lab.case.active / path).write_text(json.dumps(_with_values(lab, name)), encoding="utf-8")
    lab.run_all(path)
    errors = lab.page.query_selector_all('[data-mime-type="application/vnd.jupyter.error"]')
    assert not errors, [e.inner_text() for e in errors]
    lab.page.wait_for_selector(".jp-OutputArea-output table", timeout=30_000)
    lab.picture(f"notebook-{name.replace('/', '-')}")


def test_what_papermill_ran_shows_its_tables_to_a_reader_who_does_not_trust_it(lab: Lab) -> None:
    papermill = Path(sys.executable).with_name("papermill")
    given = ["-r", "case_id", lab.case.id, "-r", "cases", str(lab.case.root.parent)]
    given += ["-r", "instance_id", lab.values["instance_id"], "--no-progress-bar"]
    out = lab.case.active / "by-papermill.ipynb"
    env = os.environ | lab_environment(lab)
    ran = subprocess.run(
        [papermill, find("capture/preflight").path, out, *given], env=env, capture_output=True, timeout=150
    )
    assert ran.returncode == 0, ran.stderr.decode()
    lab.open("by-papermill.ipynb")
    lab.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=90_000)
    lab.page.wait_for_selector(".jp-OutputArea-output table", timeout=60_000)
    shown = lab.page.inner_text(".jp-Notebook")
    assert lab.values["instance_id"] in shown
    assert not lab.page.query_selector_all(".jp-Notebook script")


def lab_environment(lab: Lab) -> dict[str, str]:
    """What points a program at the simulated account of the workbench."""
    up = daemon.status(lab.case.root.parent.parent / "sim")
    assert up is not None
    return dict(up.env)
