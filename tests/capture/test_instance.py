from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from irkit.capture import describe
from irkit.case import Case
from irkit.errors import InvalidName, NoCredentials, NotFound, RegionDisabled, WrongState


def test_an_instance_is_described_with_its_disks_interfaces_and_role(
    world: SimpleNamespace, case: Case
) -> None:
    suspect = describe(case, world.instance_id)

    assert (suspect.id, suspect.account, suspect.region, suspect.state) == (
        world.instance_id, world.sim.account, "us-east-1", "running",
    )  # fmt: skip
    assert {v.device for v in suspect.volumes} == {"/dev/xvda", "/dev/sdf"}
    assert [i.device_index for i in suspect.interfaces] == [0, 1]
    assert set(suspect.addresses) >= {suspect.private_address, suspect.public_address}
    assert suspect.profile is not None
    assert suspect.roles == (suspect.profile.rsplit("/", 1)[-1],)
    assert suspect.scaling_group
    assert not suspect.windows


def test_describing_writes_nothing_into_the_case(world: SimpleNamespace, case: Case) -> None:
    before = case.journal.head
    describe(case, world.instance_id)
    assert case.journal.head == before
    assert case.evidence.items() == []


def test_a_hostile_tag_is_shown_as_text(world: SimpleNamespace, case: Case) -> None:
    suspect = describe(case, world.instance_id)
    assert "<img" in suspect.tags["note"]
    assert "<img" not in suspect._repr_html_()
    assert "\n" not in repr(suspect)
    assert "raw" not in suspect.to_dict()


@pytest.mark.parametrize(
    "text", ["", "i-123", "I-0123456789abcdef0", "i-0123456789abcdef0\n", "../i-01234567", "vol-01234567"]
)
def test_a_malformed_id_is_refused_before_aws_is_asked(world: SimpleNamespace, case: Case, text: str) -> None:
    asked = len(world.sim.calls())
    with pytest.raises(InvalidName, match="instance id"):
        describe(case, text)
    assert len(world.sim.calls()) == asked


def test_an_unknown_instance_is_not_found(world: SimpleNamespace, case: Case) -> None:
    with pytest.raises(NotFound, match=r"i-0123456789abcdef0 does not exist in us-east-1.*check"):
        describe(case, "i-0123456789abcdef0")


def test_a_terminated_instance_says_what_is_left_to_do(world: SimpleNamespace, case: Case) -> None:
    ec2 = world.sim.session().client("ec2")
    made = ec2.run_instances(ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1)["Instances"][0][
        "InstanceId"
    ]
    ec2.terminate_instances(InstanceIds=[made])
    with pytest.raises(WrongState, match=r"is terminated.*snapshots that remain"):
        describe(case, made)


def test_a_region_that_is_off_is_named(world: SimpleNamespace, open_case: Callable[..., Case]) -> None:
    with pytest.raises(RegionDisabled, match="ap-east-1"):
        describe(open_case(region="ap-east-1"), world.instance_id)


def test_without_credentials_it_says_how_to_sign_in(
    world: SimpleNamespace, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(NoCredentials, match="sign in"):
        describe(case, world.instance_id)


def test_an_unreadable_profile_leaves_the_role_open(world: SimpleNamespace, case: Case) -> None:
    world.sim.faults.inject("iam", "GetInstanceProfile", "AccessDenied", status=403)
    suspect = describe(case, world.instance_id)
    assert suspect.profile
    assert suspect.roles == ()
