"""CloudFormation templates as data: YAML with the short forms written out, or JSON; nothing is resolved here.

`!Ref x` becomes `{"Ref": "x"}`, `!Sub x` `{"Fn::Sub": "x"}` and so on (CloudFormation User Guide, "Intrinsic function
reference"). Dates stay the text that they are (`Version: 2012-10-17`), and a key that stands twice is an error.
"""

from __future__ import annotations

from typing import Any

import yaml

from irkit.errors import BadInput
from irkit.escape import for_terminal

_FUNCTIONS = {
    "Ref", "Condition", "And", "Base64", "Cidr", "Equals", "FindInMap", "GetAtt", "GetAZs", "If", "ImportValue", "Join",
    "Length", "Not", "Or", "Select", "Split", "Sub", "ToJsonString", "Transform",
}  # fmt: skip
_PLAIN = {"Ref", "Condition"}
# Deeper than any template is, and far from where Python's own stack ends.
_DEPTH = 100


class _Template(yaml.SafeLoader):
    """CloudFormation's YAML: its tags, and no timestamps."""

    yaml_implicit_resolvers = {  # noqa: RUF012 -- the shape that PyYAML asks for
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As PyYAML does; anchors are refused, as CloudFormation does, and so is what is nested too deep."""
        if self.check_event(yaml.events.AliasEvent):
            raise BadInput("it uses a YAML alias", hint="CloudFormation refuses aliases; write the value out")
        self.depth += 1
        if self.depth > _DEPTH:
            raise BadInput("it is nested too deep to be a template", hint="check the file")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool):
            raise BadInput(
                f"line {key_node.start_mark.line + 1} has a key that is not text", hint="check the file"
            )
        if key in found:
            raise BadInput(
                f"line {key_node.start_mark.line + 1} has {for_terminal(key)!r} a second time",
                hint="keep one",
            )
        found[key] = loader.construct_object(value_node, deep=True)
    return found


def _function(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    if name not in _FUNCTIONS:
        raise BadInput(
            f"line {node.start_mark.line + 1} uses !{for_terminal(name)}, which irkit does not know"
        )
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if name == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = [loader.construct_object(one, deep=True) for one in node.value]
    elif isinstance(node, yaml.MappingNode):
        value = _mapping(loader, node)
    else:
        raise BadInput(f"line {node.start_mark.line + 1} is no YAML that irkit knows")
    return {name if name in _PLAIN else f"Fn::{name}": value}


_Template.add_constructor("tag:yaml.org,2002:map", _mapping)
_Template.add_multi_constructor("!", _function)


def parse(text: str, *, name: str) -> Any:
    """The YAML (or JSON) in `text`; raises `BadInput` that names the file and the line."""
    try:
        return yaml.load(text, Loader=_Template)  # noqa: S506 -- a subclass of SafeLoader
    except BadInput as error:
        raise BadInput(f"{for_terminal(name)}: {error.message}", hint=error.hint) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(
            f"{for_terminal(name)} is not YAML: {for_terminal(error)}", hint="check the file"
        ) from error
