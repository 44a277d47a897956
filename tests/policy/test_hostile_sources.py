"""Sources that somebody bent on purpose: irkit answers or refuses in one line, and never fails in any other way."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from irkit.errors import IrkitError
from irkit.policy import sources
from irkit.policy.asking import can
from tests.policy.test_sources import WORLD, details

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**12), 10**12), st.floats(),
    st.sampled_from(["", "*", "Allow", "s3:*", "arn:aws:s3:::b/${aws:x", "${a:b}", "<P>", "\x1b[2J", "\x00"]),
    st.text(max_size=6),
)  # fmt: skip
keys = st.sampled_from(
    ["Ref", "Fn::Sub", "Fn::Join", "Fn::If", "Fn::GetAtt", "Fn::Select", "Fn::Split", "Fn::FindInMap", "Fn::Equals",
     "Fn::ImportValue", "Statement", "Effect", "Action", "NotAction", "Resource", "Principal", "Condition", "Version"]
)  # fmt: skip
junk = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=2)),
    max_leaves=6,
)

TEMPLATE: dict[str, Any] = {
    "Parameters": {"P": {"Type": "String", "Default": "x"}},
    "Conditions": {"C": {"Fn::Equals": [{"Ref": "P"}, "x"]}},
    "Mappings": {"M": {"a": {"b": "c"}}},
    "Resources": {
        "Role": {
            "Type": "AWS::IAM::Role",
            "Condition": "C",
            "Properties": {
                "RoleName": {"Fn::Join": ["-", ["a", {"Ref": "AWS::Region"}]]},
                "Tags": [{"Key": "k", "Value": "v"}],
                "AssumeRolePolicyDocument": {
                    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}]
                },
                "Policies": [
                    {
                        "PolicyName": "p",
                        "PolicyDocument": {
                            "Version": "2012-10-17",
                            "Statement": [
                                {
                                    "Effect": "Allow",
                                    "Action": ["s3:GetObject"],
                                    "Resource": {"Fn::Sub": "${B.Arn}/*"},
                                    "Condition": {"NumericLessThan": {"s3:max-keys": ["1"]}},
                                }
                            ],
                        },
                    }
                ],
            },
        },
        "B": {"Type": "AWS::S3::Bucket"},
        "BP": {"Type": "AWS::S3::BucketPolicy", "Properties": {"Bucket": {"Ref": "B"}, "PolicyDocument": {"Statement": [
            {"Effect": "Deny", "Principal": {"AWS": ["123456789012"]}, "Action": "s3:*", "Resource": "*"}]}}},
        "K": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {"Statement": []}}},
    },
    "Outputs": {"O": {"Value": {"Ref": "B"}, "Export": {"Name": "o"}}},
}  # fmt: skip


def bent(document: Any, at: int, value: Any) -> Any:
    """`document` with its node number `at` (counted from the top) replaced by `value`."""
    count = -1

    def walk(node: Any) -> Any:
        nonlocal count
        count += 1
        if count == at:
            return value
        if isinstance(node, dict):
            return {key: walk(one) for key, one in node.items()}
        return [walk(one) for one in node] if isinstance(node, list) else node

    return walk(document)


def answers_or_refuses(document: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "source.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        said = one_line(str(path))

    assert "\n" not in said
    assert "\x1b" not in said


def one_line(path: str) -> str:
    """What irkit says about a source that it does not take; nothing when it takes it."""
    try:
        world = sources.read([path])
        for who in ("Role", "ana", "arn:aws:iam::123456789012:role/Reader", "*"):
            can(world, who, "s3:GetObject", "arn:aws:s3:::source-b/x")
    except IrkitError as error:
        return str(error)
    return ""


@given(st.integers(0, 70), junk)
@settings(max_examples=100, deadline=None)
def test_a_bent_template_is_answered_or_refused(at: int, value: Any) -> None:
    answers_or_refuses(bent(TEMPLATE, at, value))


@given(st.integers(0, 60), junk)
@settings(max_examples=60, deadline=None)
def test_bent_account_details_are_answered_or_refused(at: int, value: Any) -> None:
    answers_or_refuses(bent(details(), at, value))


@given(st.integers(0, 40), junk)
@settings(max_examples=60, deadline=None)
def test_a_bent_world_file_is_answered_or_refused(at: int, value: Any) -> None:
    import yaml

    document = yaml.safe_load(WORLD)
    document["principals"][1]["policies"] = []
    answers_or_refuses(bent(document, at, value))


def test_patterns_made_to_take_for_ever_do_not() -> None:
    stars = "*a" * 40
    variables = "".join(f"${{aws:PrincipalTag/k{n}}}*" for n in range(40))
    statement = {
        "Effect": "Allow",
        "Action": [f"s3:{stars}b", f"*{stars}b:*", "s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{stars}b", f"arn:aws:s3:::{variables}b", "arn:aws:s3:::source-b/x"],
        "Condition": {"StringLike": {"aws:username": [f"{stars}b"]}},
    }
    document = {"Version": "2012-10-17", "Statement": statement}
    reader = {"arn": "arn:aws:iam::123456789012:role/Reader", "policies": [document]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "world.json"
        path.write_text(json.dumps({"principals": [reader]}), encoding="utf-8")
        world = sources.read([str(path)])
        named = {"aws:username": ("a" * 50 + "b",)}

        assert not can(world, "Reader", "s3:ListBucket", "arn:aws:s3:::" + "a" * 1000).decision.allowed
        assert can(world, "Reader", "s3:GetObject", "arn:aws:s3:::source-b/x", context=named).decision.allowed
