from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from irkit.capture.choosing import chosen
from irkit.case import Case
from irkit.errors import BadInput, InvalidName, InvalidParameter, NotFound


def machine(world: SimpleNamespace, **tags: str) -> str:
    ec2 = world.sim.session().client("ec2")
    named = (
        [{"ResourceType": "instance", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}]
        if tags
        else []
    )
    made = ec2.run_instances(
        ImageId="ami-0123456789abcdef0",
        MinCount=1,
        MaxCount=1,
        InstanceType="t3.large",
        TagSpecifications=named,
    )
    return str(made["Instances"][0]["InstanceId"])


def test_ids_files_and_tags_add_up_and_nothing_is_taken_twice(
    world: SimpleNamespace, case: Case, tmp_path: Path
) -> None:
    first, second, third = (machine(world, batch="adds-up", n=str(n)) for n in range(3))
    listed = tmp_path / "suspects.txt"
    listed.write_text(f"\ufeff# from the alert\n{second}  # seen twice\n\n{first}\r\n")
    found = chosen(case, named=[first], listed=listed, tagged={"batch": "adds-up"})
    assert found[:2] == [first, second]
    assert sorted(found) == sorted([first, second, third])
    assert chosen(case, tagged={"batch": "adds-up", "n": "2"}) == [third]


def test_a_terminated_instance_is_not_found_by_its_tags(world: SimpleNamespace, case: Case) -> None:
    gone = machine(world, batch="gone")
    world.sim.session().client("ec2").terminate_instances(InstanceIds=[gone])
    with pytest.raises(NotFound, match="no instance in us-east-1 has batch=gone"):
        chosen(case, tagged={"batch": "gone"})


@pytest.mark.parametrize("value", ["*", "a?c", "$(reboot)", 'it\'s "x"', "<b>&", "line\nbreak", "a\\b"])
def test_a_hostile_value_is_taken_for_what_it_is(world: SimpleNamespace, case: Case, value: str) -> None:
    mine, other = machine(world, hostile=value), machine(world, hostile="abc")
    assert chosen(case, tagged={"hostile": value}) == [mine]
    world.sim.session().client("ec2").terminate_instances(InstanceIds=[mine, other])


@pytest.mark.parametrize(
    "text", ["i-1", "i-0123456789abcdef0; reboot", "$(id)", "\x1b[31m", "i-0123456789ABCDEF0"]
)
def test_what_is_no_id_in_a_file_is_told_with_its_line(case: Case, tmp_path: Path, text: str) -> None:
    listed = tmp_path / "ids"
    listed.write_text(f"i-0123456789abcdef0\n{text}\n")
    with pytest.raises(InvalidName, match="line 2") as refused:
        chosen(case, listed=listed)
    assert "\x1b" not in str(refused.value)


def test_nothing_chosen_a_file_that_is_none_and_one_that_is_too_large_are_refused(
    case: Case, tmp_path: Path
) -> None:
    empty, large = tmp_path / "empty", tmp_path / "large"
    empty.write_text("# nothing\n")
    large.write_bytes(b"#" * (2 << 20))
    for listed, why in (
        (empty, "no instance is named"),
        (large, "larger than 1 MiB"),
        (tmp_path / "no", "cannot read"),
    ):
        with pytest.raises(BadInput, match=why):
            chosen(case, listed=listed)
    with pytest.raises(BadInput, match="no instance is named"):
        chosen(case)


def test_more_instances_than_one_command_takes_are_refused(case: Case) -> None:
    with pytest.raises(BadInput, match="1001 instances"):
        chosen(case, named=[f"i-{n:017x}" for n in range(1001)])


def test_a_tag_that_cannot_be_one_is_refused(case: Case) -> None:
    with pytest.raises(InvalidParameter, match="cannot be a tag"):
        chosen(case, tagged={"k" * 129: "v"})
