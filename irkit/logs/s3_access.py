"""S3 server access log lines: words, quoted words and a time in brackets.

Quotes in the request, referrer and user agent come percent-encoded or not at all escaped, depending on the client, so a
line whose quotes do not pair is read as far as it can be.

References:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html
"""

from __future__ import annotations

import re
from typing import Any

from irkit.logs.fields import long_number, moment, short_number, text

_WORD = r"(\S+)"
_QUOTED = r'"((?:[^"\\]|\\.)*)"|-'
_LINE = re.compile(
    rf"{_WORD} {_WORD} \[([^\]]+)\] {_WORD} {_WORD} {_WORD} {_WORD} {_WORD} (?:{_QUOTED})"
    rf" {_WORD} {_WORD} {_WORD} {_WORD} {_WORD} {_WORD} (?:{_QUOTED}) (?:{_QUOTED}) {_WORD}(?: (.*))?",
    re.DOTALL,
)
_AFTER = [
    "host_id",
    "signature_version",
    "cipher_suite",
    "authentication_type",
    "host_header",
    "tls_version",
    "access_point_arn",
    "acl_required",
]


def parse(line: str) -> dict[str, Any] | str:
    """The values of one line, or what is wrong with it."""
    match = _LINE.fullmatch(line)
    if match is None:
        return "not the fields of an S3 access log"
    (
        owner,
        bucket,
        time,
        ip,
        requester,
        request,
        operation,
        key,
        uri,
        status,
        error,
        sent,
        size,
        total,
        turn,
    ) = match.groups()[:15]
    when = moment(time, "%d/%b/%Y:%H:%M:%S %z")
    if when is None:
        return "the time is no time"
    referrer, agent, version, rest = match.groups()[15:]
    values: dict[str, Any] = {
        "event_time": when,
        "bucket_owner": text(owner),
        "bucket": text(bucket),
        "source_ip": text(ip),
        "requester": text(requester),
        "request_id": text(request),
        "operation": text(operation),
        "object_key": text(key),
        "request_uri": text(uri),
        "http_status": short_number(status),
        "error_code": text(error),
        "bytes_out": long_number(sent),
        "object_size": long_number(size),
        "total_ms": long_number(total),
        "turnaround_ms": long_number(turn),
        "referrer": text(referrer),
        "user_agent": text(agent),
        "version_id": text(version),
    }
    # Lines grew over the years; an older one ends earlier.
    values |= {name: text(word) for name, word in zip(_AFTER, (rest or "").split(" "), strict=False)}
    return values
