"""Every error that irkit raises on purpose, in one tree.

    IrkitError                  exit code 1: it was tried and failed
    ├── BadInput                exit code 2: what was given cannot be used
    │   ├── InvalidName         case id, instance id, account, region: malformed
    │   ├── InvalidParameter    a notebook's or a playbook's input
    │   ├── InvalidPlaybook     a playbook file
    │   └── NotFound            well formed, but no such case, instance, notebook …
    ├── Incomplete              exit code 3: done in part; what is missing is listed
    ├── Refused                 exit code 4: a precondition or an approval is missing; nothing was changed
    │   ├── NoCredentials
    │   ├── RegionDisabled
    │   ├── WrongState          the resource is in a state that does not allow it
    │   └── MissingExtra        an optional dependency is not installed
    ├── AwsError                AWS answered with an error that irkit does not expect
    ├── StorageError            the case folder cannot be read or written (read-only, full disk)
    └── IntegrityError          journal, manifest or evidence is not what was recorded
        └── JournalDamaged

A message says what happened, to which resource, and what to do next; `hint` holds the last part.
"""

from __future__ import annotations


class IrkitError(Exception):
    """Something irkit was asked to do did not work; `str()` is one line, ready to show."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.message}: {self.hint}" if self.hint else self.message
        return " ".join(text.split())


class BadInput(IrkitError):
    """What the caller gave cannot be used; nothing was changed."""

    exit_code = 2


class InvalidName(BadInput):
    """A case id, instance id, account id or region that is malformed."""


class InvalidParameter(BadInput):
    """A parameter of the wrong name, type or range."""


class InvalidPlaybook(BadInput):
    """A playbook file that does not fit the schema."""


class NotFound(BadInput):
    """A well-formed name of something that does not exist."""


class Incomplete(IrkitError):
    """The work was done in part; what is missing has been recorded."""

    exit_code = 3


class Refused(IrkitError):
    """irkit declined to act: an approval or a precondition is missing. Nothing was changed."""

    exit_code = 4


class NoCredentials(Refused):
    """No AWS credentials, or they have expired."""


class RegionDisabled(Refused):
    """The region exists but is not enabled in the account."""


class WrongState(Refused):
    """The resource is in a state that does not allow the action."""


class MissingExtra(Refused):
    """An optional dependency is not installed; the hint names the extra that brings it."""


class AwsError(IrkitError):
    """AWS answered with an error that no rule of irkit handles."""


class StorageError(IrkitError):
    """The case folder cannot be read or written."""


class IntegrityError(IrkitError):
    """Journal, manifest or evidence differs from what was recorded."""


class JournalDamaged(IntegrityError):
    """The journal's hash chain is broken before its last line."""
