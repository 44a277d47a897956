from __future__ import annotations

import base64
import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from irkit.cli.logs import logs
from irkit.errors import BadInput, NotFound
from irkit.logs import Validation, ingest, validate
from irkit.logs.digests import PublicKeys, read_digest
from irkit.logs.history import Pace, history_files
from irkit.logs.sources import Window
from irkit.sim import Pace as WorldPace
from irkit.sim import Simulator
from irkit.tables import Tables

BUCKET = "trail-bucket"
PREFIX = "audit"


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """A world with a trail that validates its files, and three deliveries."""
    pace = WorldPace(snapshot_seconds=0.4, ssm_latency=0.02, trail_delivery_seconds=3600)
    with Simulator.start(workdir=tmp_path_factory.mktemp("world"), pace=pace) as world:
        session = world.session()
        session.client("s3").create_bucket(Bucket=BUCKET)
        trail = session.client("cloudtrail")
        trail.create_trail(
            Name="main",
            S3BucketName=BUCKET,
            S3KeyPrefix=PREFIX,
            IsMultiRegionTrail=True,
            EnableLogFileValidation=True,
        )
        trail.start_logging(Name="main")
        for name in ("one", "two", "three"):
            session.client("iam").create_user(UserName=name)
            world.trail.deliver()
        yield world


@pytest.fixture
def copied(sim: Simulator, tmp_path: Path) -> Path:
    """The bucket as a local copy."""
    s3 = sim.session().client("s3")
    for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]:
        path = tmp_path / "copy" / entry["Key"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read())
    return tmp_path / "copy"


@pytest.fixture(scope="module")
def keys(sim: Simulator) -> PublicKeys:
    return PublicKeys.of_answer(sim.session().client("cloudtrail").list_public_keys()["PublicKeyList"])


def _logs(folder: Path) -> list[Path]:
    return sorted(folder.glob("**/CloudTrail/**/*.json.gz"))


def _digests(folder: Path) -> list[Path]:
    """Oldest first."""
    return sorted(
        folder.glob("**/CloudTrail-Digest/**/*.json.gz"), key=lambda path: path.name.rsplit("_", 1)[-1]
    )


def _verdict(found: Validation, path: Path) -> str:
    (one,) = [one for one in found.verdicts if one.uri.endswith(path.name)]
    return one.verdict


def _rewrite(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content, mtime=0))


@pytest.mark.parametrize("source", [f"s3://{BUCKET}/{PREFIX}/", "trail:main"])
def test_every_file_of_an_untouched_trail_is_sound(sim: Simulator, source: str) -> None:
    found = validate(source, session=sim.session())
    assert found.proved
    assert found.tampered == ()
    assert found.counts["digest", "sound"] == 3
    assert found.counts["log", "sound"] >= 3


def test_a_local_copy_is_proved_offline_but_for_its_newest_digest(copied: Path, keys: PublicKeys) -> None:
    found = validate(copied, keys=keys)
    newest = _digests(copied)[-1]
    assert _verdict(found, newest) == "unproved"
    assert found.tampered == ()
    assert found.counts["digest", "sound"] == 2
    assert found.counts["log", "sound"] >= 2
    assert not found.proved


def test_a_changed_log_is_named(copied: Path, keys: PublicKeys) -> None:
    victim = _logs(copied)[0]
    records = json.loads(gzip.decompress(victim.read_bytes()))
    records["Records"].pop()
    _rewrite(victim, json.dumps(records).encode())
    assert _verdict(validate(copied, keys=keys), victim) == "changed"


def test_packing_a_log_anew_is_no_change(copied: Path, keys: PublicKeys) -> None:
    victim = _logs(copied)[0]
    victim.write_bytes(gzip.compress(gzip.decompress(victim.read_bytes()), 1, mtime=5))
    assert _verdict(validate(copied, keys=keys), victim) == "sound"


def test_a_removed_log_and_an_added_one_are_named(copied: Path, keys: PublicKeys) -> None:
    first, second, *_ = _logs(copied)
    added = first.with_name(first.name.replace(first.name.rsplit("_", 1)[-1], "AAAAAAAAAAAAAAAA.json.gz"))
    added.write_bytes(second.read_bytes())
    first.unlink()
    found = validate(copied, keys=keys)
    assert _verdict(found, first) == "missing"
    assert _verdict(found, added) == "extra"


def test_a_digest_that_was_rewritten_to_hide_a_change_is_named_and_proves_nothing(
    copied: Path, keys: PublicKeys
) -> None:
    digest = _digests(copied)[0]
    body = json.loads(gzip.decompress(digest.read_bytes()))
    hidden = body["logFiles"].pop()
    _rewrite(digest, json.dumps(body).encode())
    found = validate(copied, keys=keys)
    assert _verdict(found, digest) == "changed"
    assert _verdict(found, Path(hidden["s3Object"])) == "extra"
    assert all(_verdict(found, Path(one["s3Object"])) == "unproved" for one in body["logFiles"])


def test_a_removed_digest_is_missed_by_the_one_after_it(copied: Path, keys: PublicKeys) -> None:
    middle = _digests(copied)[1]
    middle.unlink()
    assert _verdict(validate(copied, keys=keys), middle) == "missing"


def test_a_digest_in_another_place_is_not_taken_for_the_one_that_belongs_there(
    copied: Path, keys: PublicKeys
) -> None:
    first, second, _ = _digests(copied)
    second.write_bytes(first.read_bytes())
    assert _verdict(validate(copied, keys=keys), second) == "changed"


def test_keys_of_somebody_else_prove_nothing(copied: Path) -> None:
    found = validate(copied, keys=PublicKeys({}))
    assert {one.verdict for one in found.verdicts} == {"unproved"}


def test_a_folder_without_digests_says_that_nothing_can_be_told(tmp_path: Path) -> None:
    found = validate(tmp_path, keys=PublicKeys({}))
    assert not found.proved
    assert "no digest files" in repr(found)


def test_keys_are_asked_for_when_there_are_none(copied: Path) -> None:
    with pytest.raises(BadInput, match="list-public-keys"):
        validate(copied)
    with pytest.raises(BadInput, match="no list of CloudTrail's public keys"):
        PublicKeys.of_file(b"[]")


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"logFiles": 5}', b"\xff"])
def test_what_is_no_digest_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_digest(text)


def test_the_aws_command_line_comes_to_the_same_verdict(sim: Simulator) -> None:
    """An oracle that is not ours: `aws cloudtrail validate-logs` over the same bucket."""
    arn = sim.session().client("cloudtrail").describe_trails()["trailList"][0]["TrailARN"]
    tool = Path(sys.executable).with_name("aws")
    ran = subprocess.run(
        [
            tool,
            "cloudtrail",
            "validate-logs",
            "--trail-arn",
            arn,
            "--start-time",
            "2020-01-01T00:00:00Z",
            "--verbose",
        ],
        env=os.environ | sim.env(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = validate("trail:main", session=sim.session())
    assert f"{found.counts['digest', 'sound']}/3 digest files valid" in ran.stdout


def test_the_shell_says_what_was_changed_and_fails(copied: Path, sim: Simulator, tmp_path: Path) -> None:
    answer = sim.session().client("cloudtrail").list_public_keys()["PublicKeyList"]
    saved = [
        {"Value": base64.b64encode(k["Value"]).decode(), "Fingerprint": k["Fingerprint"]} for k in answer
    ]
    (tmp_path / "keys.json").write_text(json.dumps({"PublicKeyList": saved}))
    _logs(copied)[0].unlink()
    ran = CliRunner().invoke(logs, ["verify", str(copied), "--keys", str(tmp_path / "keys.json")])
    assert ran.exit_code == 1, ran.output
    assert "missing" in ran.output


# --- trails and Event History as sources ----------------------------------------------------------------------


def test_a_trail_is_ingested_by_its_name(sim: Simulator, tmp_path: Path) -> None:
    report = ingest("trail:main", tmp_path, session=sim.session())
    assert report.skipped["digest file"] == 3
    with Tables.open(tmp_path) as tables:
        users = tables.rows("select target_user from cloudtrail where event_name = 'CreateUser' order by 1")
    assert [name for (name,) in users] == ["one", "three", "two"]


def test_a_trail_that_is_not_there_is_named_with_those_that_are(sim: Simulator, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="trails here: main"):
        ingest("trail:other", tmp_path, session=sim.session())


def test_regions_and_accounts_that_are_not_wanted_are_not_read(sim: Simulator, tmp_path: Path) -> None:
    elsewhere = ingest("trail:main", tmp_path / "a", session=sim.session(), regions=["eu-west-3"])
    assert elsewhere.records == 0
    nobody = ingest("trail:main", tmp_path / "b", session=sim.session(), accounts=["999999999999"])
    assert nobody.records == 0
    assert ingest("trail:main", tmp_path / "c", session=sim.session(), regions=["us-east-1"]).records > 0


def test_event_history_is_ingested_page_by_page_and_not_twice(sim: Simulator, tmp_path: Path) -> None:
    session = sim.session()
    for _ in range(60):
        session.client("iam").list_users()
    report = ingest("history:", tmp_path, session=session, since=_today())
    assert report.records > 60
    with Tables.open(tmp_path) as tables:
        assert tables.rows("select count(*) - count(distinct event_id) from cloudtrail") == [(0,)]
        assert tables.rows("select src_file like 'history:%/us-east-1/%' from cloudtrail limit 1") == [
            (True,)
        ]
    trail = ingest("trail:main", tmp_path, session=session)
    assert trail.records == 0, "what the trail has, Event History gave before"
    assert trail.duplicates > 0


def test_event_history_is_asked_no_faster_than_its_quota_allows(sim: Simulator) -> None:
    pace = Pace(0.05)
    begun = time.monotonic()
    for _ in range(5):
        pace.wait()
    assert time.monotonic() - begun >= 0.2
    days = list(history_files("", Window(), sim.session(), pace=pace))
    assert len(days) == 91
    assert [day.etag for day in days[:2]] == ["over", "over"]
    assert days[-1].etag == "", "today is not over"


def _today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
