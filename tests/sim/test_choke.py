from __future__ import annotations

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from irkit.sim import Simulator

GAPS = [
    ("ec2", "describe_reserved_instances_modifications", {}),
    ("iam", "get_service_last_accessed_details", {"JobId": "x" * 36}),
    ("ssm", "describe_inventory_deletions", {}),
    ("s3", "get_bucket_metrics_configuration", {"Bucket": "any-bucket", "Id": "x"}),
    ("guardduty", "create_sample_findings", {"DetectorId": "d"}),
    ("detective", "list_graphs", {}),
    ("accessanalyzer", "list_analyzers", {}),
    ("rbin", "list_rules", {"ResourceType": "EBS_SNAPSHOT"}),
]


@pytest.mark.parametrize(("service", "operation", "parameters"), GAPS, ids=[f"{s}-{o}" for s, o, _ in GAPS])
def test_what_is_not_simulated_is_a_client_error_that_is_not_retried(
    sim: Simulator, service: str, operation: str, parameters: dict[str, str]
) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(sim.session().client(service), operation)(**parameters)
    answer = caught.value.response
    assert answer["Error"]["Code"] == "NotSimulated"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert answer["ResponseMetadata"].get("RetryAttempts", 0) == 0
    assert sim.calls()[-1].error == "NotSimulated"


def test_a_fault_is_answered_as_often_as_it_was_planned_and_retries_get_through(sim: Simulator) -> None:
    sim.faults.inject("ec2", "DescribeVolumes", "RequestLimitExceeded", status=503, times=2)
    ec2 = sim.session().client("ec2", config=Config(retries={"mode": "standard", "max_attempts": 4}))
    assert ec2.describe_volumes()["ResponseMetadata"]["RetryAttempts"] == 2
    assert sim.faults.pending() == []


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("ec2", "describe_instances", {}),
        ("iam", "list_users", {}),
        ("ssm", "list_commands", {}),
        ("s3", "list_buckets", {}),
        ("s3", "put_object", {"Bucket": "any-bucket", "Key": "k", "Body": b"x"}),
        ("ebs", "list_snapshot_blocks", {"SnapshotId": "snap-0123456789abcdef0"}),
    ],
)
def test_a_fault_reaches_every_protocol(
    sim: Simulator, service: str, operation: str, parameters: dict[str, str]
) -> None:
    sim.faults.inject(service, "*", "AccessDeniedByTest", status=403, message="no <b>way</b>")
    with pytest.raises(ClientError) as caught:
        getattr(sim.session().client(service), operation)(**parameters)
    assert caught.value.response["Error"]["Code"] == "AccessDeniedByTest"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_fault_may_look_at_the_call_first(sim: Simulator) -> None:
    sim.faults.inject(
        "iam", "CreateUser", "EntityAlreadyExists", when=lambda call: call._get_param("UserName") == "eve"
    )
    iam = sim.session().client("iam")
    iam.create_user(UserName="adam")
    with pytest.raises(ClientError, match="EntityAlreadyExists"):
        iam.create_user(UserName="eve")


def test_an_answer_can_be_lost_after_the_call_took_effect(sim: Simulator) -> None:
    sim.faults.inject("iam", "CreateUser", "ServiceUnavailable", status=501, after=True)
    iam = sim.session().client("iam")
    with pytest.raises(ClientError, match="ServiceUnavailable"):
        iam.create_user(UserName="made-anyway")
    assert iam.get_user(UserName="made-anyway")["User"]["UserName"] == "made-anyway"


def test_a_disabled_region_answers_like_one(sim: Simulator) -> None:
    with pytest.raises(ClientError, match="AuthFailure"):
        sim.session().client("ec2", region_name="ap-east-1").describe_instances()
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        sim.session().client("ssm", region_name="ap-east-1").describe_instance_information()


def test_an_unknown_key_is_nobody(sim: Simulator) -> None:
    strange = sim.session().client("sts", aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="x")
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        strange.get_caller_identity()
