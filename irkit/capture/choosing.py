"""Which instances to capture: named one by one, listed in a file, or found by their tags."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irkit.aws import instance_id, translating
from irkit.errors import BadInput, InvalidName, InvalidParameter, NotFound
from irkit.escape import for_terminal

if TYPE_CHECKING:
    from irkit.case import Case

# More than this in one command is a mistake in the filter; several commands take several thousand.
MOST = 1000
_LARGEST_FILE = 1 << 20


def chosen(
    case: Case,
    *,
    named: Iterable[str] = (),
    listed: Path | None = None,
    tagged: Mapping[str, str] | None = None,
) -> list[str]:
    """The ids of all instances that are named, listed or tagged, each once, in that order.

    `tagged` are tags that an instance must all have, with exactly these values; terminated instances do not count.
    Raises `InvalidName` for what is no id, `NotFound` when nothing has the tags, `BadInput` when nothing is chosen.
    """
    ids = [instance_id(text) for text in named]
    if listed is not None:
        ids += _in_file(listed)
    if tagged:
        ids += _with_tags(case, tagged)
    found = list(dict.fromkeys(ids))
    if not found:
        raise BadInput("no instance is named", hint="give ids, --from FILE or --tag KEY=VALUE")
    if len(found) > MOST:
        raise BadInput(
            f"{len(found)} instances are more than {MOST}", hint="narrow the tags, or split the list"
        )
    return found


def _in_file(path: Path) -> Iterator[str]:
    """The ids in a file: one a line, `#` begins a comment."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise BadInput(
            f"cannot read the list {for_terminal(path)}: {error.strerror}",
            hint="give a file with one id a line",
        ) from error
    if len(content) > _LARGEST_FILE:
        raise BadInput(f"{for_terminal(path)} is larger than 1 MiB", hint="give a file with one id a line")
    for number, line in enumerate(content.decode("utf-8", "replace").removeprefix("\ufeff").split("\n"), 1):
        text = line.partition("#")[0].strip()
        if text:
            try:
                yield instance_id(text)
            except InvalidName as error:
                raise InvalidName(
                    f"{for_terminal(path)}, line {number}: {error.message}", hint=error.hint
                ) from error


def _with_tags(case: Case, tags: Mapping[str, str]) -> list[str]:
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise InvalidParameter(
                f"{for_terminal(key)[:60]!r} cannot be a tag",
                hint="keys have up to 128 characters, values up to 256",
            )
    # In EC2's filters * and ? stand for any characters and \ takes that from them; what they let through too much is
    # held against the tags below. https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html
    filters = [{"Name": f"tag:{k}", "Values": [v.replace("\\", "?")]} for k, v in tags.items()]
    filters.append({
        "Name": "instance-state-name", "Values": ["pending", "running", "shutting-down", "stopping", "stopped"],
    })  # fmt: skip
    with translating("look for instances by tag", region=case.facts.region):
        pages = case.client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
        found = [i for page in pages for r in page.get("Reservations", ()) for i in r.get("Instances", ())]
    ids = [str(i["InstanceId"]) for i in found if tags.items() <= _tags(i).items()]
    if not ids:
        shown = ", ".join(for_terminal(f"{k}={v}") for k, v in tags.items())
        raise NotFound(
            f"no instance in {case.facts.region} has {shown}", hint="tags count in upper and lower case"
        )
    return sorted(ids)


def _tags(raw: Mapping[str, Any]) -> dict[str, str]:
    return {str(t["Key"]): str(t["Value"]) for t in raw.get("Tags", ())}
