"""Templates, account details, world files and loose policies become one world."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from irkit.errors import BadInput, NotFound
from irkit.policy import sources
from irkit.policy.asking import can
from irkit.policy.sources import Reading
from irkit.policy.world import World

HOME = "123456789012"

TEMPLATE = """
Parameters:
  Case: {Type: String, Default: c1}
  Strict: {Type: String, AllowedValues: ["yes", "no"], Default: "yes"}
  Reader: {Type: String}
Conditions:
  IsStrict: !Equals [!Ref Strict, "yes"]
  IsOpen: !Not [!Condition IsStrict]
Mappings:
  Names: {us-east-1: {bucket: evidence-use1}}
Resources:
  Bucket:
    Type: AWS::S3::Bucket
    Properties:
      BucketName: !Sub "${Prefix}-${AWS::AccountId}"
  Key:
    Type: AWS::KMS::Key
    Properties:
      KeyPolicy:
        Version: 2012-10-17
        Statement:
          - {Effect: Allow, Principal: {AWS: !GetAtt Analyst.Arn}, Action: kms:Decrypt, Resource: "*"}
  BucketPolicy:
    Type: AWS::S3::BucketPolicy
    Properties:
      Bucket: !Ref Bucket
      PolicyDocument:
        Version: 2012-10-17
        Statement:
          - Effect: Deny
            Principal: "*"
            Action: s3:GetObject
            Resource: !Sub "${Bucket.Arn}/secret/*"
          - !If
            - IsOpen
            - {Effect: Allow, Principal: "*", Action: s3:GetObject, Resource: !Join ["", [!GetAtt Bucket.Arn, "/*"]]}
            - !Ref AWS::NoValue
  Analyst:
    Type: AWS::IAM::Role
    Properties:
      RoleName: Analyst
      Path: /team/
      ManagedPolicyArns: [!Ref Reads]
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement:
          - {Effect: Allow, Principal: {AWS: !Ref Reader}, Action: sts:AssumeRole}
      Tags: [{Key: case, Value: !Ref Case}]
  Reads:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      PolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Action: s3:GetObject
            Resource: !Sub
              - "arn:${AWS::Partition}:s3:::${name}/cases/${!aws:PrincipalTag/case}/*"
              - {name: !Ref Bucket}
  OnlyWhenOpen:
    Type: AWS::IAM::Role
    Condition: IsOpen
    Properties: {AssumeRolePolicyDocument: {Statement: {Effect: Deny, Principal: "*", Action: sts:AssumeRole}}}
""".replace("${Prefix}", "evidence")
BUCKET = f"arn:aws:s3:::evidence-{HOME}"


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def one(name: str, content: Any) -> str:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)

    return one


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(action: str, resource: str = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def allowed(world: World, who: str, action: str, resource: str, **context: str) -> bool:
    return can(world, who, action, resource, context={k: (v,) for k, v in context.items()}).decision.allowed


def test_a_template_becomes_roles_resources_and_policies_with_every_function_worked_out(write: Any) -> None:
    world = sources.read([write("stack.yaml", TEMPLATE)])

    analyst = world.holder("Analyst")
    assert analyst is not None
    assert analyst.who.arn == f"arn:aws:iam::{HOME}:role/team/Analyst"
    assert analyst.tags == {"case": "c1"}
    assert set(world.guarded) == {BUCKET, f"arn:aws:kms:us-east-1:{HOME}:key/stack-Key"}
    assert len(world.guarded[BUCKET].policy.statements) == 1
    assert allowed(world, "Analyst", "s3:GetObject", f"{BUCKET}/cases/c1/x")
    assert not allowed(world, "Analyst", "s3:GetObject", f"{BUCKET}/cases/c2/x")
    assert not allowed(world, "Analyst", "s3:GetObject", f"{BUCKET}/secret/x")
    assert allowed(world, "Analyst", "kms:Decrypt", f"arn:aws:kms:us-east-1:{HOME}:key/stack-Key")


def test_a_parameter_without_a_value_matches_nobody_and_is_said(write: Any) -> None:
    path = write("stack.yaml", TEMPLATE)
    role = f"arn:aws:iam::{HOME}:role/team/Analyst"
    reader = f"arn:aws:iam::{HOME}:user/ana"

    unsaid = sources.read([path])
    assert unsaid.notes == ("stack.yaml: Reader has no value; it matches nothing",)
    assert not allowed(unsaid, reader, "sts:AssumeRole", role)
    said = sources.read([path], Reading(parameters={"Reader": reader}))
    assert said.notes == ()
    assert allowed(said, reader, "sts:AssumeRole", role)


def test_conditions_decide_what_is_there(write: Any) -> None:
    path = write("stack.yaml", TEMPLATE)
    opened = sources.read([path], Reading(parameters={"Strict": "no"}))

    assert opened.holder("OnlyWhenOpen") is not None
    assert allowed(opened, "*", "s3:GetObject", f"{BUCKET}/x")
    with pytest.raises(
        NotFound, match=r"no source describes a principal 'OnlyWhenOpen': an ARN, or one of: Analyst"
    ):
        sources.read([path]).holder("OnlyWhenOpen")


def test_a_parameter_that_the_template_would_refuse_is_refused(write: Any) -> None:
    path = write("stack.yaml", TEMPLATE)
    with pytest.raises(BadInput, match="does not allow Strict=perhaps: one of yes, no"):
        sources.read([path], Reading(parameters={"Strict": "perhaps"}))
    with pytest.raises(BadInput, match="no template has a parameter Stricd: one of: Case, Reader, Strict"):
        sources.read([path], Reading(parameters={"Stricd": "no"}))


def role(document_: str, extra: str = "") -> str:
    return f"""
Parameters: {{Unsaid: {{Type: String}}}}
Conditions: {{Unknown: !Equals [!Ref Unsaid, x]}}
Resources:
  Role:
    Type: AWS::IAM::Role
    {extra}
    Properties:
      AssumeRolePolicyDocument: {{Statement: {{Effect: Allow, Principal: "*", Action: sts:AssumeRole}}}}
      Policies: [{{PolicyName: p, PolicyDocument: {{Statement: {document_}}}}}]
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            role("{Effect: Allow, Action: 's3:*', Resource: !Ref Nowhere}"),
            "'Nowhere', which it does not have",
        ),
        (role("{Effect: Allow, Action: 's3:*', Resource: !GetAtt Nowhere.Arn}"), "'Nowhere'"),
        (
            role("{Effect: Allow, Action: 's3:*', Resource: !Cidr [a, 1, 2]}"),
            "Fn::Cidr, which cannot be worked out",
        ),
        (role("{Effect: Allow, Action: 's3:*', Resource: !Foo x}"), "!Foo, which irkit does not know"),
        (role("{Effect: Allow, Action: 's3:*', Resource: !Sub '${aws:username}'}"), "aws:username"),
        (role("{Effect: Allow, Action: 's3:*', Resource: !FindInMap [A, b, c]}"), "no 'A' in the mapping"),
        (role("{Effect: Allow, Action: 's3:*', Resource: !If [Never, a, b]}"), "no condition 'Never'"),
        (role("{Effect: Allow, Action: 's3:*', Resource: '*'}", "Condition: Unknown"), "--param Unsaid="),
        (role("&a {Effect: Allow, Action: 's3:*', Resource: '*', Sid: *a}"), "YAML alias"),
        (
            "Transform: AWS::Serverless-2016-10-31\nResources: {A: {Type: 'AWS::S3::Bucket'}}",
            "made by a transform",
        ),
        ("Resources: {A: {Type: 'AWS::KMS::Key'}}", "a key A without a policy"),
        ("Resources: {A: {Type: 'AWS::IAM::Role', Properties: [1]}}", "not shaped as such files are"),
        ("Resources: {A: {Type: 'AWS::S3::Bucket'}, A: {Type: 'AWS::S3::Bucket'}}", "'A' a second time"),
        (role("{Effect: Deny, Action: 's3:*', Resource: !Ref Unsaid}"), "denies depending on <Unsaid>"),
        ("Resources: [", "is not YAML"),
        ("Resources: {A: " + "[" * 150 + "]" * 150 + "}", "nested too deep"),
        ("AWSTemplateFormatVersion: x\nResources: [1]", "Resources is no object"),
    ],
)
def test_what_cannot_be_worked_out_offline_is_an_error_that_names_it(
    write: Any, text: str, says: str
) -> None:
    with pytest.raises(BadInput) as error:
        sources.read([write("stack.yaml", text)])
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_templates_of_a_folder_see_what_the_others_export_and_define(write: Any, tmp_path: Path) -> None:
    write(
        "a.yaml",
        "Resources: {Topic: {Type: 'AWS::SNS::Topic'}}\nOutputs: {T: {Value: !Ref Topic, Export: {Name: the-topic}}}",
    )
    write("b.yaml", role("{Effect: Allow, Action: 'sns:Publish', Resource: !ImportValue the-topic}"))
    write("notes.yaml", "just: notes")

    world = sources.read([str(tmp_path)], Reading(account="111122223333"))

    assert allowed(world, "Role", "sns:Publish", "arn:aws:sns:us-east-1:111122223333:a-Topic")


def test_a_source_may_belong_to_another_account(write: Any) -> None:
    member = write("member.yaml", role("{Effect: Allow, Action: 's3:*', Resource: '*'}"))

    world = sources.read([f"{member}@222222222222"])

    assert [holder.who.account for holder in world.holders.values()] == ["222222222222"]


def test_what_holds_a_policy_that_irkit_does_not_read_gets_no_answers_about_its_service(write: Any) -> None:
    text = """
Resources:
  Vault:
    Type: AWS::Backup::BackupVault
    Properties: {AccessPolicy: {Statement: [{Effect: Deny, Principal: "*", Action: "backup:*", Resource: "*"}]}}
"""
    world = sources.read([write("stack.yaml", text)])

    assert world.notes == ("stack.yaml: Vault (AWS::Backup::BackupVault) holds a policy that is not read",)
    with pytest.raises(BadInput, match="hangs on Vault"):
        can(
            world,
            f"arn:aws:iam::{HOME}:root",
            "backup:DeleteBackupVault",
            f"arn:aws:backup:us-east-1:{HOME}:backup-vault:v",
        )


def test_organization_policies_of_a_template_apply_beside_full_access(write: Any) -> None:
    text = """
Resources:
  Guard:
    Type: AWS::Organizations::Policy
    Properties:
      Type: SERVICE_CONTROL_POLICY
      Name: guard
      Content: {Version: "2012-10-17", Statement: {Effect: Deny, Action: "iam:*", Resource: "*"}}
"""
    world = sources.read(
        [write("org.yaml", text), write("role.yaml", role("{Effect: Allow, Action: '*', Resource: '*'}"))]
    )

    assert allowed(world, "Role", "s3:GetObject", "arn:aws:s3:::b/k")
    assert not allowed(world, "Role", "iam:CreateUser", f"arn:aws:iam::{HOME}:user/x")


def test_permissions_of_a_function_add_up_to_its_policy(write: Any) -> None:
    text = """
Resources:
  Function: {Type: AWS::Lambda::Function, Properties: {FunctionName: f}}
  FromSns: {Type: AWS::Lambda::Permission, Properties: {FunctionName: !Ref Function, Action: lambda:InvokeFunction,
            Principal: sns.amazonaws.com, SourceArn: !Sub "arn:aws:sns:us-east-1:${AWS::AccountId}:t"}}
  FromAway: {Type: AWS::Lambda::Permission, Properties: {FunctionName: !GetAtt Function.Arn, Principal: "222222222222",
             Action: lambda:InvokeFunction}}
"""
    world = sources.read([write("stack.yaml", text)])
    function = f"arn:aws:lambda:us-east-1:{HOME}:function:f"
    topic = {"aws:SourceArn": f"arn:aws:sns:us-east-1:{HOME}:t"}

    assert allowed(world, "sns.amazonaws.com", "lambda:InvokeFunction", function, **topic)
    assert not allowed(world, "sns.amazonaws.com", "lambda:InvokeFunction", function)
    assert not allowed(world, "events.amazonaws.com", "lambda:InvokeFunction", function, **topic)


def details() -> dict[str, Any]:
    arn = f"arn:aws:iam::{HOME}"
    trust = document({"Effect": "Allow", "Principal": {"AWS": HOME}, "Action": "sts:AssumeRole"})
    return {
        "UserDetailList": [
            {
                "UserName": "ana", "Arn": f"{arn}:user/ana", "GroupList": ["readers"], "AttachedManagedPolicies": [],
                "PermissionsBoundary": {"PermissionsBoundaryArn": f"{arn}:policy/Limit"},
            },
            {
                "UserName": "boss", "Arn": f"{arn}:user/boss",
                "AttachedManagedPolicies": [{"PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}],
            },
            {
                "UserName": "eve", "Arn": f"{arn}:user/eve",
                "AttachedManagedPolicies": [{"PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}],
            },
        ],
        "GroupDetailList": [
            {
                "GroupName": "readers", "Arn": f"{arn}:group/readers", "AttachedManagedPolicies": [],
                "GroupPolicyList": [{"PolicyName": "read", "PolicyDocument": document(allow("s3:*"))}],
            }
        ],
        "RoleDetailList": [
            {
                "RoleName": "r", "Arn": f"{arn}:role/r", "AssumeRolePolicyDocument": quote(json.dumps(trust)),
                "RolePolicyList": [], "AttachedManagedPolicies": [{"PolicyArn": f"{arn}:policy/Limit"}],
            }
        ],
        "Policies": [
            {
                "PolicyName": "Limit", "Arn": f"{arn}:policy/Limit",
                "PolicyVersionList": [
                    {"VersionId": "v2", "IsDefaultVersion": True, "Document": document(allow("s3:GetObject"))},
                    {"VersionId": "v1", "IsDefaultVersion": False, "Document": document(allow("*"))},
                ],
            }
        ],
    }  # fmt: skip


def test_account_details_become_users_with_groups_boundaries_and_default_versions(write: Any) -> None:
    world = sources.read([write("details.json", details())])
    thing = "arn:aws:s3:::b/k"

    assert allowed(world, "ana", "s3:GetObject", thing)
    assert not allowed(world, "ana", "s3:PutObject", thing)
    assert allowed(world, "boss", "s3:PutObject", thing)
    assert allowed(world, "r", "s3:GetObject", thing)
    assert not allowed(world, "ana", "sts:AssumeRole", f"arn:aws:iam::{HOME}:role/r")
    assert allowed(world, "boss", "sts:AssumeRole", f"arn:aws:iam::{HOME}:role/r")


def test_a_policy_of_aws_that_no_source_holds_leaves_its_holder_without_answers_until_it_is_given(
    write: Any, tmp_path: Path
) -> None:
    write("details.json", details())
    with pytest.raises(
        BadInput, match="eve holds arn:aws:iam::aws:policy/ReadOnlyAccess, whose text no source has"
    ):
        allowed(sources.read([str(tmp_path)]), "eve", "s3:GetObject", "arn:aws:s3:::b/k")

    write("ReadOnlyAccess.json", {"PolicyVersion": {"Document": document(allow("s3:Get*"))}})
    assert allowed(sources.read([str(tmp_path)]), "eve", "s3:GetObject", "arn:aws:s3:::b/k")


WORLD = """
principals:
  - arn: arn:aws:iam::123456789012:role/Reader
    policies: [{Statement: {Effect: Allow, Action: "s3:*", Resource: "*"}}]
    boundary: {Statement: {Effect: Allow, Action: "s3:Get*", Resource: "*"}}
  - arn: arn:aws:iam::222222222222:role/Away
    policies: [own.json]
resources:
  - arn: arn:aws:s3:::evidence
    account: "123456789012"
    policy: {Statement: {Effect: Allow, Principal: {AWS: "222222222222"}, Action: "s3:GetObject", Resource: "*"}}
scps:
  - [FullAWSAccess, {Statement: {Effect: Deny, Action: "s3:GetObject", Resource: "arn:aws:s3:::evidence/held/*"}}]
"""


def test_a_world_file_says_who_holds_what(write: Any) -> None:
    write("own.json", document(allow("s3:*")))
    world = sources.read([write("world.yaml", WORLD)])

    assert allowed(world, "Reader", "s3:GetObject", "arn:aws:s3:::evidence/k")
    assert not allowed(world, "Reader", "s3:PutObject", "arn:aws:s3:::evidence/k")
    assert allowed(world, "Away", "s3:GetObject", "arn:aws:s3:::evidence/k")
    assert not allowed(world, "Away", "s3:PutObject", "arn:aws:s3:::evidence/k")
    assert not allowed(world, "Reader", "s3:GetObject", "arn:aws:s3:::evidence/held/k")


def test_loose_policies_belong_to_whoever_and_whatever_is_asked_about(write: Any) -> None:
    held = write("held.json", document(allow("s3:GetObject")))
    bucket = write("bucket.json", document({**allow("s3:GetObject"), "Effect": "Deny", "Principal": "*"}))
    key = write("key.json", document(allow("kms:Decrypt", Principal={"AWS": HOME})))
    who = f"arn:aws:iam::{HOME}:role/r"

    assert allowed(sources.read([held]), who, "s3:GetObject", "arn:aws:s3:::b/k")
    assert not allowed(sources.read([held, bucket]), who, "s3:GetObject", "arn:aws:s3:::b/k")
    assert allowed(sources.read([held, key]), who, "s3:GetObject", "arn:aws:s3:::b/k")
    two = sources.read([bucket, write("other.json", json.loads(Path(bucket).read_text()))])
    with pytest.raises(BadInput, match="could both be the policy of"):
        allowed(two, who, "s3:GetObject", "arn:aws:s3:::b/k")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "trust.json",
            document({"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}),
            "of which role",
        ),
        ("other.json", {"Foo": 1}, "neither a policy, a template, a world file nor account details"),
        ("list.json", [], "neither a policy"),
        ("broken.json", "{", "is not JSON"),
        ("latin.json", "{}", "is not UTF-8"),
        ("world.yaml", "principals: [{name: x}]", "an entry without an arn"),
        ("world.yaml", "principals: 3", "not shaped as such files are"),
        ("details.json", {"RoleDetailList": [{}]}, "not shaped as such files are"),
    ],
)
def test_a_source_that_is_not_understood_is_refused(write: Any, name: str, content: Any, says: str) -> None:
    path = write(name, content)
    if name == "latin.json":
        Path(path).write_bytes(b'{"Statement": "\xff\xfe"}')
    with pytest.raises(BadInput) as error:
        sources.read([path])
    assert says in str(error.value)


def test_a_source_that_does_not_exist_and_a_folder_without_any_are_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no file or folder"):
        sources.read([str(tmp_path / "nothing")])
    with pytest.raises(NotFound, match="hold no policy and no template"):
        sources.read([str(tmp_path)])


def test_a_template_in_json_nested_without_end_is_refused(write: Any) -> None:
    deep = '{"a": ' * 600 + "1" + "}" * 600
    text = '{"Resources": {"A": {"Type": "AWS::Backup::BackupVault", "Properties": ' + deep + "}}}"
    path = write("deep.json", text)
    with pytest.raises(BadInput, match=r"not shaped as such files are"):
        sources.read([path])


def test_a_policy_in_a_folder_is_not_given_to_those_whose_policies_are_described(
    write: Any, tmp_path: Path
) -> None:
    write("role.yaml", role("{Effect: Allow, Action: 'ec2:*', Resource: '*'}"))
    write("unused.json", document(allow("s3:*")))
    world = sources.read([str(tmp_path)])

    assert not allowed(world, "Role", "s3:GetObject", "arn:aws:s3:::b/k")
    assert allowed(world, f"arn:aws:iam::{HOME}:role/elsewhere", "s3:GetObject", "arn:aws:s3:::b/k")


def test_a_deny_may_compare_a_key_with_a_parameter_without_a_value_which_then_stands_for_itself(
    write: Any,
) -> None:
    other = """{Effect: Deny, Action: 's3:*', Resource: '*',
                Condition: {StringNotEqualsIfExists: {aws:PrincipalOrgID: !Ref Unsaid}}}"""
    both = f"[{{Effect: Allow, Action: 's3:*', Resource: '*'}}, {other}]"
    world = sources.read([write("stack.yaml", role(both))])
    answer = can(world, "Role", "s3:GetObject", "arn:aws:s3:::b/k")

    assert not answer.decision.allowed
    assert answer.otherwise is not None
    assert answer.otherwise.request.context["aws:principalorgid"] == ("<Unsaid>",)


def test_a_session_is_known_by_its_role_whose_path_its_own_arn_does_not_show(write: Any) -> None:
    world = sources.read([write("stack.yaml", TEMPLATE)])
    session = f"arn:aws:sts::{HOME}:assumed-role/Analyst/ana"

    answer = can(world, session, "s3:GetObject", f"{BUCKET}/cases/c1/x")

    assert answer.decision.allowed
    assert answer.request.context["aws:principalarn"] == (f"arn:aws:iam::{HOME}:role/team/Analyst",)
