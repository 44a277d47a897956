"""Records and rules made to be awkward: every modifier, wildcard, list, null and odd character that Sigma knows."""

from __future__ import annotations

import random
from typing import Any

from tests.logs.builders import record, role_session, user

_WORDS = [
    "Alpha",
    "alpha",
    "ALPHA beta",
    "a*b",
    "a?b",
    "100%",
    "un_der",
    "back\\slash",
    "quo'te",
    'dou"ble',
    "",
    "x",
    "Ünïcode",
    "true",
    "false",
    "0",
    "0.0",
    "1",
    "12",
    "-3.5",
    "1e3",
    "10.1.2.3",
    "10.200.0.1",
    "192.168.7.9",
    "2001:db8::1",
    "10.1.2.300",
    "line\nbreak",
    "arn:aws:iam::111122223333:user/alice",
    "$.a",
    "[x]",
    "{}",
    "(paren",
    "NaN",
    "inf",
]
_NAMES = ["GetObject", "getobject", "CreateUser", "AssumeRole", "DeleteTrail", "RunInstances"]
_FIELDS = [
    "eventName",
    "eventSource",
    "errorCode",
    "errorMessage",
    "sourceIPAddress",
    "userAgent",
    "readOnly",
    "userIdentity.type",
    "userIdentity.arn",
    "userIdentity.accessKeyId",
    "userIdentity.sessionContext.attributes.mfaAuthenticated",
    "requestParameters.a",
    "requestParameters.a.b",
    "requestParameters.list",
    "requestParameters.list.name",
    "requestParameters.deep.items.value",
    "requestParameters.odd-key.x",
    "responseElements.a",
    "additionalEventData.MFAUsed",
    "requestParameters",
    "responseElements",
    "resources.ARN",
    "noSuchField",
    "vpcEndpointId",
]


def records(seed: int, number: int) -> list[dict[str, Any]]:
    """Records whose nested parts take every shape."""
    of = random.Random(seed)
    made: list[dict[str, Any]] = []
    for minute in range(number):
        identity = of.choice(
            [user(), user("Bob", "AKIABOB0000000000000"), role_session("R", "s", "ASIAR000000000000000")]
        )
        more: dict[str, Any] = {}
        if of.random() < 0.3:
            more["vpcEndpointId"] = of.choice(_WORDS)
        if of.random() < 0.3:
            more["resources"] = [{"ARN": of.choice(_WORDS)} for _ in range(of.randrange(3))]
        if of.random() < 0.5:
            more["additionalEventData"] = {"MFAUsed": of.choice(["Yes", "No", "NO", None, True])}
        made.append(
            record(
                f"{of.choice(['s3', 'iam', 'ec2'])}:{of.choice(_NAMES)}",
                minute,
                identity=identity,
                ip=of.choice(_WORDS),
                request=of.choice([None, _object(of)]),
                response=of.choice([None, _object(of)]),
                error=of.choice([None, None, "AccessDenied", "accessdenied"]),
                read_only=of.choice([True, False]),
                userAgent=of.choice(_WORDS),
                **more,
            )
        )
    return made


def _object(of: random.Random) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if of.random() < 0.7:
        made["a"] = of.choice(
            [_value(of), {"b": _value(of)}, [{"b": _value(of)}, {"c": 1}], [_value(of), _value(of)]]
        )
    if of.random() < 0.6:
        made["list"] = of.choice(
            [[], [_value(of) for _ in range(of.randrange(1, 4))], [{"name": _value(of)}, {"name": None}]]
        )
    if of.random() < 0.5:
        items = [{"value": _value(of)}, {"other": 1}]
        made["deep"] = of.choice([{"items": items}, {"items": {"value": _value(of)}}, [{"items": items}]])
    if of.random() < 0.4:
        made["odd-key"] = {"x": _value(of)}
    if of.random() < 0.3:
        made["policy"] = '{"Effect":"Allow","Action":"*"}'
    return made


def _value(of: random.Random) -> Any:
    return of.choice(
        [of.choice(_WORDS), of.choice(_WORDS), None, True, False, 0, 1, 12, 0.0, 2.5, "", {"k": "Alpha"}]
    )


def rules(seed: int, number: int) -> list[dict[str, Any]]:
    """Rules that ask those records for every kind of test, joined in every way."""
    of = random.Random(seed)
    return [_rule(of, n) for n in range(number)]


def _rule(of: random.Random, number: int) -> dict[str, Any]:
    detection: dict[str, Any] = {"sel_a": _selection(of), "sel_b": _selection(of)}
    shapes = [
        "sel_a",
        "sel_a and sel_b",
        "sel_a or sel_b",
        "sel_a and not sel_b",
        "1 of sel_*",
        "all of them",
        "not sel_a",
        "not (sel_a or sel_b)",
        "not 1 of sel_*",
    ]
    if of.random() < 0.2:
        detection["kw"] = of.choice(
            [["Alpha"], ["un_der", "100%"], ["a*b"], {"|all": ["GetObject", "Allow"]}, ['"Allow"']]
        )
        shapes += ["kw", "sel_a or kw", "sel_a and not kw"]
    detection["condition"] = of.choice(shapes)
    return {
        "title": f"edge {number}",
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "logsource": {"product": "aws", "service": "cloudtrail"},
        "detection": detection,
    }


def _selection(of: random.Random) -> Any:
    items = dict(_item(of) for _ in range(of.choice([1, 1, 1, 2])))
    return [items, dict([_item(of)])] if of.random() < 0.15 else items


def _item(of: random.Random) -> tuple[str, Any]:
    field = of.choice(_FIELDS)
    kind = of.choice(
        [
            "equal",
            "equal",
            "equal",
            "list",
            "null",
            "some",
            "bool",
            "number",
            "wild",
            "contains",
            "startswith",
            "endswith",
            "all",
            "re",
            "rei",
            "cidr",
            "exists",
            "fieldref",
            "compare",
            "cased",
            "neq",
            "escaped",
        ]
    )
    word, other = of.choice(_WORDS), of.choice(_WORDS)
    made: dict[str, tuple[str, Any]] = {
        "equal": ("", _plain(of.choice([word, of.choice(_NAMES).upper(), "accessDENIED", "iamuser"]))),
        "list": ("", [_plain(word), of.choice([None, 12, True, _plain(other)])]),
        "null": ("", None),
        "some": ("", "*"),
        "bool": ("", of.choice([True, False])),
        "number": ("", of.choice([0, 1, 12, 2.5, -3.5, 1000])),
        "wild": ("", of.choice(["a*", "*a*", "?", "1?", "*.*.*.*", "*object", "A?P*", "100*", "*slash"])),
        "contains": (
            "|contains",
            [_plain(word), _plain(other)] if of.random() < 0.5 else _plain(word) or "a",
        ),
        "startswith": ("|startswith", _plain(word) or "a"),
        "endswith": ("|endswith", _plain(word) or "a"),
        "all": ("|contains|all", ["a", _plain(word) or "b"]),
        "re": ("|re", of.choice(["^a", "[0-9]+$", "lph", "^$", "a.b", "\\d{2,}", "[.]2[.]"])),
        "rei": ("|re|i", of.choice(["^a", "LPH", "^get", "object$"])),
        "cidr": (
            "|cidr",
            of.choice(["10.0.0.0/8", "10.1.2.0/24", "192.168.0.0/13", "0.0.0.0/0", "10.1.2.3/32"]),
        ),
        "exists": ("|exists", of.choice([True, False])),
        "fieldref": (
            of.choice(["|fieldref", "|fieldref|startswith", "|fieldref|endswith", "|fieldref|contains"]),
            of.choice(
                [
                    "eventName",
                    "userAgent",
                    "sourceIPAddress",
                    "userIdentity.arn",
                    "requestParameters.odd-key.x",
                ]
            ),
        ),
        "compare": (of.choice(["|lt", "|lte", "|gt", "|gte"]), of.choice([0, 1, 12, 2.5])),
        "cased": ("|cased", of.choice(["Alpha", "alpha", "GetObject", "getobject"])),
        "neq": ("|neq", _plain(word)),
        "escaped": ("", of.choice(["a\\*b", "a\\?b", "back\\slash", "back\\\\slash"])),
    }
    suffix, value = made[kind]
    return field + suffix, value


def _plain(word: str) -> str:
    """`word` as a Sigma value that means exactly it."""
    return word.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")
