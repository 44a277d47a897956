"""What a CloudFormation template says about who may do what.

Read are the resources that hold policies or are holders of them. A resource of another type that holds a policy
document is noted as unread, so that no answer is given about its service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from irkit.errors import BadInput
from irkit.escape import for_terminal
from irkit.policy import physical
from irkit.policy.document import Kind, Policy, parse_json
from irkit.policy.gathering import FULL_ACCESS, Gathering, Noted, tags_of
from irkit.policy.intrinsics import Resolver
from irkit.policy.world import Guarded

Properties = dict[str, Any]


def exports(resolver: Resolver) -> dict[str, Any]:
    """The values that the template's outputs export, by the name under which they do."""
    found: dict[str, Any] = {}
    for output in (resolver.template.get("Outputs") or {}).values():
        if "Export" in output and resolver.included(output):
            found[str(resolver.value(output["Export"]["Name"]))] = resolver.value(output["Value"])
    return found


class Template:
    """Reads one template into a gathering."""

    def __init__(self, resolver: Resolver, into: Gathering) -> None:
        self.resolver = resolver
        self.into = into
        self.place = resolver.place

    def read(self) -> None:
        """Note down what every resource says; raises `BadInput` for what cannot be worked out."""
        template = self.resolver.template
        if "Transform" in template:
            raise self.resolver.bad(
                "is made by a transform, and what that makes cannot be seen", "give what it made"
            )
        readers = self._readers()
        for logical, resource in (template.get("Resources") or {}).items():
            if not isinstance(resource, Mapping) or not isinstance(resource.get("Type"), str):
                raise self.resolver.bad(f"has a resource {for_terminal(logical)} without a type", "check it")
            if not self.resolver.included(resource):
                continue
            kind, raw = resource["Type"], resource.get("Properties") or {}
            if kind in readers:
                readers[kind](logical, self.resolver.value(raw))
            elif kind in {"AWS::CloudFormation::Stack", "AWS::CloudFormation::StackSet"}:
                self.into.notes.append(
                    f"{self.place.file}: {logical} is a stack of its own; give its template too"
                )
            elif kind.startswith("AWS::") and _holds_policy(raw):
                service = physical.arn(kind, "x", self.place).split(":")[2]
                self.into.unread.setdefault(service, f"{logical} ({kind}) in {self.place.file}")
                self.into.notes.append(
                    f"{self.place.file}: {logical} ({kind}) holds a policy that is not read"
                )
        for name in sorted(self.resolver.unresolved):
            self.into.notes.append(f"{self.place.file}: {name} has no value; it matches nothing")

    def _readers(self) -> dict[str, Callable[[str, Properties], None]]:
        return {
            "AWS::IAM::Role": self._role,
            "AWS::IAM::User": self._user,
            "AWS::IAM::Group": self._group,
            "AWS::IAM::Policy": self._inline,
            "AWS::IAM::RolePolicy": self._inline,
            "AWS::IAM::UserPolicy": self._inline,
            "AWS::IAM::GroupPolicy": self._inline,
            "AWS::IAM::ManagedPolicy": self._managed,
            "AWS::IAM::UserToGroupAddition": self._joins,
            "AWS::S3::BucketPolicy": lambda n, p: self._on(
                n, p, f"arn:{self.place.partition}:s3:::{p['Bucket']}"
            ),
            "AWS::KMS::Key": self._key,
            "AWS::SNS::TopicPolicy": self._topics,
            "AWS::SQS::QueuePolicy": self._queues,
            "AWS::SecretsManager::ResourcePolicy": lambda n, p: self._on(
                n, p, str(p["SecretId"]), "ResourcePolicy"
            ),
            "AWS::ECR::Repository": self._repository,
            "AWS::EC2::VPCEndpoint": self._endpoint,
            "AWS::Organizations::Policy": self._of_organization,
            "AWS::Lambda::Permission": self._permission,
        }

    def _where(self, logical: str, more: str = "") -> str:
        return f"{self.place.file}: {logical}" + (f" {more}" if more else "")

    def _arn(self, logical: str) -> str:
        kind = str(self.resolver.template["Resources"][logical]["Type"])
        return physical.arn(kind, self.resolver.name_of(logical), self.place)

    def _holder(self, logical: str, properties: Properties) -> Noted:
        noted = self.into.note(self._arn(logical), alias=logical)
        for policy in properties.get("Policies", []):
            noted.inline.append(
                (self._where(logical, str(policy.get("PolicyName", ""))), policy["PolicyDocument"])
            )
        noted.managed.extend(map(str, properties.get("ManagedPolicyArns", [])))
        boundary = properties.get("PermissionsBoundary")
        noted.boundary = str(boundary) if boundary else noted.boundary
        noted.tags.update(tags_of(properties.get("Tags")))
        return noted

    def _role(self, logical: str, properties: Properties) -> None:
        noted = self._holder(logical, properties)
        document = properties.get("AssumeRolePolicyDocument")
        self.into.trusts[noted.arn] = self._policy(document, Kind.TRUST, self._where(logical, "trust"))

    def _user(self, logical: str, properties: Properties) -> None:
        noted = self._holder(logical, properties)
        noted.groups.extend(self._named("group", name) for name in properties.get("Groups", []))

    def _group(self, logical: str, properties: Properties) -> None:
        self._holder(logical, properties)

    def _joins(self, logical: str, properties: Properties) -> None:
        del logical
        for user in properties.get("Users", []):
            self.into.note(self._named("user", user)).groups.append(
                self._named("group", properties["GroupName"])
            )

    def _attached(self, properties: Properties) -> list[str]:
        """The ARNs of the holders that a policy resource names."""
        found: list[str] = []
        for kind, many, one in (
            ("role", "Roles", "RoleName"),
            ("user", "Users", "UserName"),
            ("group", "Groups", "GroupName"),
        ):
            names = [*properties.get(many, []), *([properties[one]] if one in properties else [])]
            found.extend(self._named(kind, name) for name in names)
        return found

    def _inline(self, logical: str, properties: Properties) -> None:
        name = self._where(logical, str(properties.get("PolicyName", "")))
        for arn in self._attached(properties):
            self.into.note(arn).inline.append((name, properties["PolicyDocument"]))

    def _managed(self, logical: str, properties: Properties) -> None:
        arn = self._arn(logical)
        self.into.managed[arn] = (self._where(logical), properties["PolicyDocument"])
        for holder in self._attached(properties):
            self.into.note(holder).managed.append(arn)

    def _named(self, kind: str, name: Any) -> str:
        """The ARN of the holder called `name`; the path is that of a holder in this template, when it is in it."""
        for logical, resource in (self.resolver.template.get("Resources") or {}).items():
            if str(resource.get("Type")) == f"AWS::IAM::{kind.title()}":
                found = self.resolver.name_of(logical)
                if found.rpartition("/")[2] == str(name):
                    return physical.arn(str(resource["Type"]), found, self.place)
        return f"arn:{self.place.partition}:iam::{self.place.account}:{kind}/{name}"

    def _policy(self, document: Any, kind: Kind, name: str) -> Policy:
        parsed = parse_json(document, name=name) if isinstance(document, str) else document
        return Policy.read(parsed, kind=kind, name=name)

    def _on(self, logical: str, properties: Properties, arn: str, element: str = "PolicyDocument") -> None:
        policy = self._policy(properties.get(element), Kind.RESOURCE, self._where(logical))
        self.into.guard(arn, self.place.account, policy)

    def _key(self, logical: str, properties: Properties) -> None:
        if "KeyPolicy" not in properties:
            raise self.resolver.bad(f"has a key {logical} without a policy", "write its KeyPolicy out")
        self._on(logical, properties, self._arn(logical), "KeyPolicy")

    def _repository(self, logical: str, properties: Properties) -> None:
        if "RepositoryPolicyText" in properties:
            policy = dict(properties["RepositoryPolicyText"])
            # The policy of a repository names no resource: it is about the repository itself.
            policy["Statement"] = [{"Resource": "*", **one} for one in policy.get("Statement", [])]
            self._on(logical, {"PolicyDocument": policy}, self._arn(logical))

    def _topics(self, logical: str, properties: Properties) -> None:
        for topic in properties["Topics"]:
            self._on(logical, properties, str(topic))

    def _queues(self, logical: str, properties: Properties) -> None:
        for url in properties["Queues"]:
            name = str(url).rpartition("/")[2]
            self._on(logical, properties, physical.arn("AWS::SQS::Queue", name, self.place))

    def _endpoint(self, logical: str, properties: Properties) -> None:
        if "PolicyDocument" in properties:
            document = properties["PolicyDocument"]
            self.into.endpoints[logical] = self._policy(document, Kind.ENDPOINT, self._where(logical))

    def _of_organization(self, logical: str, properties: Properties) -> None:
        kinds = {"SERVICE_CONTROL_POLICY": Kind.SCP, "RESOURCE_CONTROL_POLICY": Kind.RCP}
        kind = kinds.get(str(properties.get("Type")))
        if kind is None:
            return
        policy = self._policy(properties.get("Content"), kind, self._where(logical))
        if kind is Kind.SCP:
            # Where it is attached, FullAWSAccess stays attached beside it: AWS puts it everywhere.
            self.into.scps.append((FULL_ACCESS, policy))
        else:
            self.into.rcps.append((policy,))

    def _permission(self, logical: str, properties: Properties) -> None:
        """One statement of a function's policy; a function may have several such resources."""
        name = str(properties.get("FunctionName"))
        arn = name if name.startswith("arn:") else physical.arn("AWS::Lambda::Function", name, self.place)
        principal = str(properties.get("Principal"))
        conditions = {
            "ArnLike": {"aws:SourceArn": properties.get("SourceArn")},
            "StringEquals": {
                "aws:SourceAccount": properties.get("SourceAccount"),
                "aws:PrincipalOrgID": properties.get("PrincipalOrgID"),
            },
        }
        kept = {o: {k: str(v) for k, v in b.items() if v is not None} for o, b in conditions.items()}
        statement = {
            "Effect": "Allow",
            "Action": properties.get("Action"),
            "Resource": arn,
            "Principal": "*" if principal == "*" else {_group(principal): principal},
            "Condition": {operator: block for operator, block in kept.items() if block},
        }
        policy = self._policy(
            {"Version": "2012-10-17", "Statement": statement}, Kind.RESOURCE, self._where(logical)
        )
        had = self.into.guarded.get(arn)
        if had is not None:
            policy = replace(had.policy, statements=had.policy.statements + policy.statements)
        self.into.guarded[arn] = Guarded(arn=arn, account=self.place.account, policy=policy)


def _group(principal: str) -> str:
    return "Service" if ".amazonaws.com" in principal else "AWS"


def _holds_policy(raw: Any) -> bool:
    """Whether a policy document stands somewhere in the properties: something with statements that have effects."""
    if isinstance(raw, Mapping):
        statements = raw.get("Statement")
        listed = statements if isinstance(statements, list) else [statements]
        if any(isinstance(one, Mapping) and "Effect" in one for one in listed):
            return True
        return any(_holds_policy(one) for one in raw.values())
    return isinstance(raw, list) and any(_holds_policy(one) for one in raw)


def is_template(document: Any) -> bool:
    """Whether parsed YAML or JSON looks like a template."""
    if not isinstance(document, Mapping):
        return False
    resources = document.get("Resources")
    typed = isinstance(resources, Mapping) and any(
        isinstance(r, Mapping) and "Type" in r for r in resources.values()
    )
    return "AWSTemplateFormatVersion" in document or typed


def check(document: Any, file: str) -> Mapping[str, Any]:
    """The template in `document`; raises `BadInput` when its sections are not what a template's are."""
    if not isinstance(document, Mapping):
        raise BadInput(f"template {for_terminal(file)} is no object", hint="check the file")
    for section in ("Parameters", "Mappings", "Conditions", "Resources", "Outputs"):
        found = document.get(section)
        if found is not None and not isinstance(found, Mapping):
            raise BadInput(f"template {for_terminal(file)}: {section} is no object", hint="check the file")
        if section in {"Parameters", "Outputs"} and any(
            not isinstance(v, Mapping) for v in (found or {}).values()
        ):
            raise BadInput(
                f"template {for_terminal(file)}: {section} holds what is no object", hint="check the file"
            )
    return document
