"""A playbook as data: typed inputs and steps that are notebooks. Unknown keys are errors, each named with its place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from irkit import shipped
from irkit.approvals.registry import Requirement
from irkit.aws.names import access_key_id, account_id, instance_id, region_name
from irkit.durable import storage
from irkit.errors import InvalidName, InvalidParameter, InvalidPlaybook, NotFound
from irkit.escape import for_terminal
from irkit.playbooks import yaml12

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,39}$")]
Technique = Annotated[str, StringConstraints(pattern=r"^T\d{4}(\.\d{3})?$")]
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_BOOL = {"true": True, "false": False}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Input(_Strict):
    """A value that the playbook is given. Without `default` it must be given. `choices` are all that it may be."""

    type: Literal["string", "integer", "boolean", "instance_id", "account_id", "access_key_id", "region"] = (
        "string"
    )
    help: str = ""
    default: str | int | bool | None = None
    choices: list[str] = []

    @model_validator(mode="after")
    def _choices_are_texts(self) -> Input:
        if self.choices and self.type != "string":
            raise ValueError(f"choices are for strings, not for {_an(self.type)}")
        return self

    def parse(self, name: str, text: Any) -> Any:
        """`text`, from a command line or from code, as the input's type; `InvalidParameter` when it is none."""
        try:
            return self._parsed(text)
        except (InvalidName, ValueError) as error:
            named = f"one of {', '.join(self.choices)}" if self.choices else _an(self.type)
            why = str(error) if isinstance(error, InvalidName) else f"not {named}"
            raise InvalidParameter(f"input {name}: {for_terminal(text)!r}: {why}") from None

    def _parsed(self, text: Any) -> Any:
        checks = {
            "instance_id": instance_id,
            "account_id": account_id,
            "access_key_id": access_key_id,
            "region": region_name,
        }
        if self.type in checks and isinstance(text, str):
            return checks[self.type](text)
        if self.type == "integer" and isinstance(text, int) and not isinstance(text, bool):
            return text
        if self.type == "integer" and isinstance(text, str) and _INTEGER.fullmatch(text):
            return int(text)
        if self.type == "boolean":
            value = text if isinstance(text, bool) else _BOOL.get(str(text).lower())
            if value is not None:
                return value
        if self.type == "string" and isinstance(text, str) and (not self.choices or text in self.choices):
            return text
        raise ValueError(self.type)


class Reference(_Strict):
    """The value of one of the playbook's inputs."""

    input: str


class When(_Strict):
    """A step runs only if this holds: one input compared with one value."""

    input: str
    equals: str | int | bool | None = None
    one_of: Annotated[tuple[str | int, ...], Field(strict=False)] = ()
    is_set: bool | None = None

    @model_validator(mode="after")
    def _compares_once(self) -> When:
        if (self.equals is not None) + bool(self.one_of) + (self.is_set is not None) != 1:
            raise ValueError("give one of equals, one_of and is_set")
        return self

    @property
    def compared(self) -> tuple[str | int | bool, ...]:
        """The values that the input is compared with."""
        return self.one_of or (() if self.equals is None else (self.equals,))

    def holds(self, inputs: dict[str, Any]) -> bool:
        """Whether the comparison is true of `inputs`."""
        value = inputs.get(self.input)
        if self.is_set is not None:
            return (value not in (None, "")) == self.is_set
        return value in self.compared


class Step(_Strict):
    """One notebook of the chain. `timeout` is in seconds, for the whole notebook.

    `approval` says who must agree before the step runs; the playbook stops there until they have.
    """

    id: Slug
    title: str
    notebook: str
    with_: dict[str, str | int | bool | list[str | Reference] | Reference] = Field(
        default_factory=dict, alias="with"
    )
    needs: list[Slug] = []
    when: When | None = None
    mutates: bool = False
    approval: Requirement | None = None
    timeout: Annotated[int, Field(ge=1, le=86400)] = 600
    on_failure: Literal["continue", "stop"] = "continue"

    def references(self) -> list[str]:
        """The names of the inputs that the step's notebook is given."""
        values = [v for given in self.with_.values() for v in (given if isinstance(given, list) else [given])]
        return [v.input for v in values if isinstance(v, Reference)]

    def parameters(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """What the step's notebook is given, for these inputs of the playbook."""

        def valued(value: Any) -> Any:
            if isinstance(value, list):
                return [valued(each) for each in value]
            return inputs[value.input] if isinstance(value, Reference) else value

        return {name: valued(value) for name, value in self.with_.items()}

    @model_validator(mode="after")
    def _approval_is_for_a_change(self) -> Step:
        if self.approval is not None and not self.mutates:
            raise ValueError(f"step {self.id} asks for approval and does not say that it mutates")
        return self


class Trigger(_Strict):
    """What calls for this playbook: finding types of one source."""

    source: Literal["guardduty", "securityhub", "manual", "schedule"]
    types: list[str] = []


class Playbook(_Strict):
    """A playbook. `attack` lists the ATT&CK techniques that it answers."""

    schema_: Literal["irkit/playbook/1"] = Field(alias="schema")
    id: Slug
    title: str
    description: str = ""
    triggers: list[Trigger] = []
    attack: list[Technique] = []
    inputs: dict[str, Input] = {}
    steps: Annotated[list[Step], Field(min_length=1)]

    @model_validator(mode="after")
    def _refers_to_what_there_is(self) -> Playbook:
        for name, spec in self.inputs.items():
            if spec.default is not None:
                self._fits(name, spec.default, "has a default that does not fit")
        seen: set[str] = set()
        for step in self.steps:
            if step.id in seen:
                raise ValueError(f"step {step.id} is there twice")
            for need in step.needs:
                if need not in seen:
                    raise ValueError(f"step {step.id} needs {need}, which is no step before it")
            named = [*step.references(), *([step.when.input] if step.when else [])]
            for name in named:
                if name not in self.inputs:
                    raise ValueError(f"step {step.id} refers to input {name}, which is not declared")
            if step.when is not None:
                for value in step.when.compared:
                    self._fits(
                        step.when.input, value, f"is compared by step {step.id} with what it cannot be"
                    )
            seen.add(step.id)
        return self

    def _fits(self, name: str, value: Any, why: str) -> None:
        try:
            parsed = self.inputs[name].parse(name, value)
        except InvalidParameter as error:
            raise ValueError(f"input {name} {why}: {error}") from None
        if type(parsed) is not type(value):
            raise ValueError(f"input {name} {why}: write it as {_an(self.inputs[name].type)}")

    def resolve(self, given: dict[str, Any]) -> dict[str, Any]:
        """The inputs, typed, with defaults; `InvalidParameter` names what is unknown, missing or wrong."""
        unknown = sorted(set(given) - set(self.inputs))
        if unknown:
            raise InvalidParameter(
                f"playbook {self.id} has no input {', '.join(map(for_terminal, unknown))}",
                hint=f"its inputs are {', '.join(self.inputs) or 'none'}",
            )
        missing = [n for n, i in self.inputs.items() if n not in given and i.default is None]
        if missing:
            raise InvalidParameter(
                f"playbook {self.id} needs {', '.join(missing)}", hint=f"give --set {missing[0]}=…"
            )
        return {
            name: spec.parse(name, given[name]) if name in given else spec.default
            for name, spec in self.inputs.items()
        }


def parse(text: str, *, name: str) -> Playbook:
    """The playbook in `text`; `InvalidPlaybook` with every fault and its place. `name` is used in messages."""
    raw = yaml12.load(text, name=name)
    if not isinstance(raw, dict):
        raise InvalidPlaybook(
            f"{name}: a playbook is a mapping", hint="it begins with `schema: irkit/playbook/1`"
        )
    try:
        return Playbook(**raw)
    except ValidationError as error:
        faults = "; ".join(_fault(e) for e in error.errors())
        raise InvalidPlaybook(
            f"{name}: {faults}", hint="mend the file and run `irkit playbooks validate`"
        ) from None
    except TypeError:
        raise InvalidPlaybook(f"{name}: keys must be text", hint="mend the file") from None


def load(name: str) -> Playbook:
    """The playbook called `name` that comes with irkit, or the one in the file `name`. Raises `NotFound`."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = shipped.folder("playbooks") / f"{re.sub(r'[^a-z0-9-]', '_', name)}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in shipped.folder("playbooks").glob("*.yaml")))
        raise NotFound(
            f"no playbook {for_terminal(name)}", hint=f"there are {known}; or give the path of a .yaml file"
        )
    with storage("read the playbook", path):
        content = path.read_bytes()
    try:
        return parse(content.decode(), name=path.name)
    except UnicodeDecodeError:
        raise InvalidPlaybook(f"{path.name}: not UTF-8 text", hint="mend the file") from None


def shipped_playbooks() -> list[Playbook]:
    """All playbooks that come with irkit, by id."""
    return [load(str(p)) for p in sorted(shipped.folder("playbooks").glob("*.yaml"))]


def _fault(error: Any) -> str:
    place = re.sub(r"\.(\d+)", r"[\1]", ".".join(str(p) for p in error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"unknown key {for_terminal(place)}"
    if error["type"] == "missing":
        return f"key {place} is missing"
    return f"{place or 'playbook'}: {error['msg'].removeprefix('Value error, ')}"


def _an(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word.replace('_', ' ')}"
