from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from irkit.sim.scenarios.web_to_role_theft.host import plan_tree, removed_files, write_tree
from irkit.sim.scenarios.web_to_role_theft.story import tell
from irkit.sim.scenarios.web_to_role_theft.weblog import access_log, visits

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 11, 23, 14, 0, 0, tzinfo=UTC)
STORY = tell(seed=7, at=AT)


def test_the_same_story_plans_the_same_files() -> None:
    again = tell(seed=7, at=AT)
    assert plan_tree(again, again.estate.suspect) == plan_tree(STORY, STORY.estate.suspect)
    assert removed_files(again) == removed_files(STORY)


def test_files_are_written_with_their_modes_and_times(tmp_path: Path) -> None:
    files = plan_tree(STORY, STORY.estate.suspect)
    write_tree(files, tmp_path)
    for name, file in files.items():
        status = (tmp_path / name.lstrip("/")).stat()
        assert status.st_mode & 0o7777 == file.mode
        assert status.st_mtime == file.when.timestamp()


def test_no_file_is_from_the_future() -> None:
    assert all(file.when <= AT for file in plan_tree(STORY, STORY.estate.suspect).values())


def test_the_access_log_is_in_order_and_names_the_intruder_only_where_it_came() -> None:
    lines = access_log(STORY).splitlines()
    theirs = [line for line in lines if line.startswith(f"{STORY.intruder.web_ip} ")]
    assert len(theirs) == len(visits(STORY))
    assert len(lines) > 1_000
    stamps = [datetime.strptime(line.split("[")[1].split("]")[0], "%d/%b/%Y:%H:%M:%S %z") for line in lines]
    assert stamps == sorted(stamps)
    assert stamps[-1] < AT


def test_only_the_intruder_asks_for_the_shell() -> None:
    asked = [line for line in access_log(STORY).splitlines() if STORY.intruder.shell_url in line]
    assert {line.split(" ")[0] for line in asked} == {STORY.intruder.web_ip}
