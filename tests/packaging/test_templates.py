"""The CloudFormation templates are valid, and the responder's role cannot do what it must never do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml


class _Template(yaml.SafeLoader):
    """CloudFormation's short forms (`!Ref`, `!Sub`, `!If`…) read as their argument."""


def _argument(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]


_Template.add_multi_constructor("!", _argument)


def statements(template: Path, policy: str) -> list[dict[str, Any]]:
    """The statements of a managed policy; conditional ones as if their condition held."""
    resources = yaml.load(template.read_text(encoding="utf-8"), Loader=_Template)["Resources"]
    found = resources[policy]["Properties"]["PolicyDocument"]["Statement"]
    return [item[1] if isinstance(item, list) else item for item in found]


def actions(template: Path, policy: str) -> set[str]:
    listed = (statement["Action"] for statement in statements(template, policy))
    return {action for one in listed for action in ([one] if isinstance(one, str) else one)}


@pytest.fixture
def role(checkout: Path) -> Path:
    return checkout / "cfn" / "responder-role.yaml"


def test_templates_pass_cfn_lint(checkout: Path) -> None:
    pytest.importorskip("cfnlint", reason="cfn-lint is not installed: pip install cfn-lint")
    templates = sorted(str(path) for path in (checkout / "cfn").glob("*.yaml"))
    lint = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), *templates], capture_output=True, text=True
    )

    assert templates
    assert lint.returncode == 0, lint.stdout


def test_reading_and_capturing_hold_no_action_that_changes_who_may_do_what(role: Path) -> None:
    allowed = actions(role, "Read") | actions(role, "Capture")
    iam_writes = {
        a
        for a in allowed
        if a.startswith("iam:") and not a.startswith(("iam:Get", "iam:List", "iam:Simulate"))
    }

    assert not iam_writes
    assert not {action for action in allowed if action.endswith("*") and not action.endswith(":Describe*")}


def test_what_is_denied_is_allowed_nowhere_except_the_revocation_that_may_not_touch_the_role_itself(
    role: Path,
) -> None:
    allowed = actions(role, "Read") | actions(role, "Capture") | actions(role, "Contain")

    never = {s["Sid"]: {*s["Action"]} for s in statements(role, "Never")}
    on_others = never.pop("NotItself")
    only_denies = never.pop("AttachOnlyWhatDenies")
    assert not allowed & set().union(*never.values())
    assert only_denies == {"iam:AttachRolePolicy", "iam:AttachUserPolicy"}
    assert {"iam:PutRolePolicy", "iam:DeleteRolePolicy", "iam:TagRole", "iam:DetachRolePolicy"} <= on_others


def test_what_it_may_attach_can_only_take_away(role: Path) -> None:
    attaching = [s for s in statements(role, "Contain") if "iam:AttachRolePolicy" in s["Action"]]

    assert {s["Sid"]: s["Condition"]["ArnEquals"]["iam:PolicyARN"] for s in attaching} == {
        "AttachTheRevocationPolicy": "RevocationPolicyArn",
        "AttachTheDenyOfEverything": "arn:${AWS::Partition}:iam::aws:policy/AWSDenyAll",
    }


def test_evidence_can_be_destroyed_by_no_session_of_the_role(role: Path) -> None:
    assert {
        "ec2:TerminateInstances",
        "ec2:DeleteSnapshot",
        "ec2:DeleteVolume",
        "s3:DeleteObjectVersion",
        "cloudtrail:StopLogging",
    } <= actions(role, "Never")
