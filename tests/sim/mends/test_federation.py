from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from irkit.sim import Simulator
from tests.sim.builders import code_of, role


def federated(sim: Simulator, name: str) -> dict[str, str]:
    held: dict[str, str] = (
        sim.session().client("sts").get_federation_token(Name=name, DurationSeconds=900)["Credentials"]
    )
    return held


def client(sim: Simulator, held: dict[str, str], service: str) -> Any:
    return boto3.client(
        service, endpoint_url=sim.endpoint, region_name=sim.region, aws_access_key_id=held["AccessKeyId"],
        aws_secret_access_key=held["SecretAccessKey"], aws_session_token=held["SessionToken"],
    )  # fmt: skip


def test_each_federated_user_has_keys_of_its_own_that_work_and_are_told_apart(sim: Simulator) -> None:
    first, second = federated(sim, "one"), federated(sim, "two")
    assert first["AccessKeyId"].startswith("ASIA")
    assert len({first["AccessKeyId"], second["AccessKeyId"]}) == 2
    client(sim, first, "s3").list_buckets()
    used = sim.trail.records()[-1]["userIdentity"]
    assert used["accessKeyId"] == first["AccessKeyId"]
    assert used["arn"].endswith(":federated-user/one")


def test_a_link_that_it_signed_works_for_who_has_no_keys(sim: Simulator) -> None:
    import urllib.request

    sim.session().client("s3").create_bucket(Bucket="federated-links")
    held = client(sim, federated(sim, "one"), "s3")
    link = held.generate_presigned_url(
        "put_object", Params={"Bucket": "federated-links", "Key": "k"}, ExpiresIn=60
    )
    urllib.request.urlopen(urllib.request.Request(link, data=b"x", method="PUT"), timeout=20).close()
    assert held.get_object(Bucket="federated-links", Key="k")["Body"].read() == b"x"


def test_temporary_credentials_get_none(sim: Simulator) -> None:
    arn = role(sim, "federating")
    held = sim.session().client("sts").assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
    code = code_of(client(sim, held, "sts").get_federation_token, Name="own")
    assert code == "AccessDenied"


def test_a_session_that_has_ended_is_refused(sim: Simulator) -> None:
    from datetime import UTC, datetime, timedelta

    from moto.sts.models import sts_backends

    held = federated(sim, "short")
    session = sts_backends[sim.account]["aws"].get_assumed_role_from_access_key(held["AccessKeyId"])
    assert session is not None
    session.expiration = datetime.now(UTC) - timedelta(seconds=1)
    with pytest.raises(ClientError, match="Expired"):
        client(sim, held, "s3").list_buckets()
