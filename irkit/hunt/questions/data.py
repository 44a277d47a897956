# ruff: noqa: S608 - SQL is put together from constants; what the user gives is bound
"""What was taken: objects read, secrets read."""

from __future__ import annotations

from irkit.hunt.question import SINCE, UNTIL, Kind, Param, Question
from irkit.hunt.questions.fragments import DENIED, WINDOW, json_text
from irkit.tables import columns

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="objects_read",
        title="Objects read from buckets",
        doc="""How many objects, and how many bytes, each key read from each bucket. From S3 data events: where the
        trail does not record them, reading leaves no trace here. Bytes are what S3 sent.""",
        params=(
            Param(
                name="access_keys",
                kind=Kind.TEXTS,
                doc="only these access keys, with commas between",
                default=(),
            ),
            SINCE,
            UNTIL,
        ),
        columns=columns(
            "bucket principal access_key_id source_ip reads:BIGINT objects:BIGINT bytes_out:BIGINT denied:BIGINT"
            " first_seen:TIMESTAMP last_seen:TIMESTAMP"
        ),
        attack=("T1530",),
        sql=f"""select bucket, principal, access_key_id, source_ip, count(*) as reads,
                   count(distinct case when error_code is null then object_key end) as objects,
                   coalesce(cast(sum(case when error_code is null then bytes_out end) as bigint), 0) as bytes_out,
                   cast(sum(case when {DENIED} then 1 else 0 end) as bigint) as denied,
                   min(event_time) as first_seen, max(event_time) as last_seen
            from cloudtrail
            where event_name in ('GetObject', 'SelectObjectContent', 'GetObjectTorrent')
              and ($given_access_keys = 0 or access_key_id in $access_keys) and {WINDOW}
            group by bucket, principal, access_key_id, source_ip order by bytes_out desc, bucket, access_key_id""",
    ),
    Question(
        name="secrets_read",
        title="Secrets and parameters read",
        doc="""Secrets Manager values, decrypted SSM parameters and instance passwords that were asked for, by
        whom.""",
        params=(SINCE, UNTIL),
        columns=columns(
            "event_time:TIMESTAMP event_name secret principal ui_arn access_key_id source_ip denied:BOOLEAN event_id"
        ),
        attack=("T1552", "T1555.006"),
        sql=f"""select event_time, event_name,
                   coalesce({json_text("request_parameters", "secretId")}, {json_text("request_parameters", "name")},
                            {json_text("request_parameters", "instanceId")}) as secret,
                   principal, ui_arn, access_key_id, source_ip, {DENIED} as denied, event_id
            from cloudtrail
            where (event_name in ('GetSecretValue', 'BatchGetSecretValue', 'GetPasswordData')
                   or (event_name in ('GetParameter', 'GetParameters', 'GetParametersByPath')
                       and {json_text("request_parameters", "withDecryption")} = 'true'))
              and {WINDOW}
            order by event_time, event_id""",
    ),
)
