# ruff: noqa: S608 - SQL is put together from constants; what the user gives is bound
"""What was changed: credentials created, permissions given, logs tampered with, snapshots shared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from irkit.hunt.question import SINCE, UNTIL, Question
from irkit.hunt.questions.fragments import DENIED, WINDOW, json_text
from irkit.tables import Column, columns

if TYPE_CHECKING:
    import pandas as pd

_WHO: tuple[Column, ...] = columns("principal ui_arn access_key_id source_ip user_agent error_code event_id")
_WHO_SQL = ", ".join(column.name for column in _WHO)

_CREDENTIALS = [
    "CreateAccessKey",
    "UpdateAccessKey",
    "CreateLoginProfile",
    "UpdateLoginProfile",
    "CreateUser",
    "CreateServiceSpecificCredential",
    "UploadSSHPublicKey",
    "UploadSigningCertificate",
    "CreateVirtualMFADevice",
    "EnableMFADevice",
    "CreateSAMLProvider",
    "CreateOpenIDConnectProvider",
    "CreateTrustAnchor",
    "CreateRole",
]
_PERMISSIONS = [
    "AttachUserPolicy",
    "AttachRolePolicy",
    "AttachGroupPolicy",
    "PutUserPolicy",
    "PutRolePolicy",
    "PutGroupPolicy",
    "AddUserToGroup",
    "CreatePolicyVersion",
    "SetDefaultPolicyVersion",
    "UpdateAssumeRolePolicy",
    "CreateInstanceProfile",
    "AddRoleToInstanceProfile",
    "DeleteUserPermissionsBoundary",
    "DeleteRolePermissionsBoundary",
    "PutBucketPolicy",
    "PutBucketAcl",
    "PutKeyPolicy",
    "CreateGrant",
]
_TAMPERING = [
    "StopLogging",
    "DeleteTrail",
    "UpdateTrail",
    "PutEventSelectors",
    "PutInsightSelectors",
    "DeleteFlowLogs",
    "DeleteEventDataStore",
    "StopEventDataStoreIngestion",
    "UpdateEventDataStore",
    "DeleteDetector",
    "UpdateDetector",
    "StopMonitoringMembers",
    "DisassociateFromMasterAccount",
    "DisassociateFromAdministratorAccount",
    "DeleteMembers",
    "CreateFilter",
    "CreateIPSet",
    "StopConfigurationRecorder",
    "DeleteConfigurationRecorder",
    "DeleteDeliveryChannel",
    "DisableSecurityHub",
    "DeleteLogGroup",
    "DeleteLogStream",
    "PutRetentionPolicy",
    "DeleteResolverQueryLogConfig",
    "DisassociateResolverQueryLogConfig",
    "DeleteAlarms",
    "DisableAlarmActions",
    "PutBucketLifecycle",
    "PutBucketLifecycleConfiguration",
    "DeleteAnalyzer",
    "LeaveOrganization",
]
_SHARING = [
    "ModifySnapshotAttribute",
    "ModifyImageAttribute",
    "ModifyDBSnapshotAttribute",
    "ModifyDBClusterSnapshotAttribute",
    "AuthorizeSnapshotAccess",
]


def _names(names: list[str]) -> str:
    return "(" + ", ".join(f"'{name}'" for name in names) + ")"


def _shared(frame: pd.DataFrame) -> pd.DataFrame:
    """One row for each account that something was shared with."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for row in frame.to_dict(orient="records"):
        try:
            request = json.loads(row["request_parameters"])
        except (TypeError, ValueError, RecursionError):
            continue
        if not isinstance(request, dict):
            continue
        resource = next((str(request[name]) for name in _RESOURCES if request.get(name)), None)
        rows += [
            {
                **{str(name): value for name, value in row.items()},
                "resource_id": resource,
                "shared_with": str(account),
            }
            for account in dict.fromkeys(_added(request))
            if account != row["recipient_account_id"]
        ]
    made = pd.DataFrame(rows, columns=[*frame.columns, "resource_id", "shared_with"])
    made["event_time"] = made["event_time"].astype(frame["event_time"].dtype)
    return made


_RESOURCES = (
    "snapshotId",
    "imageId",
    "dBSnapshotIdentifier",
    "dBClusterSnapshotIdentifier",
    "snapshotIdentifier",
)


def _added(request: dict[str, Any]) -> Iterator[str]:
    """The accounts, or `all`, that a request gives access to; EC2, RDS and Redshift each say it in their own way."""
    for name in ("createVolumePermission", "launchPermission"):
        permission = request.get(name)
        added = permission.get("add") if isinstance(permission, dict) else None
        items = added.get("items") if isinstance(added, dict) else added
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict):
                yield from (str(item[key]) for key in ("userId", "group", "organizationArn") if item.get(key))
    for name in ("userIdSet", "groupSet"):
        # The older form: operationType=add with a flat set of accounts.
        listed = request.get(name)
        items = listed.get("items") if isinstance(listed, dict) else None
        if request.get("operationType") == "add" and isinstance(items, list):
            yield from (str(v) for item in items if isinstance(item, dict) for v in item.values())
    values = request.get("valuesToAdd")
    yield from (str(value) for value in (values if isinstance(values, list) else ()))
    if request.get("accountWithRestoreAccess"):
        yield str(request["accountWithRestoreAccess"])


QUESTIONS: tuple[Question, ...] = (
    Question(
        name="created_credentials",
        title="Credentials that were created",
        doc="""Users, access keys, passwords, SSH keys, identity providers and roles that were created or changed,
        with the user they are for and the new key's id: how an intruder stays. Refused attempts are listed
        too.""",
        params=(SINCE, UNTIL),
        columns=columns("event_time:TIMESTAMP event_name target created_access_key_id denied:BOOLEAN") + _WHO,
        attack=("T1098.001", "T1136.003"),
        sql=f"""select event_time, event_name,
                   coalesce(target_user, {json_text("request_parameters", "roleName")}, ui_user_name) as target,
                   created_access_key_id, {DENIED} as denied, {_WHO_SQL}
            from cloudtrail where event_name in {_names(_CREDENTIALS)} and {WINDOW} order by event_time, event_id""",
    ),
    Question(
        name="permission_changes",
        title="Permissions that were given",
        doc="""Policies attached or written, trust changed, users added to groups, boundaries removed, grants and
        bucket policies.""",
        params=(SINCE, UNTIL),
        columns=columns("event_time:TIMESTAMP event_name target policy denied:BOOLEAN") + _WHO,
        attack=("T1098.003", "T1548"),
        sql=f"""select event_time, event_name,
                   coalesce(target_user, {json_text("request_parameters", "roleName")},
                            {json_text("request_parameters", "groupName")},
                            {json_text("request_parameters", "bucketName")},
                            {json_text("request_parameters", "keyId")}) as target,
                   coalesce({json_text("request_parameters", "policyArn")},
                            {json_text("request_parameters", "policyName")}) as policy,
                   {DENIED} as denied, {_WHO_SQL}
            from cloudtrail where event_name in {_names(_PERMISSIONS)} and {WINDOW} order by event_time, event_id""",
    ),
    Question(
        name="log_tampering",
        title="Attempts to blind the logs",
        doc="""Trails, flow logs, GuardDuty, Config, Security Hub, alarms and log groups stopped, deleted or
        narrowed; refused attempts count, they show intent.""",
        params=(SINCE, UNTIL),
        columns=columns("event_time:TIMESTAMP event_source event_name target denied:BOOLEAN") + _WHO,
        attack=("T1562.008",),
        sql=f"""select event_time, event_source, event_name,
                   coalesce({json_text("request_parameters", "name")}, {json_text("request_parameters", "trailName")},
                            {json_text("request_parameters", "logGroupName")},
                            {json_text("request_parameters", "detectorId")}, bucket) as target,
                   {DENIED} as denied, {_WHO_SQL}
            from cloudtrail where event_name in {_names(_TAMPERING)} and {WINDOW} order by event_time, event_id""",
    ),
    Question(
        name="shared_snapshots",
        title="Snapshots and images shared with other accounts",
        doc="""Which snapshot or image was opened to which outside account, or to `all`, by whom; refused attempts
        have an error.""",
        params=(SINCE, UNTIL),
        columns=columns(
            "event_time:TIMESTAMP event_name resource_id shared_with denied:BOOLEAN recipient_account_id"
        )
        + _WHO,
        attack=("T1537",),
        shape=_shared,
        sql=f"""select event_time, event_name, request_parameters, recipient_account_id, {DENIED} as denied, {_WHO_SQL}
            from cloudtrail where event_name in {_names(_SHARING)} and {WINDOW} order by event_time, event_id""",
    ),
)
