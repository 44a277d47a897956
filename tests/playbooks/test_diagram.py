from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from irkit.cli import cli
from irkit.playbooks import diagram
from irkit.playbooks.schema import Playbook, parse, shipped_playbooks

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = """
schema: irkit/playbook/1
id: hostile
title: '</title><script>alert(1)</script>'
inputs: {topic: {type: string, default: ''}}
steps:
  - {id: first, title: 'a"] --> evil["<b>', notebook: report/final-report}
  - id: second
    title: '"; click s_first javascript:alert(1) %%{init: {}}%%'
    notebook: report/notify
    mutates: true
    when: {input: topic, is_set: true}
  - {id: third, title: third, notebook: report/deposit, needs: [first], on_failure: stop, timeout: 7200}
"""


@pytest.fixture
def hostile() -> Playbook:
    return parse(HOSTILE, name="hostile.yaml")


@pytest.mark.parametrize("playbook", shipped_playbooks(), ids=lambda playbook: playbook.id)
def test_every_step_of_a_shipped_playbook_has_a_box_and_an_arrow_to_the_next(playbook: Playbook) -> None:
    text = diagram.mermaid(playbook)
    picture = ET.fromstring(diagram.svg(playbook))
    shown = " ".join("".join(t.itertext()) for t in picture.iter(f"{SVG}text"))
    for step in playbook.steps:
        assert re.search(rf"^  s_{step.id.replace('-', '_')}\[", text, re.MULTILINE), step.id
        assert step.notebook in shown
    boxes = [r for r in picture.iter(f"{SVG}rect") if r.get("x") == "24"]
    assert len(boxes) == len(playbook.steps)
    arrows = [p for p in picture.iter(f"{SVG}path") if p.get("class") == "arrow"]
    assert len(arrows) >= len(playbook.steps) - 1


def test_what_a_step_needs_is_a_thick_arrow_around_what_lies_between(hostile: Playbook) -> None:
    assert "  s_first ==> s_third\n" in diagram.mermaid(hostile)
    picture = ET.fromstring(diagram.svg(hostile))
    thick = [p for p in picture.iter(f"{SVG}path") if p.get("stroke-width") == "3"]
    assert len(thick) == 1


def test_what_changes_aws_is_told_by_its_shape_and_by_words(hostile: Playbook) -> None:
    text = diagram.mermaid(hostile)
    assert "s_second[[" in text
    assert "s_first[[" not in text
    assert "changes AWS" in text
    assert "only if topic is given" in text
    assert "if it fails, the playbook stops" in text
    picture = ET.fromstring(diagram.svg(hostile))
    assert sum(r.get("class") == "changes" for r in picture.iter(f"{SVG}rect")) == 2


def test_titles_can_neither_end_a_label_nor_bring_markup(hostile: Playbook) -> None:
    text = diagram.mermaid(hostile)
    for line in text.splitlines():
        if label := re.fullmatch(r'  s_\w+\[+"(.*)"\]+', line):
            assert not re.search(r'["\[\]{}%]|<(?!br>)', label[1]), line
    assert len(re.findall(r"^  s_\w+\[", text, re.MULTILINE)) == 3
    picture = ET.fromstring(diagram.svg(hostile))
    assert not list(picture.iter(f"{SVG}script"))
    assert "<script>" in "".join(picture.find(f"{SVG}title").itertext())  # type: ignore[union-attr]


def test_the_picture_has_a_description_in_words(hostile: Playbook) -> None:
    picture = ET.fromstring(diagram.svg(hostile))
    told = picture.findtext(f"{SVG}desc") or ""
    assert "1. " in told
    assert "3. third (report/deposit · reads · at most 2 h; if it fails, the playbook stops)." in told


@pytest.mark.parametrize("form", ["mermaid", "svg"])
def test_the_command_prints_the_picture_and_nothing_else(form: str, tmp_path: Path) -> None:
    file = tmp_path / "hostile.yaml"
    file.write_text(HOSTILE, encoding="utf-8")
    ran = CliRunner().invoke(cli, ["playbooks", "show", str(file), "--format", form])
    assert ran.exit_code == 0, ran.output
    assert ran.output.startswith("flowchart TB\n" if form == "mermaid" else "<svg ")
