"""The role behind a session, as far as revoking needs it, and the roles whose sessions nobody here can revoke.

References:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/using-service-linked-roles.html
    https://docs.aws.amazon.com/singlesignon/latest/userguide/useraccess.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irkit.aws.names import arn_parts
from irkit.aws.refusals import translating
from irkit.plan import Outcome, Step

if TYPE_CHECKING:
    from irkit.case import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role: its name (without its path), its id (AROA…), its ARN (with its path)."""

    name: str
    id: str
    arn: str

    @property
    def unrevocable(self) -> str | None:
        """Why IAM lets nobody put a deny on this role, and who can end its sessions; None where one can."""
        return unrevocable(self.arn)


def of(raw: Mapping[str, Any]) -> Role:
    """The role in an answer of IAM."""
    return Role(name=raw["RoleName"], id=raw["RoleId"], arn=raw["Arn"])


def named(case: Case, name: str) -> Role:
    """The role called `name` in the case's account; raises as `translating` does, `NotFound` among others."""
    with translating("read role", name):
        return of(case.client("iam").get_role(RoleName=name)["Role"])


def of_profile(case: Case, profile: str) -> list[Role]:
    """The roles in the instance profile with the ARN `profile`: one, or none."""
    name = arn_parts(profile).name
    with translating("read instance profile", name):
        said = case.client("iam").get_instance_profile(InstanceProfileName=name)
    return [of(r) for r in said["InstanceProfile"]["Roles"]]


def unrevocable(role_arn: str) -> str | None:
    """Why the sessions of the role with this ARN cannot be revoked through the role; None where they can."""
    resource = arn_parts(role_arn).resource
    name = resource.rsplit("/", 1)[-1]
    if resource.startswith("role/aws-service-role/") or name.startswith("AWSServiceRoleFor"):
        return (
            f"role {name} is linked to a service: IAM lets nobody edit it and only the service uses it; "
            "look at what the service was told to do"
        )
    if resource.startswith("role/aws-reserved/") or name.startswith("AWSReservedSSO_"):
        return (
            f"role {name} belongs to IAM Identity Center: end the person's sessions there and disable their access; "
            "a session that was begun goes on for as long as its permission set allows, 12 hours at most"
        )
    return None


def beyond_reach(target: str, instance: str | None, *, why: str, stage: int) -> Step:
    """A step that says what nobody here can revoke: it is missing from the containment, and no retry mends it."""
    return Step(
        verb="identity.beyond-reach",
        target=target,
        title=f"not revoked: {why}",
        act=lambda _: Outcome(missing=(why,)),
        changes=False,
        stage=stage,
        args={"instance": instance},
    )
