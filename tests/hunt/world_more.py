"""More of the same account: what the newer questions ask about. Kept apart, so that the break-in stays small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from irkit.logs import ingest
from irkit.tables import SCHEMAS, connection, quoted
from tests.hunt import world as w
from tests.logs.builders import (
    ACCOUNT,
    assume_role,
    at,
    flow,
    get_object,
    record,
    role_session,
    user,
    write_flows,
    write_trail,
)

SCANNER, GUESSER = "203.0.113.201", "203.0.113.202"
TUNNEL = "198.19.6.6"
TRAVELLER = "AKIATRAVEL0000000000"


def _trail() -> list[dict[str, Any]]:
    web = role_session("Web", w.INSTANCE, w.KEY)
    thief = {"identity": web, "ip": w.OUTSIDE, "userAgent": "stolen-tool/1.0"}
    traveller = user("traveller", TRAVELLER)
    return [
        *(record("ec2:DescribeRegions", -60 + n, identity=traveller, ip="192.0.2.77") for n in (0, 20, 40)),
        *(
            record("s3:ListBuckets", 60 + n * 2, identity=traveller, ip=("192.0.2.77", "203.0.113.77")[n % 2],
                   awsRegion=("us-east-1", "ap-east-1")[n % 2])
            for n in range(6)
        ),
        record("iam:UpdateAssumeRolePolicy", 62, request={"roleName": "Deeper", "policyDocument": "{}"}, **thief),
        assume_role("Deeper", "later", "ASIALATER00000000000", 64, ip=w.OUTSIDE),
        record("ec2:RunInstances", 65, request={"iamInstanceProfile": {"name": "Admin"}}, **thief),
        record("ec2:RunInstances", 66, request={"instanceType": "t3.nano"}, identity=user("bob")),
        record("ec2:CopySnapshot", 67, request={"snapshotId": "snap-0copied", "destinationRegion": "ap-east-1"},
               **thief),
        record("rds:StartExportTask", 68, request={"sourceArn": "arn:aws:rds:x", "s3BucketName": "outside"}, **thief),
        record("ec2:DisableEbsEncryptionByDefault", 69, **thief),
        record("iam:DeactivateMFADevice", 70, request={"userName": "admin"}, error="AccessDenied", **thief),
        record("sts:GetFederationToken", 71, identity=traveller, response={"credentials": {"accessKeyId": "ASIAFED0"},
               "federatedUser": {"arn": f"arn:aws:sts::{ACCOUNT}:federated-user/x"}}),
        record("kms:Decrypt", 72, request={"keyId": "alias/app"}, **thief),
        get_object("assets", "reports/2026/a.pdf", 5000, 73, **thief),
        get_object("assets", "reports/b.pdf", 500, 74, **thief),
        get_object("assets", "top.txt", 5, 75, identity=traveller),
        record("s3:ListBuckets", 60 * 24 * 2, identity=traveller),
    ]  # fmt: skip


def _flows() -> list[str]:
    lines = [
        flow(SCANNER, w.OWN, 50000, port, 60, n / 10, action="REJECT")
        for n, port in enumerate(range(100, 140))
    ]
    lines += [flow(GUESSER, f"10.0.9.{n}", 51000, 3389, 60, n / 10, action="REJECT") for n in range(30)]
    lines += [flow(GUESSER, "10.0.9.5", 51000, 3389, 900, 40)]
    lines += [flow(w.OWN, TUNNEL, 45555, 443, 100, n) for n in range(88)]
    lines += [
        flow("10.0.3.3", f"10.0.1.{n % 250}", 5432, 33000 + n, 100, n / 10) for n in range(60)
    ]  # answers
    return lines


def build(folder: Path) -> Path:
    """The tables of both."""
    tables = w.build(folder)
    write_trail(folder / "more" / "trail.json.gz", _trail())
    write_flows(folder / "more" / "flow.log.gz", _flows())
    ingest(folder / "more", tables)
    _others(tables)
    return tables


def _others(tables: Path) -> None:
    """Rows of the logs of buckets, names and load balancers, written as the reader of those logs writes them."""
    time = at(45).strftime("%Y-%m-%d %H:%M:%S")
    rows: dict[str, list[dict[str, Any]]] = {
        "s3_access": [
            {"event_time": time, "bucket": w.BUCKET, "source_ip": w.OUTSIDE, "operation": "REST.GET.OBJECT",
             "object_key": key,
             "http_status": status, "bytes_out": size, "requester": "arn:x", "user_agent": "curl"}
            for key, status, size in (("a", 200, 10), ("b", 200, 5), ("c", 403, 0))
        ],
        "dns": [
            {"event_time": time, "source_ip": ip, "instance_id": w.INSTANCE, "query_name": name, "rcode": "NOERROR",
             "first_answer": answer}
            for ip, name, answer in ((w.OWN, "pool.example.", w.POOL), (w.OWN, "mirror.example.", w.MIRROR),
                                     (w.OTHER, "mirror.example.", w.MIRROR))
        ],
        "elb": [
            {"event_time": time, "client_ip": w.WEB, "url": url, "elb_status": status, "bytes_in": 1, "bytes_out": 2,
             "user_agent": "curl"}
            for url, status in (("/a", 200), ("/b", 404))
        ],
    }  # fmt: skip
    with connection() as con:
        for name, told in rows.items():
            schema = {column.name: column.type for column in SCHEMAS[name]}  # type: ignore[index]
            selects = [
                "select "
                + ", ".join(f"cast({_literal(row.get(c))} as {kind}) as {c}" for c, kind in schema.items())
                for row in told
            ]
            path = tables / name / "day=2026-11-20" / "part-0.parquet"
            path.parent.mkdir(parents=True)
            con.execute(
                f"copy ({' union all '.join(selects)}) to {quoted(str(path))} (format parquet)"
            ).fetchall()


def _literal(value: Any) -> str:
    return "null" if value is None else quoted(str(value))
