"""The way blocks come: what every transport offers, what it needs to know, and AWS's refusals as botocore's errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

from irkit.errors import InvalidParameter
from irkit.escape import for_terminal

if TYPE_CHECKING:
    from irkit.case import Case

TRANSPORTS = ("boto3", "raw")
CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Received:
    """A block as it came: `data` belongs to the connection and is overwritten by its next fetch."""

    data: memoryview
    checksum: str
    algorithm: str


class Connection(Protocol):
    """One thread's way to AWS. Not shared between threads."""

    def fetch(self, path: str, query: str) -> Received:
        """The answer to one GET. Raises `ClientError` for a refusal, `OSError` or botocore's errors for a bad link."""

    def close(self) -> None:
        """Give the connection back."""


class Transport(Protocol):
    """Makes connections; shared between threads."""

    name: str

    def connect(self) -> Connection:
        """A connection for one thread."""


class MalformedError(OSError):
    """An answer that is not what this service writes: a proxy in between, or a connection that broke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where and as whom blocks are read. `ca_bundle` is a file of trusted certificates, None for the usual ones."""

    url: str
    region: str
    credentials: Any
    user_agent: str
    ca_bundle: str | None
    proxies: Mapping[str, str]

    @property
    def trusted(self) -> Any:
        """The file of trusted certificates, or True for botocore's own, as botocore takes it."""
        return self.ca_bundle or True


def endpoint(case: Case) -> Endpoint:
    """The case's endpoint of EBS direct, as botocore found it: with its region, credentials, certificates, proxies."""
    from botocore.session import Session
    from botocore.utils import get_environ_proxies

    client = case.client("ebs")
    url = str(client.meta.endpoint_url)
    return Endpoint(
        url=url,
        region=str(client.meta.region_name),
        credentials=case.aws.session().get_credentials(),
        user_agent=case.aws.user_agent,
        ca_bundle=Session().get_config_variable("ca_bundle"),
        proxies=client.meta.config.proxies or get_environ_proxies(url),
    )


def chosen(name: str, to: Endpoint, *, block_size: int, workers: int) -> tuple[Transport, str | None]:
    """The transport called `name`, and why it is another one where that cannot be used here.

    Raises `InvalidParameter` for a name that is none of `TRANSPORTS`.
    """
    from irkit.capture.image.raw import RawTransport
    from irkit.capture.image.session import SessionTransport

    if name not in TRANSPORTS:
        raise InvalidParameter(
            f"there is no transport {for_terminal(name)}", hint=f"choose among {', '.join(TRANSPORTS)}"
        )
    if name == "raw" and not to.proxies:
        return RawTransport(to, block_size=block_size), None
    why = "the raw transport does not go through a proxy; reading through botocore's connections instead"
    return SessionTransport(to, block_size=block_size, workers=workers), why if name == "raw" else None


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> ClientError:
    """AWS's refusal as the error that boto3 would raise; `headers` by their names in lower case."""
    try:
        said = json.loads(body)
        told = said if isinstance(said, dict) else {}
    except (ValueError, RecursionError):
        told = {}
    kind = headers.get("x-amzn-errortype") or str(told.get("__type") or told.get("code") or status)
    response: Any = {
        "Error": {
            "Code": kind.partition(":")[0].rpartition("#")[2],
            "Message": str(told.get("Message") or told.get("message") or ""),
        },
        "Reason": str(told.get("Reason") or ""),
        "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": headers.get("x-amzn-requestid", "")},
    }
    return ClientError(response, "GetSnapshotBlock")
