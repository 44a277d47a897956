"""What the workbench lays out for JupyterLab; tests/workbench opens it in a browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from irkit.case import Case
from irkit.errors import MissingExtra
from irkit.notebook import catalog, workbench

TITLE = "</h1><script>alert(1)</script> [x](javascript:alert(1)) `a` | b"


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case.open("2026-11-0042", region="us-east-1", cases=tmp_path / 'ca"ses', title=TITLE)


def test_every_notebook_is_a_template_with_the_case_filled_in_and_nothing_else_changed(
    case: Case, tmp_path: Path
) -> None:
    workbench.lay_out(case, tmp_path / "scratch")
    for notebook in catalog.notebooks():
        template = json.loads((tmp_path / "scratch" / "irkit" / f"{notebook.name}.ipynb").read_text())
        original = json.loads(notebook.path.read_text())
        changed = [
            (new["source"], old["source"])
            for new, old in zip(template["cells"], original["cells"], strict=True)
            if new != old
        ]
        ((filled, before),) = changed
        namespace: dict[str, object] = {}
        exec("".join(filled), namespace)
        assert namespace["case_id"] == case.id
        assert Path(str(namespace["cases"])) == case.root.parent
        assert len(filled) == len(before)


def test_lab_listens_on_loopback_asks_nobody_for_news_and_opens_the_card(case: Case, tmp_path: Path) -> None:
    given = json.loads(workbench.lay_out(case, tmp_path / "scratch", port=9999, browser=False).read_text())
    assert given["ServerApp"] == {
        "ip": "127.0.0.1", "open_browser": False, "root_dir": str(case.active), "port": 9999, "port_retries": 0,
    }  # fmt: skip
    assert given["LabApp"]["news_url"] is None
    assert given["LabApp"]["check_for_updates_class"].endswith("NeverCheckForUpdate")
    assert given["LabApp"]["default_url"] == f"/lab/tree/{workbench.CARD}"
    overrides = json.loads((Path(given["LabApp"]["app_settings_dir"]) / "overrides.json").read_text())
    assert overrides["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"


def test_the_card_says_which_case_it_is_and_shows_hostile_text_as_text(case: Case, tmp_path: Path) -> None:
    workbench.lay_out(case, tmp_path / "scratch")
    text = (case.active / workbench.CARD).read_text(encoding="utf-8")
    assert text.startswith("# Case 2026\\-11\\-0042\n")
    assert "posture | balanced" in text
    assert "<script>" not in text
    assert "](javascript" not in text
    assert "Plan first" in text


def test_the_card_of_a_practice_case_says_that_the_account_is_simulated(tmp_path: Path) -> None:
    case = Case.open("P-1", region="us-east-1", cases=tmp_path, simulated="web-to-role-theft")
    assert "simulated account" in workbench.card(case)


def test_without_jupyterlab_the_refusal_says_what_to_install(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbench, "_NEEDS", ("no_such_lab",))
    with pytest.raises(MissingExtra, match=r"needs no_such_lab: pip install 'irkit-aws\[workbench\]'"):
        workbench.serve(case)
