"""Reads files and folders into a `World`.

A source is a policy as JSON, a CloudFormation template, what `aws iam get-account-authorization-details` prints, a
world file (see docs/how-to/policy.md), or a folder of them; `PATH@ACCOUNT` says to which account it belongs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from irkit.errors import BadInput, NotFound
from irkit.escape import for_terminal
from irkit.policy import template as templates
from irkit.policy.cfn_yaml import parse
from irkit.policy.document import Kind, Policy, parse_json
from irkit.policy.gathering import FULL_ACCESS, Gathering, tags_of
from irkit.policy.intrinsics import Resolver
from irkit.policy.physical import Place
from irkit.policy.world import World

_ACCOUNT_SUFFIX = re.compile(r"(?P<path>.*)@(?P<account>\d{12})")
_SUFFIXES = {".json", ".yaml", ".yml", ".template"}
# A template is at most 1 MB (CloudFormation quotas); a large account's authorization details are some tens of them.
_MOST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How sources are read: where they are deployed, and the values of parameters that have no default.

    With `all_used`, a parameter that no template has is an error.
    """

    account: str = "123456789012"
    region: str = "us-east-1"
    partition: str = "aws"
    parameters: Mapping[str, str] = field(default_factory=dict)
    all_used: bool = True


def read(sources: Sequence[str], how: Reading | None = None) -> World:
    """The world that `sources` describe. Raises `NotFound` and `BadInput`."""
    how = how or Reading()
    into = Gathering(account=how.account)
    found = [
        (file, document, account) for source in sources for file, document, account in _documents(source, how)
    ]
    if not found:
        raise NotFound("the sources hold no policy and no template", hint="give JSON or YAML files")
    resolvers = []
    exports: dict[str, Any] = {}
    for file, document, account in found:
        if templates.is_template(document):
            place = Place(
                file=file.name, stack=file.stem, account=account, region=how.region, partition=how.partition
            )
            checked = templates.check(document, file.name)
            resolvers.append(Resolver(template=checked, place=place, given=how.parameters, exports=exports))
    if how.all_used:
        _refuse_strangers(how.parameters, resolvers)
    try:
        for resolver in resolvers:
            exports.update(templates.exports(resolver))
        for resolver in resolvers:
            templates.Template(resolver, into).read()
        for file, document, _ in found:
            if not templates.is_template(document):
                _take(file, document, into)
        return into.world()
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, RecursionError) as error:
        raise BadInput(
            f"a source is not shaped as such files are: {type(error).__name__} {for_terminal(error)}",
            hint="check it with cfn-lint, or against docs/how-to/policy.md",
        ) from error


def _refuse_strangers(given: Mapping[str, str], resolvers: Iterable[Resolver]) -> None:
    known = {name for resolver in resolvers for name in resolver.template.get("Parameters") or {}}
    for name in given:
        if name not in known:
            raise BadInput(
                f"no template has a parameter {for_terminal(name)}",
                hint=f"one of: {', '.join(sorted(known)) or 'none'}",
            )


def _documents(source: str, how: Reading) -> list[tuple[Path, Any, str]]:
    named = _ACCOUNT_SUFFIX.fullmatch(source)
    path = Path(named["path"] if named else source)
    account = named["account"] if named else how.account
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix in _SUFFIXES and p.is_file())
    elif path.is_file():
        files = [path]
    else:
        raise NotFound(f"there is no file or folder {for_terminal(source)}", hint="check the path")
    found = [(file, load(file), account) for file in files]
    if path.is_dir():
        # A folder may hold other files too; a file that was named must be understood.
        return [one for one in found if _understood(one[1])]
    for file, document, _ in found:
        if not _understood(document):
            raise BadInput(
                f"{for_terminal(file)} is neither a policy, a template, a world file nor account details",
                hint="see docs/how-to/policy.md",
            )
    return found


def load(file: Path) -> Any:
    """The parsed content of a JSON or YAML file. Raises `NotFound` or `BadInput`."""
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise BadInput(f"{for_terminal(file)} is too large to be a source", hint="check the file")
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise NotFound(
            f"{for_terminal(file)} cannot be read: {error.strerror}", hint="check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{for_terminal(file)} is not UTF-8", hint="check the file") from error
    if file.suffix == ".json" or text.lstrip().startswith("{"):
        return parse_json(text, name=str(file))
    return parse(text, name=str(file))


def _understood(document: Any) -> bool:
    if not isinstance(document, Mapping):
        return False
    if templates.is_template(document):
        return True
    return bool(
        {"Statement", "PolicyVersion", "RoleDetailList", "UserDetailList"} & set(document)
    ) or _is_world(document)


def _is_world(document: Mapping[str, Any]) -> bool:
    return bool(document) and set(document) <= {"principals", "resources", "scps", "rcps"}


def _take(file: Path, document: Mapping[str, Any], into: Gathering) -> None:
    if "PolicyVersion" in document:
        document = {"Statement": [], **_decoded(document["PolicyVersion"].get("Document"), file.name)}
    if "Statement" in document:
        _loose(file, document, into)
    elif _is_world(document):
        _written(file, document, into)
    else:
        _details(file, document, into)


def _loose(file: Path, document: Mapping[str, Any], into: Gathering) -> None:
    listed = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
    about = any(isinstance(one, Mapping) and {"Principal", "NotPrincipal"} & set(one) for one in listed)
    if not about:
        into.by_name[file.stem] = (file.name, document)
    elif not any(isinstance(one, Mapping) and {"Resource", "NotResource"} & set(one) for one in listed):
        raise BadInput(
            f"{for_terminal(file)} is a trust policy, and it does not say of which role",
            hint="give it in a template or a world file",
        )
    into.loose.append(Policy.read(document, kind=Kind.RESOURCE if about else Kind.IDENTITY, name=file.name))


def _decoded(document: Any, name: str) -> Any:
    """A document as the API gives it (URL-encoded JSON) or as the AWS CLI prints it (an object)."""
    return parse_json(unquote(document), name=name) if isinstance(document, str) else document


def _details(file: Path, document: Mapping[str, Any], into: Gathering) -> None:
    """What `aws iam get-account-authorization-details` prints."""
    name = file.name
    for policy in document.get("Policies", []):
        for version in policy.get("PolicyVersionList", []):
            if version.get("IsDefaultVersion"):
                into.managed[policy["Arn"]] = (policy["PolicyName"], _decoded(version["Document"], name))
    groups: dict[str, str] = {}
    for kind, inline in (
        ("Group", "GroupPolicyList"),
        ("User", "UserPolicyList"),
        ("Role", "RolePolicyList"),
    ):
        for one in document.get(f"{kind}DetailList", []):
            noted = into.note(str(one["Arn"]), alias=str(one[f"{kind}Name"]))
            noted.inline.extend(
                (f"{one[f'{kind}Name']} {p['PolicyName']}", _decoded(p["PolicyDocument"], name))
                for p in one.get(inline, [])
            )
            noted.managed.extend(p["PolicyArn"] for p in one.get("AttachedManagedPolicies", []))
            boundary = one.get("PermissionsBoundary")
            noted.boundary = boundary["PermissionsBoundaryArn"] if boundary else None
            noted.tags.update(tags_of(one.get("Tags")))
            if kind == "Group":
                groups[one["GroupName"]] = one["Arn"]
            noted.groups.extend(groups.get(group, group) for group in one.get("GroupList", []))
            if kind == "Role":
                trust = _decoded(one["AssumeRolePolicyDocument"], name)
                into.trusts[one["Arn"]] = Policy.read(trust, kind=Kind.TRUST, name=f"{one['RoleName']} trust")


def _written(file: Path, document: Mapping[str, Any], into: Gathering) -> None:
    """A world file: who holds which policies, which resource has which, and what the organization forbids."""

    def text_of(entry: Any, kind: str) -> tuple[str, Any]:
        if isinstance(entry, str):
            return entry, load(file.parent / entry)
        return f"{file.name} {kind}", entry

    for one in document.get("principals") or []:
        noted = into.note(_arn(one, file), alias=str(one.get("name", "")))
        for entry in one.get("policies") or []:
            if isinstance(entry, str) and entry.startswith("arn:"):
                noted.managed.append(entry)
            else:
                noted.inline.append(text_of(entry, "policy"))
        boundary = one.get("boundary")
        if boundary is not None:
            name, policy = text_of(boundary, "boundary")
            noted.boundary = f"{noted.arn}/boundary"
            into.managed[noted.boundary] = (name, policy)
        noted.tags.update({str(k): str(v) for k, v in (one.get("tags") or {}).items()})
        if "trust" in one:
            name, policy = text_of(one["trust"], "trust")
            into.trusts[noted.arn] = Policy.read(policy, kind=Kind.TRUST, name=name)
    for one in document.get("resources") or []:
        name, policy = text_of(one.get("policy"), "resource policy")
        read_policy = Policy.read(policy, kind=Kind.RESOURCE, name=name)
        into.guard(_arn(one, file), str(one.get("account", into.account)), read_policy)
    for kind, levels in ((Kind.SCP, into.scps), (Kind.RCP, into.rcps)):
        for level in document.get(f"{kind}s") or []:
            entries = level if isinstance(level, list) else [level]
            read_level = [
                FULL_ACCESS if entry == "FullAWSAccess" else Policy.read(policy, kind=kind, name=name)
                for entry in entries
                for name, policy in [("", None) if entry == "FullAWSAccess" else text_of(entry, kind)]
            ]
            levels.append(tuple(read_level))


def _arn(one: Any, file: Path) -> str:
    if not isinstance(one, Mapping) or not isinstance(one.get("arn"), str):
        raise BadInput(f"{for_terminal(file)} has an entry without an arn", hint="see docs/how-to/policy.md")
    return str(one["arn"])
