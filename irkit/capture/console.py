"""The console: a picture of the screen and the text of the serial port. Neither touches the instance.

References:
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleScreenshot.html
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from irkit.aws import error_code
from irkit.canonical import plain
from irkit.capture.asking import NO_ANSWER
from irkit.capture.instance import Instance
from irkit.errors import IrkitError, StorageError
from irkit.plan import Outcome, Running, Step, reason

if TYPE_CHECKING:
    from irkit.case import Case

VERB = "capture.console"
_JPEG = b"\xff\xd8\xff"
# Latest is refused with one of these by instances that are not built on Nitro.
_NO_LATEST = frozenset({"UnsupportedOperation", "InvalidParameterCombination", "InvalidParameterValue"})


def steps(case: Case, instance: Instance) -> list[Step]:
    """One step: screenshot and output, each of them missing with its reason where AWS does not give it."""
    _ = case
    return [
        Step(
            verb=VERB, target=instance.id, act=lambda running: _act(running, instance), changes=False, deadline=90,
            title="keep the console's screenshot and output, without waking the screen",
        )
    ]  # fmt: skip


def _act(running: Running, instance: Instance) -> Outcome:
    result: dict[str, Any] = {}
    missing: list[str] = []
    requests: list[str] = []
    for name, take in (("screenshot", _screenshot), ("output", _output)):
        try:
            result[name] = take(running, instance, requests)
        except StorageError:
            raise  # not AWS's answer but our disk: the step must be taken up again once there is room
        except (*NO_ANSWER, IrkitError) as error:
            missing.append(f"console {name}: {reason(error, doing='read the console', resource=instance.id)}")
    return Outcome(result=result, missing=tuple(missing), request_ids=tuple(requests))


def _screenshot(running: Running, instance: Instance, requests: list[str]) -> str:
    held = running.kept("console-screenshot", "console.jpg")
    if held is not None:
        return held.id
    # WakeUp would press a key on the suspect to wake its screen.
    answer = running.case.client("ec2").get_console_screenshot(InstanceId=instance.id, WakeUp=False)
    requests.append(answer["ResponseMetadata"]["RequestId"])
    try:
        picture = base64.b64decode(answer.get("ImageData", ""))
    except binascii.Error as error:
        raise IrkitError("the picture is not base64") from error
    if not picture.startswith(_JPEG):
        raise IrkitError("AWS answered without a JPEG picture")
    item = running.keep(
        picture, kind="console-screenshot", name="console.jpg", media_type="image/jpeg",
        notes={"service": "ec2", "operation": "get_console_screenshot", "params": {"WakeUp": False}}
        | instance.place,
    )  # fmt: skip
    return item.id


def _output(running: Running, instance: Instance, requests: list[str]) -> str:
    held = running.kept("console-output", "console.txt")
    if held is not None:
        return held.id
    ec2, latest = running.case.client("ec2"), True
    try:
        answer = ec2.get_console_output(InstanceId=instance.id, Latest=True)
    except ClientError as error:
        if error_code(error) not in _NO_LATEST:
            raise
        answer, latest = ec2.get_console_output(InstanceId=instance.id), False
    requests.append(answer["ResponseMetadata"]["RequestId"])
    text = answer.get("Output")
    if not text:
        raise IrkitError("AWS holds no console output of this instance")
    item = running.keep(
        text.encode("utf-8", "surrogateescape"), kind="console-output", name="console.txt", media_type="text/plain",
        notes={
            "service": "ec2", "operation": "get_console_output", "params": {"Latest": latest},
            "written_at": plain(answer.get("Timestamp")), "limit": "AWS keeps the last 64 KiB", **instance.place,
        },
    )  # fmt: skip
    return item.id
