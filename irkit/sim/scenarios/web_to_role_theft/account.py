"""The account's resources in the simulator, under the ids that the logs name.

They are made through moto's own front with recording off: what existed before the break-in is no part of today's
trail. Where AWS would invent an id, the story's is used.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from irkit.sim.scenarios.web_to_role_theft.delivery import TRAIL_PREFIX
from irkit.sim.scenarios.web_to_role_theft.flows import FLOW_PREFIX
from irkit.sim.scenarios.web_to_role_theft.host import user_data
from irkit.sim.scenarios.web_to_role_theft.story import OFFICE, WEB_PORT, Host, Story
from irkit.sim.scenarios.web_to_role_theft.truth import hostile_tag

if TYPE_CHECKING:
    import boto3

    from irkit.sim.simulator import Simulator


@contextlib.contextmanager
def unrecorded() -> Iterator[None]:
    """While this lasts the simulator neither records nor refuses calls: plain moto answers."""
    from irkit.sim import world

    here = world.current()
    world.leave(here)
    try:
        yield
    finally:
        world.enter(here)


def furnish(story: Story, sim: Simulator) -> None:
    """Make every resource of the account but identities (see `people`), and the logs' buckets."""
    session = sim.session()
    _network(story, session)
    _buckets(story, session, sim.session(story.estate.forensics_account))
    _trails(story, session)
    for host in (story.estate.suspect, story.estate.sibling):
        _launch(story, session, host)
    _fleet(story, session)
    _snapshots(story, session)
    _client(session, "secretsmanager").create_secret(Name=story.estate.secret, SecretString="{}")
    _age(story)


def topic_arn(story: Story) -> str:
    """Where the incident's notifications go."""
    return f"arn:aws:sns:{story.estate.region}:{story.estate.account}:{story.estate.topic}"


@contextlib.contextmanager
def _ids(where: str, maker: str, *values: str) -> Iterator[None]:
    """Let moto's `maker`, as its module `where` knows it, give out `values` first."""
    import importlib

    module: Any = importlib.import_module(f"moto.ec2.models.{where}")
    original: Callable[[], str] = getattr(module, maker)
    waiting = list(values)
    setattr(module, maker, lambda: waiting.pop(0) if waiting else original())
    try:
        yield
    finally:
        setattr(module, maker, original)


def _client(session: boto3.Session, service: Any) -> Any:
    return session.client(service)


def _named(kind: str, name: str, **more: str) -> list[dict[str, Any]]:
    tags = [{"Key": "Name", "Value": name}, *({"Key": k, "Value": v} for k, v in more.items())]
    return [{"ResourceType": kind, "Tags": tags}]


def _network(story: Story, session: boto3.Session) -> None:
    estate, ec2 = story.estate, _client(session, "ec2")
    org = estate.organisation
    ec2.describe_vpcs()  # the region's default network, made by the first call, must not take the story's ids
    with _ids("vpcs", "random_vpc_id", estate.vpc):
        ec2.create_vpc(CidrBlock="10.20.0.0/16", TagSpecifications=_named("vpc", org))
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=estate.vpc)
    table = ec2.create_route_table(VpcId=estate.vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    for number, subnet in enumerate(estate.subnets):
        with _ids("subnets", "random_subnet_id", subnet):
            ec2.create_subnet(
                VpcId=estate.vpc,
                CidrBlock=f"10.20.{number + 1}.0/24",
                AvailabilityZone=f"{estate.region}{'ab'[number]}",
                TagSpecifications=_named("subnet", f"{org}-public-{'ab'[number]}"),
            )
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    office = [{"CidrIp": f"{ip}/32", "Description": "office"} for ip in OFFICE]
    for group, name, port, ranges in (
        (estate.web_group, "web", WEB_PORT, [{"CidrIp": "0.0.0.0/0"}]),
        (estate.admin_group, "admin", 22, office),
        (estate.endpoint_group, "endpoints", 443, [{"CidrIp": "10.20.0.0/16"}]),
    ):
        with _ids("security_groups", "random_security_group_id", group):
            ec2.create_security_group(
                GroupName=f"{org}-{name}", Description=f"{org} {name}", VpcId=estate.vpc
            )
        ec2.authorize_security_group_ingress(
            GroupId=group,
            IpPermissions=[{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": ranges}],
        )
    for service, endpoint in estate.endpoints:
        more: dict[str, Any] = {"VpcEndpointType": "Gateway", "RouteTableIds": [table]}
        if service != "s3":
            more = {
                "VpcEndpointType": "Interface",
                "SubnetIds": [estate.subnets[0]],
                "PrivateDnsEnabled": True,
                "SecurityGroupIds": [estate.endpoint_group],
            }
        with _ids("vpcs", "random_vpc_ep_id", endpoint):
            ec2.create_vpc_endpoint(
                VpcId=estate.vpc, ServiceName=f"com.amazonaws.{estate.region}.{service}", **more
            )
    public_key = f"ssh-ed25519 {estate.launch_key_blob} {estate.launch_key}".encode()
    ec2.import_key_pair(KeyName=estate.launch_key, PublicKeyMaterial=public_key)


def _buckets(story: Story, session: boto3.Session, forensics: boto3.Session) -> None:
    estate, s3 = story.estate, _client(session, "s3")
    for bucket in (
        estate.trail_bucket,
        estate.flow_bucket,
        estate.assets_bucket,
        estate.export_bucket,
        estate.artifact_bucket,
    ):
        s3.create_bucket(Bucket=bucket)
    keeper = _client(forensics, "s3")
    keeper.create_bucket(Bucket=estate.evidence_bucket, ObjectLockEnabledForBucket=True)
    keeper.put_bucket_versioning(Bucket=estate.evidence_bucket, VersioningConfiguration={"Status": "Enabled"})


def _trails(story: Story, session: boto3.Session) -> None:
    estate = story.estate
    cloudtrail = _client(session, "cloudtrail")
    cloudtrail.create_trail(
        Name=estate.trail,
        S3BucketName=estate.trail_bucket,
        S3KeyPrefix=TRAIL_PREFIX,
        IsMultiRegionTrail=True,
        IncludeGlobalServiceEvents=True,
        EnableLogFileValidation=True,
    )
    cloudtrail.put_event_selectors(
        TrailName=estate.trail,
        EventSelectors=[
            {
                "ReadWriteType": "All",
                "IncludeManagementEvents": True,
                "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}],
            }
        ],
    )
    cloudtrail.start_logging(Name=estate.trail)
    with _ids("flow_logs", "random_flow_log_id", estate.flow_log):
        _client(session, "ec2").create_flow_logs(
            ResourceIds=[estate.vpc],
            ResourceType="VPC",
            TrafficType="ALL",
            LogDestinationType="s3",
            LogDestination=f"arn:aws:s3:::{estate.flow_bucket}/{FLOW_PREFIX}",
            MaxAggregationInterval=60,
        )
    _client(session, "sns").create_topic(Name=estate.topic)


def _launch(story: Story, session: boto3.Session, host: Host) -> None:
    estate, ec2 = story.estate, _client(session, "ec2")
    tags = _named("instance", estate.fleet, app="shop", note=hostile_tag(story))
    disks = [
        {"DeviceName": name, "Ebs": {"VolumeSize": size, "VolumeType": "gp3", "DeleteOnTermination": True}}
        for name, size in (("/dev/xvda", 8), ("/dev/sdf", 4))
    ]
    interfaces = [
        {
            "DeviceIndex": 0,
            "SubnetId": host.subnet,
            "Groups": [estate.web_group],
            "PrivateIpAddress": host.private_ip,
            "DeleteOnTermination": True,
        },
        {
            "DeviceIndex": 1,
            "SubnetId": host.subnet,
            "Groups": [estate.admin_group],
            "PrivateIpAddress": host.second_ip,
            "DeleteOnTermination": True,
        },
    ]
    with (
        _ids("instances", "random_instance_id", host.instance),
        _ids("elastic_block_store", "random_volume_id", host.root_volume, host.data_volume),
        _ids("elastic_network_interfaces", "random_eni_id", host.eni, host.second_eni),
    ):
        ec2.run_instances(
            ImageId=estate.image,
            MinCount=1,
            MaxCount=1,
            InstanceType="t3.large",
            KeyName=estate.launch_key,
            UserData=user_data(story),
            NetworkInterfaces=interfaces,
            BlockDeviceMappings=disks,
            IamInstanceProfile={"Name": estate.web_role.name},
            TagSpecifications=tags,
            MetadataOptions={
                "HttpTokens": "optional",
                "HttpEndpoint": "enabled",
                "HttpPutResponseHopLimit": 2,
            },
        )
    address = ec2.allocate_address(Domain="vpc", Address=host.public_ip)
    ec2.associate_address(AllocationId=address["AllocationId"], NetworkInterfaceId=host.eni)


def _fleet(story: Story, session: boto3.Session) -> None:
    """The load balancer, its target group, and the Auto Scaling group that both servers belong to."""
    estate, ec2, elb = story.estate, _client(session, "ec2"), _client(session, "elbv2")
    for eni, address, subnet in zip(estate.balancer_enis, estate.balancer_ips, estate.subnets, strict=True):
        with _ids("elastic_network_interfaces", "random_eni_id", eni):
            ec2.create_network_interface(
                SubnetId=subnet,
                PrivateIpAddress=address,
                Groups=[estate.web_group],
                Description=f"ELB app/{estate.fleet}/0",
            )
    balancer = elb.create_load_balancer(
        Name=estate.fleet, Subnets=list(estate.subnets), Type="application", SecurityGroups=[estate.web_group]
    )["LoadBalancers"][0]["LoadBalancerArn"]
    target = elb.create_target_group(
        Name=estate.fleet,
        Protocol="HTTP",
        Port=WEB_PORT,
        VpcId=estate.vpc,
        HealthCheckPath="/health",
        TargetType="instance",
    )["TargetGroups"][0]["TargetGroupArn"]
    elb.create_listener(
        LoadBalancerArn=balancer,
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": target}],
    )
    ec2.create_launch_template(
        LaunchTemplateName=estate.fleet,
        LaunchTemplateData={
            "ImageId": estate.image,
            "InstanceType": "t3.large",
            "KeyName": estate.launch_key,
            "IamInstanceProfile": {"Name": estate.web_role.name},
        },
    )
    scaling = _client(session, "autoscaling")
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=estate.fleet,
        MinSize=0,
        MaxSize=4,
        DesiredCapacity=0,
        LaunchTemplate={"LaunchTemplateName": estate.fleet, "Version": "$Latest"},
        VPCZoneIdentifier=",".join(estate.subnets),
        TargetGroupARNs=[target],
        HealthCheckType="ELB",
        HealthCheckGracePeriod=120,
    )
    members = [estate.suspect.instance, estate.sibling.instance]
    scaling.attach_instances(AutoScalingGroupName=estate.fleet, InstanceIds=members)
    scaling.update_auto_scaling_group(AutoScalingGroupName=estate.fleet, MinSize=2, DesiredCapacity=2)


def _snapshots(story: Story, session: boto3.Session) -> None:
    estate, ec2 = story.estate, _client(session, "ec2")
    with _ids("elastic_block_store", "random_volume_id", estate.database_volume):
        ec2.create_volume(
            AvailabilityZone=f"{estate.region}a",
            Size=100,
            VolumeType="gp3",
            TagSpecifications=_named("volume", f"{estate.organisation}-database"),
        )
    for snapshot in (estate.snapshot, *estate.other_snapshots):
        with _ids("elastic_block_store", "random_snapshot_id", snapshot):
            ec2.create_snapshot(
                VolumeId=estate.database_volume,
                Description="nightly",
                TagSpecifications=_named("snapshot", f"{estate.organisation}-database"),
            )
        outside = snapshot == estate.snapshot
        ec2.modify_snapshot_attribute(
            SnapshotId=snapshot,
            Attribute="createVolumePermission",
            OperationType="add",
            UserIds=[story.intruder.account if outside else estate.forensics_account],
        )


def _age(story: Story) -> None:
    """Give the instances and snapshots the dates they have in the story."""
    from moto.ec2.models import ec2_backends

    estate, at = story.estate, story.times.at
    backend: Any = ec2_backends[estate.account][estate.region]
    for host in (estate.suspect, estate.sibling):
        instance = backend.get_instance(host.instance)
        instance.launch_time = at - timedelta(days=19, hours=3)
        # moto takes these from an image that it does not have
        instance.root_device_name, instance.virtualization_type = "/dev/xvda", "hvm"
    for day, snapshot in enumerate((*reversed(estate.other_snapshots), estate.snapshot)):
        backend.snapshots[snapshot].start_time = (at - timedelta(days=day + 1)).replace(
            hour=5, minute=4, second=30
        )
