# ruff: noqa: S608 - SQL is put together from constants; what the user gives is bound
"""What was taken, closer up: volume by prefix, copies and exports, keys of KMS in use."""

from __future__ import annotations

from irkit.hunt.question import SINCE, UNTIL, Kind, Param, Question
from irkit.hunt.questions.fragments import DENIED, WINDOW, json_text
from irkit.tables import columns

_COPIES = """'CopySnapshot', 'CopyImage', 'CreateSnapshot', 'CreateSnapshots', 'CreateImage', 'CreateStoreImageTask',
    'ExportImage', 'CreateInstanceExportTask', 'CreateVolume', 'ListSnapshotBlocks', 'GetSnapshotBlock',
    'CopyDBSnapshot', 'CopyDBClusterSnapshot', 'CreateDBSnapshot', 'CreateDBClusterSnapshot', 'StartExportTask',
    'RestoreDBInstanceFromDBSnapshot', 'RestoreDBClusterFromSnapshot', 'ExportTableToPointInTime', 'CreateBackup',
    'CopyBackup', 'PutReplicationConfiguration', 'PutBucketReplication', 'CreateReplicationTask', 'UnloadData'"""

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="bytes_by_prefix",
        title="Data read and written by bucket and prefix",
        doc="""How many objects and bytes each principal read from, and wrote to, each prefix of a bucket. A prefix is
        the key up to its first slash. From S3 data events; where the trail records none, this is silent.""",
        params=(
            Param(name="bucket", kind=Kind.TEXT, doc="only this bucket", default=""),
            SINCE,
            UNTIL,
        ),
        columns=columns(
            "bucket prefix principal reads:BIGINT objects:BIGINT bytes_out:BIGINT writes:BIGINT bytes_in:BIGINT"
            " denied:BIGINT first_seen:TIMESTAMP last_seen:TIMESTAMP"
        ),
        attack=("T1530",),
        sql=f"""select bucket, case when strpos(object_key, '/') > 0
                                    then substr(object_key, 1, strpos(object_key, '/')) else '' end as prefix,
                   principal,
                   cast(sum(case when event_name like 'Get%' then 1 else 0 end) as bigint) as reads,
                   count(distinct object_key) as objects,
                   coalesce(cast(sum(case when error_code is null then bytes_out end) as bigint), 0) as bytes_out,
                   cast(sum(case when event_name like 'Put%' or event_name like 'Upload%' or event_name = 'CopyObject'
                                 then 1 else 0 end) as bigint) as writes,
                   coalesce(cast(sum(case when error_code is null then bytes_in end) as bigint), 0) as bytes_in,
                   cast(sum(case when {DENIED} then 1 else 0 end) as bigint) as denied,
                   min(event_time) as first_seen, max(event_time) as last_seen
            from cloudtrail
            where object_key is not null and ($bucket = '' or bucket = $bucket) and {WINDOW}
            group by bucket, case when strpos(object_key, '/') > 0
                                  then substr(object_key, 1, strpos(object_key, '/')) else '' end, principal
            order by bytes_out desc, bucket, prefix, principal""",
    ),
    Question(
        name="copies_and_exports",
        title="Data that was copied, exported or restored",
        doc="""Snapshots, images, databases and tables that were copied, exported, read block by block or restored
        elsewhere: ways to take data without reading it where it lies. What was shared is in
        `shared_snapshots`.""",
        params=(SINCE, UNTIL),
        columns=columns(
            "event_time:TIMESTAMP event_source event_name resource destination denied:BOOLEAN principal ui_arn"
            " access_key_id source_ip error_code event_id"
        ),
        attack=("T1537", "T1578.001", "T1530"),
        sql=f"""select event_time, event_source, event_name,
                   coalesce({json_text("request_parameters", "sourceSnapshotId")},
                            {json_text("request_parameters", "snapshotId")},
                            {json_text("request_parameters", "sourceImageId")},
                            {json_text("request_parameters", "imageId")},
                            {json_text("request_parameters", "sourceDBSnapshotIdentifier")},
                            {json_text("request_parameters", "dBSnapshotIdentifier")},
                            {json_text("request_parameters", "sourceArn")},
                            {json_text("request_parameters", "tableArn")},
                            {json_text("request_parameters", "volumeId")},
                            {json_text("request_parameters", "instanceId")}, bucket) as resource,
                   coalesce({json_text("request_parameters", "destinationRegion")},
                            {json_text("request_parameters", "s3BucketName")},
                            {json_text("request_parameters", "s3Bucket")},
                            {json_text("request_parameters", "exportToS3Task", "s3Bucket")},
                            {json_text("request_parameters", "bucket")},
                            {json_text("request_parameters", "dBInstanceIdentifier")}) as destination,
                   {DENIED} as denied, principal, ui_arn, access_key_id, source_ip, error_code, event_id
            from cloudtrail where event_name in ({_COPIES}) and {WINDOW} order by event_time, event_id""",
    ),
    Question(
        name="kms_use",
        title="Who used which KMS key",
        doc="""Uses of each KMS key by each principal. Most are made by services for someone: `through` names the
        service; a decryption without one was asked for directly.""",
        params=(SINCE, UNTIL),
        columns=columns(
            "key_arn event_name principal through calls:BIGINT denied:BIGINT first_seen:TIMESTAMP last_seen:TIMESTAMP"
        ),
        attack=("T1552",),
        sql=f"""select coalesce(first_resource_arn, {json_text("request_parameters", "keyId")}) as key_arn, event_name,
                   principal, ui_invoked_by as through, count(*) as calls,
                   cast(sum(case when {DENIED} then 1 else 0 end) as bigint) as denied,
                   min(event_time) as first_seen, max(event_time) as last_seen
            from cloudtrail where event_source = 'kms.amazonaws.com' and {WINDOW}
            group by coalesce(first_resource_arn, {json_text("request_parameters", "keyId")}), event_name, principal,
                     ui_invoked_by
            order by calls, key_arn, principal, event_name""",
    ),
)
