"""The raw logs as Athena tables, and the SELECT that turns each into the table that questions are asked of.

A table lies over the bucket as AWS fills it. Partition projection makes account, region and day columns of the path, so
that a query reads only the days that it asks for, and no partition has to be registered.

References:
    https://docs.aws.amazon.com/athena/latest/ug/create-cloudtrail-table-partition-projection.html
    https://docs.aws.amazon.com/athena/latest/ug/vpc-flow-logs.html
    https://docs.aws.amazon.com/athena/latest/ug/partition-projection.html
    https://docs.aws.amazon.com/security-lake/latest/userguide/open-cybersecurity-schema-framework.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from irkit.errors import InvalidParameter
from irkit.escape import for_terminal
from irkit.tables import CLOUDTRAIL, FLOW, SCHEMAS, Column, quoted

Kind = Literal["cloudtrail", "flow", "security_lake"]

_IDENTITY = (
    "struct<type:string,principalid:string,arn:string,accountid:string,invokedby:string,accesskeyid:string,"
    "username:string,identityprovider:string,sessioncontext:struct<attributes:struct<mfaauthenticated:string,"
    "creationdate:string>,sessionissuer:struct<type:string,principalid:string,arn:string,accountid:string,"
    "username:string>,sourceidentity:string,ec2roledelivery:string>>"
)


def _typed(kind: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), kind)


_RAW_TRAIL: Mapping[str, str] = {
    "eventversion": "string",
    "useridentity": _IDENTITY,
    **_typed(
        "string",
        "eventtime eventsource eventname awsregion sourceipaddress useragent errorcode errormessage requestparameters"
        " responseelements additionaleventdata requestid eventid readonly",
    ),
    "resources": "array<struct<arn:string,accountid:string,type:string>>",
    **_typed(
        "string",
        "eventtype apiversion recipientaccountid serviceeventdetails sharedeventid vpcendpointid managementevent"
        " eventcategory vpcendpointaccountid tlsdetails",
    ),
}
_RAW_FLOW: Mapping[str, str] = {
    "version": "int",
    **_typed("string", "account_id interface_id srcaddr dstaddr"),
    **_typed("int", "srcport dstport"),
    **_typed("bigint", "protocol packets bytes start end"),
    **_typed("string", "action log_status"),
}
# The same addresses that ingest takes for inside.
_IN = (
    r"'^(10\.|192\.168\.|172\.(1[6-9]|2[0-9]|3[01])\.|100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.|169\.254\."
    r"|127\.|0\.|f[cd][0-9a-f]{2}:|fe[89ab][0-9a-f]:|::1$|::$)'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Raw logs in a bucket. `location` is the folder that holds `AWSLogs`, as `s3://bucket/prefix`.

    For Security Lake it is `database.table` of the lake's own catalogue. `first` is the first day of the projection.
    """

    kind: Kind
    location: str
    accounts: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    first: date
    organization: str = ""

    def __post_init__(self) -> None:
        """Refuse what is no bucket, account, region or table: these become part of DDL."""
        if self.kind == "security_lake":
            _must(r"[A-Za-z0-9_]+\.[A-Za-z0-9_]+", self.location, "a table such as database.table")
            return
        _must(
            r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()/=-]*)?",
            self.location,
            "s3://bucket/prefix",
        )
        if not self.accounts or not self.regions:
            raise InvalidParameter(
                "the accounts and regions of the logs are needed", hint="give one of each, or more"
            )
        for account in self.accounts:
            _must(r"[0-9]{12}", account, "an account id of 12 digits")
        for region in self.regions:
            _must(r"[a-z]{2}(-[a-z]+)+-[0-9]", region, "a region such as us-east-1")
        if self.organization:
            _must(r"o-[a-z0-9]{10,32}", self.organization, "an organization id such as o-exampleorgid")

    @property
    def table(self) -> str:
        """The name of the raw table."""
        return f"{self.kind}_raw"

    @property
    def bucket(self) -> str:
        """The bucket of the logs."""
        return self.location.removeprefix("s3://").partition("/")[0]

    @property
    def _root(self) -> str:
        middle = f"{self.organization}/" if self.organization else ""
        return f"{self.location.rstrip('/')}/AWSLogs/{middle}"

    @property
    def _service(self) -> str:
        return "CloudTrail" if self.kind == "cloudtrail" else "vpcflowlogs"

    def prefixes(self, since: datetime, until: datetime, today: date) -> list[str]:
        """The prefixes in the bucket that hold a time, one for each account, region and day; a day more at each end."""
        begin = max(self.first, since.date() - timedelta(days=1) if since.year > 1900 else self.first)
        end = min(today, until.date() + timedelta(days=1) if until.year < 9999 else today)
        days = [begin + timedelta(days=n) for n in range((end - begin).days + 1)]
        root = self._root.removeprefix(f"s3://{self.bucket}/")
        return [
            f"{root}{account}/{self._service}/{region}/{day:%Y/%m/%d}/"
            for account in self.accounts
            for region in self.regions
            for day in days
        ]

    def glue_table(self) -> dict[str, Any]:
        """The raw table as Glue takes it (`TableInput`)."""
        trail = self.kind == "cloudtrail"
        columns = _RAW_TRAIL if trail else _RAW_FLOW
        input_format = "com.amazon.emr.cloudtrail.CloudTrailInputFormat"
        text_format = "org.apache.hadoop.mapred.TextInputFormat"
        serde = (
            {"SerializationLibrary": "org.apache.hive.hcatalog.data.JsonSerDe"}
            if trail
            else {
                "SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
                "Parameters": {"field.delim": " ", "serialization.format": " "},
            }
        )
        return {
            "Name": self.table,
            "Description": "Made by irkit; reads the logs where they lie",
            "TableType": "EXTERNAL_TABLE",
            "PartitionKeys": [{"Name": name, "Type": "string"} for name in ("account", "region", "day")],
            "StorageDescriptor": {
                "Columns": [{"Name": name, "Type": kind} for name, kind in columns.items()],
                "Location": self._root,
                "InputFormat": input_format if trail else text_format,
                "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
                "SerdeInfo": serde,
            },
            "Parameters": {
                "projection.enabled": "true",
                "projection.account.type": "enum",
                "projection.account.values": ",".join(self.accounts),
                "projection.region.type": "enum",
                "projection.region.values": ",".join(self.regions),
                "projection.day.type": "date",
                "projection.day.format": "yyyy/MM/dd",
                "projection.day.range": f"{self.first:%Y/%m/%d},NOW",
                "projection.day.interval": "1",
                "projection.day.interval.unit": "DAYS",
                "storage.location.template": f"{self._root}${{account}}/{self._service}/${{region}}/${{day}}",
                **({} if trail else {"skip.header.line.count": "1"}),
            },
        }

    @classmethod
    def of_table(cls, table: Mapping[str, Any]) -> Source:
        """The source that a raw table was made of."""
        told = table["Parameters"]
        root = str(table["StorageDescriptor"]["Location"])
        location, _, rest = root.partition("/AWSLogs/")
        return cls(
            kind="cloudtrail" if table["Name"] == "cloudtrail_raw" else "flow",
            location=location,
            accounts=tuple(told["projection.account.values"].split(",")),
            regions=tuple(told["projection.region.values"].split(",")),
            first=datetime.strptime(told["projection.day.range"].partition(",")[0], "%Y/%m/%d").date(),  # noqa: DTZ007
            organization=rest.strip("/"),
        )

    def select(self, since: datetime | None = None, until: datetime | None = None) -> str:
        """SQL (in the portable subset) that gives the table of our names; with times, of their partitions only."""
        if self.kind == "security_lake":
            return _of(CLOUDTRAIL, _LAKE) + f" from {self.location}"
        mapped = _of(CLOUDTRAIL, _TRAIL) if self.kind == "cloudtrail" else _of(FLOW, _FLOW)
        days: list[str] = []
        if since is not None and since.year > 1900:
            days.append(f"day >= {quoted(f'{since - timedelta(days=1):%Y/%m/%d}')}")
        if until is not None and until.year < 9999:
            days.append(f"day <= {quoted(f'{until + timedelta(days=1):%Y/%m/%d}')}")
        where = f" where {' and '.join(days)}" if days else ""
        return f"{mapped} from {self.table}{where}"


def nothing(name: str) -> str:
    """SQL for a table of our names without rows, for logs that were not set up."""
    columns = next(columns for table, columns in SCHEMAS.items() if table == name)
    return _of(columns, {}) + " where 1 = 0"


# Who issued which key, as ingest derives it for the local tables.
EDGES = """select event_time, event_id, event_name,
       case when created_access_key_id is not null then 'access_key'
            when issued_arn is not null and event_name = 'GetFederationToken' then 'federation'
            when issued_arn is not null then 'role_session' else 'session_token' end as kind,
       access_key_id as parent_access_key_id, coalesce(ui_arn, ui_invoked_by) as parent_arn,
       coalesce(created_access_key_id, issued_access_key_id) as issued_access_key_id,
       case when created_access_key_id is not null
            then 'arn:aws:iam::' || recipient_account_id || ':user/' || coalesce(target_user, ui_user_name, 'unknown')
            else issued_arn end as issued_arn,
       role_arn, role_session_name, source_ip, user_agent, aws_region, recipient_account_id
from cloudtrail where coalesce(created_access_key_id, issued_access_key_id) is not null"""


def _must(pattern: str, text: str, like: str) -> None:
    if not re.fullmatch(pattern, text):
        raise InvalidParameter(f"{for_terminal(text)[:80]!r} is not {like}", hint="check what was given")


def _of(columns: tuple[Column, ...], made: Mapping[str, str]) -> str:
    return "select " + ", ".join(
        f"{made.get(c.name) or f'cast(null as {c.type.lower()})'} as {c.name}" for c in columns
    )


def _json(column: str, *path: str) -> str:
    return f"json_extract_string({column}, '${''.join(f'.{chr(34)}{step}{chr(34)}' for step in path)}')"


def _time(text: str) -> str:
    return f"strptime({text}, '%Y-%m-%dT%H:%M:%SZ')"


def _whole(text: str) -> str:
    return f"cast(try_cast({text} as double) as bigint)"


_SESSION = "useridentity.sessioncontext"
_S3 = "case when eventsource like 's3%' then {} end"
_TRAIL: Mapping[str, str] = {
    "event_time": _time("eventtime"),
    "event_id": "eventid",
    "event_name": "eventname",
    "event_source": "eventsource",
    "event_type": "eventtype",
    "event_category": "eventcategory",
    "event_version": "eventversion",
    "aws_region": "awsregion",
    "recipient_account_id": "recipientaccountid",
    "source_ip": "sourceipaddress",
    "user_agent": "useragent",
    "error_code": "errorcode",
    "error_message": "errormessage",
    "read_only": "try_cast(readonly as boolean)",
    "management_event": "try_cast(managementevent as boolean)",
    "request_id": "requestid",
    "shared_event_id": "sharedeventid",
    "vpc_endpoint_id": "vpcendpointid",
    "ui_type": "useridentity.type",
    "ui_principal_id": "useridentity.principalid",
    "ui_arn": "useridentity.arn",
    "ui_account_id": "useridentity.accountid",
    "ui_user_name": "useridentity.username",
    "ui_invoked_by": "useridentity.invokedby",
    "ui_identity_provider": "useridentity.identityprovider",
    "access_key_id": "nullif(useridentity.accesskeyid, '')",
    "issuer_type": f"{_SESSION}.sessionissuer.type",
    "issuer_arn": f"{_SESSION}.sessionissuer.arn",
    "issuer_user": f"{_SESSION}.sessionissuer.username",
    "issuer_account": f"{_SESSION}.sessionissuer.accountid",
    "mfa": f"try_cast({_SESSION}.attributes.mfaauthenticated as boolean)",
    "session_created": _time(f"{_SESSION}.attributes.creationdate"),
    "source_identity": f"{_SESSION}.sourceidentity",
    "ec2_role_delivery": f"{_SESSION}.ec2roledelivery",
    "principal": f"coalesce({_SESSION}.sessionissuer.arn, useridentity.arn, useridentity.invokedby,"
    " useridentity.principalid)",
    "issued_access_key_id": _json("responseelements", "credentials", "accessKeyId"),
    "issued_arn": f"coalesce({_json('responseelements', 'assumedRoleUser', 'arn')},"
    f" {_json('responseelements', 'federatedUser', 'arn')})",
    "role_arn": _json("requestparameters", "roleArn"),
    "role_session_name": _json("requestparameters", "roleSessionName"),
    "target_user": "case when eventsource = 'iam.amazonaws.com' then "
    + _json("requestparameters", "userName")
    + " end",
    "created_access_key_id": _json("responseelements", "accessKey", "accessKeyId"),
    "bucket": _S3.format(_json("requestparameters", "bucketName")),
    "object_key": _S3.format(_json("requestparameters", "key")),
    "bytes_in": _whole(_json("additionaleventdata", "bytesTransferredIn")),
    "bytes_out": _whole(_json("additionaleventdata", "bytesTransferredOut")),
    "console_login_result": _json("responseelements", "ConsoleLogin"),
    "mfa_used": f"case {_json('additionaleventdata', 'MFAUsed')} when 'Yes' then true when 'No' then false end",
    "first_resource_arn": "case when resources is not null then resources[1].arn end",
    "request_parameters": "requestparameters",
    "response_elements": "responseelements",
    "additional_event_data": "additionaleventdata",
    "tls_details": "tlsdetails",
    "service_event_details": "serviceeventdetails",
    "api_version": "apiversion",
    "vpc_endpoint_account_id": "vpcendpointaccountid",
}
_EPOCH = "cast('1970-01-01 00:00:00' as timestamp) + interval '1' second * {}"
_SOURCE_IN, _TARGET_IN = f"regexp_matches(srcaddr, {_IN})", f"regexp_matches(dstaddr, {_IN})"
_FLOW: Mapping[str, str] = {
    **{
        name: name
        for name in _RAW_FLOW
        if name not in {"start", "end", "protocol", "srcaddr", "dstaddr", "action"}
    },
    **{name: f"nullif({name}, '-')" for name in ("srcaddr", "dstaddr", "action")},
    "protocol": "cast(protocol as integer)",
    "start_ts": _EPOCH.format('"start"'),
    "end_ts": _EPOCH.format('"end"'),
    "direction": f"case when {_SOURCE_IN} and {_TARGET_IN} then 'internal' when {_SOURCE_IN} then 'out'"
    f" when {_TARGET_IN} then 'in' else 'outside' end",
    "external_ip": f"case when {_SOURCE_IN} and not {_TARGET_IN} then dstaddr"
    f" when {_TARGET_IN} and not {_SOURCE_IN} then srcaddr end",
}
# Security Lake keeps CloudTrail in OCSF; what OCSF has no field for is NULL here.
_LAKE: Mapping[str, str] = {
    "event_time": "time_dt",
    "event_id": "metadata.uid",
    "event_name": "api.operation",
    "event_source": "api.service.name",
    "event_version": "metadata.product.version",
    "aws_region": "cloud.region",
    "recipient_account_id": "cloud.account.uid",
    "source_ip": "coalesce(src_endpoint.ip, src_endpoint.domain)",
    "user_agent": "http_request.user_agent",
    "error_code": "api.response.error",
    "error_message": "api.response.message",
    "request_id": "api.request.uid",
    "ui_type": "actor.user.type",
    "ui_principal_id": "actor.user.uid_alt",
    "ui_arn": "actor.user.uid",
    "ui_account_id": "actor.user.account.uid",
    "ui_user_name": "actor.user.name",
    "ui_invoked_by": "actor.invoked_by",
    "access_key_id": "actor.user.credential_uid",
    "issuer_arn": "actor.session.issuer",
    "mfa": "actor.session.is_mfa",
    "session_created": "actor.session.created_time_dt",
    "principal": "coalesce(actor.session.issuer, actor.user.uid, actor.invoked_by, actor.user.uid_alt)",
    "issued_access_key_id": _json("api.response.data", "credentials", "accessKeyId"),
    "issued_arn": _json("api.response.data", "assumedRoleUser", "arn"),
    "role_arn": _json("api.request.data", "roleArn"),
    "role_session_name": _json("api.request.data", "roleSessionName"),
    "target_user": "case when api.service.name = 'iam.amazonaws.com' then "
    + _json("api.request.data", "userName")
    + " end",
    "created_access_key_id": _json("api.response.data", "accessKey", "accessKeyId"),
    "bucket": _json("api.request.data", "bucketName"),
    "object_key": _json("api.request.data", "key"),
    "request_parameters": "api.request.data",
    "response_elements": "api.response.data",
}
