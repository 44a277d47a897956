"""The proof contradicts itself when, and only when, something is not as containment left it."""

from __future__ import annotations

import pytest

from irkit import contain
from irkit.contain.proof import Finding


def _policy(world, case):
    world.client("iam").delete_role_policy(RoleName="web", PolicyName=f"irkit-deny-{case.id}-{world.suspect}")


def _attribute(**change):
    return lambda world, _: world.client("ec2").modify_instance_attribute(InstanceId=world.suspect, **change)


def _rule(purpose):
    def tamper(world, case):
        ec2 = world.client("ec2")
        filters = [{"Name": "group-name", "Values": [f"irkit-{purpose}-{case.id}"]}]
        group = ec2.describe_security_groups(Filters=filters)["SecurityGroups"][0]["GroupId"]
        anyone = [{"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}]
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=anyone)

    return tamper


def _delete_on_termination(world, _):
    ec2 = world.client("ec2")
    shown = ec2.describe_network_interfaces(NetworkInterfaceIds=world.interfaces[:1])["NetworkInterfaces"][0]
    held = {"AttachmentId": shown["Attachment"]["AttachmentId"], "DeleteOnTermination": True}
    ec2.modify_network_interface_attribute(NetworkInterfaceId=world.interfaces[0], Attachment=held)


TAMPERED = {
    "guard.termination": _attribute(DisableApiTermination={"Value": False}),
    "guard.stop": _attribute(DisableApiStop={"Value": False}),
    "guard.shutdown": _attribute(InstanceInitiatedShutdownBehavior={"Value": "terminate"}),
    "guard.volume": _attribute(
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"DeleteOnTermination": True}}]
    ),
    "guard.interface": _delete_on_termination,
    "fleet.protection": lambda world, _: world.client("autoscaling").set_instance_protection(
        InstanceIds=[world.suspect], AutoScalingGroupName="web", ProtectedFromScaleIn=False
    ),
    "fleet.standby": lambda world, _: world.client("autoscaling").exit_standby(
        InstanceIds=[world.suspect], AutoScalingGroupName="web"
    ),
    "fleet.processes": lambda world, _: world.client("autoscaling").resume_processes(
        AutoScalingGroupName="web", ScalingProcesses=["Terminate"]
    ),
    "fleet.target-group": lambda world, _: world.client("elbv2").register_targets(
        TargetGroupArn=world.targets, Targets=[{"Id": world.suspect, "Port": 80}]
    ),
    "fleet.classic": lambda world, _: world.client("elb").register_instances_with_load_balancer(
        LoadBalancerName="old", Instances=[{"InstanceId": world.suspect}]
    ),
    "network.quarantine": _rule("quarantine"),
    "network.hop": _rule("hop"),
    "network.interface": lambda world, _: world.client("ec2").modify_network_interface_attribute(
        NetworkInterfaceId=world.interfaces[1], Groups=[world.web]
    ),
    "network.address": lambda world, _: world.client("ec2").associate_address(
        AllocationId=world.address, NetworkInterfaceId=world.interfaces[0]
    ),
    "network.secondary": lambda world, _: world.client("ec2").assign_private_ip_addresses(
        NetworkInterfaceId=world.interfaces[0], PrivateIpAddresses=["10.9.1.200"]
    ),
    "identity.session": _policy,
    "identity.profile": lambda world, _: world.client("ec2").associate_iam_instance_profile(
        InstanceId=world.suspect, IamInstanceProfile={"Name": "web"}
    ),
    "identity.metadata": lambda world, _: world.client("ec2").modify_instance_metadata_options(
        InstanceId=world.suspect, HttpEndpoint="enabled"
    ),
}


def test_a_whole_containment_is_proved_and_the_proof_is_in_the_journal(contained, world):
    proof = contain.prove(contained, world.suspect)
    assert proof.complete, [v.to_dict() for v in proof.open]
    assert {v.control for v in proof.verdicts} == set(TAMPERED)
    assert contained.journal.entries[-1].body["proof"]["complete"] is True


def test_each_control_that_is_tampered_with_in_turn_is_contradicted_and_can_be_closed_again(
    case, world, shown, everything
):
    before = shown()
    everything(case, world.suspect).apply()
    for count, (control, tamper) in enumerate(TAMPERED.items(), start=1):
        tamper(world, case)
        verdicts = contain.prove(case, world.suspect).verdicts
        found = {v.control for v in verdicts if v.finding is Finding.CONTRADICTED}
        assert control in found, control
        assert len(found) in {count, count + 1}  # leaving standby brings the target group's registration back
    print(f"{len(TAMPERED)} of {len(TAMPERED)} contradicted")

    report = everything(case, world.suspect).apply()
    assert report.complete, [s.to_dict() for s in report.failed]
    assert contain.prove(case, world.suspect).complete
    undone = contain.undo_plan(case, retire_replacement=True).apply()
    assert undone.complete, [s.to_dict() for s in undone.failed]
    assert not contain.undo_plan(case).steps
    assert shown() == before


def test_before_anything_is_done_nothing_is_proved_and_all_that_is_open_is_named(case, world):
    proof = contain.prove(case, world.suspect)
    assert not proof.complete
    assert {v.finding for v in proof.verdicts} == {Finding.NOT_PROVED}
    assert {v.control.partition(".")[0] for v in proof.open} == set(contain.KINDS)


def test_an_interface_that_is_attached_afterwards_is_named(contained, world):
    ec2 = world.client("ec2")
    extra = ec2.create_network_interface(SubnetId=world.subnet, Groups=[world.web])["NetworkInterface"][
        "NetworkInterfaceId"
    ]
    held = ec2.attach_network_interface(NetworkInterfaceId=extra, InstanceId=world.suspect, DeviceIndex=5)[
        "AttachmentId"
    ]
    try:
        proof = contain.prove(contained, world.suspect)
        assert ("network.interface", extra) in {(v.control, v.target) for v in proof.open}
        contain.plan(contained, world.suspect, hop_seconds=0.01).apply()
        assert contain.prove(contained, world.suspect).complete
    finally:
        contain.undo_plan(contained, only=[extra]).apply()
        ec2.detach_network_interface(AttachmentId=held)
        ec2.delete_network_interface(NetworkInterfaceId=extra)


def test_a_control_that_cannot_be_read_is_not_proved_and_says_why(contained, world):
    world.sim.faults.inject("iam", "GetRolePolicy", "AccessDenied", times=9)
    (verdict,) = contain.prove(contained, world.suspect).open
    assert verdict.finding is Finding.NOT_PROVED
    assert "AccessDenied" in verdict.why


@pytest.mark.parametrize("hostile", ["<img src=x onerror=alert(1)>"])
def test_the_proof_shows_as_a_table_with_what_aws_said_escaped(contained, world, hostile):
    ec2 = world.client("ec2")
    filters = [{"Name": "group-name", "Values": [f"irkit-quarantine-{contained.id}"]}]
    group = ec2.describe_security_groups(Filters=filters)["SecurityGroups"][0]
    proof = contain.prove(contained, world.suspect)
    verdict = contain.proof.Verdict(
        control="x", target=hostile, intended=hostile, observed={"GroupName": hostile}, finding=Finding.PROVED
    )
    shown = contain.proof.Proof(
        case="c", instance=hostile, at="now", verdicts=(*proof.verdicts, verdict)
    )._repr_html_()
    assert group["GroupId"] in shown
    assert hostile not in shown
    assert len(proof.to_frame()) == len(proof.verdicts)
    assert repr(proof).startswith(f"<Proof {world.suspect}:")
