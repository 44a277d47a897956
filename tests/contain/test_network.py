"""Quarantine: groups without rules, the hop that cuts connections, and what happens when a step of it fails."""

from __future__ import annotations

import pytest

from irkit import contain
from irkit.contain import groups
from irkit.contain.proof import Finding
from irkit.plan import Plan, Status

DENIED = "UnauthorizedOperation"


def network(case, instance, **options):
    return contain.plan(case, instance, only=["network"], **({"hop_seconds": 0.01} | options))


def groups_of(world, interface):
    found = world.client("ec2").describe_network_interfaces(NetworkInterfaceIds=[interface])
    return [g["GroupId"] for g in found["NetworkInterfaces"][0]["Groups"]]


def rules_of(world, group):
    found = world.client("ec2").describe_security_group_rules(
        Filters=[{"Name": "group-id", "Values": [group]}]
    )
    return found["SecurityGroupRules"]


def tagged(world, case, purpose):
    filters = [
        {"Name": "tag:irkit:case", "Values": [case.id]},
        {"Name": "tag:irkit:purpose", "Values": [purpose]},
    ]
    return [
        g["GroupId"] for g in world.client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"]
    ]


def into(response, purpose):
    """Whether a request puts an interface into the group of that purpose; it must not call AWS itself."""
    wanted = response._get_param("Groups") or []
    return any(f"irkit-{purpose}" in response.ec2_backend.get_security_group_from_id(g).name for g in wanted)


def test_every_interface_ends_in_one_group_without_rules(case, world):
    assert network(case, world.suspect).apply().complete
    (quarantine,) = tagged(world, case, "quarantine")
    assert [groups_of(world, i) for i in world.interfaces] == [[quarantine], [quarantine]]
    assert rules_of(world, quarantine) == []
    assert rules_of(world, tagged(world, case, "hop")[0]) == []


def test_the_hop_allows_everything_both_ways_in_ipv4_and_ipv6_while_an_interface_passes(
    case, world, monkeypatch
):
    seen = []
    put = contain.network._put

    def watched(case_, interface, group):
        answer = put(case_, interface, group)
        seen.append((interface, sorted(groups.in_words(r) for r in groups.rules(case_, group))))
        return answer

    monkeypatch.setattr(contain.network, "_put", watched)
    network(case, world.suspect).apply()
    wide = ["in -1 0.0.0.0/0", "in -1 ::/0", "out -1 0.0.0.0/0", "out -1 ::/0"]
    assert sorted(seen) == sorted((i, rules) for i in world.interfaces for rules in ([], wide))


def test_without_the_hop_nothing_is_ever_opened(case, world, changes):
    report = network(case, world.suspect, hop=False).apply()
    assert report.complete
    assert not [c for c in changes() if c.startswith("Authorize")]
    assert tagged(world, case, "hop") == []


def test_a_group_of_the_same_name_that_somebody_planted_is_not_used(case, world):
    ec2 = world.client("ec2")
    planted = ec2.create_security_group(
        GroupName=groups.group_name(case, "quarantine"), Description="x", VpcId=world.vpc
    )["GroupId"]
    network(case, world.suspect).apply()
    (quarantine,) = tagged(world, case, "quarantine")
    assert quarantine != planted
    assert all(groups_of(world, i) == [quarantine] for i in world.interfaces)
    assert rules_of(world, quarantine) == []
    ec2.delete_security_group(GroupId=planted)


def test_a_planted_group_that_even_carries_the_tags_has_its_rules_taken_out_before_use(case, world):
    ec2 = world.client("ec2")
    tags = [{"Key": k, "Value": v} for k, v in (case.tags() | {"irkit:purpose": "quarantine"}).items()]
    planted = ec2.create_security_group(
        GroupName="planted", Description="x", VpcId=world.vpc,
        TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}],
    )["GroupId"]  # fmt: skip
    anyone = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.authorize_security_group_ingress(GroupId=planted, IpPermissions=anyone)
    assert network(case, world.suspect).apply().complete
    assert all(rules_of(world, groups_of(world, i)[0]) == [] for i in world.interfaces)


def test_an_interface_stuck_in_the_hop_is_shut_and_a_retry_still_knows_its_groups(case, world):
    stuck, other = world.interfaces

    fault = world.sim.faults.inject(
        "ec2", "ModifyNetworkInterfaceAttribute", DENIED, times=99,
        when=lambda r: r._get_param("NetworkInterfaceId") == stuck and into(r, "quarantine"),
    )  # fmt: skip
    report = network(case, world.suspect).apply()
    (failed,) = report.failed
    assert failed.target == stuck
    assert groups_of(world, other) == tagged(world, case, "quarantine"), "the other interface is contained"
    assert groups_of(world, stuck) == tagged(world, case, "hop")
    assert rules_of(world, tagged(world, case, "hop")[0]) == [], "what it is stuck in is shut"
    open_ones = contain.prove(case, world.suspect).open
    assert stuck in {v.target for v in open_ones}

    fault.left = 0
    assert network(case, world.suspect).apply().complete
    contain.undo_plan(case).apply()
    assert sorted(groups_of(world, stuck)) == sorted([world.web, world.admin])


def test_an_interface_stuck_in_the_hop_can_be_put_back_without_a_retry(case, world):
    world.sim.faults.inject(
        "ec2", "ModifyNetworkInterfaceAttribute", DENIED, times=99,
        when=lambda r: into(r, "quarantine"),
    )  # fmt: skip
    assert len(network(case, world.suspect).apply().failed) == 2
    world.sim.faults.clear()
    assert contain.undo_plan(case).apply().complete
    assert sorted(groups_of(world, world.interfaces[0])) == sorted([world.web, world.admin])
    assert tagged(world, case, "hop") == []


@pytest.mark.parametrize("operation", ["AuthorizeSecurityGroupEgress", "AuthorizeSecurityGroupIngress"])
def test_when_the_hop_fails_the_quarantine_follows_and_says_that_connections_may_live(case, world, operation):
    world.sim.faults.inject("ec2", operation, DENIED, times=99)
    report = network(case, world.suspect).apply()
    assert not report.failed
    assert "may go on" in " ".join(m for s in report.steps for m in s.missing)
    assert all(groups_of(world, i) == tagged(world, case, "quarantine") for i in world.interfaces)
    assert report.exit_code == 3
    assert not contain.prove(case, world.suspect).complete


def test_a_hop_that_another_process_closes_too_early_is_told_and_the_quarantine_follows(
    case, world, monkeypatch
):
    def meddle(_seconds):
        groups.revoke_all(case, tagged(world, case, "hop")[0])

    monkeypatch.setattr(contain.network.time, "sleep", meddle)
    report = network(case, world.suspect).apply(workers=1)
    assert not report.failed
    assert "the hop was closed too early" in " ".join(m for s in report.steps for m in s.missing)
    assert all(groups_of(world, i) == tagged(world, case, "quarantine") for i in world.interfaces)


class KilledError(BaseException):
    """The process ends here."""


def test_killed_inside_the_open_hop_the_proof_says_so_and_the_next_run_shuts_it(
    open_case, world, monkeypatch
):
    def die(_seconds):
        raise KilledError

    case = open_case()
    with monkeypatch.context() as killed:
        killed.setattr(contain.network.time, "sleep", die)
        killed.setattr(contain.network, "_shut", lambda *_: None)  # nothing of a killed process cleans up
        one = [s for s in network(case, world.suspect).steps if s.target != world.interfaces[1]]
        with pytest.raises(KilledError):
            Plan(case, one, title="cut short").apply(workers=1)
    case = open_case()
    (hop,) = tagged(world, case, "hop")
    assert len(rules_of(world, hop)) == 4
    found = {(v.control, v.target): v.finding for v in contain.prove(case, world.suspect).verdicts}
    assert found["network.hop", world.vpc] is Finding.CONTRADICTED
    assert groups_of(world, world.interfaces[0]) == [hop]
    assert found["network.interface", world.interfaces[0]] is Finding.NOT_PROVED

    report = network(case, world.suspect).apply()
    assert report.complete, [s.to_dict() for s in report.steps]
    assert rules_of(world, hop) == []
    assert not [v for v in contain.prove(case, world.suspect).open if v.control.startswith("network")]
    assert contain.undo_plan(case).apply().complete
    assert sorted(groups_of(world, world.interfaces[0])) == sorted([world.web, world.admin])


def test_a_new_group_that_aws_does_not_show_yet_is_waited_for(case, world):
    world.sim.faults.inject("ec2", "DescribeSecurityGroups", "InvalidGroup.NotFound", times=2,
                            when=lambda r: bool(r._get_param("GroupIds")))  # fmt: skip
    assert network(case, world.suspect).apply().complete


def test_a_second_instance_of_the_case_shares_the_groups_and_undoing_one_leaves_the_other_shut(case, world):
    network(case, world.suspect).apply()
    network(case, world.sibling).apply()
    (quarantine,) = tagged(world, case, "quarantine")
    report = contain.undo_plan(case, only=[world.suspect, "network.quarantine"]).apply()
    kept = next(s for s in report.steps if s.verb == "undo.network.quarantine")
    assert kept.status is Status.SKIPPED
    assert "still in use" in kept.why
    assert quarantine not in groups_of(world, world.interfaces[0])
    assert "network.interface" not in {v.control for v in contain.prove(case, world.sibling).open}
