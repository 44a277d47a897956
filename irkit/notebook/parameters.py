"""Strict parameters: papermill passes "false" as a true string, drops leading zeros and injects names nobody asked for.

`params(Model)` stands in the second code cell of every notebook and stops it before anything is done, whoever runs it:
irkit, plain papermill, a scheduler, or a person.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from irkit.case import Case, case_name
from irkit.errors import InvalidName, InvalidParameter
from irkit.escape import for_terminal

# What looks like a credential: AWS access keys with their secret, session tokens, private keys, bearer tokens.
_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|(?<![A-Za-z0-9/+])(?=[A-Za-z0-9/+]*[a-z])(?=[A-Za-z0-9/+]*[A-Z])"
    r"(?=[A-Za-z0-9/+]*[0-9])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])|gh[pousr]_[A-Za-z0-9]{30,}|xox[abprs]-"
)
# Names that IPython and Jupyter put into the namespace of every notebook.
_IPYTHON = frozenset({"In", "Out", "exit", "quit", "open", "get_ipython", "display", "irkit", "annotations"})

Model = TypeVar("Model", bound="Parameters")


def named(check: Callable[[str], str]) -> AfterValidator:
    """A validator from `check`, whose `InvalidName` becomes one fault among others, with the parameter's name."""

    def checked_name(value: str) -> str:
        try:
            return check(value)
        except InvalidName as error:
            raise ValueError(str(error)) from None

    return AfterValidator(checked_name)


class Parameters(BaseModel):
    """Parameters that every notebook has: the case and where cases are kept (empty: `irkit.case.cases_folder`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, validate_default=True)

    case_id: Annotated[str, named(case_name)]
    cases: str = ""

    def open_case(self) -> Case:
        """The case that the parameters name."""
        return Case.load(self.case_id, cases=self.cases or None)

    def _repr_html_(self) -> str:
        from irkit.markup import table

        return table(("parameter", "value"), self.model_dump().items())


def params(model: type[Model]) -> Model:
    """The parameters of the notebook that calls this, checked against `model`.

    Reads the caller's globals: those are what its `parameters` cell and papermill's injected cell have set. Raises
    `InvalidParameter` that names each wrong, missing or unknown one.
    """
    namespace = sys._getframe(1).f_globals  # noqa: SLF001  the notebook's own namespace is the interface of papermill
    hidden = _there_before(namespace) - set(model.model_fields)
    given = {name: v for name, v in namespace.items() if name not in hidden and _is_parameter(name, v)}
    return checked(model, given)


def checked(model: type[Model], given: dict[str, Any]) -> Model:
    """`given` as `model`, or `InvalidParameter` with every fault in one line."""
    for name, value in given.items():
        if any(_SECRET.search(text) for text in _texts(value) if not text.startswith(("/", "~", "s3://"))):
            raise InvalidParameter(
                f"parameter {name} looks like a secret",
                hint="the executed notebook shows parameters in clear; pass a profile's name or a secret's ARN instead",
            )
    try:
        return model(**given)
    except ValidationError as error:
        raise InvalidParameter("; ".join(_fault(model, e) for e in error.errors())) from None


def _fault(model: type[BaseModel], error: Any) -> str:
    name = ".".join(str(p) for p in error["loc"]) or model.__name__
    value = for_terminal(repr(error.get("input")))[:80]
    if error["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields)
        return f"unknown parameter {for_terminal(name)} (known are {known})"
    if error["type"] == "missing":
        return f"parameter {name} is missing"
    why = error["msg"].removeprefix("Value error, ")
    hint = " (papermill: pass it with -r so that it stays text)" if error["type"] == "string_type" else ""
    return f"parameter {name}: {why}, got {value}{hint}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for pair in value.items() for part in pair for text in _texts(part))
    elif isinstance(value, list | tuple):
        yield from (text for part in value for text in _texts(part))


def _there_before(namespace: dict[str, Any]) -> set[str]:
    """Names that the start-up files of a person's IPython left in the namespace, before any cell ran."""
    shell = namespace.get("get_ipython", lambda: None)()
    before: dict[str, Any] = getattr(shell, "user_ns_hidden", {})
    return {name for name, value in before.items() if namespace.get(name) is value}


def _is_parameter(name: str, value: Any) -> bool:
    return not (
        name.startswith("_")
        or name in _IPYTHON
        or isinstance(value, ModuleType)
        or callable(value)
        or type(value).__module__.startswith(("IPython", "__future__"))
    )
