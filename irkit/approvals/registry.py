"""The approvers file: who may approve what, and with which key. It belongs outside the case, under its own control.

    schema: irkit/approvers/1
    people:
      - name: bea
        roles: [ir-lead, break-glass]
        public_key: |
          -----BEGIN PUBLIC KEY-----
          …
    require:
      identity.role-sessions: {role: ir-lead, number: 2, minutes: 240}

`require` names verbs, or kinds of them, that need approval wherever the step comes from. The key is an Ed25519 one, as
`irkit case seal --make-key` makes it, or the public half of a KMS key (ECC_NIST_P256).
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from irkit.durable import storage
from irkit.errors import BadInput, NotFound
from irkit.escape import for_terminal

if TYPE_CHECKING:
    from irkit.case import Case

SOURCE = "approvers"
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9@._+-]{0,63}$")]
RoleName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,39}$")]
Verb = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Requirement(_Strict):
    """What a step needs before it runs: `number` people with `role`; an approval counts for `minutes`."""

    role: RoleName
    number: Annotated[int, Field(ge=1, le=9)] = 1
    minutes: Annotated[int, Field(ge=1, le=7 * 24 * 60)] = 240


class Person(_Strict):
    """Somebody who may approve."""

    name: Name
    roles: list[RoleName]
    public_key: str

    @property
    def key(self) -> tuple[str, ...]:
        """The key without its line breaks, so that two spellings of one key are one key."""
        return tuple(self.public_key.split())


class Registry(_Strict):
    """The approvers file."""

    schema_: Annotated[str, Field(alias="schema", pattern=r"^irkit/approvers/1$")]
    people: Annotated[list[Person], Field(min_length=1)]
    require: dict[Verb, Requirement] = {}

    @model_validator(mode="after")
    def _each_is_somebody(self) -> Registry:
        names = [p.name.casefold() for p in self.people]
        if len(set(names)) < len(names):
            raise ValueError("a name is there twice")
        if len({p.key for p in self.people}) < len(self.people):
            raise ValueError("two people have one key: then one of them could approve as both")
        return self

    def person(self, name: str) -> Person | None:
        """The person called `name`, upper and lower case alike."""
        return next((p for p in self.people if p.name.casefold() == name.casefold()), None)

    def required(self, verb: str) -> Requirement | None:
        """What the file asks for before a step with `verb` runs: of several entries that fit, the longest."""
        fit = [v for v in self.require if verb == v or verb.startswith(f"{v}.")]
        return self.require[max(fit, key=len)] if fit else None


def parse(text: str, *, name: str) -> Registry:
    """The approvers in `text`; `BadInput` names every fault and its place."""
    from irkit.playbooks import yaml12

    raw = yaml12.load(text, name=name)
    if not isinstance(raw, dict):
        raise BadInput(
            f"{name}: an approvers file is a mapping", hint="it begins with `schema: irkit/approvers/1`"
        )
    try:
        return Registry(**raw)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        )
        raise BadInput(f"{name}: {for_terminal(faults)}", hint="mend the file") from None


def load(path: Path) -> tuple[Registry, str]:
    """The approvers in the file, and its SHA-256. Raises `NotFound` and `BadInput`."""
    if not path.is_file():
        raise NotFound(f"no approvers file at {for_terminal(path)}", hint="give the file that names them")
    with storage("read the approvers", path):
        content = path.read_bytes()
    try:
        return parse(content.decode(), name=path.name), sha256(content).hexdigest()
    except UnicodeDecodeError:
        raise BadInput(f"{path.name}: not UTF-8 text", hint="mend the file") from None


def of_case(case: Case) -> tuple[Registry, str] | None:
    """The approvers that the case was opened with (source `approvers`); None where it names none."""
    given = case.facts.sources.get(SOURCE)
    return load(Path(given)) if given else None
