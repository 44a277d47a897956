"""What irkit does not understand in a policy it refuses, naming the place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from irkit.errors import BadInput
from irkit.policy import Applicable, Kind, Policy, Request, Requester, evaluate
from irkit.policy.document import parse_json
from irkit.policy.outsiders import facts

HOME = "123456789012"
ROLE = f"arn:aws:iam::{HOME}:role/team/Responder"


def statement(**more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", **more}


def policy(*statements: dict[str, Any], kind: Kind = Kind.IDENTITY) -> Policy:
    return Policy.read({"Version": "2012-10-17", "Statement": list(statements)}, kind=kind, name="p.json")


def request(context: dict[str, Any] | None = None, who: str = ROLE, **more: Any) -> Request:
    given = {k.lower(): tuple(v) if isinstance(v, list) else (v,) for k, v in (context or {}).items()}
    asked = {"action": "s3:GetObject", "resource": "arn:aws:s3:::b/k", "resource_account": HOME, **more}
    return Request(who=Requester.read(who), context=given, **asked)


def allowed(condition: dict[str, Any], context: dict[str, Any]) -> bool:
    return evaluate(request(context), Applicable(identity=(policy(statement(Condition=condition)),))).allowed


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"Efect": "Allow"}, "unknown element Efect"),
        ({"Effect": "allow"}, "Effect 'allow'"),
        ({"NotAction": "s3:*"}, "both Action and NotAction"),
        ({"NotResource": "*"}, "both Resource and NotResource"),
        ({"Action": []}, "Action that is not a text"),
        ({"Action": "GetObject"}, "has the action 'GetObject'"),
        ({"Action": "s3:${aws:username}"}, "has the action"),
        ({"Resource": "my-bucket"}, "has the resource 'my-bucket'"),
        ({"Resource": "arn:aws:s3:::${aws:username"}, "does not close it"),
        ({"Resource": "arn:aws:s3:::${aws username}"}, "not a condition key"),
        ({"Principal": "*"}, "which no identity policy has"),
        ({"Condition": {"StringFoo": {"aws:username": "a"}}}, "'StringFoo', which IAM does not have"),
        ({"Condition": {"NullIfExists": {"aws:username": "true"}}}, "which IAM does not have"),
        ({"Condition": {"ForSomeValue:StringEquals": {"aws:TagKeys": "a"}}}, "which IAM does not have"),
        ({"Condition": {"StringEquals": {"username": "a"}}}, "'username' is not a condition key"),
        ({"Condition": {"StringEquals": {"aws:username": []}}}, "has no values"),
        ({"Condition": {"StringEquals": {}}}, "has no keys"),
        ({"Condition": {"NumericLessThan": {"s3:max-keys": "ten"}}}, "'ten' is compared as a number"),
        ({"Condition": {"DateLessThan": {"aws:CurrentTime": "soon"}}}, "'soon' is compared as a date"),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/99"}}}, "compared as an address"),
        ({"Condition": {"Bool": {"aws:SecureTransport": "yes"}}}, "compared as a boolean"),
        ({"Condition": {"BinaryEquals": {"x:y": "%%"}}}, "compared as binary"),
        ({"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:iam"}}}, "compared as an ARN"),
        ({"Condition": {"Null": {"aws:username": "maybe"}}}, "Null takes true or false"),
    ],
)
def test_a_statement_that_is_not_understood_is_refused_by_name(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput) as error:
        policy(statement(**wrong))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("principal", "says"),
    [
        ({"AWS": "arn:aws:iam::123456789012:role/*"}, "without wildcards"),
        ({"AWS": "AROAEXAMPLEEXAMPLE22"}, "by its id"),
        ({"CanonicalUser": "79a5"}, "CanonicalUser, which irkit does not evaluate"),
        ({"Service": "ec2"}, "names the service 'ec2'"),
        ({"AWS": []}, "principal that is not text"),
        ("everyone", "neither * nor an object"),
        ({}, "neither * nor an object"),
    ],
)
def test_a_principal_that_cannot_be_told_offline_is_refused(principal: Any, says: str) -> None:
    with pytest.raises(BadInput) as error:
        policy(statement(Principal=principal), kind=Kind.RESOURCE)
    assert says in str(error.value)


def test_a_resource_policy_without_principals_and_a_trust_policy_with_resources_are_refused() -> None:
    with pytest.raises(BadInput, match="needs Principal or NotPrincipal"):
        policy(statement(), kind=Kind.RESOURCE)
    with pytest.raises(BadInput, match="names a resource, which a trust policy cannot"):
        policy(statement(Principal="*"), kind=Kind.TRUST)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (statement(Principal="*", Action="s3:*"), "only the default resource control policy"),
        (statement(Principal="*", Effect="Deny", Action="*"), "denies every action"),
        (statement(Principal={"AWS": HOME}, Effect="Deny"), "names a principal"),
    ],
)
def test_a_resource_control_policy_that_aws_would_not_take_is_refused(wrong: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        policy(wrong, kind=Kind.RCP)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"Statement": []},
        {"Statement": ["x"]},
        {"Version": "2013", "Statement": statement()},
        [],
        {"Foo": 1},
    ],
)
def test_what_is_no_policy_is_refused(document: Any) -> None:
    with pytest.raises(BadInput, match=r"p\.json"):
        Policy.read(document, kind=Kind.IDENTITY, name="p.json")


def test_an_element_that_stands_twice_is_refused_since_readers_disagree_which_one_counts() -> None:
    with pytest.raises(BadInput, match="'Effect' twice"):
        parse_json('{"Statement": {"Effect": "Deny", "Effect": "Allow"}}', name="p.json")


def test_json_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises(BadInput, match="is not JSON"):
        parse_json("[" * 200_000, name="p.json")


def test_a_hostile_name_cannot_reach_the_terminal_or_a_second_line() -> None:
    with pytest.raises(BadInput) as error:
        policy(statement(Action="s3:\x1b[31mGet\nirkit: all is well"))
    assert "\x1b" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_key_with_several_values_under_a_plain_operator_is_refused_when_it_is_asked() -> None:
    with pytest.raises(BadInput, match="without ForAnyValue or ForAllValues"):
        allowed({"StringEquals": {"aws:TagKeys": "a"}}, {"aws:TagKeys": ["a", "b"]})


def test_a_value_of_the_request_that_cannot_be_compared_is_refused_rather_than_unequal() -> None:
    for operator, key, value, asked in (
        ("NumericNotEquals", "s3:max-keys", "10", "many"),
        ("NotIpAddress", "aws:SourceIp", "10.0.0.0/8", "localhost"),
        ("DateNotEquals", "aws:CurrentTime", "2026-01-01", "today"),
        ("Bool", "aws:SecureTransport", "true", "on"),
    ):
        with pytest.raises(BadInput, match="compared as"):
            allowed({operator: {key: value}}, {key: asked})


def test_a_policy_variable_needs_a_key_with_one_value() -> None:
    tagged = policy(statement(Resource="arn:aws:s3:::b/${aws:TagKeys}"))
    with pytest.raises(BadInput, match="takes a variable from aws:tagkeys"):
        evaluate(request({"aws:TagKeys": ["a", "b"]}), Applicable(identity=(tagged,)))


def test_not_principal_that_lists_only_a_part_of_who_asks_is_refused() -> None:
    for listed in (HOME, ROLE):
        excluded = {"Effect": "Deny", "Action": "s3:*", "Resource": "*", "NotPrincipal": {"AWS": listed}}
        with pytest.raises(BadInput, match=r"NotPrincipal lists .* but not .* not documented"):
            evaluate(request(), Applicable(resource=policy(excluded, kind=Kind.RESOURCE)))


def test_a_key_and_a_role_without_their_own_policy_cannot_be_judged() -> None:
    key = f"arn:aws:kms:us-east-1:{HOME}:key/1"
    with pytest.raises(BadInput, match=r"the key policy of .* is not known"):
        evaluate(request(action="kms:Decrypt", resource=key), Applicable())
    with pytest.raises(BadInput, match=r"the trust policy of .* is not known"):
        evaluate(request(action="sts:AssumeRole", resource=ROLE), Applicable())


@pytest.mark.parametrize(
    "text", ["", "role", "arn:aws:iam::1:role/x", "arn:aws:s3:::b", "arn:aws:iam::123456789012:role/*"]
)
def test_what_is_no_principal_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="principal"):
        Requester.read(text)


# What the golden questions leave out, because the evaluator that answered them sees it differently: see README.md.


def test_all_of_ipv4_is_every_ipv4_address_and_no_ipv6_address() -> None:
    everywhere = {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}

    assert allowed(everywhere, {"aws:SourceIp": "203.0.113.9"})
    assert not allowed(everywhere, {"aws:SourceIp": "2001:db8::1"})
    assert allowed({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"aws:SourceIp": "2001:db8::1"})


def test_an_incomplete_arn_is_completed_with_wildcards() -> None:
    queue = request(action="sqs:SendMessage", resource=f"arn:aws:sqs:us-east-1:{HOME}:q")
    held = policy(statement(Action="sqs:*", Resource="arn:aws:sqs"))

    assert evaluate(queue, Applicable(identity=(held,))).allowed
    assert not evaluate(request(), Applicable(identity=(held,))).allowed


def test_seconds_since_1970_and_an_iso_date_are_the_same_moment() -> None:
    assert allowed(
        {"DateEquals": {"aws:CurrentTime": "1767225600"}}, {"aws:CurrentTime": "2026-01-01T00:00:00Z"}
    )
    assert allowed({"DateLessThan": {"aws:EpochTime": "2026-01-01"}}, {"aws:EpochTime": "1767225599"})


def test_variables_are_plain_text_in_documents_of_the_older_version() -> None:
    older = Policy.read(
        {"Statement": statement(Resource="arn:aws:s3:::b/${aws:username}")}, kind=Kind.IDENTITY, name="older"
    )
    asked = request({"aws:username": "k"})

    assert not evaluate(asked, Applicable(identity=(older,))).allowed
    literal = request({"aws:username": "k"}, resource="arn:aws:s3:::b/${aws:username}")
    assert evaluate(literal, Applicable(identity=(older,))).allowed


def test_a_wildcard_in_the_value_of_a_variable_widens_nothing() -> None:
    tagged = policy(statement(Resource="arn:aws:s3:::b/${aws:PrincipalTag/case}/*"))
    asked = request({"aws:PrincipalTag/case": "*"}, resource="arn:aws:s3:::b/c1/x")

    assert not evaluate(asked, Applicable(identity=(tagged,))).allowed


def test_a_grant_to_the_session_itself_reaches_past_the_session_policy_and_one_to_its_role_does_not() -> None:
    session = f"arn:aws:sts::{HOME}:assumed-role/Responder/ana"
    nothing = policy(statement(Action="ec2:DescribeInstances"), kind=Kind.SESSION)
    for named, goes_through in ((session, True), (ROLE, False)):
        bucket = policy(statement(Principal={"AWS": named}), kind=Kind.RESOURCE)
        who = Requester.read(session, role=ROLE)
        asked = Request(
            who=who,
            action="s3:GetObject",
            resource="arn:aws:s3:::b/k",
            resource_account=HOME,
            context=facts(who),
        )
        assert evaluate(asked, Applicable(resource=bucket, session=nothing)).allowed is goes_through


def test_organization_policies_do_not_bind_services_and_service_linked_roles() -> None:
    forbid = policy(statement(Effect="Deny", Action="*"), kind=Kind.SCP)
    full = policy(statement(Action="*"), kind=Kind.SCP)
    bucket = policy(statement(Principal={"Service": "config.amazonaws.com"}), kind=Kind.RESOURCE)
    linked = f"arn:aws:iam::{HOME}:role/aws-service-role/config.amazonaws.com/AWSServiceRoleForConfig"
    held = Applicable(identity=(policy(statement()),), resource=bucket, scps=((full, forbid),))

    assert evaluate(request(who="config.amazonaws.com"), held).allowed
    assert evaluate(request(who=linked), held).allowed
    assert not evaluate(request(), held).allowed


def test_root_may_do_everything_in_its_account_except_what_is_denied_and_may_always_mend_its_bucket_policy() -> (
    None
):
    root = f"arn:aws:iam::{HOME}:root"
    shut = policy(statement(Effect="Deny", Action="s3:*", Principal="*"), kind=Kind.RESOURCE)
    mending = request(who=root, action="s3:PutBucketPolicy", resource="arn:aws:s3:::b")

    assert evaluate(request(who=root), Applicable()).allowed
    assert not evaluate(request(who=root), Applicable(resource=shut)).allowed
    assert evaluate(mending, Applicable(resource=shut)).allowed
    forbid = policy(statement(Effect="Deny", Action="s3:*"), kind=Kind.SCP)
    full = policy(statement(Action="*"), kind=Kind.SCP)
    assert not evaluate(mending, Applicable(resource=shut, scps=((full, forbid),))).allowed


def test_root_cannot_assume_a_role_even_one_that_trusts_its_account() -> None:
    trust = Policy.read(
        {"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": HOME}}},
        kind=Kind.TRUST,
        name="trust",
    )
    asked = request(who=f"arn:aws:iam::{HOME}:root", action="sts:AssumeRole", resource=ROLE)

    assert not evaluate(asked, Applicable(resource=trust)).allowed


def test_nobody_can_be_kept_from_asking_who_they_are() -> None:
    forbidden = Applicable(identity=(policy(statement(Effect="Deny", Action="*")),))

    assert evaluate(request(action="sts:GetCallerIdentity", resource="*"), forbidden).allowed


def test_a_policy_is_plain_data_that_reads_back_from_json() -> None:
    text = json.dumps({"Version": "2012-10-17", "Statement": statement(Sid="One")})

    read = Policy.read(parse_json(text, name="p"), kind=Kind.IDENTITY, name="p")
    assert read.statements[0].name == "p, statement 1 (One)"


def test_binary_values_are_equal_when_their_bytes_are_and_numbers_when_their_values_are() -> None:
    assert allowed({"BinaryEquals": {"x:y": "QmluYXJ5"}}, {"x:y": "QmluYXJ5"})
    assert not allowed({"BinaryEquals": {"x:y": "QmluYXJ5"}}, {"x:y": "QmluYXJ6"})
    assert allowed({"NumericEquals": {"s3:max-keys": "10"}}, {"s3:max-keys": "10.0"})


def test_a_default_stands_in_for_a_variable_only_when_the_request_lacks_the_key() -> None:
    named = {"StringEquals": {"aws:username": "${aws:PrincipalTag/owner, 'nobody'}"}}

    assert allowed(named, {"aws:username": "nobody"})
    assert not allowed(named, {"aws:username": "nobody", "aws:PrincipalTag/owner": "ana"})
    assert allowed(named, {"aws:username": "ana", "aws:PrincipalTag/owner": "ana"})


def test_operators_and_keys_compare_without_case_and_values_with_it() -> None:
    assert allowed({"stringEQUALS": {"AWS:UserName": "ana"}}, {"aws:username": "ana"})
    assert not allowed({"StringEquals": {"aws:username": "Ana"}}, {"aws:username": "ana"})
