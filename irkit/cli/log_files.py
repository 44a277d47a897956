"""`irkit logs grep` and `irkit logs verify`: log files as they lie, without tables."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from irkit.cli.log_sources import check_sources, session_for, window_options
from irkit.cli.shared import json_option, print_json, print_table, progress_to_stderr
from irkit.errors import BadInput
from irkit.escape import for_csv, for_terminal

if TYPE_CHECKING:
    from irkit.logs.search import Match, Searched

_FIELDS = ("eventTime", "eventSource", "eventName", "sourceIPAddress", "errorCode", "eventID")
_TOLD_EVERY = 200


@click.command()
@click.argument("value")
@click.argument("sources", nargs=-1, required=True)
@window_options
@click.option(
    "--ignore-case", "-i", is_flag=True, help="Take capital and small letters for the same; slower."
)
@click.option(
    "--format",
    "shape",
    type=click.Choice(["text", "csv", "jsonl"]),
    default="text",
    show_default=True,
    help="A line a match, a table for a spreadsheet, or the records as they are.",
)
@click.option("--files", "only_files", is_flag=True, help="Print only the names of the files with matches.")
@click.option(
    "--ingest",
    "into",
    type=click.Path(path_type=Path, file_okay=False),
    help="Read the matching records into tables in this folder, and print what was taken.",
)
@click.option("--most", default=0, help="Stop after so many matches.  [default: all]")
def grep(
    value: str,
    sources: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    ignore_case: bool,
    shape: str,
    only_files: bool,
    into: Path | None,
    most: int,
) -> None:
    """Find VALUE (a key, an address, an ARN, any text) in the raw logs of SOURCES, at the speed of decompression."""
    from irkit.logs.search import Searched
    from irkit.logs.search import grep as search

    check_sources(sources)
    state = Searched()
    show = progress_to_stderr()

    def told(at: Searched) -> None:
        if at.files % _TOLD_EVERY == 0 and at.files < at.of:
            show(f"{at.files:,} of {at.of:,} files, {at.matches:,} matches")

    found = search(
        value,
        list(sources),
        session=session_for(sources),
        since=since,
        until=until,
        ignore_case=ignore_case,
        searched=state,
        progress=told,
    )
    matches = _first(found, most) if most else found
    if into is not None:
        _ingest(matches, into)
    elif only_files:
        for _ in matches:
            pass
        for name in state.matching_files:
            click.echo(for_terminal(name))
    else:
        _PRINTERS[shape](matches)
    click.echo(state.sentence(), err=True)
    for fault in state.unreadable[:20]:
        click.echo(f"not read whole: {for_terminal(fault)}", err=True)
    raise SystemExit(3 if state.unreadable else 0)


def _first(matches: Iterator[Match], most: int) -> Iterator[Match]:
    for _, match in zip(range(most), matches, strict=False):
        yield match


def _print_text(matches: Iterator[Match]) -> None:
    for match in matches:
        what = " ".join(_cells(match)) if match.record else match.text
        click.echo(f"{for_terminal(match.file.rsplit('/', 1)[-1])}: {for_terminal(what)}")


def _print_csv(matches: Iterator[Match]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("file", *_FIELDS, "identity", "record"))
    for match in matches:
        cells = _cells(match) if match.record else [""] * (len(_FIELDS) + 1)
        writer.writerow([for_csv(cell) for cell in (match.file, *cells, _text(match))])


def _print_jsonl(matches: Iterator[Match]) -> None:
    for match in matches:
        # ASCII only: what a terminal could take for a command comes out as \u escapes.
        click.echo(json.dumps({"file": match.file, "record": match.record or match.text}))


_PRINTERS = {"text": _print_text, "csv": _print_csv, "jsonl": _print_jsonl}


def _cells(match: Match) -> list[str]:
    record = match.record or {}
    identity = record.get("userIdentity")
    who = identity.get("arn") or identity.get("invokedBy") if isinstance(identity, dict) else None
    return [str(record.get(name) or "-") for name in _FIELDS] + [str(who or "-")]


def _text(match: Match) -> str:
    return json.dumps(match.record) if match.record else match.text


def _ingest(matches: Iterator[Match], into: Path) -> None:
    from irkit.logs import ingest
    from irkit.logs.search import matches_as_files

    files = list(matches_as_files(match for match in matches if match.record or match.header))
    if files:
        taken = ingest(files, into)
        print_table(("what", "value"), taken.to_frame().itertuples(index=False))


@click.command()
@click.argument("sources", nargs=-1, required=True)
@window_options
@click.option(
    "--keys",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What `aws cloudtrail list-public-keys` printed, to validate a copy without AWS.",
)
@json_option
def verify(
    sources: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    keys: Path | None,
    as_json: bool,
) -> None:
    """Validate the CloudTrail files of SOURCES by their digests: sound, changed, missing or extra, file by file.

    Exit code 0 when everything is proved, 1 when a file was changed, removed or added, 3 when something cannot be told.
    """
    from irkit.logs.digests import PublicKeys
    from irkit.logs.validation import validate

    check_sources(sources)
    known = None
    if keys is not None:
        try:
            known = PublicKeys.of_file(keys.read_bytes())
        except OSError as error:
            raise BadInput(
                f"cannot read {for_terminal(keys)}: {error.strerror}", hint="check the path"
            ) from error
    session = session_for(sources)
    found = validate(list(sources), session=session, keys=known, since=since, until=until)
    if as_json:
        print_json(found.to_dict())
    else:
        worst = [one for one in found.verdicts if one.verdict != "sound"]
        if worst:
            print_table(
                ("kind", "verdict", "file", "why"), [(o.kind, o.verdict, o.uri, o.why) for o in worst]
            )
        click.echo(for_terminal(found.sentence()))
    raise SystemExit(1 if found.tampered else 0 if found.proved else 3)
