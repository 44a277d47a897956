# ruff: noqa: S608 - SQL is put together from our own column names and quoted paths; values are bound
"""Typed tables of what logs say: their schemas, where they lie, and a way to query them.

A tables folder holds `cloudtrail/`, `flow/`, `edge/`, `s3_access/`, `dns/` and `elb/`, each partitioned by day
(`day=2026-11-20/part-….parquet`).
`irkit.logs` writes them, `irkit.hunt` reads them; neither knows the other.

All timestamps are UTC and stored without a zone, which DuckDB, Athena and pandas read alike; `Tables.frame` puts the
zone back. JSON is kept as text: nested values of CloudTrail differ in type from one event to the next.

References:
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
    https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html
    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resolver-query-logs-format.html
    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

from irkit.errors import BadInput, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb
    import pandas as pd

ColumnType = Literal["VARCHAR", "TIMESTAMP", "BOOLEAN", "INTEGER", "BIGINT", "DOUBLE"]
TableName = Literal["cloudtrail", "flow", "edge", "s3_access", "dns", "elb"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table or of an answer."""

    name: str
    type: ColumnType = "VARCHAR"


def columns(spec: str) -> tuple[Column, ...]:
    """The columns that `spec` names: words separated by blanks, each `name` (text) or `name:TYPE`."""
    parts = (word.partition(":") for word in spec.split())
    return tuple(Column(name, _checked(kind or "VARCHAR")) for name, _, kind in parts)


def _checked(kind: str) -> ColumnType:
    match kind:
        case "VARCHAR" | "TIMESTAMP" | "BOOLEAN" | "INTEGER" | "BIGINT" | "DOUBLE":
            return kind
    raise ValueError(f"no such column type: {kind}")


CLOUDTRAIL = columns(
    """
    event_time:TIMESTAMP event_id event_name event_source event_type event_category event_version
    aws_region recipient_account_id source_ip user_agent error_code error_message
    read_only:BOOLEAN management_event:BOOLEAN request_id shared_event_id vpc_endpoint_id
    ui_type ui_principal_id ui_arn ui_account_id ui_user_name ui_invoked_by ui_identity_provider access_key_id
    issuer_type issuer_arn issuer_user issuer_account mfa:BOOLEAN session_created:TIMESTAMP source_identity
    ec2_role_delivery principal
    issued_access_key_id issued_arn role_arn role_session_name
    target_user created_access_key_id
    bucket object_key bytes_in:BIGINT bytes_out:BIGINT
    console_login_result mfa_used:BOOLEAN first_resource_arn
    request_parameters response_elements additional_event_data resources tls_details service_event_details
    user_identity insight_details addendum event_context edge_device_details
    api_version vpc_endpoint_account_id session_credential_from_console:BOOLEAN
    src_file rec_no:INTEGER
    """
)

FLOW = columns(
    """
    version:INTEGER account_id interface_id srcaddr dstaddr srcport:INTEGER dstport:INTEGER protocol:INTEGER
    packets:BIGINT bytes:BIGINT start_ts:TIMESTAMP end_ts:TIMESTAMP action log_status
    vpc_id subnet_id instance_id tcp_flags:INTEGER type pkt_srcaddr pkt_dstaddr region az_id
    sublocation_type sublocation_id pkt_src_aws_service pkt_dst_aws_service flow_direction traffic_path:INTEGER
    ecs_cluster_arn ecs_cluster_name ecs_container_instance_arn ecs_container_instance_id ecs_container_id
    ecs_second_container_id ecs_service_name ecs_task_definition_arn ecs_task_arn ecs_task_id reject_reason
    direction external_ip
    src_file
    """
)

EDGE = columns(
    """
    event_time:TIMESTAMP event_id event_name kind parent_access_key_id parent_arn issued_access_key_id issued_arn
    role_arn role_session_name source_ip user_agent aws_region recipient_account_id
    """
)

# Lines of text logs that no column holds in full are in `raw`, as they stood in the file.
S3_ACCESS = columns(
    """
    event_time:TIMESTAMP bucket_owner bucket source_ip requester request_id operation object_key request_uri
    http_status:INTEGER error_code bytes_out:BIGINT object_size:BIGINT total_ms:BIGINT turnaround_ms:BIGINT
    referrer user_agent version_id host_id signature_version cipher_suite authentication_type host_header
    tls_version access_point_arn acl_required raw src_file rec_no:INTEGER
    """
)

DNS = columns(
    """
    event_time:TIMESTAMP account_id aws_region vpc_id instance_id source_ip source_port:INTEGER
    query_name query_type query_class rcode answers first_answer transport resolver_endpoint_id
    firewall_rule_action firewall_rule_group_id firewall_domain_list_id raw src_file rec_no:INTEGER
    """
)

ELB = columns(
    """
    event_time:TIMESTAMP kind load_balancer client_ip client_port:INTEGER target_ip target_port:INTEGER
    request_seconds:DOUBLE target_seconds:DOUBLE response_seconds:DOUBLE elb_status:INTEGER target_status:INTEGER
    bytes_in:BIGINT bytes_out:BIGINT method url user_agent tls_cipher tls_protocol target_group_arn trace_id
    domain_name certificate_arn matched_rule request_created:TIMESTAMP actions redirect_url error_reason
    classification classification_reason raw src_file rec_no:INTEGER
    """
)

SCHEMAS: Mapping[TableName, tuple[Column, ...]] = {
    "cloudtrail": CLOUDTRAIL,
    "flow": FLOW,
    "edge": EDGE,
    "s3_access": S3_ACCESS,
    "dns": DNS,
    "elb": ELB,
}


@runtime_checkable
class HasTables(Protocol):
    """Anything that says where its tables lie, such as a case."""

    @property
    def tables_dir(self) -> Path:
        """The folder that logs are ingested into."""


def quoted(text: str) -> str:
    """`text` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def file_pattern(path: Path) -> str:
    """`path` as an SQL literal that DuckDB's globbing reads as exactly that path."""
    return quoted("".join(f"[{c}]" if c in "*?[" else c for c in str(path)))


def connection(*, threads: int | None = None, memory: str = "1GB") -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB that stays silent, bounded, and never downloads an extension."""
    try:
        import duckdb
    except ModuleNotFoundError as missing:
        raise MissingExtra(
            "querying logs needs DuckDB", hint='pip install "irkit-aws[analysis]"'
        ) from missing
    config: dict[str, Any] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "memory_limit": memory,
    }
    if threads:
        config["threads"] = threads
    con = duckdb.connect(":memory:", config=config)
    # Asked first: in a notebook the bar is off, and DuckDB 2.0 refuses even to turn it off there without ipywidgets.
    if con.execute("select current_setting('enable_progress_bar')").fetchall() != [(False,)]:
        con.execute("set enable_progress_bar=false").fetchall()
    return con


class Tables:
    """The tables of one folder, as DuckDB views of the same names: `cloudtrail`, `flow`, `edge` and so on.

    A table with nothing in it has its columns and no rows. Use as a context manager, or call `close`.
    """

    def __init__(self, folder: Path, con: duckdb.DuckDBPyConnection) -> None:
        self.folder = folder
        self._con = con
        for name, schema in SCHEMAS.items():
            self._view(name, schema)

    @classmethod
    def open(cls, where: Tables | HasTables | Path | str) -> Tables:
        """The tables in a folder, or of a case. What was ingested later needs a new `open`."""
        if isinstance(where, Tables):
            return where
        folder = where.tables_dir if isinstance(where, HasTables) else Path(where)
        if folder.exists() and not folder.is_dir():
            raise BadInput(
                f"{folder} is not a folder of tables", hint="name the folder that logs were ingested into"
            )
        return cls(folder, connection())

    def _view(self, name: str, schema: tuple[Column, ...]) -> None:
        # The typed empty row set in front gives every column its type, also those that no file has.
        typed = ", ".join(f'cast(null as {c.type}) as "{c.name}"' for c in schema)
        sql = f'create view "{name}" as select {typed} where false'
        files = sorted((self.folder / name).glob("**/*.parquet"))
        if files:
            listed = ", ".join(file_pattern(f) for f in files)
            options = "union_by_name=true, hive_partitioning=false"
            sql += f" union all by name select * from read_parquet([{listed}], {options})"
        self._con.execute(sql).fetchall()

    def rows(self, sql: str, params: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """What `sql` selects, as tuples; `$name` in it is bound to `params[name]`. Times are naive UTC."""
        return self._con.execute(sql, _bound(params)).fetchall()

    def frame(self, sql: str, params: Mapping[str, object] | None = None) -> pd.DataFrame:
        """What `sql` selects, as a DataFrame whose times are aware UTC."""
        frame = self._con.execute(sql, _bound(params)).df()
        for name in frame.columns:
            if frame[name].dtype.kind == "M" and getattr(frame[name].dtype, "tz", None) is None:
                frame[name] = frame[name].dt.tz_localize("UTC")
        return frame

    @cached_property
    def extent(self) -> Extent:
        """What the tables hold: counts and time ranges."""
        found = self.rows(
            "select (select count(*) from cloudtrail), (select min(event_time) from cloudtrail),"
            " (select max(event_time) from cloudtrail), (select count(distinct aws_region) from cloudtrail),"
            " (select count(*) from flow), (select min(start_ts) from flow), (select max(end_ts) from flow)"
        )[0]
        records, first, last, regions, flows, flow_first, flow_last = found
        return Extent(
            records=records,
            first=_aware(first),
            last=_aware(last),
            regions=regions,
            flows=flows,
            flow_first=_aware(flow_first),
            flow_last=_aware(flow_last),
        )

    def close(self) -> None:
        """Let go of the database; the files stay."""
        self._con.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Tables({str(self.folder)!r}: {self.extent.sentence()})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much the tables hold, and for which time."""

    records: int
    first: datetime | None
    last: datetime | None
    regions: int
    flows: int
    flow_first: datetime | None
    flow_last: datetime | None

    def sentence(self) -> str:
        """One line for people: what an answer could be drawn from."""
        trail = f"{self.records:,} CloudTrail records"
        if self.first and self.last:
            regions = f"{self.regions} {'region' if self.regions == 1 else 'regions'}"
            trail += f" of {regions}, {iso(self.first)} to {iso(self.last)}"
        flow = f"{self.flows:,} flow records"
        if self.flow_first and self.flow_last:
            flow += f", {iso(self.flow_first)} to {iso(self.flow_last)}"
        return f"{trail}; {flow}"


def iso(moment: datetime) -> str:
    """`moment` in UTC as `2026-11-20T10:00:00Z`."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment else None


def _bound(params: Mapping[str, object] | None) -> dict[str, object]:
    """Parameters as the tables hold values: aware times become naive UTC."""
    return {
        name: value.astimezone(UTC).replace(tzinfo=None)
        if isinstance(value, datetime) and value.tzinfo
        else value
        for name, value in (params or {}).items()
    }
