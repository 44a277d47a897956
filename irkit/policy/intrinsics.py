"""CloudFormation's intrinsic functions, worked out with the parameters given, and refused where that is not enough.

What a template does not say is never guessed: a parameter without a value stands as `<Name>`, which matches nothing,
and a condition that depends on one is an error. What only a deployment would decide (the name of a bucket without one)
stands as a name made of stack and logical id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from irkit.errors import BadInput
from irkit.escape import for_terminal
from irkit.policy.physical import Place, attribute, reference

_SUBSTITUTE = re.compile(r"\$\{(!?)([^}]*)\}")
_DEPTH = 60


class _Nothing:
    """What `AWS::NoValue` stands for: the property is not there."""


NOTHING = _Nothing()


@dataclass(slots=True, kw_only=True)
class Resolver:
    """Works out values of one template. `exports` are those of the templates read so far, by name."""

    template: Mapping[str, Any]
    place: Place
    given: Mapping[str, str]
    exports: Mapping[str, Any]
    unresolved: set[str] = field(default_factory=set)
    _depth: int = 0

    def value(self, raw: Any) -> Any:
        """`raw` with every function in it worked out."""
        self._depth += 1
        try:
            if self._depth > _DEPTH:
                raise self.bad("refers to itself, or is nested too deep", "check it")
            return self._value(raw)
        finally:
            self._depth -= 1

    def bad(self, what: str, hint: str) -> BadInput:
        """An error about this template."""
        return BadInput(f"template {for_terminal(self.place.file)} {what}", hint=hint)

    def included(self, resource: Mapping[str, Any]) -> bool:
        """Whether the condition of a resource, if it has one, holds."""
        return "Condition" not in resource or self.condition(resource["Condition"])

    def condition(self, name: Any) -> bool:
        """Whether the condition called `name` holds."""
        conditions = self.template.get("Conditions") or {}
        if name not in conditions:
            raise self.bad(f"has no condition {for_terminal(name)!r}", "check its spelling")
        return self._truth(conditions[name])

    def _value(self, raw: Any) -> Any:
        if isinstance(raw, list):
            return [found for found in map(self.value, raw) if found is not NOTHING]
        if not isinstance(raw, Mapping):
            return raw
        if len(raw) == 1:
            ((name, argument),) = raw.items()
            if name == "Ref":
                return self._ref(argument)
            if isinstance(name, str) and name.startswith("Fn::"):
                return self._function(name, argument)
        found = {key: self.value(one) for key, one in raw.items()}
        return {key: one for key, one in found.items() if one is not NOTHING}

    def _function(self, name: str, argument: Any) -> Any:
        functions: dict[str, Callable[[Any], Any]] = {
            "Fn::Sub": self._sub,
            "Fn::Join": self._join,
            "Fn::If": self._if,
            "Fn::GetAtt": self._attribute,
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::FindInMap": self._find_in_map,
            "Fn::ImportValue": self._import,
            "Fn::ToJsonString": lambda one: json.dumps(self.value(one)),
        }
        if name not in functions:
            raise self.bad(
                f"uses {for_terminal(name)}, which cannot be worked out offline", "write its value"
            )
        return functions[name](argument)

    def _ref(self, name: Any) -> Any:
        if not isinstance(name, str):
            raise self.bad("has a Ref that is no text", "check it")
        if name == "AWS::NoValue":
            return NOTHING
        if name in self.place.pseudo:
            return self.place.pseudo[name]
        if name in (self.template.get("Parameters") or {}):
            return self._parameter(name)
        return self._named(name, lambda kind, called: reference(kind, called, self.place))

    def _parameter(self, name: str) -> Any:
        declared = self.template["Parameters"][name]
        kind = str(declared.get("Type", "String"))
        found = self.given.get(name, declared.get("Default"))
        if found is None or kind.startswith("AWS::SSM::"):
            self.unresolved.add(name)
            return f"<{name}>"
        allowed = declared.get("AllowedValues")
        if allowed is not None and str(found) not in map(str, allowed):
            raise self.bad(
                f"does not allow {name}={for_terminal(found)}", f"one of {', '.join(map(str, allowed))}"
            )
        return str(found).split(",") if "List" in kind else found

    def _named(self, name: str, made: Callable[[str, str], str]) -> str:
        resources = self.template.get("Resources") or {}
        if name not in resources:
            raise self.bad(f"refers to {for_terminal(name)!r}, which it does not have", "check its spelling")
        kind = str(resources[name].get("Type"))
        return made(kind, self.name_of(name))

    def name_of(self, logical: str) -> str:
        """The physical name of a resource, with its path where it has one: as the template says, or made up."""
        resource = self.template["Resources"][logical]
        properties = resource.get("Properties") or {}
        named = self.place.name_property(str(resource.get("Type")))
        name = self.value(properties[named]) if named and named in properties else NOTHING
        if not isinstance(name, str):
            name = self.place.made_up(str(resource.get("Type")), logical)
        path = (
            self.value(properties.get("Path", "/"))
            if str(resource.get("Type")).startswith("AWS::IAM::")
            else "/"
        )
        return f"{str(path).strip('/')}/{name}".lstrip("/")

    def _attribute(self, argument: Any) -> Any:
        parts = argument.split(".", 1) if isinstance(argument, str) else argument
        if not isinstance(parts, list) or len(parts) != 2:
            raise self.bad(
                "has a GetAtt without a resource and an attribute", "Fn::GetAtt: [Resource, Attribute]"
            )
        logical, wanted = str(parts[0]), str(self.value(parts[1]))
        return self._named(logical, lambda kind, called: attribute(kind, called, wanted, self.place))

    def _sub(self, argument: Any) -> str:
        text, extra = (argument, {}) if isinstance(argument, str) else (argument[0], argument[1])

        def fill(found: re.Match[str]) -> str:
            literal, name = found.group(1), found.group(2).strip()
            if literal:
                return "${" + found.group(2) + "}"
            if name in extra:
                return str(self.value(extra[name]))
            if "." in name and name not in self.place.pseudo:
                return str(self._attribute(name))
            return str(self._ref(name))

        return _SUBSTITUTE.sub(fill, text)

    def _join(self, argument: Any) -> str:
        separator, parts = argument
        return str(separator).join(str(part) for part in self._listed(parts))

    def _select(self, argument: Any) -> Any:
        index, parts = argument
        listed = self._listed(parts)
        at = int(self.value(index))
        if not 0 <= at < len(listed):
            raise self.bad(f"selects number {at} of {len(listed)}", "check the index")
        return listed[at]

    def _split(self, argument: Any) -> list[str]:
        separator, text = argument
        return str(self.value(text)).split(str(separator))

    def _listed(self, raw: Any) -> list[Any]:
        found = self.value(raw)
        if not isinstance(found, list):
            raise self.bad("joins or selects from what is not a list", "give it as a list")
        return found

    def _find_in_map(self, argument: Any) -> Any:
        found: Any = self.template.get("Mappings") or {}
        for key in map(self.value, argument[:3]):
            if not isinstance(found, Mapping) or str(key) not in {str(one) for one in found}:
                raise self.bad(
                    f"has no {for_terminal(key)!r} in the mapping that it looks up", "check the mapping"
                )
            found = {str(one): value for one, value in found.items()}[str(key)]
        return self.value(found)

    def _import(self, argument: Any) -> Any:
        name = str(self.value(argument))
        if name in self.exports:
            return self.exports[name]
        self.unresolved.add(name)
        return f"<{name}>"

    def _if(self, argument: Any) -> Any:
        name, yes, no = argument
        return self.value(yes if self.condition(name) else no)

    def _truth(self, raw: Any) -> bool:
        if not isinstance(raw, Mapping) or len(raw) != 1:
            raise self.bad("has a condition that is no function", "Fn::Equals, And, Or, Not or Condition")
        ((name, argument),) = raw.items()
        if name == "Condition":
            return self.condition(argument)
        if name == "Fn::Equals":
            left, right = map(self.value, argument)
            for side in (left, right):
                if isinstance(side, str) and side.startswith("<"):
                    raise self.bad(
                        f"decides by {for_terminal(side)}, which has no value",
                        f"--param {side.strip('<>')}=…",
                    )
            return bool(str(left) == str(right))
        if name == "Fn::Not":
            return not self._truth(argument[0])
        if name in {"Fn::And", "Fn::Or"}:
            return (all if name == "Fn::And" else any)(self._truth(one) for one in argument)
        raise self.bad(
            f"uses {for_terminal(name)} in a condition", "Fn::Equals, And, Or, Not or Condition are known"
        )
