"""Every layout that CloudTrail, Lake, CloudWatch Logs and people's tools give records, and the other logs."""

from __future__ import annotations

import csv
import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from irkit.logs import ingest
from irkit.logs.lines import read_lines
from irkit.logs.peel import peeled
from irkit.logs.recognise import Shape, recognise
from irkit.tables import SCHEMAS, Tables
from tests.logs.builders import FLOW_HEADER, flow, record, role_session, write

S3_LINE = (
    "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be awsexamplebucket1"
    " [06/Feb/2026:01:00:38 +0100] 192.0.2.3 arn:aws:iam::111122223333:user/eve 3E57427F3EXAMPLE REST.GET.OBJECT"
    ' photos/2026/a%20b.jpg "GET /awsexamplebucket1/photos?x=1 HTTP/1.1" 200 - 113 2662992 7 5 "-"'
    ' "aws-cli/2.15 \\"quoted\\"" - s9lzHYrFp76ZVxRcpX9+5cjAnEH2ROuNkd2BHfIa6UkFVdtjf5mKR3/eTPFvsiP/XV/VLi31234='
    " SigV4 ECDHE-RSA-AES128-GCM-SHA256 AuthHeader awsexamplebucket1.s3.us-west-1.amazonaws.com TLSV1.2 - Yes"
)
ALB_LINE = (
    "https 2026-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.0.2.131:2817 10.0.0.1:80 0.086 0.048"
    ' 0.037 200 404 12 57 "GET https://www.example.com:443/a?b=c d HTTP/1.1" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256'
    " TLSv1.2 arn:aws:elasticloadbalancing:us-east-2:111122223333:targetgroup/my-targets/73e2d6bc24d8a067"
    ' "Root=1-58337281-1d84f3d73c47ec4e58577259" "www.example.com"'
    ' "arn:aws:acm:us-east-2:111122223333:certificate/12345678" 1 2026-07-02T22:22:48.364000Z "forward" "-" "-"'
    ' "10.0.0.1:80" "404" "Acceptable" "NonCompliantVersion" TID_1234'
)
CLASSIC_LINE = (
    "2026-05-13T23:39:43.945958Z my-loadbalancer 192.0.2.131:2817 - 0.000073 -1 0.000057 503 0 0 29"
    ' "GET http://www.example.com:80/ HTTP/1.1" "curl/7.38.0" - -'
)
NLB_LINE = (
    "tls 2.0 2026-12-20T02:59:40 net/my-network-loadbalancer/c6e77e28c25b2234 g3d4b5e8bb8464cd 192.0.2.21:51341"
    " 172.16.100.185:443 5 2 98 246 - arn:aws:acm:us-east-2:111122223333:certificate/2a108f19 - ECDHE-RSA-AES128-SHA"
    " tlsv12 - my-network-loadbalancer.elb.us-east-2.amazonaws.com - - - 2026-12-20T02:59:30"
)
QUERY = {
    "version": "1.100000",
    "account_id": "111122223333",
    "region": "us-east-1",
    "vpc_id": "vpc-7example",
    "query_timestamp": "2026-02-04T17:51:55Z",
    "query_name": "evil.example.com.",
    "query_type": "A",
    "query_class": "IN",
    "rcode": "NOERROR",
    "answers": [{"Rdata": "203.0.113.9", "Type": "A", "Class": "IN"}],
    "srcaddr": "10.0.0.5",
    "srcport": "5",
    "transport": "UDP",
    "srcids": {"instance": "i-0d15cd0d3example"},
    "firewall_rule_action": "ALERT",
}


def _tables(tmp_path: Path, sql: str, *files: tuple[str, bytes]) -> list[tuple[Any, ...]]:
    for name, content in files:
        write(tmp_path / "raw" / name, content)
    report = ingest(tmp_path / "raw", tmp_path / "tables")
    assert report.complete, report
    with Tables.open(tmp_path / "tables") as tables:
        return tables.rows(sql)


def test_zstd_and_cloudwatch_exports_are_taken(tmp_path: Path) -> None:
    one, two, three = record(), record(), record()
    rows = _tables(
        tmp_path,
        "select event_id from cloudtrail order by 1",
        ("a.json.zst", pa.compress(json.dumps({"Records": [one]}).encode(), "zstd", asbytes=True)),
        ("000000.gz", f"2026-11-20T10:00:00.123Z {json.dumps(two)}\n".encode()),
        # Firehose puts deliveries one after the other with nothing between.
        (
            "fire",
            json.dumps({"messageType": "CONTROL_MESSAGE", "logEvents": []}).encode()
            + json.dumps({"logEvents": [{"id": "1", "timestamp": 1, "message": json.dumps(three)}]}).encode(),
        ),
    )
    assert {row[0] for row in rows} == {one["eventID"], two["eventID"], three["eventID"]}


def test_the_rows_of_a_logs_insights_query_are_taken(tmp_path: Path) -> None:
    one = record()
    results = [[{"field": "@timestamp", "value": "x"}, {"field": "@message", "value": json.dumps(one)}]]
    rows = _tables(
        tmp_path, "select event_id from cloudtrail", ("a.json", json.dumps({"results": results}).encode())
    )
    assert rows == [(one["eventID"],)]


def test_the_table_that_event_history_downloads_becomes_records(tmp_path: Path) -> None:
    text = io.StringIO()
    csv.writer(text).writerows(
        [
            ("Event ID", "Event time", "User name", "Event name", "Resource type", "Resource name", "AWS access key",
             "AWS region", "Source IP address", "Event source", "Read-only", "Error code"),
            ("e-1", "2026-11-20T10:00:00Z", "alice", "RunInstances", "AWS::EC2::Instance", "i-1", "AKIAALICE",
             "eu-west-1", "192.0.2.1", "ec2.amazonaws.com", "false", ""),
        ]
    )  # fmt: skip
    rows = _tables(
        tmp_path,
        "select event_id, event_name, ui_user_name, access_key_id, aws_region, source_ip, first_resource_arn, read_only"
        " from cloudtrail",
        ("event_history.csv", text.getvalue().encode()),
    )
    assert rows == [("e-1", "RunInstances", "alice", "AKIAALICE", "eu-west-1", "192.0.2.1", "i-1", False)]


def test_lake_results_become_records_whether_whole_or_by_column(tmp_path: Path) -> None:
    whole = record(identity=role_session("Web", "s", "ASIAWEB"))
    identity = (
        "{type=AssumedRole, principalid=AROA:s, arn=arn:aws:sts::1:assumed-role/R/s, accesskeyid=ASIAX,"
    )
    identity += " sessioncontext={attributes={creationdate=2026-11-20 09:00:00.000, mfaauthenticated=true},"
    identity += " sessionissuer={type=Role, arn=arn:aws:iam::1:role/R}}}"
    text = io.StringIO()
    csv.writer(text).writerows(
        [
            ("eventJson", "eventid", "eventtime", "eventname", "eventsource", "useridentity", "requestparameters"),
            (json.dumps(whole), "", "", "", "", "", ""),
            ("", "e-2", "2026-11-20 10:00:00.000", "GetObject", "s3.amazonaws.com",
             identity,
             "{bucketName=secret, key=a, b.txt}"),
        ]
    )  # fmt: skip
    rows = _tables(
        tmp_path,
        "select event_id, access_key_id, issuer_arn, mfa, bucket, object_key, event_time is not null"
        " from cloudtrail order by event_id desc",
        ("result_1.csv.gz", text.getvalue().encode()),
    )
    assert rows == [
        ("e-2", "ASIAX", "arn:aws:iam::1:role/R", True, "secret", "a, b.txt", True),
        (whole["eventID"], "ASIAWEB", "arn:aws:iam::111122223333:role/Web", False, None, None, True),
    ]


def test_insight_events_have_the_name_of_what_they_are_about(tmp_path: Path) -> None:
    insight = {
        "eventVersion": "1.07",
        "eventTime": "2026-11-20T10:00:00Z",
        "awsRegion": "us-east-1",
        "eventID": "e-1",
        "eventType": "AwsCloudTrailInsight",
        "recipientAccountId": "111122223333",
        "insightDetails": {"state": "Start", "eventSource": "ssm.amazonaws.com", "eventName": "GetParameter"},
        "eventCategory": "Insight",
    }
    rows = _tables(
        tmp_path, "select event_name, event_source, event_category from cloudtrail",
        ("a.json.gz", json.dumps({"Records": [insight]}).encode()),
    )  # fmt: skip
    assert rows == [("GetParameter", "ssm.amazonaws.com", "Insight")]


def test_records_that_begin_with_different_names_are_taken_apart(tmp_path: Path) -> None:
    records = [record(minutes=n) for n in range(50)]
    shuffled = [
        dict(sorted(one.items(), key=lambda item: crc32(f"{n}{item[0]}".encode())))
        for n, one in enumerate(records)
    ]
    rows = _tables(
        tmp_path, "select event_id, rec_no from cloudtrail order by rec_no",
        ("a.json.gz", json.dumps({"Records": shuffled}).encode()),
    )  # fmt: skip
    assert rows == [(one["eventID"], number) for number, one in enumerate(records, start=1)]


def test_objects_inside_a_record_that_look_like_records_are_not_cut_out(tmp_path: Path) -> None:
    inner = [{"eventVersion": "1"}, {"eventVersion": "2"}, {"eventVersion": "3"}]
    records = [record(), record(request={"items": inner}), record(request={"items": inner[:2]}), record()]
    rows = _tables(
        tmp_path, "select event_id, rec_no from cloudtrail order by rec_no",
        ("a.json.gz", json.dumps({"Records": records}, separators=(",", ":")).encode()),
    )  # fmt: skip
    assert rows == [(one["eventID"], number) for number, one in enumerate(records, start=1)]


def test_flow_records_inside_cloudwatch_answers_are_taken(tmp_path: Path) -> None:
    line = flow("10.0.0.1", "203.0.113.9", 40000, 443, 10)
    answer = {"events": [{"logStreamName": "eni-1", "timestamp": 1, "message": line, "eventId": "1"}]}
    rows = _tables(tmp_path, "select dstaddr, bytes from flow", ("a.json", json.dumps(answer).encode()))
    assert rows == [("203.0.113.9", 10)]


def test_fields_of_flow_logs_without_a_header_can_be_given(tmp_path: Path) -> None:
    write(tmp_path / "raw/a.log", b"2 111122223333 eni-1 10.0.0.1 203.0.113.9 77 i-1\n")
    refused = ingest(tmp_path / "raw", tmp_path / "a")
    assert "--format" in refused.quarantined[0].reason
    fields = ["version", "account-id", "interface-id", "srcaddr", "dstaddr", "bytes", "instance-id"]
    assert ingest(tmp_path / "raw", tmp_path / "b", fields=fields).flows == 1
    with Tables.open(tmp_path / "b") as tables:
        assert tables.rows("select bytes, instance_id, external_ip from flow") == [(77, "i-1", "203.0.113.9")]


def test_s3_access_lines_become_rows(tmp_path: Path) -> None:
    rows = _tables(
        tmp_path,
        "select event_time, bucket, requester, operation, object_key, http_status, error_code, bytes_out, object_size,"
        " total_ms, user_agent, tls_version, acl_required, raw from s3_access",
        ("2026-02-06-00-00-38-ABC", f"{S3_LINE}\n".encode()),
    )
    when, *rest, raw = rows[0]
    assert when.isoformat() == "2026-02-06T00:00:38"
    assert rest == [
        "awsexamplebucket1", "arn:aws:iam::111122223333:user/eve", "REST.GET.OBJECT", "photos/2026/a%20b.jpg", 200,
        None, 113, 2662992, 7, 'aws-cli/2.15 \\"quoted\\"', "TLSV1.2", "Yes",
    ]  # fmt: skip
    assert raw == S3_LINE


def test_load_balancer_lines_of_every_kind_become_rows(tmp_path: Path) -> None:
    rows = _tables(
        tmp_path,
        "select kind, client_ip, target_ip, elb_status, bytes_out, url, user_agent, tls_protocol, domain_name,"
        " classification, target_seconds from elb order by kind",
        ("alb.log.gz", f"{ALB_LINE}\n{ALB_LINE.replace('https 2026', 'h2 2026')}\n".encode()),
        ("classic.log", f"{CLASSIC_LINE}\n".encode()),
        ("nlb.log.gz", f"{NLB_LINE}\n".encode()),
    )
    assert [row[0] for row in rows] == ["classic", "h2", "https", "tls"]
    assert rows[0][1:6] == ("192.0.2.131", None, 503, 29, "http://www.example.com:80/")
    assert rows[0][10] is None
    assert rows[2][1:] == (
        "192.0.2.131", "10.0.0.1", 200, 57, "https://www.example.com:443/a?b=c d", "curl/7.46.0", "TLSv1.2",
        "www.example.com", "Acceptable", 0.048,
    )  # fmt: skip
    assert rows[3][1:5] == ("192.0.2.21", "172.16.100.185", None, 246)
    assert rows[3][7:9] == ("tlsv12", "my-network-loadbalancer.elb.us-east-2.amazonaws.com")


def test_resolver_queries_become_rows_from_buckets_and_from_cloudwatch(tmp_path: Path) -> None:
    line = json.dumps(QUERY)
    rows = _tables(
        tmp_path,
        "select event_time, query_name, source_ip, source_port, instance_id, first_answer, firewall_rule_action"
        " from dns",
        ("a.log.gz", f"{line}\n{line}\n".encode()),
        ("b.json", json.dumps({"logEvents": [{"message": line}]}).encode()),
        ("c.gz", f"2026-02-04T17:51:55.000Z {line}\n".encode()),
    )
    assert len(rows) == 4
    assert rows[0][1:] == ("evil.example.com.", "10.0.0.5", 5, "i-0d15cd0d3example", "203.0.113.9", "ALERT")
    assert rows[0][0].isoformat() == "2026-02-04T17:51:55"


def test_broken_lines_are_quarantined_alone(tmp_path: Path) -> None:
    lines = [S3_LINE, S3_LINE[:80], S3_LINE.replace("06/Feb/2026", "99/Feb/2026"), S3_LINE]
    write(tmp_path / "raw/s3", "\n".join(lines).encode() + b"\n\xff\xfe\n")
    write(tmp_path / "raw/dns.log", f'{json.dumps(QUERY)}\n{{"query_name": 5}}\n[[[\n'.encode())
    report = ingest(tmp_path / "raw", tmp_path / "tables")
    assert report.others == {"s3_access": 2, "dns": 1}
    assert report.lost_records == 5
    assert "S3 access records" in [what for what, _ in report.to_frame().itertuples(index=False)]


_SHAPES = st.sampled_from([Shape.S3_ACCESS, Shape.ELB, Shape.DNS])
_LINES = st.sampled_from([S3_LINE, ALB_LINE, CLASSIC_LINE, NLB_LINE, json.dumps(QUERY)])


@settings(max_examples=80, deadline=None)
@given(_SHAPES, st.lists(_LINES, min_size=1, max_size=4), st.data())
def test_any_damage_to_lines_ends_in_rows_and_lost_lines_that_add_up(
    shape: Shape, lines: list[str], data: st.DataObject
) -> None:
    content = bytearray("\n".join(lines).encode())
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    at = data.draw(st.integers(0, len(content)))
    pieces = [bytes(content[:at]), bytes(content[at:])]
    found = list(read_lines("f", shape, iter(pieces)))
    counted = sum(one.rows.num_rows + len(one.lost) for one in found)
    assert counted == sum(1 for line in bytes(content).split(b"\n") if line.strip())
    for one in found:
        assert set(one.rows.column_names) in [{c.name for c in schema} for schema in SCHEMAS.values()]


@settings(max_examples=80, deadline=None)
@given(st.sampled_from([Shape.WRAPPED, Shape.EXPORTED, Shape.CSV]), st.binary(max_size=300), st.data())
def test_any_wrapping_is_opened_or_refused_in_words(shape: Shape, noise: bytes, data: st.DataObject) -> None:
    text = json.dumps({"Events": [{"CloudTrailEvent": json.dumps(record())}] * 2}).encode()
    at = data.draw(st.integers(0, len(text)))
    with suppress(ValueError):
        found, inside, _ = peeled(shape, text[:at] + noise + text[at:])
        assert recognise(inside[: 64 * 1024]) is found


def test_a_header_of_flow_logs_is_no_line_of_another_log() -> None:
    assert recognise(f"{FLOW_HEADER}\n".encode()) is Shape.FLOW
