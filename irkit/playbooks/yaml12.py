"""YAML without surprises: `no` is text, `012` is text, a key given twice is an error.

PyYAML reads YAML 1.1, where account id 012345670123 is an octal number and 12:30:45 is 45045. Only the core schema of
YAML 1.2 (section 10.3) is resolved here.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from irkit.errors import InvalidPlaybook

_LONGEST = 1_000_000


class _Loader(yaml.SafeLoader):
    """SafeLoader with the resolvers of the YAML 1.2 core schema and unique keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be text", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"-?(?:0|[1-9][0-9]*)", list("-0123456789")),
    ("float", r"-?(?:0|[1-9][0-9]*)\.[0-9]+", list("-0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


def load(text: str, *, name: str) -> Any:
    """The value in the YAML document `text`; `InvalidPlaybook` says where it is wrong."""
    if len(text) > _LONGEST:
        raise InvalidPlaybook(f"{name}: longer than {_LONGEST} characters", hint="a playbook is a short file")
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  a subclass of SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        what = getattr(error, "problem", None) or "not YAML"
        raise InvalidPlaybook(
            f"{name}{where}: {what}", hint="mend the file and run `irkit playbooks validate`"
        ) from None
    except RecursionError:
        raise InvalidPlaybook(f"{name}: nested too deeply", hint="a playbook is a short file") from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        # What PyYAML raises for a value that does not fit an explicit tag, such as `!!int x`.
        raise InvalidPlaybook(
            f"{name}: a value does not fit its tag", hint="mend the file and run `irkit playbooks validate`"
        ) from None
