"""What a CloudFormation resource is called once it exists: its name, its ARN, what Ref and GetAtt answer.

From the CloudFormation Template Reference ("Return values" of each type) and the Service Authorization Reference
(formats of ARNs). A type that is not listed gets a symbolic ARN of its service, account and logical name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Type: the property that names it, and the resource part of its ARN. `{r}` and `{a}` before it where it has them.
_TYPES = {
    "AWS::IAM::Role": ("RoleName", "iam::{a}:role/{n}"),
    "AWS::IAM::User": ("UserName", "iam::{a}:user/{n}"),
    "AWS::IAM::Group": ("GroupName", "iam::{a}:group/{n}"),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName", "iam::{a}:policy/{n}"),
    "AWS::IAM::InstanceProfile": ("InstanceProfileName", "iam::{a}:instance-profile/{n}"),
    "AWS::S3::Bucket": ("BucketName", "s3:::{n}"),
    "AWS::KMS::Key": (None, "kms:{r}:{a}:key/{n}"),
    "AWS::SNS::Topic": ("TopicName", "sns:{r}:{a}:{n}"),
    "AWS::SQS::Queue": ("QueueName", "sqs:{r}:{a}:{n}"),
    "AWS::Lambda::Function": ("FunctionName", "lambda:{r}:{a}:function:{n}"),
    "AWS::StepFunctions::StateMachine": ("StateMachineName", "states:{r}:{a}:stateMachine:{n}"),
    "AWS::Logs::LogGroup": ("LogGroupName", "logs:{r}:{a}:log-group:{n}:*"),
    "AWS::DynamoDB::Table": ("TableName", "dynamodb:{r}:{a}:table/{n}"),
    "AWS::ECR::Repository": ("RepositoryName", "ecr:{r}:{a}:repository/{n}"),
    "AWS::ECS::Cluster": ("ClusterName", "ecs:{r}:{a}:cluster/{n}"),
    "AWS::ECS::TaskDefinition": ("Family", "ecs:{r}:{a}:task-definition/{n}:1"),
    "AWS::SSM::Document": ("Name", "ssm:{r}:{a}:document/{n}"),
    "AWS::SecretsManager::Secret": ("Name", "secretsmanager:{r}:{a}:secret:{n}-AAAAAA"),
    "AWS::CloudTrail::Trail": ("TrailName", "cloudtrail:{r}:{a}:trail/{n}"),
    "AWS::Events::Rule": ("Name", "events:{r}:{a}:rule/{n}"),
    "AWS::Events::EventBus": ("Name", "events:{r}:{a}:event-bus/{n}"),
    "AWS::SageMaker::NotebookInstance": ("NotebookInstanceName", "sagemaker:{r}:{a}:notebook-instance/{n}"),
    "AWS::EC2::VPC": (None, "ec2:{r}:{a}:vpc/{n}"),
    "AWS::EC2::VPCEndpoint": (None, "ec2:{r}:{a}:vpc-endpoint/{n}"),
}
# Ref answers the ARN for these, and the name for the rest.
_REF_IS_ARN = {
    "AWS::IAM::ManagedPolicy", "AWS::SNS::Topic", "AWS::StepFunctions::StateMachine", "AWS::SecretsManager::Secret",
    "AWS::ECS::TaskDefinition",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a template is taken to be deployed: `file` it is, `stack` it becomes, account, region and partition."""

    file: str
    stack: str
    account: str
    region: str
    partition: str

    @property
    def pseudo(self) -> dict[str, str]:
        """The values of CloudFormation's pseudo parameters."""
        suffix = "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"
        return {
            "AWS::AccountId": self.account,
            "AWS::Region": self.region,
            "AWS::Partition": self.partition,
            "AWS::URLSuffix": suffix,
            "AWS::StackName": self.stack,
            "AWS::StackId": f"arn:{self.partition}:cloudformation:{self.region}:{self.account}:stack/{self.stack}/0",
        }

    @staticmethod
    def name_property(kind: str) -> str | None:
        """The property that names a resource of this type."""
        return _TYPES.get(kind, (None, ""))[0]

    def made_up(self, kind: str, logical: str) -> str:
        """The name that stands for the one CloudFormation would make up."""
        name = f"{self.stack}-{logical}"
        return re.sub(r"[^a-z0-9-]", "-", name.lower()) if kind == "AWS::S3::Bucket" else name


def arn(kind: str, name: str, place: Place) -> str:
    """The ARN of a resource of type `kind` with this name."""
    _, form = _TYPES.get(kind, (None, ""))
    service = kind.split("::")[1].lower() if kind.count("::") == 2 else "cloudformation"
    form = form or f"{service}:{{r}}:{{a}}:{{n}}"
    return f"arn:{place.partition}:" + form.format(r=place.region, a=place.account, n=name)


def reference(kind: str, name: str, place: Place) -> str:
    """What Ref answers."""
    if kind == "AWS::SQS::Queue":
        return f"https://sqs.{place.region}.{place.pseudo['AWS::URLSuffix']}/{place.account}/{name}"
    if kind in _REF_IS_ARN:
        return arn(kind, name, place)
    return name.rpartition("/")[2] if kind.startswith("AWS::IAM::") else name


def attribute(kind: str, name: str, wanted: str, place: Place) -> str:
    """What GetAtt answers; a symbolic text for what is neither an ARN nor a name."""
    if wanted in {"Arn", "TopicArn"}:
        return arn(kind, name, place)
    if wanted in {"Name", "TopicName", "QueueName", "KeyId"}:
        return name
    return f"<{name}.{wanted}>"
