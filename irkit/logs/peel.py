"""Logs that lie inside something else, as they were before: answers of an API, deliveries, exports, tables.

References:
    https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/S3Export.html
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-lake-results.html
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from irkit.logs.cloudtrail_columns import KNOWN_FIELDS
from irkit.logs.recognise import BOM, Shape, recognise

_DEPTH = 6
_STAMP = re.compile(rb"(?m)^\d{4}-\d\d-\d\dT[\d:.]+Z[ \t]+")
_WRAPPED_TEXT = re.compile(r'"(?:CloudTrailEvent|@?message|eventJson)"\s*:\s*("(?:[^"\\]|\\.)*")')
_FIELDS = {name.lower(): name for name in KNOWN_FIELDS}
# Names of the Event History table and of Lake's rows that differ from the record's.
_RENAMED = {"awsregion": "awsRegion", "sourceipaddress": "sourceIPAddress", "region": "awsRegion"}
_IDENTITY = {
    "username": "userName",
    "awsaccesskey": "accessKeyId",
    "accesskeyid": "accessKeyId",
    "accesskey": "accessKeyId",
}
_CAMEL = {
    name.lower(): name
    for name in [
        "principalId",
        "accountId",
        "accessKeyId",
        "userName",
        "invokedBy",
        "identityProvider",
        "sessionContext",
        "sessionIssuer",
        "creationDate",
        "mfaAuthenticated",
        "sourceIdentity",
        "ec2RoleDelivery",
        "webIdFederationData",
        "onBehalfOf",
        "credentialId",
        "tlsVersion",
        "cipherSuite",
        "clientProvidedHostHeader",
    ]
}
_FIELD_SIZE = 16 * 1024**2


def peeled(shape: Shape, data: bytes) -> tuple[Shape, bytes, str | None]:
    """What lies inside `data`, one record a line, its shape, and what is wrong with the wrapping, if anything.

    Raises `ValueError` where nothing can be got out.
    """
    data, fault = data.removeprefix(BOM), None
    if shape is Shape.EXPORTED:
        inside = _STAMP.sub(b"", data)
    elif shape is Shape.CSV:
        inside = "\n".join(_table_records(data.decode("utf-8", "replace"))).encode()
    else:
        try:
            texts = unwrapped(data)
        except ValueError as error:
            texts, fault = list(_torn(data)), f"the JSON around the records is broken: {error}"
        # A line break in JSON text can only be blank space.
        lines = (text.replace("\n", " ").replace("\r", " ") for text in texts)
        inside = "\n".join(lines).encode("utf-8", "replace")
    found = recognise(inside[: 64 * 1024])
    if found in (Shape.WRAPPED, Shape.EXPORTED, Shape.CSV, Shape.UNKNOWN):
        raise ValueError(fault or "no log that irkit reads is inside")
    return found, inside, fault


def _torn(data: bytes) -> Iterator[str]:
    """The texts in broken JSON that stand where records do."""
    for found in _WRAPPED_TEXT.finditer(data.decode("utf-8", "replace")):
        try:
            yield json.loads(found[1], strict=False)
        except ValueError:
            continue


def unwrapped(data: bytes) -> list[str]:
    """The records that lie as text inside `data`: a LookupEvents answer, deliveries of CloudWatch Logs, query results.

    Raises `ValueError` where `data` is not JSON.
    """
    text = data.decode("utf-8", "surrogateescape")
    return [record for document in _documents(text) for record in _inside(document, _DEPTH)]


def _documents(text: str) -> Iterator[object]:
    """The JSON values of `text`, which may stand one after the other with or without line breaks."""
    decoder = json.JSONDecoder()
    at, blank = 0, re.compile(r"[\s,]*")
    while (start := blank.match(text, at)) and start.end() < len(text):
        try:
            value, at = decoder.raw_decode(text, start.end())
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        yield value


def _inside(document: object, depth: int) -> list[str]:
    if depth == 0:
        return []
    if isinstance(document, list):
        if document and all(isinstance(cell, dict) and "field" in cell for cell in document):
            return _inside({cell["field"]: cell.get("value") for cell in document}, depth - 1)
        return [record for item in document for record in _inside(item, depth - 1)]
    if not isinstance(document, dict):
        return []
    for key in ("CloudTrailEvent", "message", "@message", "eventJson"):
        value = document.get(key)
        if isinstance(value, str):
            return [value]
        if isinstance(value, dict):
            return [json.dumps(value)]
    for key in ("Events", "logEvents", "events", "results", "QueryResultRows"):
        if isinstance(document.get(key), list):
            return _inside(document[key], depth - 1)
    return [json.dumps(document)] if "eventName" in document else []


def _table_records(text: str) -> Iterator[str]:
    """The rows of a CSV table of events as JSON records: whole ones where a column has them, else what columns say."""
    csv.field_size_limit(_FIELD_SIZE)
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        names = [re.sub(r"[^a-z]", "", name.lower()) for name in next(rows, [])]
        for row in rows:
            cells = dict(zip(names, row, strict=False))
            whole = cells.get("eventjson") or cells.get("cloudtrailevent")
            if whole:
                yield whole.replace("\n", " ")
            elif any(cells.values()):
                yield json.dumps(_record(cells))
    except csv.Error as error:
        raise ValueError(f"not a CSV table: {error}") from error


def _record(cells: dict[str, str]) -> dict[str, Any]:
    record: dict[str, Any] = {"eventVersion": None}
    identity: dict[str, Any] = {}
    resource: dict[str, str] = {}
    for name, cell in cells.items():
        if cell in ("", "-", "null"):
            continue
        if name in _IDENTITY:
            identity[_IDENTITY[name]] = cell
        elif name in ("resourcetype", "resourcename"):
            resource["type" if name == "resourcetype" else "ARN"] = cell
        elif name in _RENAMED or name in _FIELDS:
            record[_RENAMED.get(name) or _FIELDS[name]] = _value(cell)
    if isinstance(record.get("userIdentity"), dict):
        record["userIdentity"] = identity | record["userIdentity"]
    elif identity:
        record["userIdentity"] = identity
    if resource and "resources" not in record:
        record["resources"] = [resource]
    return record


def _value(cell: str) -> object:
    """A cell as JSON if it is that, as an object if it is a row in Lake's spelling (`{a=1, b={c=2}}`), else as text."""
    if cell[:1] not in ("{", "["):
        return cell
    try:
        value: object = json.loads(cell)
    except (ValueError, RecursionError):
        return _row(cell)
    return value


def _row(cell: str) -> object:
    if not (cell.startswith("{") and cell.endswith("}")) or cell.count("{") > 64:
        return cell
    found: dict[str, object] = {}
    for part in _parts(cell[1:-1]):
        name, equals, value = part.strip().partition("=")
        if not equals:
            return cell
        if value not in ("null", ""):
            found[_CAMEL.get(name.lower(), name)] = _row(value)
    return found


def _parts(text: str) -> Iterator[str]:
    """`text` split at commas that stand in no braces and before a name."""
    depth = begin = 0
    for found in re.finditer(r"[{}\[\]]|,(?=\s*\w+=)", text):
        if found[0] in "{[":
            depth += 1
        elif found[0] in "}]":
            depth -= 1
        elif depth == 0:
            yield text[begin : found.start()]
            begin = found.end()
    yield text[begin:]
