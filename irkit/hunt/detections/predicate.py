r"""A rule's condition as an SQL predicate over the table `cloudtrail`.

Sigma's values mean the same whatever the case, and what is missing matches nothing, so every test is false rather than
NULL where there is no value. A value nested in JSON may stand in a list: then one member that matches is enough. Text
in JSON is tried as it is and with `\"` read as `"`, because a policy in a request is JSON in a JSON string.

References:
    https://sigmahq.io/docs/basics/rules.html (case, lists, null, wildcards)
"""

from __future__ import annotations

from ipaddress import IPv4Network

from irkit.hunt.detections.condition import (
    AllOf,
    AnyOf,
    ClockPart,
    Compare,
    Condition,
    Exists,
    HasValue,
    InNetwork,
    Known,
    Leaf,
    Not,
    Number,
    OneOf,
    Regex,
    SameAs,
    Test,
    Text,
    Truth,
    Wild,
)
from irkit.hunt.detections.fields import Place, place, searched
from irkit.tables import quoted

_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = f"^{_OCTET}[.]{_OCTET}[.]{_OCTET}[.]{_OCTET}$"
_NUMERIC = "^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?$"


class NotSupportedError(ValueError):
    """A test that our tables cannot make; the rule is refused with this reason."""


def predicate(condition: Condition) -> str:
    """SQL that is true for the events that `condition` means, and false, never NULL, for all others."""
    match condition:
        case Known(value):
            return "true" if value else "false"
        case Not(part):
            return f"not {predicate(part)}"
        case AllOf(parts):
            return "(" + " and ".join(predicate(part) for part in parts) + ")"
        case AnyOf(parts):
            return "(" + " or ".join(predicate(part) for part in parts) + ")"
        case Leaf(None, test):
            return f"coalesce({_keyword(test)}, false)"
        case Leaf(field, test):
            return f"coalesce({_leaf(place(str(field)), test)}, false)"


def column_test(test: Test, text: str) -> str:
    """SQL for a test of one text; NULL where the text is."""
    match test:
        case Text():
            return _text(test, text)
        case Number(value):
            return f"({text} = {quoted(str(value))} or {_as_number(text)} = {value!r})"
        case Truth(value):
            return f"lower({text}) = '{str(value).lower()}'"
        case Regex(pattern, flags):
            others = "".join(flag for flag in "ms" if flag not in flags)
            inline = f"(?{flags}{'-' + others if others else ''})" if flags or others else ""
            return f"regexp_matches({text}, {quoted(inline + pattern)})"
        case InNetwork(network):
            return _in_network(network, text)
        case Compare(operator, number):
            return f"{_as_number(text)} {operator} {number!r}"
        case SameAs():
            return _same_as(test, text)
        case ClockPart(part, value):
            return f"date_part('{part}', try_cast({text} as timestamp)) = {value}"
        case OneOf(values):
            return f"{text} in ({', '.join(quoted(value) for value in values)})"
        case HasValue() | Exists():
            return f"{text} is not null"


def _leaf(where: Place, test: Test) -> str:
    if where.column is None:
        return "false"
    if not where.json:
        return column_test(test, where.text)
    if isinstance(test, Exists):
        lists = [f"len(json_extract({where.column}, {path})) > 0" for path in where.list_paths]
        return " or ".join([f"json_exists({where.column}, {where.plain_path})", *lists])
    one = _json_text(test, where.text)
    paths = list(where.list_paths)
    if not paths:
        return one
    member = _json_text(test, "x")
    lists = [
        f"len(list_filter(json_extract_string({where.column}, {path}), lambda x: {member})) > 0"
        for path in paths
    ]
    # Most requests hold no list: a bracket is looked for before the JSON is opened once for every place of a list.
    return (
        f"case when {where.column} like '%[%' then"
        f" ((json_type({where.column}, {where.plain_path}) <> 'ARRAY' and {one}) or {' or '.join(lists)})"
        f" else {one} end"
    )


def _json_text(test: Test, text: str) -> str:
    """The test of a text from JSON, also with the quotation marks in it unescaped."""
    found = column_test(test, text)
    if isinstance(test, Regex) or (isinstance(test, Text) and not test.plain):
        return f"({found} or {column_test(test, _unescaped(text))})"
    return found


def _unescaped(text: str) -> str:
    return f"replace({text}, '\\\"', '\"')"


def _keyword(test: Test) -> str:
    match test:
        case Text():
            test = test.anywhere()
        case Number(value):
            test = Text((str(value),)).anywhere()
        case Regex():
            pass
        case _:
            raise NotSupportedError("a keyword can only be a text, a number or a regular expression")
    plain, nested = searched()
    return " or ".join(
        f"coalesce({found}, false)"
        for found in (*(column_test(test, c) for c in plain), *(_json_text(test, c) for c in nested))
    )


def _text(test: Text, text: str) -> str:
    if not test.parts:
        return f"{text} = ''"
    subject = text if test.cased else f"lower({text})"
    if test.plain:
        return f"{subject} = {_folded(''.join(str(part) for part in test.parts), test)}"
    pattern = "".join(
        ("%" if part is Wild.MANY else "_") if isinstance(part, Wild) else _like(part) for part in test.parts
    )
    if pattern == "%":
        return f"{text} is not null"
    escape = " escape '\\'" if "\\" in pattern else ""
    return f"{subject} like {_folded(pattern, test)}{escape}"


def _folded(text: str, test: Text) -> str:
    """`text` as a literal in the case of what it is compared with; SQL's own folding, where the two could differ."""
    if test.cased:
        return quoted(text)
    return quoted(text.lower()) if text.isascii() else f"lower({quoted(text)})"


def _like(part: str) -> str:
    return part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _as_number(text: str) -> str:
    # Only what is written as a number: a cast alone would also take `inf` and blanks.
    return f"case when regexp_matches({text}, '{_NUMERIC}') then try_cast({text} as double) end"


def _in_network(network: object, text: str) -> str:
    if not isinstance(network, IPv4Network):
        raise NotSupportedError("an IPv6 network can only be looked for in a field with a column of its own")
    octets = " + ".join(
        f"try_cast(split_part({text}, '.', {number}) as bigint) * {256 ** (4 - number)}"
        for number in range(1, 5)
    )
    first, last = int(network.network_address), int(network.broadcast_address)
    return f"case when regexp_matches({text}, '{_IPV4}') then ({octets}) between {first} and {last} end"


def _same_as(test: SameAs, text: str) -> str:
    other = place(test.field).text
    if test.begins and test.ends:
        return f"strpos(lower({text}), lower({other})) > 0"
    if test.begins:
        return f"substr(lower({text}), 1, length({other})) = lower({other})"
    if test.ends:
        return f"right(lower({text}), length({other})) = lower({other})"
    return f"lower({text}) = lower({other})"
