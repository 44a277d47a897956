"""Keys of users, sessions of other roles, and the notice that tells people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import botocore.exceptions
import pytest

from irkit import contain
from irkit.errors import InvalidName, InvalidParameter
from irkit.plan import Status


@pytest.fixture
def key(world):
    made = world.client("iam").create_access_key(UserName="olga")["AccessKey"]
    yield made
    world.client("iam").delete_access_key(UserName="olga", AccessKeyId=made["AccessKeyId"])


@pytest.fixture
def topic(world):
    return world.client("sns").create_topic(Name="incident")["TopicArn"]


def status(world, key):
    held = world.client("iam").list_access_keys(UserName="olga")["AccessKeyMetadata"]
    return next(k["Status"] for k in held if k["AccessKeyId"] == key["AccessKeyId"])


def test_a_planted_key_is_made_inactive_whosever_it_is_and_active_again_by_undo(case, world, key):
    assert contain.keys(case, [key["AccessKeyId"]]).apply().complete
    assert status(world, key) == "Inactive"
    session = world.sim._session(key["AccessKeyId"], key["SecretAccessKey"])
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidClientTokenId"):
        session.client("sts").get_caller_identity()
    assert contain.undo_plan(case).apply().complete
    assert status(world, key) == "Active"


def test_a_key_that_nobody_has_fails_alone(case, world, key):
    report = contain.keys(case, ["AKIAABCDEFGHIJKLMNOP", key["AccessKeyId"]]).apply()
    assert len(report.failed) == 1
    assert status(world, key) == "Inactive"


@pytest.mark.parametrize("wrong", ["ASIAABCDEFGHIJKLMNOP", "AKIA x; rm", "root"])
def test_what_is_not_a_users_key_is_refused(case, wrong):
    with pytest.raises(InvalidParameter, match="not a user's access key"):
        contain.keys(case, [wrong])


def test_older_sessions_of_a_role_are_denied_and_newer_ones_work(case, world):
    old = world.sim.instance_session(world.sibling).client("sts")
    cut = datetime.now(UTC) + timedelta(seconds=1)
    assert contain.sessions(case, "web", before=cut).apply().complete
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        old.get_session_token()
    contain.undo_plan(case).apply()
    assert contain.sessions(case, "web", before=cut - timedelta(hours=1)).apply().complete
    old.get_session_token()


def test_planned_again_without_a_time_it_is_the_same_cut(case):
    first = contain.sessions(case, "web")
    first.apply()
    (step,) = contain.sessions(case, "web").apply().steps
    assert step.earlier


def test_a_time_without_a_zone_is_refused(case):
    with pytest.raises(InvalidParameter, match="no time zone"):
        contain.sessions(case, "web", before=datetime(2026, 11, 23, 12, 0))  # noqa: DTZ001


def test_a_role_that_iam_does_not_let_be_edited_fails_with_the_reason(case, world):
    world.sim.faults.inject("iam", "PutRolePolicy", "UnmodifiableEntity", times=9)
    (step,) = contain.sessions(case, "web").apply().failed
    assert "UnmodifiableEntity" in step.why


def test_a_notice_is_sent_once_and_cannot_be_undone(case, topic, changes):
    plan = contain.notify(case, topic, "Contained", "Decide: rebuild?")
    assert plan.apply().complete
    assert contain.notify(case, topic, "Contained", "Decide: rebuild?").apply().steps[0].earlier
    assert changes().count("Publish") == 1
    (step,) = contain.undo_plan(case).apply().steps
    assert step.status is Status.SKIPPED
    assert "cannot be taken back" in step.why


def test_a_notice_carries_no_secret_and_no_terminal_control(case, topic):
    secret, digest = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "ab" * 32
    text = f"key {secret} seen\n\x1b[2Jfile {digest}\ntoken {'Zx9/' * 60}"
    (step,) = contain.notify(case, topic, "a\x1b]0;b\nc é", text).steps
    sent = step.args["message"]
    assert secret not in sent
    assert "Zx9/Zx9/" not in sent
    assert "\x1b" not in sent
    assert digest in sent
    assert step.args["subject"].isascii()
    assert "\n" not in step.args["subject"]


@pytest.mark.parametrize(
    ("arn", "error"), [("nonsense", InvalidName), ("arn:aws:s3:::bucket", InvalidParameter)]
)
def test_what_is_not_a_topic_is_refused(case, arn, error):
    with pytest.raises(error):
        contain.notify(case, arn, "s", "m")


def test_the_summary_tells_what_was_done_what_failed_and_what_needs_a_decision(case, world):
    world.sim.faults.inject("iam", "PutRolePolicy", "AccessDenied", times=99)
    contain.plan(case, world.suspect, only=["guard", "identity"]).apply()
    told = contain.summary(case)
    done, failed = told.split("FAILED, needs a decision:")
    assert f"- switch termination protection of {world.suspect} on" in done
    assert failed.startswith(f"\n- deny every call with the credentials of {world.suspect}")
