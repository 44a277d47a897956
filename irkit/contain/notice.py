"""Telling people: what was done and what needs a decision, on the SNS topic that they listen to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from irkit.aws.names import arn_parts
from irkit.contain import history
from irkit.contain.control import request_id
from irkit.errors import InvalidParameter
from irkit.escape import for_terminal
from irkit.journal import Kind
from irkit.plan import Outcome, Plan, Running, Step, Undo

if TYPE_CHECKING:
    from irkit.case import Case

STAGE = 90
# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html: 100 characters of subject, 256 KiB of message
_SUBJECT = 100
_MESSAGE = 200_000
# 40 characters of mixed base64 are a secret access key, long unbroken base64 a session token; hex digests are neither.
_SECRET = re.compile(r"(?<![\w/+=])(?=[\w/+]*[A-Z])(?=[\w/+]*[g-z])(?=[\w/+]*\d)[A-Za-z0-9/+]{40}(?![\w/+=])")
_TOKEN = re.compile(r"(?<![\w/+=])[A-Za-z0-9/+=]{120,}")


def notify(case: Case, topic_arn: str, subject: str, message: str) -> Plan:
    """A plan that publishes `message` on the topic. Control characters are shown, not sent, and secrets are left out.

    The same message on the same topic is sent once a case, except when a run was cut short while sending: then it is
    sent again, for a notice that comes twice does less harm than one that never came.
    """
    topic = arn_parts(topic_arn)
    if topic.service != "sns" or not topic.region:
        raise InvalidParameter(
            f"{for_terminal(topic_arn)!r} is not the ARN of an SNS topic",
            hint="it looks like arn:aws:sns:us-east-1:111122223333:incident-response",
        )
    if not message.strip():
        raise InvalidParameter(
            "there is no message to send", hint="say what was done and what needs a decision"
        )
    args = {"subject": _ascii(subject) or f"irkit case {case.id}", "message": _clean(message)}

    def act(running: Running) -> Outcome:
        client = running.case.client("sns", region=topic.region)
        said = client.publish(TopicArn=topic_arn, Subject=args["subject"], Message=args["message"])
        return Outcome(
            result={"message_id": said["MessageId"]},
            request_ids=request_id(said),
            undo=Undo(impossible="a message that was sent cannot be taken back"),
        )

    step = Step(
        verb="notice.publish",
        target=topic_arn,
        args=args,
        act=act,
        stage=STAGE,
        deadline=60.0,
        title=f"tell those on topic {topic.resource}: {args['subject']}",
        reversible="cannot be undone: a message that was sent stays sent",
    )
    return Plan(case, [step], title=f"notify {topic.resource}")


def _ascii(subject: str) -> str:
    # SNS takes ASCII subjects only, beginning with a letter, digit or punctuation mark
    return for_terminal(_clean(subject)).encode("ascii", "replace").decode("ascii").strip()[:_SUBJECT]


def _clean(text: str) -> str:
    lines = (for_terminal(line) for line in text.splitlines())
    shown = _TOKEN.sub(
        "[left out: looks like a session token]",
        _SECRET.sub("[left out: looks like a secret key]", "\n".join(lines)),
    )
    return shown if len(shown) <= _MESSAGE else shown[:_MESSAGE] + "\n[cut here; the rest is in the case]"


def summary(case: Case) -> str:
    """What the case did to AWS, what failed, and what needs a decision, as plain text for a person who was woken up."""
    begun = [
        b
        for b in history.begun(case)
        if b.intended.body.get("changes") and not b.verb.startswith(("undo.", "notice."))
    ]
    done = [b.title for b in begun if b.standing is Kind.DONE]
    failed = [f"{b.title}: {_why(case, b.step)}" for b in begun if b.standing in {Kind.FAILED, Kind.INTENDED}]
    lacks = [
        str(m) for b in history.begun(case) if b.done is not None for m in b.done.body.get("missing") or ()
    ]
    limits = [
        str(n)
        for b in begun
        if b.done is not None
        for n in (b.done.body.get("result") or {}).get("not_covered") or ()
    ]
    parts = [
        f"Case {case.id}: {case.facts.title}",
        f"Account {case.facts.account or 'not recorded'}, region {case.facts.region}",
    ]
    for head, lines in (
        ("Done", done),
        ("FAILED, needs a decision", failed),
        ("Not covered", [*lacks, *dict.fromkeys(limits)]),
    ):
        if lines:
            parts.append("\n".join([f"{head}:", *(f"- {for_terminal(line)}" for line in lines)]))
    parts.append("Decide: keep it contained, go on to the full quarantine, or put it back (irkit case undo).")
    return "\n\n".join(parts)


def _why(case: Case, step: str) -> str:
    last = case.journal.of_step(step)[-1]
    return str(last.body.get("why") or "it was begun and has not ended")
