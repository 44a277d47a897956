from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from irkit.sim import Simulator
from tests.sim.builders import code_of, described, launch, profile


def group(sim: Simulator, name: str) -> str:
    ec2 = sim.session().client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    return str(ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"])


def test_a_swapped_group_is_the_only_one_on_interface_and_instance(sim: Simulator) -> None:
    instance_id, quarantine = launch(sim), group(sim, "quarantine-a")
    interface = described(sim, instance_id)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    ec2 = sim.session().client("ec2")
    ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[quarantine])
    shown = described(sim, instance_id)
    assert [g["GroupId"] for g in shown["SecurityGroups"]] == [quarantine]
    assert [g["GroupId"] for g in shown["NetworkInterfaces"][0]["Groups"]] == [quarantine]
    alone = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]
    assert [g["GroupId"] for g in alone["Groups"]] == [quarantine]


def test_a_swap_on_the_instance_shows_on_the_interface(sim: Simulator) -> None:
    instance_id, quarantine = launch(sim), group(sim, "quarantine-b")
    sim.session().client("ec2").modify_instance_attribute(InstanceId=instance_id, Groups=[quarantine])
    shown = described(sim, instance_id)
    assert [g["GroupId"] for g in shown["NetworkInterfaces"][0]["Groups"]] == [quarantine]


def test_an_instance_with_two_interfaces_takes_no_groups_of_its_own(sim: Simulator) -> None:
    ec2 = sim.session().client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    instance_id = launch(
        sim,
        NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": subnet}, {"DeviceIndex": 1, "SubnetId": subnet}],
    )
    quarantine = group(sim, "quarantine-c")
    assert (
        code_of(ec2.modify_instance_attribute, InstanceId=instance_id, Groups=[quarantine])
        == "InvalidInstanceID"
    )


def test_a_group_in_use_cannot_be_deleted(sim: Simulator) -> None:
    ec2, used = sim.session().client("ec2"), group(sim, "in-use")
    instance_id = launch(sim, SecurityGroupIds=[used])
    assert code_of(ec2.delete_security_group, GroupId=used) == "DependencyViolation"
    ec2.terminate_instances(InstanceIds=[instance_id])


def test_protection_that_is_asked_for_at_launch_is_kept_and_enforced(sim: Simulator) -> None:
    ec2, instance_id = sim.session().client("ec2"), launch(sim, DisableApiTermination=True)
    shown = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="disableApiTermination")
    assert shown["DisableApiTermination"]["Value"] is True
    assert code_of(ec2.terminate_instances, InstanceIds=[instance_id]) == "OperationNotPermitted"


def test_shutdown_behaviour_changes_without_touching_the_groups(sim: Simulator) -> None:
    ec2, instance_id = sim.session().client("ec2"), launch(sim)
    groups = described(sim, instance_id)["SecurityGroups"]
    ec2.modify_instance_attribute(
        InstanceId=instance_id, InstanceInitiatedShutdownBehavior={"Value": "terminate"}
    )
    shown = ec2.describe_instance_attribute(
        InstanceId=instance_id, Attribute="instanceInitiatedShutdownBehavior"
    )
    assert shown["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"
    assert described(sim, instance_id)["SecurityGroups"] == groups


def test_delete_on_termination_reads_back_from_the_block_device_mapping(sim: Simulator) -> None:
    ec2, instance_id = sim.session().client("ec2"), launch(sim)
    device = described(sim, instance_id)["RootDeviceName"]
    change = [{"DeviceName": device, "Ebs": {"DeleteOnTermination": False}}]
    ec2.modify_instance_attribute(InstanceId=instance_id, BlockDeviceMappings=change)
    shown = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="blockDeviceMapping")
    assert [m["Ebs"]["DeleteOnTermination"] for m in shown["BlockDeviceMappings"]] == [False]


def test_metadata_options_that_are_not_named_stay(sim: Simulator) -> None:
    ec2, instance_id = (
        sim.session().client("ec2"),
        launch(sim, MetadataOptions={"HttpPutResponseHopLimit": 3}),
    )
    ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="required")
    options = described(sim, instance_id)["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"], options["HttpEndpoint"]) == (
        "required",
        3,
        "enabled",
    )


def test_a_replaced_profile_reads_back_everywhere(sim: Simulator) -> None:
    ec2 = sim.session().client("ec2")
    profile(sim, "web")
    denied = profile(sim, "denied")
    instance_id = launch(sim, IamInstanceProfile={"Name": "web"})
    held = ec2.describe_iam_instance_profile_associations(
        Filters=[{"Name": "instance-id", "Values": [instance_id]}]
    )
    association = held["IamInstanceProfileAssociations"][0]["AssociationId"]
    ec2.replace_iam_instance_profile_association(
        AssociationId=association, IamInstanceProfile={"Name": "denied"}
    )
    assert described(sim, instance_id)["IamInstanceProfile"]["Arn"] == denied
    held = ec2.describe_iam_instance_profile_associations(
        Filters=[{"Name": "instance-id", "Values": [instance_id]}]
    )
    assert [a["IamInstanceProfile"]["Arn"] for a in held["IamInstanceProfileAssociations"]] == [denied]
    ec2.disassociate_iam_instance_profile(
        AssociationId=held["IamInstanceProfileAssociations"][0]["AssociationId"]
    )
    assert "IamInstanceProfile" not in described(sim, instance_id)


def test_the_screenshot_is_a_jpeg_of_the_console(sim: Simulator) -> None:
    ec2, instance_id = sim.session().client("ec2"), launch(sim)
    image = Image.open(
        io.BytesIO(base64.b64decode(ec2.get_console_screenshot(InstanceId=instance_id)["ImageData"]))
    )
    assert (image.format, image.size) == ("JPEG", (1024, 768))
    assert instance_id in ec2.get_console_output(InstanceId=instance_id)["Output"]
    ec2.stop_instances(InstanceIds=[instance_id])
    assert code_of(ec2.get_console_screenshot, InstanceId=instance_id) == "IncorrectInstanceState"


def test_a_dry_run_says_so_and_does_nothing(sim: Simulator) -> None:
    ec2, instance_id = sim.session().client("ec2"), launch(sim)
    assert code_of(ec2.terminate_instances, InstanceIds=[instance_id], DryRun=True) == "DryRunOperation"
    changed = {"InstanceId": instance_id, "HttpTokens": "required", "DryRun": True}
    assert code_of(ec2.modify_instance_metadata_options, **changed) == "DryRunOperation"
    assert described(sim, instance_id)["State"]["Name"] == "running"
    assert described(sim, instance_id)["MetadataOptions"]["HttpTokens"] == "optional"
    absent = "i-0123456789abcdef0"
    assert code_of(ec2.terminate_instances, InstanceIds=[absent], DryRun=True) == "InvalidInstanceID.NotFound"


@pytest.mark.parametrize(
    ("instance_id", "code"),
    [("i-xyz", "InvalidInstanceID.Malformed"), ("i-0123456789abcdef0", "InvalidInstanceID.NotFound")],
)
def test_ids_that_are_malformed_or_unknown_have_their_own_codes(
    sim: Simulator, instance_id: str, code: str
) -> None:
    assert code_of(sim.session().client("ec2").describe_instances, InstanceIds=[instance_id]) == code


def test_a_terminated_instance_can_still_be_read(sim: Simulator) -> None:
    ec2, instance_id = sim.session().client("ec2"), launch(sim)
    ec2.terminate_instances(InstanceIds=[instance_id])
    assert described(sim, instance_id)["State"]["Name"] == "terminated"
    change = {"InstanceId": instance_id, "DisableApiTermination": {"Value": True}}
    assert code_of(ec2.modify_instance_attribute, **change) == "IncorrectInstanceState"


def test_a_region_that_is_off_is_listed_only_with_all_regions(sim: Simulator) -> None:
    ec2 = sim.session().client("ec2")
    assert "ap-east-1" not in {r["RegionName"] for r in ec2.describe_regions()["Regions"]}
    every = {r["RegionName"]: r["OptInStatus"] for r in ec2.describe_regions(AllRegions=True)["Regions"]}
    assert every["ap-east-1"] == "not-opted-in"
    assert every["us-east-1"] == "opt-in-not-required"


def test_a_new_network_acl_denies_by_default(sim: Simulator) -> None:
    ec2 = sim.session().client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    acl = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    entries = ec2.describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"][0]["Entries"]
    assert sorted((e["RuleNumber"], e["RuleAction"], e["Egress"]) for e in entries) == [
        (32767, "deny", False),
        (32767, "deny", True),
    ]


def test_monitoring_is_switched_on_and_off(sim: Simulator) -> None:
    ec2, instance_id = sim.session().client("ec2"), launch(sim)
    ec2.monitor_instances(InstanceIds=[instance_id])
    assert described(sim, instance_id)["Monitoring"]["State"] == "enabled"
    ec2.unmonitor_instances(InstanceIds=[instance_id])
    assert described(sim, instance_id)["Monitoring"]["State"] == "disabled"


def test_a_snapshot_set_has_a_state_copies_tags_and_leaves_out_what_is_excluded(sim: Simulator) -> None:
    ec2 = sim.session().client("ec2")
    instance_id = launch(sim)
    zone = described(sim, instance_id)["Placement"]["AvailabilityZone"]
    data = ec2.create_volume(Size=1, AvailabilityZone=zone)["VolumeId"]
    extra = ec2.create_volume(Size=1, AvailabilityZone=zone)["VolumeId"]
    ec2.create_tags(Resources=[data], Tags=[{"Key": "Owner", "Value": "<b>"}])
    ec2.attach_volume(InstanceId=instance_id, VolumeId=data, Device="/dev/sdf")
    ec2.attach_volume(InstanceId=instance_id, VolumeId=extra, Device="/dev/sdg")
    tag = {"Key": "irkit:case", "Value": "c-1"}
    made = ec2.create_snapshots(
        InstanceSpecification={"InstanceId": instance_id, "ExcludeDataVolumeIds": [extra]},
        CopyTagsFromSource="volume",
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": [tag]}],
    )["Snapshots"]
    assert {s["State"] for s in made} == {"pending"}
    assert extra not in {s["VolumeId"] for s in made}
    tags = next(s["Tags"] for s in made if s["VolumeId"] == data)
    assert {"Key": "Owner", "Value": "<b>"} in tags
    assert tag in tags
    found = ec2.describe_snapshots(
        OwnerIds=["self"], Filters=[{"Name": "tag:irkit:case", "Values": ["c-1"]}]
    )["Snapshots"]
    assert {s["SnapshotId"] for s in found} == {s["SnapshotId"] for s in made}
    pages = list(
        ec2.get_paginator("describe_snapshots").paginate(OwnerIds=["self"], PaginationConfig={"PageSize": 5})
    )
    assert sum(len(page["Snapshots"]) for page in pages) == len(
        ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    )


def test_attachments_follow_the_rules(sim: Simulator) -> None:
    ec2, instance_id = sim.session().client("ec2"), launch(sim)
    zone = described(sim, instance_id)["Placement"]["AvailabilityZone"]
    here = ec2.create_volume(Size=1, AvailabilityZone=zone)["VolumeId"]
    there = ec2.create_volume(
        Size=1, AvailabilityZone="us-east-1f" if zone != "us-east-1f" else "us-east-1b"
    )["VolumeId"]
    root = described(sim, instance_id)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    at = {"InstanceId": instance_id, "Device": "/dev/sdf"}
    assert code_of(ec2.attach_volume, VolumeId=there, **at) == "InvalidVolume.ZoneMismatch"
    ec2.attach_volume(VolumeId=here, **at)
    assert code_of(ec2.attach_volume, VolumeId=here, **at) == "VolumeInUse"
    assert code_of(ec2.detach_volume, VolumeId=root) == "IncorrectState"
    ec2.detach_volume(VolumeId=here)
    assert ec2.describe_volumes(VolumeIds=[here])["Volumes"][0]["State"] == "available"


def test_a_snapshot_under_the_default_key_cannot_be_shared_and_one_under_its_own_key_can(
    sim: Simulator,
) -> None:
    ec2, zone = sim.session().client("ec2"), "us-east-1a"
    key = sim.session().client("kms").create_key()["KeyMetadata"]["Arn"]
    share = {
        "Attribute": "createVolumePermission",
        "OperationType": "add",
        "UserIds": [sim.forensics_account],
    }
    for options, outcome in (({}, "OperationNotPermitted"), ({"KmsKeyId": key}, None)):
        volume = ec2.create_volume(Size=1, AvailabilityZone=zone, Encrypted=True, **options)["VolumeId"]
        made = ec2.create_snapshot(VolumeId=volume)
        assert made["Encrypted"] is True
        if outcome:
            assert code_of(ec2.modify_snapshot_attribute, SnapshotId=made["SnapshotId"], **share) == outcome
        else:
            ec2.modify_snapshot_attribute(SnapshotId=made["SnapshotId"], **share)
            shown = ec2.describe_snapshot_attribute(
                SnapshotId=made["SnapshotId"], Attribute="createVolumePermission"
            )
            assert shown["CreateVolumePermissions"] == [{"UserId": sim.forensics_account}]
            assert ec2.describe_snapshots(SnapshotIds=[made["SnapshotId"]])["Snapshots"][0]["KmsKeyId"] == key


def test_a_locked_snapshot_is_not_deleted_and_a_compliance_lock_only_grows(sim: Simulator) -> None:
    ec2 = sim.session().client("ec2")
    volume = ec2.create_volume(Size=1, AvailabilityZone="us-east-1a")["VolumeId"]
    snapshot_id = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    locked = ec2.lock_snapshot(SnapshotId=snapshot_id, LockMode="governance", LockDuration=3)
    assert locked["LockState"] == "governance"
    assert code_of(ec2.delete_snapshot, SnapshotId=snapshot_id) == "OperationNotPermitted"
    ec2.unlock_snapshot(SnapshotId=snapshot_id)
    ec2.lock_snapshot(SnapshotId=snapshot_id, LockMode="compliance", LockDuration=5)
    shorter = {"SnapshotId": snapshot_id, "LockMode": "compliance", "LockDuration": 2}
    assert code_of(ec2.lock_snapshot, **shorter) == "OperationNotPermitted"
    assert code_of(ec2.unlock_snapshot, SnapshotId=snapshot_id) == "OperationNotPermitted"
    shown = ec2.describe_locked_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]
    assert (shown["LockState"], shown["LockDuration"]) == ("compliance", 5)


def test_instances_come_in_pages(sim: Simulator) -> None:
    ec2 = sim.session().client("ec2")
    for _ in range(6):
        launch(sim)
    pages = list(ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 5}))
    assert len(pages) > 1
