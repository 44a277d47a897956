# ruff: noqa: S608 - SQL is put together from constants; what the user gives is bound
"""How someone gained more, made it last, or took protection away.

References:
    https://attack.mitre.org/matrices/enterprise/cloud/iaas/
    https://docs.aws.amazon.com/service-authorization/latest/reference/ for the operations
"""

from __future__ import annotations

from collections.abc import Mapping

from irkit.hunt.question import SINCE, UNTIL, Question
from irkit.hunt.questions.fragments import DENIED, WINDOW, json_text
from irkit.tables import columns

_WHO = columns("principal ui_arn access_key_id source_ip error_code event_id")
_WHO_SQL = ", ".join(column.name for column in _WHO)

_ROLE = f"""coalesce({json_text("request_parameters", "role")}, {json_text("request_parameters", "roleArn")},
    {json_text("request_parameters", "roleARN")}, {json_text("request_parameters", "iamInstanceProfile", "arn")},
    {json_text("request_parameters", "iamInstanceProfile", "name")}, {json_text("request_parameters", "taskRoleArn")},
    {json_text("request_parameters", "executionRoleArn")}, {json_text("request_parameters", "serviceRole")},
    {json_text("request_parameters", "AssociateIamInstanceProfileRequest", "IamInstanceProfile", "Name")},
    {json_text("request_parameters", "AssociateIamInstanceProfileRequest", "IamInstanceProfile", "Arn")})"""
_OF_ANOTHER = "target_user is not null and target_user <> coalesce(ui_user_name, '')"
# Path: operations, and what else must hold.
_PATHS: Mapping[str, tuple[str, str]] = {
    "credentials of another user": (
        "CreateAccessKey CreateLoginProfile UpdateLoginProfile CreateServiceSpecificCredential",
        _OF_ANOTHER,
    ),
    "permissions for a user": ("AttachUserPolicy PutUserPolicy AddUserToGroup", ""),
    "permissions for a group": ("AttachGroupPolicy PutGroupPolicy", ""),
    "permissions for a role": ("AttachRolePolicy PutRolePolicy AddRoleToInstanceProfile", ""),
    "another version of a policy": ("CreatePolicyVersion SetDefaultPolicyVersion", ""),
    "trust of a role": ("UpdateAssumeRolePolicy", ""),
    "boundary removed": ("DeleteUserPermissionsBoundary DeleteRolePermissionsBoundary", ""),
    "role passed to an instance": (
        "RunInstances AssociateIamInstanceProfile ReplaceIamInstanceProfileAssociation",
        f"{_ROLE} is not null",
    ),
    "role passed to a service": (
        (
            "CreateFunction20150331 UpdateFunctionConfiguration20150331v2 CreateStack UpdateStack CreateDevEndpoint"
            " CreateJob CreatePipeline CreateNotebookInstance CreateTrainingJob RegisterTaskDefinition RunTask"
            " CreateProject CreateStateMachine"
        ),
        f"{_ROLE} is not null",
    ),
}
_LASTING: Mapping[str, str] = {
    "key or password": (
        "CreateAccessKey CreateLoginProfile CreateServiceSpecificCredential UploadSSHPublicKey"
        " UploadSigningCertificate ImportKeyPair CreateKeyPair"
    ),
    "user or role": "CreateUser CreateRole UpdateAssumeRolePolicy CreateAccountAssignment",
    "outside identities": (
        "CreateSAMLProvider UpdateSAMLProvider CreateOpenIDConnectProvider CreateTrustAnchor CreateProfile"
    ),
    "long session": "GetFederationToken GetSessionToken",
    "code that is called": (
        "CreateFunction20150331 UpdateFunctionCode20150331v2 AddPermission20150331v2"
        " PublishLayerVersion20181031 CreateFunctionUrlConfig PutRule PutTargets CreateSchedule"
    ),
    "code on machines": (
        "CreateAssociation UpdateAssociation CreateLaunchTemplateVersion RegisterTaskDefinition"
        " UpdateNotebookInstanceLifecycleConfig"
    ),
}
_PROTECTION: Mapping[str, str] = {
    "second factor": "DeactivateMFADevice DeleteVirtualMFADevice",
    "password rules": "DeleteAccountPasswordPolicy UpdateAccountPasswordPolicy",
    "encryption": "DisableEbsEncryptionByDefault ScheduleKeyDeletion DisableKey DeleteBucketEncryption",
    "public access block": (
        "DeletePublicAccessBlock DeleteBucketPublicAccessBlock PutPublicAccessBlock"
        " PutBucketPublicAccessBlock DisableSnapshotBlockPublicAccess DisableImageBlockPublicAccess"
    ),
    "network": (
        "AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress CreateNetworkAclEntry"
        " ReplaceNetworkAclEntry DeleteFirewall DeleteWebACL DisassociateWebACL"
    ),
    "metadata service": "ModifyInstanceMetadataOptions ModifyInstanceMetadataDefaults",
    "backups": (
        "DeleteSnapshot DeregisterImage DeleteDBSnapshot DeleteBackupVault DeleteRecoveryPoint"
        " PutBucketVersioning UnlockSnapshot"
    ),
    "findings": (
        "CreateFilter UpdateFindings BatchUpdateFindings ArchiveFindings CreateIPSet UpdateIPSet"
        " DisableMacie CreateSuppressionRule"
    ),
    "organization": "LeaveOrganization DetachPolicy DeletePolicy RemoveAccountFromOrganization",
}


def _listed(names: str) -> str:
    return "(" + ", ".join(f"'{name}'" for name in names.split()) + ")"


def _kinds(kinds: Mapping[str, str]) -> str:
    return (
        "case "
        + " ".join(f"when event_name in {_listed(n)} then '{kind}'" for kind, n in kinds.items())
        + " end"
    )


def _any(kinds: Mapping[str, str]) -> str:
    return f"event_name in {_listed(' '.join(kinds.values()))}"


_PATH = "case " + " ".join(
    f"when event_name in {_listed(names)}{f' and {also}' if also else ''} then '{path}'"
    for path, (names, also) in _PATHS.items()
)  # fmt: skip
_TARGET = f"""coalesce(target_user, {json_text("request_parameters", "roleName")},
    {json_text("request_parameters", "groupName")}, {json_text("request_parameters", "policyArn")},
    {json_text("request_parameters", "functionName")}, {json_text("request_parameters", "name")})"""
_THING = f"""coalesce({_TARGET}, bucket, {json_text("request_parameters", "keyId")},
    {json_text("request_parameters", "groupId")}, {json_text("request_parameters", "instanceId")},
    {json_text("request_parameters", "snapshotId")}, {json_text("request_parameters", "detectorId")},
    {json_text("request_parameters", "policyId")})"""

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="privilege_escalation",
        title="Ways to more permissions that were taken or tried",
        doc="""Calls that give their caller, or someone, more than before: credentials of another user, policies,
        trust, roles passed to machines and services. `used_at` is when what was gained was first used: the first
        call with a created key, or the first session of a role whose trust was changed. Refused attempts count.""",
        params=(SINCE, UNTIL),
        columns=columns(
            "event_time:TIMESTAMP path event_name target role created_access_key_id used_at:TIMESTAMP denied:BOOLEAN"
        )
        + _WHO,
        attack=("T1098", "T1548", "T1078.004"),
        sql=f"""with steps as (
                select event_time, {_PATH} end as path, event_name, {_TARGET} as target, {_ROLE} as role,
                       created_access_key_id, {DENIED} as denied, {_WHO_SQL}
                from cloudtrail
                where event_name in {_listed(" ".join(names for names, _ in _PATHS.values()))} and {WINDOW}
            ), keys as (
                select access_key_id as used_key, min(event_time) as used_at from cloudtrail
                where access_key_id in (select created_access_key_id from steps) group by access_key_id
            ), trusts as (
                select s.event_id as trust_id, min(e.event_time) as used_at from steps s
                join edge e on e.role_arn like '%/' || s.target and e.event_time >= s.event_time
                where s.path = 'trust of a role' group by s.event_id
            )
            select s.event_time, path, event_name, target, role, created_access_key_id,
                   coalesce(keys.used_at, trusts.used_at) as used_at, denied, {_WHO_SQL}
            from steps s left join keys on keys.used_key = s.created_access_key_id
            left join trusts on trusts.trust_id = s.event_id
            where path is not null order by s.event_time, event_id""",
    ),
    Question(
        name="persistence",
        title="What was made to last",
        doc="""Keys, users, roles, trust, outside identities, long sessions, functions and jobs that were made or
        changed: what an intruder comes back through after the first way in is closed. Refused attempts count.""",
        params=(SINCE, UNTIL),
        columns=columns("event_time:TIMESTAMP kind event_source event_name target denied:BOOLEAN") + _WHO,
        attack=("T1098", "T1136.003", "T1525", "T1546"),
        sql=f"""select event_time, {_kinds(_LASTING)} as kind, event_source, event_name, {_THING} as target,
                   {DENIED} as denied, {_WHO_SQL}
            from cloudtrail where {_any(_LASTING)} and {WINDOW} order by event_time, event_id""",
    ),
    Question(
        name="protection_removed",
        title="Protection that was taken away",
        doc="""Second factors, encryption, public access blocks, network rules, metadata settings, backups, findings
        and organization policies that were removed or loosened, or changed in a way that may be that. For the
        logs themselves see `log_tampering`. Refused attempts count.""",
        params=(SINCE, UNTIL),
        columns=columns("event_time:TIMESTAMP kind event_source event_name target denied:BOOLEAN") + _WHO,
        attack=("T1562", "T1556.006", "T1490"),
        sql=f"""select event_time, {_kinds(_PROTECTION)} as kind, event_source, event_name, {_THING} as target,
                   {DENIED} as denied, {_WHO_SQL}
            from cloudtrail where {_any(_PROTECTION)} and {WINDOW} order by event_time, event_id""",
    ),
)
