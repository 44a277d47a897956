"""What containment is given and cannot, or must not, act on as it is."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from click.testing import CliRunner

from irkit import contain
from irkit.case import Case
from irkit.cli import cli
from irkit.contain import groups, own_host, subject
from irkit.contain.proof import Finding
from irkit.errors import Refused
from irkit.plan import Status
from tests.contain.test_network import groups_of, network, tagged


def backend(world):
    from moto.ec2.models import ec2_backends

    return ec2_backends[world.sim.account][world.sim.region]


# --- the instance ------------------------------------------------------------------------------------------------


@pytest.fixture
def spot(world):
    """A Spot instance that was asked for once."""
    ec2 = world.client("ec2")
    started = ec2.run_instances(
        ImageId="ami-12345678", MinCount=1, MaxCount=1, InstanceType="t3.micro", SubnetId=world.subnet,
        InstanceMarketOptions={"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}},
    )["Instances"][0]["InstanceId"]  # fmt: skip
    yield str(started)
    ec2.terminate_instances(InstanceIds=[started])


def test_a_spot_instance_is_contained_and_what_aws_refuses_for_it_is_recorded(case, world, spot):
    assert subject.describe(case, spot).spot
    plan = contain.plan(case, spot, hop_seconds=0.01, tracked="stop")
    assert "AWS refuses this for Spot instances" in next(
        s.title for s in plan.steps if s.verb == "guard.termination"
    )
    report = plan.apply()
    assert not report.failed, [s.to_dict() for s in report.failed]
    refused = {s.verb for s in report.steps if any("AWS refuses it" in m for m in s.missing)}
    assert refused == {"guard.termination", "network.stopped"}
    assert {v.control for v in contain.prove(case, spot).open} == refused
    assert contain.undo_plan(case).apply().complete


def test_an_interface_that_an_aws_service_manages_is_said_to_be_and_is_not_fatal(case, world):
    face = backend(world).enis[world.interfaces[1]]
    face.requester_managed = True
    try:
        plan = network(case, world.suspect)
        (managed,) = [s for s in plan.steps if s.target == face.id]
        assert "an AWS service manages it and may refuse" in managed.title
        report = plan.apply()
        assert not report.failed
        (told,) = [s for s in report.steps if s.target == face.id]
        assert "AuthFailure" in told.missing[0]
        assert groups_of(world, world.interfaces[0]) == tagged(world, case, "quarantine")
        (open_one,) = [v for v in contain.prove(case, world.suspect).open if v.control == "network.interface"]
        assert (open_one.target, open_one.finding) == (face.id, Finding.NOT_PROVED)
    finally:
        face.requester_managed = False


def test_a_refusal_of_ones_own_interface_is_a_failure_all_the_same(case, world):
    world.sim.faults.inject("ec2", "ModifyNetworkInterfaceAttribute", "AuthFailure", times=99)
    report = network(case, world.suspect).apply()
    assert {s.verb for s in report.failed} == {"network.interface"}


def test_each_interface_gets_the_group_of_its_own_vpc(case, world):
    ec2 = world.client("ec2")
    other = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=other, CidrBlock="10.77.1.0/24")["Subnet"]["SubnetId"]
    far = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    held = ec2.attach_network_interface(NetworkInterfaceId=far, InstanceId=world.suspect, DeviceIndex=4)
    name = groups.group_name(case, "quarantine")
    planted = [
        ec2.create_security_group(GroupName=name, Description="x", VpcId=vpc)["GroupId"]
        for vpc in (world.vpc, other)
    ]
    try:
        report = network(case, world.suspect).apply()
        assert report.complete, [s.to_dict() for s in report.failed]
        assert len(tagged(world, case, "quarantine")) == 2
        (here,) = set(groups_of(world, world.interfaces[0]))
        (there,) = set(groups_of(world, far))
        assert here != there
        assert not {here, there} & set(planted), "somebody's groups of the same name"
        shown = ec2.describe_security_groups(GroupIds=[there])["SecurityGroups"][0]
        assert shown["VpcId"] == other
        assert shown["IpPermissionsEgress"] == [], "a VPC without IPv6"
        assert ec2.describe_security_groups(GroupIds=[here])["SecurityGroups"][0]["IpPermissionsEgress"] == []
        contain.undo_plan(case).apply()
    finally:
        for group in planted:
            ec2.delete_security_group(GroupId=group)
        ec2.detach_network_interface(AttachmentId=held["AttachmentId"])
        ec2.delete_network_interface(NetworkInterfaceId=far)


def test_a_quarantine_group_that_somebody_deleted_is_made_anew(case, world):
    network(case, world.suspect).apply()
    (group,) = tagged(world, case, "quarantine")
    ec2 = world.client("ec2")
    for interface in world.interfaces:
        ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[world.admin])
    ec2.delete_security_group(GroupId=group)
    found = {v.control: v.finding for v in contain.prove(case, world.suspect).verdicts}
    assert found["network.quarantine"] is found["network.interface"] is Finding.CONTRADICTED
    report = network(case, world.suspect).apply()
    assert report.complete, [s.to_dict() for s in report.failed]
    (fresh,) = tagged(world, case, "quarantine")
    assert fresh != group
    assert [groups_of(world, i) for i in world.interfaces] == [[fresh], [fresh]]


def test_an_instance_that_may_not_be_described_is_refused_with_what_to_do(case, world, changes):
    world.sim.faults.inject("ec2", "DescribeInstances", "UnauthorizedOperation", times=9)
    with pytest.raises(Refused, match=r"not allowed to describe .*: ask for the permission"):
        contain.plan(case, world.suspect)
    assert changes() == []


def test_interfaces_that_may_not_be_described_leave_open_only_who_manages_them(case, world):
    world.sim.faults.inject("ec2", "DescribeNetworkInterfaces", "UnauthorizedOperation", times=1)
    held = subject.describe(case, world.suspect)
    assert [i.id for i in held.interfaces] == world.interfaces
    assert not any(i.requester_managed for i in held.interfaces)


# --- the responder's own host ------------------------------------------------------------------------------------


def test_the_own_host_is_known_by_its_firmware(case, world, monkeypatch, tmp_path):
    (tmp_path / "board_asset_tag").write_text(f"{world.suspect}\n")
    monkeypatch.setattr(own_host, "ASSET_TAG", tmp_path / "board_asset_tag")
    with pytest.raises(Refused, match="its firmware says so"):
        contain.plan(case, world.suspect)
    assert contain.plan(case, world.sibling).steps


class Metadata(BaseHTTPRequestHandler):
    """IMDSv2: a token by PUT, and an instance id for who brings it."""

    instance = ""

    def do_PUT(self):
        asked = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self._answer(200 if asked else 400, "a-token")

    def do_GET(self):
        known = self.headers.get("X-aws-ec2-metadata-token") == "a-token"
        self._answer(200 if known and self.path == "/latest/meta-data/instance-id" else 401, self.instance)

    def _answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        """Nothing is written to standard error."""


def test_the_own_host_is_known_by_its_metadata_service(case, world, monkeypatch):
    monkeypatch.setattr(Metadata, "instance", world.suspect)
    with HTTPServer(("127.0.0.1", 0), Metadata) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(Refused, match="its metadata service says so"):
            contain.plan(case, world.suspect)
        assert contain.plan(case, world.sibling).steps
        server.shutdown()


def test_a_metadata_service_that_does_not_answer_is_none(case, world, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")
    assert contain.plan(case, world.suspect).steps


# --- nothing is done unless told ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        [
            "--addresses",
            "--metadata-off",
            "--replace-profile",
            "--role-wide",
            "--tracked",
            "nacl",
            "--detach",
        ],
        ["--ssm-room", "--tracked", "stop", "--no-hop", "--suspend", "always"],
        ["--verify", "--logs"],
    ],
    ids=["everything", "stage one and a stop", "verify"],
)
def test_the_command_without_apply_changes_nothing(world, tmp_path, changes, options):
    cases = tmp_path / "cases"
    Case.open("dry", region=world.sim.region, cases=cases, responder="ana", simulated=world.sim.world_id)
    ran = CliRunner().invoke(
        cli, ["contain", world.suspect, "--case", "dry", "--cases", str(cases), *options]
    )
    assert ran.exit_code in {0, 3}, ran.output
    assert world.suspect in ran.output
    assert changes() == []


def test_a_stopping_or_stopped_instance_is_contained(case, world):
    ec2 = world.client("ec2")
    ec2.stop_instances(InstanceIds=[world.bare])
    try:
        report = contain.plan(case, world.bare, hop_seconds=0.01, tracked="stop").apply()
        assert report.complete, [s.to_dict() for s in report.failed]
        (stop,) = [s for s in report.steps if s.verb == "network.stopped"]
        assert stop.status is Status.SKIPPED
        contain.undo_plan(case).apply()
    finally:
        ec2.start_instances(InstanceIds=[world.bare])
