"""A case folder that cannot be written: real file systems, read-only or too small, mounted where only the test sees."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.cli.running import IRKIT, Ran, SimulatedWorld, assert_refused, irkit, nothing_is_left_behind

UNSHARE = ["unshare", "--user", "--map-root-user", "--mount", "--fork", "sh", "-euc"]
NEEDS = [pytest.mark.needs_user_namespaces]


def in_namespace(script: str) -> Ran:
    """Run a shell script that may mount file systems; `irkit` in it is the real command."""
    before = f'irkit() {{ {shlex.quote(str(IRKIT))} "$@"; }}\n'
    ran = subprocess.run([*UNSHARE, before + script], capture_output=True, text=True, timeout=150)
    return Ran(code=ran.returncode, out=ran.stdout, err=ran.stderr)


def lines(ran: Ran, start: str) -> list[str]:
    return [line for line in ran.err.splitlines() if line.startswith(start)]


@pytest.mark.needs_user_namespaces
def test_a_case_is_not_opened_where_the_file_system_is_read_only(cases: Path) -> None:
    ran = in_namespace(
        f"mount -t tmpfs -o ro none {cases}\n"
        f"set +e; irkit case open c --region us-east-1; code=$?; ls -A {cases}; exit $code"
    )
    assert_refused(ran, 1, "cannot create the case", str(cases / "c"), "read-only", "--cases")


@pytest.mark.needs_user_namespaces
def test_nothing_is_done_in_aws_when_the_case_cannot_be_written(
    case: str, cases: Path, world: SimulatedWorld
) -> None:
    with nothing_is_left_behind(cases, world):
        for command in ("capture", "contain"):
            ran = in_namespace(
                f"mount --bind {cases} {cases}; mount -o remount,bind,ro {cases}\n"
                f"irkit {command} {world.instance_id} --case {case} --apply"
            )
            assert_refused(ran, 1, "read-only", "--cases")


@pytest.mark.needs_user_namespaces
def test_a_read_only_case_can_still_be_looked_at_and_verified(case: str, cases: Path) -> None:
    with nothing_is_left_behind(cases):
        ran = in_namespace(
            f"mount --bind {cases} {cases}; mount -o remount,bind,ro {cases}\n"
            f"irkit case list; irkit case show {case}; irkit case custody {case}; irkit case verify {case}"
        )
    assert ran.code == 0, ran.err
    assert ran.err == ""
    assert "sound" in ran.out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere: the tests above stand for this one")
def test_a_folder_that_belongs_to_somebody_else_is_told(cases: Path) -> None:
    cases.chmod(0o500)
    assert_refused(irkit("case", "open", "c", "--region", "us-east-1"), 1, "no permission", str(cases))


def test_a_file_where_the_folder_of_cases_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with nothing_is_left_behind(tmp_path):
        ran = irkit("case", "open", "c", "--region", "us-east-1", "--cases", tmp_path / "file")
    assert_refused(ran, 1, "cannot create the case", "not a folder", "check the path")


@pytest.mark.slow
@pytest.mark.needs_user_namespaces
def test_a_full_disk_stops_a_capture_which_the_same_command_completes_once_there_is_room(
    cases: Path, world: SimulatedWorld
) -> None:
    capture = f"irkit capture {world.instance_id} --case full --apply --only metadata --only console"
    ran = in_namespace(f"""
        mount -t tmpfs -o size=2m none {cases}
        irkit case open full --region us-east-1
        dd if=/dev/zero of={cases}/filler bs=4096 count=100000 2>/dev/null || true
        truncate -s -16384 {cases}/filler
        set +e
        {capture}; echo "first $?" >&2
        irkit case verify full; echo "verify $?" >&2
        rm {cases}/filler
        {capture} --json; echo "second $?" >&2
        irkit case verify full; echo "verify again $?" >&2
    """)
    told = [line for line in ran.err.splitlines() if "disk is full" in line]
    assert "first 1" in ran.err, ran.err
    assert told, ran.err
    assert "Traceback" not in ran.err
    assert "second 0" in ran.err, ran.err
    assert "verify again 0" in ran.err, ran.out + ran.err


@pytest.mark.needs_user_namespaces
def test_a_case_that_does_not_fit_on_the_disk_is_opened_by_the_same_command_once_there_is_room(
    cases: Path,
) -> None:
    ran = in_namespace(f"""
        mount -t tmpfs -o size=64k none {cases}
        dd if=/dev/zero of={cases}/filler bs=4096 count=1000 2>/dev/null || true
        set +e
        irkit case open full --region us-east-1; echo "first $?" >&2
        rm {cases}/filler
        irkit case open full --region us-east-1; echo "second $?" >&2
        irkit case verify full; echo "verify $?" >&2
    """)
    assert "first 1" in ran.err, ran.err
    assert "disk is full" in ran.err
    assert "second 0" in ran.err, ran.err
    assert "verify 0" in ran.err, ran.out + ran.err
