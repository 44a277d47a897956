"""Where addresses are: country, city and network from MaxMind-format files, AWS's own ranges from its published list.

Only files that the user gives are read; nothing is looked up over the network. What a file says of an address is what
its maker believed when it was made.

References:
    https://maxmind.github.io/MaxMind-DB/ for the format
    https://docs.aws.amazon.com/vpc/latest/userguide/aws-ip-ranges.html for `ip-ranges.json`
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from irkit.errors import BadInput, MissingExtra, NotFound
from irkit.escape import for_terminal
from irkit.hunt.answer import Answer
from irkit.tables import Column

if TYPE_CHECKING:
    import pandas as pd

_ADDRESSES = frozenset(
    "source_ip srcaddr dstaddr external_ip from_ip to_ip peer address client_ip target_ip first_answer".split()  # noqa: SIM905
)
_MOST_BYTES = 100 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What is known of an address; empty where nothing is."""

    country: str = ""
    city: str = ""
    network: str = ""
    aws: str = ""


class Places:
    """Files that say where addresses are. Use as a context manager, or call `close`."""

    def __init__(self, readers: tuple[Any, ...], ranges: Mapping[tuple[int, int], Mapping[int, str]]) -> None:
        self._readers = readers
        self._ranges = ranges
        self._lengths = sorted(ranges, reverse=True)
        self.find = lru_cache(maxsize=100_000)(self._find)

    @classmethod
    def open(cls, databases: Iterable[Path | str] = (), *, aws_ranges: Path | str | None = None) -> Self:
        """The places that these files know: MaxMind-format databases (country, city, ASN) and AWS's ip-ranges.json.

        Raises `NotFound` for a file that is not there and `BadInput` for one that is something else.
        """
        with ExitStack() as opened:
            readers = tuple(opened.enter_context(_database(Path(path))) for path in databases)
            ranges = _ranges(Path(aws_ranges)) if aws_ranges is not None else {}
            opened.pop_all()
        return cls(readers, ranges)

    def _find(self, address: str) -> Place:
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return Place()
        told: dict[str, str] = {}
        for reader in self._readers:
            if ip.version == 6 and reader.metadata().ip_version == 4:
                continue
            found = reader.get(ip)
            if isinstance(found, dict):
                told = _said(found) | told
        return Place(**told, aws=self._aws(ip))

    def _aws(self, ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
        for version, length in self._lengths:
            if version == ip.version:
                found = self._ranges[version, length].get(int(ip) >> (ip.max_prefixlen - length))
                if found:
                    return found
        return ""

    def added_to(self, answer: Answer) -> Answer:
        """The answer with `…_country`, `…_city`, `…_network` and `…_aws` after each column of addresses.

        Columns for which no given file can say anything are left out.
        """
        kinds = [
            *(("country", "city", "network") if self._readers else ()),
            *(("aws",) if self._ranges else ()),
        ]
        columns: list[Column] = []
        frame: pd.DataFrame = answer.frame.copy()
        for column in answer.question.columns:
            columns.append(column)
            if column.name in _ADDRESSES:
                known = [self.find(str(value)) for value in frame[column.name]]
                for kind in kinds:
                    name = f"{column.name}_{kind}"
                    frame[name] = [getattr(place, kind) for place in known]
                    frame[name] = frame[name].astype("str")
                    columns.append(Column(name))
        question = replace(answer.question, columns=tuple(columns))
        return replace(answer, question=question, frame=frame[[column.name for column in columns]])

    def close(self) -> None:
        """Let go of the files."""
        for reader in self._readers:
            reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        ranges = sum(len(networks) for networks in self._ranges.values())
        return f"Places({len(self._readers)} databases, {ranges:,} AWS ranges)"


def _database(path: Path) -> Any:
    try:
        import maxminddb
    except ModuleNotFoundError as missing:
        raise MissingExtra(
            "reading MaxMind files needs maxminddb", hint='pip install "irkit-aws[analysis]"'
        ) from missing
    if not path.is_file():
        raise NotFound(f"there is no file {for_terminal(path)}", hint="check the path of the database")
    try:
        return maxminddb.open_database(path)
    except (maxminddb.InvalidDatabaseError, ValueError, OSError) as error:
        raise BadInput(f"{for_terminal(path)} is no MaxMind database", hint="give a .mmdb file") from error


def _said(found: Mapping[str, Any]) -> dict[str, str]:
    """What one record says, in the words of GeoLite2, GeoIP2 and the databases that follow them."""
    country, city = found.get("country"), found.get("city")
    told: dict[str, str] = {}
    if isinstance(country, dict):
        told["country"] = str(country.get("iso_code") or "")
    elif isinstance(country, str):
        told["country"] = country
    if isinstance(city, dict):
        told["city"] = str((city.get("names") or {}).get("en") or "")
    number = found.get("autonomous_system_number") or found.get("asn")
    name = found.get("autonomous_system_organization") or found.get("as_name") or ""
    if number:
        text = str(number)
        told["network"] = f"{text if text.upper().startswith('AS') else 'AS' + text} {name}".strip()
    return {kind: value for kind, value in told.items() if value}


def _ranges(path: Path) -> dict[tuple[int, int], dict[int, str]]:
    """AWS's networks by version and length, each with `SERVICE region`; the narrower service wins over AMAZON."""
    if not path.is_file():
        raise NotFound(f"there is no file {for_terminal(path)}", hint="check the path of ip-ranges.json")
    wrong = BadInput(
        f"{for_terminal(path)} is not AWS's list of ranges",
        hint="download https://ip-ranges.amazonaws.com/ip-ranges.json",
    )
    if path.stat().st_size > _MOST_BYTES:
        raise wrong
    made: dict[tuple[int, int], dict[int, str]] = {}
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        named = [(one["ip_prefix"], one) for one in told["prefixes"]]
        named += [(one["ipv6_prefix"], one) for one in told["ipv6_prefixes"]]
        for text, one in named:
            network = ipaddress.ip_network(text)
            networks = made.setdefault((network.version, network.prefixlen), {})
            number = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
            if one["service"] != "AMAZON" or number not in networks:
                networks[number] = f"{one['service']} {one['region']}"
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise wrong from error
    return made
