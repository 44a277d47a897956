"""Load balancer access log lines: application, network (TLS) and classic load balancers.

References:
    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html
    https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-access-logs.html
    https://docs.aws.amazon.com/elasticloadbalancing/latest/classic/access-log-collection.html
"""

from __future__ import annotations

import re
from typing import Any

from irkit.logs.fields import address, long_number, moment, seconds, short_number, text

_WORDS = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
_APPLICATION = 15
_NETWORK = 14
_CLASSIC = 12


def parse(line: str) -> dict[str, Any] | str:
    """The values of one line, or what is wrong with it."""
    words = [quoted if word == "" else word for quoted, word in _WORDS.findall(line)]
    if len(words) >= _NETWORK and words[0] == "tls":
        return _network(words)
    if len(words) >= _APPLICATION and moment(words[1]) is not None:
        return _application(words)
    if len(words) >= _CLASSIC and moment(words[0]) is not None:
        return _classic(words)
    return "not the fields of a load balancer's log"


def _request(words: list[str], first: int) -> dict[str, Any]:
    """Times, statuses, sizes and the request line, which application and classic load balancers have alike."""
    method, _, rest = words[first + 7].partition(" ")
    url, _, _version = rest.rpartition(" ")
    return {
        "request_seconds": seconds(words[first]),
        "target_seconds": seconds(words[first + 1]),
        "response_seconds": seconds(words[first + 2]),
        "elb_status": short_number(words[first + 3]),
        "target_status": short_number(words[first + 4]),
        "bytes_in": long_number(words[first + 5]),
        "bytes_out": long_number(words[first + 6]),
        "method": text(method),
        "url": text(url),
    }


def _ends(client: str, target: str) -> dict[str, Any]:
    client_ip, client_port = address(client)
    target_ip, target_port = address(target)
    return {
        "client_ip": client_ip,
        "client_port": client_port,
        "target_ip": target_ip,
        "target_port": target_port,
    }


def _application(words: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "event_time": moment(words[1]),
        "kind": words[0],
        "load_balancer": words[2],
        **_ends(words[3], words[4]),
        **_request(words, 5),
    }
    names = [
        "user_agent",
        "tls_cipher",
        "tls_protocol",
        "target_group_arn",
        "trace_id",
        "domain_name",
        "certificate_arn",
        "matched_rule",
        "request_created",
        "actions",
        "redirect_url",
        "error_reason",
        "-",
        "-",
        "classification",
        "classification_reason",
    ]
    values |= {name: text(word) for name, word in zip(names, words[13:], strict=False) if name != "-"}
    values["request_created"] = moment(values.get("request_created"))
    return values


def _network(words: list[str]) -> dict[str, Any] | str:
    when = moment(words[2])
    if when is None:
        return "the time is no time"
    handshake = long_number(words[8])
    return {
        "event_time": when,
        "kind": "tls",
        "load_balancer": text(words[3]),
        **_ends(words[5], words[6]),
        "request_seconds": None if handshake is None or handshake < 0 else handshake / 1000,
        "bytes_in": long_number(words[9]),
        "bytes_out": long_number(words[10]),
        "certificate_arn": text(words[12]),
        **{
            name: text(word)
            for name, word in zip(
                ("-", "tls_cipher", "tls_protocol", "-", "domain_name"), words[13:], strict=False
            )
            if name != "-"
        },
    }


def _classic(words: list[str]) -> dict[str, Any]:
    return {
        "event_time": moment(words[0]),
        "kind": "classic",
        "load_balancer": text(words[1]),
        **_ends(words[2], words[3]),
        **_request(words, 4),
        **{
            name: text(word)
            for name, word in zip(("user_agent", "tls_cipher", "tls_protocol"), words[12:], strict=False)
        },
    }
