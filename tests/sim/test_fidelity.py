from __future__ import annotations

import ast
import importlib
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from moto.core.responses import BaseResponse

from irkit.sim import Simulator, fidelity

IRKIT = Path(fidelity.__file__).parents[1]
_MODULES = {"lambda": "awslambda"}
SERVICES = sorted({row.service for row in fidelity.TABLE})


@pytest.mark.parametrize("service", SERVICES)
def test_every_listed_operation_exists_in_aws(service: str) -> None:
    known = set(botocore.session.get_session().get_service_model(service).operation_names)
    listed = {row.operation for row in fidelity.TABLE if row.service == service} - {"PostObject"}
    assert listed <= known, sorted(listed - known)


def test_levels_are_the_four_and_nothing_stands_twice() -> None:
    assert {row.level for row in fidelity.TABLE} == set(fidelity.LEVELS)
    names = [(row.service, row.operation) for row in fidelity.TABLE]
    assert len(names) == len(set(names))


def test_what_is_listed_as_not_simulated_is_refused_and_the_rest_is_there(sim: Simulator) -> None:
    from moto.core.utils import camelcase_to_underscores

    wrong = []
    for row in fidelity.TABLE:
        if row.service == "s3":
            continue
        response = _response_class(row.service)
        there = hasattr(response, camelcase_to_underscores(row.operation))
        if row.level != "L0" and not there:
            wrong.append(f"{row.service}:{row.operation} is listed at {row.level} and moto lacks it")
    assert wrong == []


def _response_class(service: str) -> type:
    module = importlib.import_module(f"moto.{_MODULES.get(service, service)}.responses")
    found = [c for c in vars(module).values() if isinstance(c, type) and issubclass(c, BaseResponse)]
    return max(found, key=lambda c: len(dir(c)))


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("ec2", "DescribeVolumeStatus", {}),
        ("ec2", "SendDiagnosticInterrupt", {"InstanceId": "i-0123456789abcdef0"}),
        ("ec2", "AssociateKmsKeyId", None),
        ("iam", "GenerateServiceLastAccessedDetails", {"Arn": "arn:aws:iam::111122223333:role/x"}),
        ("sts", "DecodeAuthorizationMessage", {"EncodedMessage": "x"}),
        ("guardduty", "CreateSampleFindings", {"DetectorId": "d"}),
        ("cloudtrail", "ListEventDataStores", {}),
        ("ssm", "StartSession", {"Target": "i-0123456789abcdef0"}),
    ],
)
def test_operations_of_level_zero_are_refused(
    sim: Simulator, service: str, operation: str, parameters: dict[str, str] | None
) -> None:
    assert fidelity.level(service, operation) == "L0"
    if parameters is None:
        return
    with pytest.raises(ClientError, match="NotSimulated"):
        getattr(sim.session().client(service), xform_name(operation))(**parameters)


# Functions of socket and botocore that are called like operations of services that irkit does not use.
_OF_PYTHON = {"create_connection", "get_session"}


def _operations_named_in(source: Path) -> set[str]:
    """Method names and strings in a module that are the name of some AWS operation."""
    named = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Attribute):
            named.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            named.add(node.value)
    return named


def test_every_aws_operation_that_irkits_source_names_is_in_the_table() -> None:
    session = botocore.session.get_session()
    operations = {xform_name(name) for s in SERVICES for name in session.get_service_model(s).operation_names}
    unmistakable = {name for name in operations if "_" in name} - _OF_PYTHON
    listed = {xform_name(row.operation) for row in fidelity.TABLE}
    missing = {
        f"{source.relative_to(IRKIT)}: {name}"
        for source in IRKIT.rglob("*.py")
        if "sim" not in source.relative_to(IRKIT).parts
        for name in (_operations_named_in(source) & unmistakable) - listed
    }
    assert missing == set()


def test_calls_outside_the_table_are_named(sim: Simulator) -> None:
    start = len(sim.calls())
    sim.session().client("sts").get_caller_identity()
    sim.session().client("ec2").describe_customer_gateways()
    assert fidelity.unlisted(sim.calls()[start:]) == {("ec2", "DescribeCustomerGateways")}


def test_the_docs_page_has_a_row_for_each_operation() -> None:
    page = fidelity.markdown()
    assert page.count("\n| ") == len(fidelity.TABLE) + len(SERVICES)
    assert "| SendCommand | L3 |" in page
