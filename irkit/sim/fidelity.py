"""How true each simulated answer is: the table that the docs show and a test holds irkit to.

An operation that irkit may call stands here with its level; one that does not is either refused by the simulator or
answered by plain moto, unexamined. Levels: see `LEVELS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from irkit.sim.world import Call

LEVELS = {
    "L3": "real: a real script, file system, picture, checksum or signature",
    "L2": "the documented states, limits and errors, on made-up data",
    "L1": "the shape of the answer; little behind it",
    "L0": "not simulated: refused with NotSimulated (HTTP 501)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """The level of one operation, and what to know about it."""

    service: str
    operation: str
    level: str
    remark: str = ""


_OPERATIONS = {
    ("athena", "L3"): "StartQueryExecution GetQueryResults",
    ("athena", "L2"): "GetQueryExecution CreateWorkGroup GetWorkGroup DeleteWorkGroup StopQueryExecution",
    ("glue", "L2"): "CreateDatabase GetDatabase DeleteDatabase CreateTable GetTable GetTables DeleteTable",
    (
        "ec2",
        "L3",
    ): "GetConsoleScreenshot GetConsoleOutput CreateSnapshot CreateSnapshots CopySnapshot CreateVolume",
    ("ec2", "L2"): """
        DescribeInstances DescribeInstanceStatus DescribeInstanceAttribute ModifyInstanceAttribute
        RunInstances StartInstances StopInstances RebootInstances TerminateInstances MonitorInstances
        UnmonitorInstances ModifyInstanceMetadataOptions DescribeInstanceTypes DescribeVolumes ModifyVolume
        DescribeVolumesModifications DeleteVolume AttachVolume DetachVolume DescribeSnapshots
        DescribeSnapshotAttribute ModifySnapshotAttribute DeleteSnapshot LockSnapshot UnlockSnapshot
        DescribeLockedSnapshots CreateTags DeleteTags DescribeTags DescribeNetworkInterfaces
        ModifyNetworkInterfaceAttribute CreateNetworkInterface AttachNetworkInterface DetachNetworkInterface
        DeleteNetworkInterface DescribeNetworkInterfaceAttribute DescribeSecurityGroups
        DescribeSecurityGroupRules CreateSecurityGroup DeleteSecurityGroup AuthorizeSecurityGroupIngress
        AuthorizeSecurityGroupEgress RevokeSecurityGroupIngress RevokeSecurityGroupEgress
        DescribeNetworkAcls CreateNetworkAcl CreateNetworkAclEntry DeleteNetworkAclEntry
        ReplaceNetworkAclEntry ReplaceNetworkAclAssociation DeleteNetworkAcl DescribeRouteTables
        CreateRouteTable CreateRoute AssociateRouteTable DescribeSubnets CreateSubnet DescribeVpcs CreateVpc
        AssignPrivateIpAddresses UnassignPrivateIpAddresses AssignIpv6Addresses UnassignIpv6Addresses
        ModifyVpcAttribute DescribeVpcAttribute DescribeVpcEndpoints CreateVpcEndpoint
        DescribeVpcPeeringConnections DescribeNatGateways DescribeInternetGateways CreateInternetGateway
        AttachInternetGateway DescribeManagedPrefixLists DescribePrefixLists DescribeAddresses
        AllocateAddress AssociateAddress DisassociateAddress ReleaseAddress
        DescribeIamInstanceProfileAssociations AssociateIamInstanceProfile DisassociateIamInstanceProfile
        ReplaceIamInstanceProfileAssociation DescribeRegions DescribeAvailabilityZones DescribeImages
        CreateImage DescribeLaunchTemplates DescribeLaunchTemplateVersions CreateLaunchTemplate
        DescribeKeyPairs CreateKeyPair DescribeSpotInstanceRequests
    """,
    ("ec2", "L1"): """
        DescribeFlowLogs CreateFlowLogs DeleteFlowLogs GetInstanceUefiData DescribeTransitGatewayAttachments
        DescribeTransitGatewayVpcAttachments
        CreateTrafficMirrorTarget CreateTrafficMirrorFilter CreateTrafficMirrorSession
        DescribeTrafficMirrorSessions GetEbsEncryptionByDefault EnableEbsEncryptionByDefault
    """,
    ("ec2", "L0"): """
        AssociateKmsKeyId DisassociateKmsKeyId CopyVolumes SendDiagnosticInterrupt DescribeVolumeStatus
        CreateNetworkInsightsPath StartNetworkInsightsAnalysis DescribeNetworkInsightsAnalyses
        DescribeInstanceConnectEndpoints ListSnapshotsInRecycleBin GetSnapshotBlockPublicAccessState
        CreateReplaceRootVolumeTask GetEbsDefaultKmsKeyId
    """,
    (
        "ebs",
        "L3",
    ): "ListSnapshotBlocks GetSnapshotBlock ListChangedBlocks StartSnapshot PutSnapshotBlock CompleteSnapshot",
    ("ssm", "L3"): """
        SendCommand GetCommandInvocation ListCommandInvocations CancelCommand
    """,
    ("ssm", "L2"): """
        ListCommands DescribeInstanceInformation GetParameter GetParameters GetParametersByPath PutParameter
        DescribeParameters DeleteParameter CreateDocument DescribeDocument GetDocument ListDocuments
        DeleteDocument
    """,
    ("ssm", "L1"): "ListInventoryEntries GetServiceSetting",
    (
        "ssm",
        "L0",
    ): "StartSession GetConnectionStatus StartAutomationExecution DescribeAssociation",
    ("iam", "L2"): """
        GetUser ListUsers CreateUser DeleteUser GetRole ListRoles CreateRole DeleteRole
        UpdateAssumeRolePolicy TagRole UntagRole ListRoleTags ListUserTags TagUser GetRolePolicy
        PutRolePolicy DeleteRolePolicy ListRolePolicies ListAttachedRolePolicies AttachRolePolicy
        DetachRolePolicy GetUserPolicy PutUserPolicy DeleteUserPolicy ListUserPolicies
        ListAttachedUserPolicies AttachUserPolicy DetachUserPolicy ListGroupsForUser GetGroup ListGroups
        ListGroupPolicies GetGroupPolicy ListAttachedGroupPolicies CreateGroup AddUserToGroup
        RemoveUserFromGroup PutGroupPolicy GetPolicy GetPolicyVersion ListPolicies ListPolicyVersions
        CreatePolicy DeletePolicy CreatePolicyVersion GetInstanceProfile ListInstanceProfiles
        ListInstanceProfilesForRole CreateInstanceProfile DeleteInstanceProfile AddRoleToInstanceProfile
        RemoveRoleFromInstanceProfile ListAccessKeys CreateAccessKey UpdateAccessKey DeleteAccessKey
        GetAccessKeyLastUsed GetAccountAuthorizationDetails ListMFADevices GetLoginProfile
        CreateLoginProfile UpdateLoginProfile DeleteLoginProfile ListAccountAliases
        PutRolePermissionsBoundary DeleteRolePermissionsBoundary ListEntitiesForPolicy
        SimulatePrincipalPolicy GenerateCredentialReport GetCredentialReport
    """,
    ("iam", "L1"): """
        GetAccountSummary GetAccountPasswordPolicy ListSigningCertificates ListSSHPublicKeys
    """,
    ("iam", "L0"): """
        SimulateCustomPolicy GenerateServiceLastAccessedDetails GetServiceLastAccessedDetails
        ListServiceSpecificCredentials PutUserPermissionsBoundary
    """,
    ("sts", "L2"): "GetCallerIdentity AssumeRole GetAccessKeyInfo GetFederationToken",
    ("sts", "L1"): """
        GetSessionToken AssumeRoleWithSAML AssumeRoleWithWebIdentity
    """,
    ("sts", "L0"): "DecodeAuthorizationMessage",
    ("kms", "L3"): "Sign Verify GetPublicKey",
    ("kms", "L2"): """
        CreateKey DescribeKey ListKeys CreateAlias ListAliases DeleteAlias EnableKey DisableKey
        ScheduleKeyDeletion CancelKeyDeletion Encrypt Decrypt ReEncrypt GenerateDataKey
        GenerateDataKeyWithoutPlaintext TagResource ListResourceTags
    """,
    (
        "kms",
        "L1",
    ): """
        CreateGrant ListGrants RevokeGrant RetireGrant GetKeyPolicy PutKeyPolicy ListKeyPolicies GetKeyRotationStatus
        EnableKeyRotation
    """,
    ("s3", "L3"): """
        PutObject GetObject HeadObject ListObjectsV2 ListObjects ListObjectVersions CopyObject DeleteObject
        DeleteObjects CreateMultipartUpload UploadPart UploadPartCopy CompleteMultipartUpload
        AbortMultipartUpload ListParts ListMultipartUploads GetObjectAttributes
    """,
    ("s3", "L2"): """
        CreateBucket DeleteBucket HeadBucket ListBuckets GetBucketLocation GetBucketPolicy PutBucketPolicy
        DeleteBucketPolicy GetBucketVersioning PutBucketVersioning GetObjectLockConfiguration
        PutObjectLockConfiguration GetObjectRetention PutObjectRetention GetObjectLegalHold
        PutObjectLegalHold GetObjectTagging PutObjectTagging DeleteObjectTagging GetBucketTagging
        PutBucketTagging GetBucketEncryption PutBucketEncryption PostObject
    """,
    ("s3", "L1"): """
        GetPublicAccessBlock PutPublicAccessBlock DeletePublicAccessBlock GetBucketOwnershipControls
        PutBucketOwnershipControls GetBucketLogging PutBucketLogging GetBucketNotificationConfiguration
        PutBucketNotificationConfiguration GetBucketAcl PutBucketAcl GetObjectAcl GetBucketPolicyStatus
        GetBucketLifecycleConfiguration PutBucketLifecycleConfiguration GetBucketReplication GetBucketCors
        GetBucketWebsite
    """,
    ("s3", "L0"): """
        GetBucketMetricsConfiguration GetBucketAnalyticsConfiguration GetBucketRequestPayment
    """,
    ("cloudtrail", "L3"): "ListPublicKeys",
    ("cloudtrail", "L2"): """
        LookupEvents DescribeTrails ListTrails GetTrail GetTrailStatus CreateTrail UpdateTrail DeleteTrail
        StartLogging StopLogging GetEventSelectors PutEventSelectors ListTags AddTags
    """,
    ("cloudtrail", "L1"): "GetInsightSelectors PutInsightSelectors",
    ("cloudtrail", "L0"): "StartQuery GetQueryResults ListEventDataStores",
    ("autoscaling", "L2"): """
        DescribeAutoScalingInstances DescribeAutoScalingGroups CreateAutoScalingGroup UpdateAutoScalingGroup
        DeleteAutoScalingGroup SetInstanceProtection EnterStandby ExitStandby DetachInstances
        AttachInstances SuspendProcesses ResumeProcesses CreateOrUpdateTags TerminateInstanceInAutoScalingGroup
    """,
    (
        "autoscaling",
        "L1",
    ): "DescribeScalingActivities DescribeLifecycleHooks DescribeLoadBalancerTargetGroups DescribeLoadBalancers",
    ("elbv2", "L2"): """
        DescribeTargetGroups DescribeTargetHealth RegisterTargets DeregisterTargets CreateTargetGroup
        DescribeTargetGroupAttributes ModifyTargetGroupAttributes DescribeLoadBalancers CreateLoadBalancer
        DescribeListeners CreateListener DescribeRules DescribeTags
    """,
    (
        "elb",
        "L2",
    ): """
        DescribeLoadBalancers DescribeInstanceHealth DeregisterInstancesFromLoadBalancer
        RegisterInstancesWithLoadBalancer
    """,
    (
        "sns",
        "L2",
    ): "CreateTopic ListTopics GetTopicAttributes SetTopicAttributes Subscribe ListSubscriptionsByTopic Publish",
    (
        "sqs",
        "L2",
    ): "CreateQueue GetQueueUrl GetQueueAttributes SetQueueAttributes ReceiveMessage SendMessage DeleteMessage",
    ("logs", "L1"): """
        DescribeLogGroups CreateLogGroup CreateLogStream PutLogEvents FilterLogEvents
    """,
    ("secretsmanager", "L2"): "ListSecrets GetSecretValue DescribeSecret CreateSecret",
    ("organizations", "L1"): "DescribeOrganization ListAccounts DescribeAccount ListRoots",
    ("guardduty", "L1"): "ListDetectors GetDetector CreateDetector ListFindings GetFindings",
    ("guardduty", "L0"): "StartMalwareScan CreateSampleFindings",
    ("securityhub", "L1"): "GetFindings BatchImportFindings",
    ("config", "L1"): "DescribeConfigurationRecorders GetResourceConfigHistory",
    ("lambda", "L1"): "ListFunctions GetFunction",
    ("rds", "L1"): "DescribeDBInstances DescribeDBSnapshots",
    ("dynamodb", "L1"): "ListTables",
}
_REMARKS = {
    (
        "ssm",
        "SendCommand",
    ): "AWS-RunShellScript runs in namespaces over the scenario's files, needs user namespaces; "
    "AWS-RunPowerShellScript runs nowhere: a host may have recorded answers, else it is refused",
    (
        "ssm",
        "DescribeInstanceInformation",
    ): "online needs a live host, its agent, a group that lets 443 out, and a role not denied",
    ("ec2", "CreateSnapshots"): "a sparse copy of the image at the moment of the call",
    ("ec2", "CreateSnapshot"): "a sparse copy of the image at the moment of the call",
    (
        "ec2",
        "CopySnapshot",
    ): "encryption is stated, not done; a key that is not enabled, or does not admit the account, ends in error",
    ("ec2", "CreateVolume"): "from a snapshot it has the snapshot's data",
    ("ec2", "DescribeRegions"): "ap-east-1 is off",
    (
        "ec2",
        "ReplaceNetworkAclAssociation",
    ): "kept with its 20 entries a direction; no packet is held against it",
    (
        "athena",
        "StartQueryExecution",
    ): "really run, by DuckDB, over the objects in the buckets; where Trino differs, DuckDB's way shows",
    (
        "athena",
        "GetQueryExecution",
    ): "the bytes are those of the objects below the partitions that were asked for",
    ("guardduty", "ListFindings"): "what was planted; of the criteria only the instance is looked at",
    ("config", "GetResourceConfigHistory"): "what was planted",
    ("ssm", "ListInventoryEntries"): "always empty",
    ("ec2", "CreateFlowLogs"): "no records are made; the scenario plants them",
    ("iam", "SimulatePrincipalPolicy"): "identity policies only: no boundary, SCP or resource policy",
    (
        "iam",
        "PutRolePolicy",
    ): "only Deny on every resource is enforced, with userid, principal, date and tag conditions and variables",
    (
        "sts",
        "AssumeRole",
    ): "trust policy, external id, chaining limit and source identity; session policies deny only",
    (
        "sts",
        "GetFederationToken",
    ): "keys of its own for each; its policy is kept, an Allow in it does not narrow",
    ("s3", "UploadPart"): "of a presigned URL the end is checked, the signature is not",
    ("s3", "PutObject"): "CRC32C and CRC64NVME are not checked",
    ("s3", "PutBucketPolicy"): "Deny is enforced with conditions; Allow opens public reads only",
    ("kms", "PutKeyPolicy"): "kept; looked at when a snapshot is copied, else not enforced",
    ("kms", "CreateGrant"): "kept; looked at when a snapshot is copied, else not enforced",
    ("cloudtrail", "LookupEvents"): "also what the scenario planted; no delay",
    (
        "cloudtrail",
        "CreateTrail",
    ): "delivers gzip files and signed digests; the bucket's policy is not checked",
}


def _rows() -> Iterator[Fidelity]:
    for (service, level), names in _OPERATIONS.items():
        for operation in names.split():
            remark = _REMARKS.get((service, operation), "")
            yield Fidelity(service=service, operation=operation, level=level, remark=remark)


TABLE: tuple[Fidelity, ...] = tuple(sorted(_rows(), key=lambda row: (row.service, row.operation)))
"""Every operation that has been looked at, by service and name."""

_BY_NAME = {(row.service, row.operation): row for row in TABLE}


def level(service: str, operation: str) -> str | None:
    """The level of an operation; None for one that nobody has looked at."""
    row = _BY_NAME.get((service, operation))
    return row.level if row is not None else None


def unlisted(calls: Iterable[Call]) -> set[tuple[str, str]]:
    """The operations among `calls` that the table does not list."""
    return {(call.service, call.operation) for call in calls} - _BY_NAME.keys()


def markdown() -> str:
    """The table as a page of the docs."""
    lines = ["# What the simulator does, and how true it is", ""]
    lines += [f"- **{name}** {meaning}" for name, meaning in LEVELS.items()]
    lines += ["", "Anything else is refused, or answered by moto without having been looked at.", ""]
    for service in sorted({row.service for row in TABLE}):
        lines += [f"## {service}", "", "| operation | level | remark |", "|---|---|---|"]
        lines += [f"| {r.operation} | {r.level} | {r.remark} |" for r in TABLE if r.service == service]
        lines.append("")
    return "\n".join(lines)
