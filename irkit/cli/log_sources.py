"""What the commands that read log files have in common: sources, time ranges, sessions."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from irkit.errors import BadInput, NotFound
from irkit.escape import for_terminal

F = TypeVar("F", bound=Callable[..., Any])
_AT_AWS = ("s3://", "trail:", "history:")


def moment(context: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    """An option's value as an aware time in UTC."""
    del context
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError as error:
        raise BadInput(
            f"--{parameter.name} {for_terminal(value)} is no time",
            hint="write 2026-11-20 or 2026-11-20T10:00:00Z",
        ) from error
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def window_options(command: F) -> F:
    """`--since` and `--until`."""
    command = click.option(
        "--until", callback=moment, metavar="TIME", help="Leave out folders of days after this time (UTC)."
    )(command)
    return click.option(
        "--since",
        callback=moment,
        metavar="TIME",
        help="Leave out folders of days before this time (UTC), such as 2026-11-20.",
    )(command)


def check_sources(sources: Sequence[str]) -> None:
    """Raise `NotFound` for a path that is not there, before anything is begun."""
    for source in sources:
        if not source.startswith(_AT_AWS) and not Path(source).exists():
            raise NotFound(
                f"there is no file or folder {for_terminal(source)}",
                hint="check the path, or use s3://bucket/prefix, trail:NAME or history:",
            )


def session_for(sources: Sequence[str]) -> Any:
    """A session without a case, if one of `sources` is at AWS, else None."""
    if not any(source.startswith(_AT_AWS) for source in sources):
        return None
    from irkit.aws import Sessions

    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return Sessions(case_id="none", responder="irkit", region=region)
