"""The proof from logs: what was accepted, and which calls were allowed, after the cut."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from click.testing import CliRunner

from irkit import contain
from irkit.case import Case
from irkit.cli import cli
from irkit.contain import aftermath, since
from irkit.contain.proof import Finding
from irkit.errors import BadInput
from tests.contain.test_network import network

SECOND = timedelta(seconds=1)


def done_at(case, verb, target=None):
    held = [
        e.at for e in case.journal.entries
        if e.kind == "done" and e.body["verb"] == verb and target in {None, e.body["target"]}
    ]  # fmt: skip
    return datetime.fromisoformat(held[-1]).astimezone(UTC)


def flow(interface, start, *, action="ACCEPT", seconds=60, **more):
    return {
        "interface_id": interface, "action": action, "log_status": "OK", "start_ts": start,
        "end_ts": start + seconds * SECOND, "srcaddr": "10.9.1.10", "dstaddr": "203.0.113.66", "srcport": 40000,
        "dstport": 443, "external_ip": "203.0.113.66",
    } | more  # fmt: skip


def of_flows(case, world, rows, interface):
    proof = contain.prove(case, world.suspect, flows=rows)
    (verdict,) = [v for v in proof.verdicts if v.control == "after.flows" and v.target == interface]
    return verdict


@pytest.fixture
def cut(case, world):
    assert network(case, world.suspect).apply().complete
    return done_at(case, "network.interface", world.interfaces[0])


def test_a_flow_that_is_accepted_after_the_cut_contradicts_and_says_with_whom(case, world, cut):
    mine, other = world.interfaces
    rows = [
        flow(mine, cut - 600 * SECOND),
        flow(mine, cut + 5 * SECOND),
        flow(other, cut + 300 * SECOND, action="REJECT"),
        flow("eni-somebody-elses", cut + 5 * SECOND),
    ]
    verdict = of_flows(case, world, rows, mine)
    assert verdict.finding is Finding.CONTRADICTED
    assert "1 flows were accepted after the cut" in verdict.why
    assert verdict.observed["with"] == {"203.0.113.66": 1}
    assert of_flows(case, world, rows, other).finding is Finding.PROVED


def test_rejected_flows_and_no_data_after_the_cut_prove_it(case, world, cut):
    mine = world.interfaces[0]
    quiet = flow(mine, cut + 60 * SECOND, action=None, log_status="NODATA")
    rows = [flow(mine, cut - 60 * SECOND), flow(mine, cut + 1 * SECOND, action="REJECT"), quiet]
    assert of_flows(case, world, rows, mine).finding is Finding.PROVED


@pytest.mark.parametrize("how", ["no rows", "only before", "across"])
def test_a_log_that_does_not_reach_past_the_cut_proves_nothing(case, world, cut, how):
    mine = world.interfaces[0]
    rows = {
        "no rows": [],
        "only before": [flow(mine, cut - 600 * SECOND)],
        "across": [flow(mine, cut - 60 * SECOND, seconds=59)],
    }[how]
    verdict = of_flows(case, world, rows, mine)
    assert verdict.finding is Finding.NOT_PROVED
    assert "does not reach past the cut yet" in verdict.why


def test_a_record_that_spans_the_cut_accuses_nobody_and_is_counted(case, world, cut):
    verdict = of_flows(case, world, [flow(world.interfaces[0], cut - 30 * SECOND)], world.interfaces[0])
    assert verdict.finding is Finding.PROVED
    assert verdict.observed["records that span the cut"] == 1


def test_records_that_the_flow_log_skipped_leave_it_open(case, world, cut):
    rows = [flow(world.interfaces[0], cut + 60 * SECOND, action=None, log_status="SKIPDATA")]
    verdict = of_flows(case, world, rows, world.interfaces[0])
    assert verdict.finding is Finding.NOT_PROVED
    assert "skipped records" in verdict.why


def test_what_stage_one_lets_through_is_no_contradiction_until_stage_two(case, world):
    ec2 = world.client("ec2")
    admits = ec2.create_security_group(GroupName="ends", Description="x", VpcId=world.vpc)["GroupId"]
    https = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.9.0.0/16"}]}
    ec2.authorize_security_group_ingress(GroupId=admits, IpPermissions=[https])
    made = [
        ec2.create_vpc_endpoint(
            VpcId=world.vpc, ServiceName=f"com.amazonaws.us-east-1.{name}", VpcEndpointType="Interface",
            SubnetIds=[world.subnet], SecurityGroupIds=[admits],
        )["VpcEndpoint"]["VpcEndpointId"]
        for name in ("ssm", "ssmmessages")
    ]  # fmt: skip
    try:
        network(case, world.suspect, stage=1).apply()
        mine = world.interfaces[0]
        first = done_at(case, "network.interface", mine)
        held = next(e for e in case.journal.entries if e.body.get("verb") == "network.ssm")
        endpoint = held.body["args"]["addresses"][0]
        rows = [
            flow(mine, first + 1 * SECOND, dstaddr=endpoint),
            flow(
                mine,
                first + 2 * SECOND,
                srcaddr="52.216.0.1",
                pkt_src_aws_service="S3",
                srcport=443,
                dstport=4,
            ),
        ]
        assert of_flows(case, world, rows, mine).finding is Finding.PROVED
        ssh = [*rows, flow(mine, first + 1 * SECOND, dstaddr=endpoint, dstport=22)]
        assert of_flows(case, world, ssh, mine).finding is Finding.CONTRADICTED
        network(case, world.suspect, stage=2).apply()
        second = done_at(case, "network.interface", mine)
        late = [*rows, flow(mine, second + 5 * SECOND, dstaddr=endpoint)]
        assert of_flows(case, world, late, mine).finding is Finding.CONTRADICTED
    finally:
        contain.undo_plan(case).apply()
        ec2.delete_vpc_endpoints(VpcEndpointIds=made)
        ec2.delete_security_group(GroupId=admits)


# --- calls -------------------------------------------------------------------------------------------------------


@pytest.fixture
def denied(case, world):
    assert contain.plan(case, world.suspect, only=["identity"]).apply().complete
    return done_at(case, "identity.session")


def call(world, at, name="ListBuckets", *, source="s3.amazonaws.com", error=None, instance=None):
    return {
        "event_time": at, "event_name": name, "event_source": source, "error_code": error,
        "source_ip": "203.0.113.66", "ui_principal_id": f"{world.role['RoleId']}:{instance or world.suspect}",
    }  # fmt: skip


def of_calls(case, world, given):
    proof = contain.prove(case, world.suspect, calls=given)
    (verdict,) = [v for v in proof.verdicts if v.control == "after.calls"]
    return verdict


def test_a_call_that_is_allowed_after_the_cut_contradicts_and_one_that_is_denied_does_not(
    case, world, denied
):
    tried = call(world, denied + 120 * SECOND, error="AccessDenied")
    verdict = of_calls(case, world, [tried, call(world, denied - 60 * SECOND)])
    assert verdict.finding is Finding.PROVED
    assert "1 calls were tried after the cut and denied" in verdict.why
    verdict = of_calls(
        case, world, [tried, call(world, denied + 180 * SECOND, "GetObject", error="NoSuchKey")]
    )
    assert verdict.finding is Finding.CONTRADICTED
    assert verdict.observed["what"] == {"GetObject": 1}
    assert verdict.observed["from"] == {"203.0.113.66": 2}


def test_the_siblings_calls_and_what_nobody_can_deny_accuse_nobody(case, world, denied):
    rows = [
        call(world, denied + 120 * SECOND, instance=world.sibling),
        call(world, denied + 130 * SECOND, "GetCallerIdentity", source="sts.amazonaws.com"),
        call(world, denied + 5 * SECOND),
    ]
    verdict = of_calls(case, world, rows)
    assert verdict.finding is Finding.PROVED
    assert verdict.observed["undeniable"] == verdict.observed["spreading"] == 1


def test_the_agents_channel_is_no_contradiction_while_it_has_room(case, world):
    contain.plan(case, world.suspect, only=["identity"], stage=1).apply()
    at = done_at(case, "identity.session-ssm")
    ping = call(world, at + 120 * SECOND, "UpdateInstanceInformation", source="ssm.amazonaws.com")
    assert of_calls(case, world, [ping]).finding is Finding.PROVED
    other = call(world, at + 120 * SECOND, "GetParameter", source="ssm.amazonaws.com")
    assert of_calls(case, world, [ping, other]).finding is Finding.CONTRADICTED


def test_a_frame_of_the_tables_with_nothing_for_no_error_is_read_alike(case, world, denied):
    rows = pd.DataFrame(
        [call(world, denied + 120 * SECOND), call(world, denied + 121 * SECOND, error="AccessDenied")]
    )
    rows["error_code"] = rows["error_code"].replace({None: float("nan")})
    assert of_calls(case, world, rows).finding is Finding.CONTRADICTED


def test_event_history_proves_nothing_until_it_has_had_time_to_be_delivered(case, world, denied):
    verdict = of_calls(case, world, contain.calls_since(case, world.suspect))
    assert verdict.finding is Finding.NOT_PROVED
    assert "ask again after" in verdict.why
    later = contain.calls_since(case, world.suspect)
    reached = since.Records(rows=later.rows, until=denied + timedelta(hours=1))
    assert of_calls(case, world, reached).finding is Finding.PROVED


def test_event_history_shows_the_thiefs_calls_as_they_were_answered(case, world, denied, monkeypatch):
    monkeypatch.setattr(aftermath, "SPREADING", timedelta(0))
    stolen = world.sim.instance_session(world.suspect)
    with pytest.raises(Exception, match=r"AccessDenied|UnauthorizedOperation"):
        stolen.client("ec2").describe_instances()
    verdict = of_calls(case, world, contain.calls_since(case, world.suspect))
    assert verdict.observed["denied"] == 1
    assert verdict.observed["allowed"] == 0
    contain.undo_plan(case).apply()


def test_without_any_cut_there_is_nothing_to_look_for(case, world):
    assert list(contain.calls_since(case, world.suspect).rows) == []
    proof = contain.prove(case, world.suspect, calls=[], flows=[])
    assert not [v for v in proof.verdicts if v.control.startswith("after.")]


def test_the_flow_logs_that_the_case_has_ingested_are_read_for_it(case, world, cut):
    assert contain.flows_since(case, world.suspect) is None
    import pyarrow as pa
    import pyarrow.parquet as pq

    mine, other = world.interfaces
    rows = [
        flow(mine, cut + 5 * SECOND),
        flow(other, cut - 600 * SECOND),
        flow("eni-far", cut + 900 * SECOND),
    ]
    naive = [
        {k: v.replace(tzinfo=None) if isinstance(v, datetime) else v for k, v in r.items()} for r in rows
    ]
    folder = case.tables_dir / "flow" / "day=2026-11-23"
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(naive), folder / "part-0.parquet")
    given = contain.flows_since(case, world.suspect)
    assert of_flows(case, world, given, mine).finding is Finding.CONTRADICTED
    assert of_flows(case, world, given, other).finding is Finding.PROVED, "the log reaches past the cut"


def test_the_command_shows_what_the_logs_say_and_exits_with_what_follows(world, tmp_path):
    facts = {"region": world.sim.region, "responder": "ana", "simulated": world.sim.world_id}
    case = Case.open("cli", cases=tmp_path / "cases", **facts)
    try:
        assert contain.plan(case, world.suspect, only=["identity"]).apply().complete
        asked = ["contain", world.suspect, "--case", "cli", "--cases", str(tmp_path / "cases"), "--verify"]
        alone = CliRunner().invoke(cli, asked)
        assert "after.calls" not in alone.output
        with_logs = CliRunner().invoke(cli, [*asked, "--logs"])
        assert with_logs.exit_code == 3
        assert "after.calls" in with_logs.output
        assert "ask again after" in with_logs.output
        assert isinstance(CliRunner().invoke(cli, [*asked[:-1], "--logs"]).exception, BadInput)
    finally:
        assert contain.undo_plan(case).apply().complete
