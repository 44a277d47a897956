"""The step that reads a snapshot: into a working image, then into the case as evidence, without a second copy.

Three items come of it: the image, the list of its blocks, and a record of how it was taken. Until they are in the
journal the working folder stays, so that no kill makes a block be read twice; `--to` keeps the image itself elsewhere.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irkit.canonical import timestamp
from irkit.capture.image import changes
from irkit.capture.image.blocks import Listing, Page
from irkit.capture.image.download import Download, Taken, size
from irkit.capture.image.transport import chosen, endpoint
from irkit.capture.image.working import Shape, Working
from irkit.durable import storage, sync_folder
from irkit.errors import BadInput, StorageError
from irkit.plan import Outcome, Running

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.evidence import Item

IMAGE = "disk-image"
PARTIAL = "disk-changes"
BLOCKS = "disk-blocks"
RECORD = "disk-image-record"
RANGES = "disk-changed-ranges"
_MARGIN = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be read: `snapshot` as AWS described it, and the options of `plan`."""

    snapshot: Mapping[str, Any]
    since: str | None
    to: Path | None
    transport: str
    workers: int

    @property
    def id(self) -> str:
        """The snapshot's id."""
        return str(self.snapshot["SnapshotId"])

    @property
    def stem(self) -> str:
        """What the files are called, without an ending."""
        return self.id if self.since is None else f"{self.id}.since-{self.since}"

    def folder(self, running: Running) -> Path:
        """The working folder: on the disk that the image will be on."""
        if self.to is not None:
            return self.to.with_name(self.to.name + ".part")
        return running.case.active / "artifacts" / "images" / running.step_id


def take(running: Running, request: Request) -> Outcome:
    """Read the snapshot and keep it. Raises what stands in the way; run again, it goes on where it ended."""
    folder = request.folder(running)
    record = running.kept(RECORD, f"{request.stem}.json")
    if record is None:
        record = _taken(running, request, folder)
    shutil.rmtree(folder, ignore_errors=True)
    told = json.loads(running.case.evidence.read(record))
    kept = ("snapshot", "since", "sha256", "size", "blocks", "path", "partial", "read", "earlier", "seconds")
    items = {i.kind: i.id for i in running.case.evidence.items(step=running.step_id)}
    return Outcome(
        result={name: told[name] for name in kept} | {"items": items},
        missing=(
            (f"{request.id}: only what changed since {request.since}: the case has no image of that",)
            if told["partial"]
            else ()
        ),
    )


def _taken(running: Running, request: Request, folder: Path) -> Item:
    case, begun = running.case, datetime.now(UTC)
    listing = Listing(case.client("ebs"), request.id, request.since)
    first: Page = next(listing.pages())
    shape = Shape(
        snapshot=request.id, since=request.since, size=first.volume_bytes, block_size=first.block_size
    )
    base = changes.base(case, request.since) if request.since else None
    changes.see_that_it_fits(folder, base)
    working = Working(folder, shape)
    try:
        ranges = changes.prepare(working, listing, base, running.progress) if request.since else None
        transport, notice = chosen(
            request.transport, endpoint(case), block_size=shape.block_size, workers=request.workers
        )
        if notice:
            running.progress(notice)
        download = Download(
            listing,
            working,
            transport,
            workers=request.workers,
            progress=running.progress,
            stopped=lambda: running.stopped,
        )
        left = download.remaining()
        see_that_there_is_room(folder, left * shape.block_size)
        taken = download.run()
    finally:
        working.close()
    partial = request.since is not None and base is None
    told = _record(running, request, shape, taken, partial=partial, begun=begun, transport=transport.name)
    return _kept(running, request, working, taken, told, ranges)


def see_that_there_is_room(folder: Path, needed: int) -> None:
    """Raise `StorageError` when `needed` bytes and some to spare are not free on the disk of `folder`."""
    with storage("look at the free space", folder):
        free = shutil.disk_usage(folder).free
    if free < needed + _MARGIN:
        raise StorageError(
            f"{size(needed)} are to be read and {size(free)} are free at {folder}",
            hint="free some space, or choose another disk with --to; what was read so far stays and is not read again",
        )


def _record(
    running: Running,
    request: Request,
    shape: Shape,
    taken: Taken,
    *,
    partial: bool,
    begun: datetime,
    transport: str,
) -> dict[str, Any]:
    return {
        "schema": "irkit/disk-image/1",
        "snapshot": request.id,
        "since": request.since,
        "partial": partial,
        "path": str(request.to) if request.to else None,
        "described": dict(request.snapshot),
        "region": running.case.facts.region,
        "sha256": taken.sha256,
        "size": shape.size,
        "block_size": shape.block_size,
        "blocks": taken.blocks,
        "holes": shape.blocks - taken.blocks,
        "block_list_sha256": taken.list_sha256,
        "read": taken.read,
        "earlier": taken.earlier,
        "mended": taken.mended,
        "tried_again": taken.tries,
        "transport": transport,
        "begun_at": timestamp(begun),
        "ended_at": timestamp(datetime.now(UTC)),
        "seconds": round(taken.seconds, 2),
    }


def _kept(
    running: Running,
    request: Request,
    working: Working,
    taken: Taken,
    told: dict[str, Any],
    ranges: Path | None,
) -> Item:
    """Make items of what was read: all of them or none, in one entry of the journal."""
    evidence, staged = running.case.evidence, []
    about: dict[str, Any] = {"source": request.id, "step": running.step_id}
    notes = {"snapshot": request.id, "since": request.since, "block_size": working.shape.block_size}
    if request.to is None:
        image = evidence.adopt(
            working.image,
            sha256=taken.sha256,
            size=working.shape.size,
            kind=PARTIAL if told["partial"] else IMAGE,
            name=f"{request.stem}.raw",
            notes=notes | {"sparse": True, "blocks": taken.blocks},
            **about,
        )
        image.partial = bool(told["partial"])
        staged.append(image)
    else:
        _put(working.image, request.to)
    staged.append(
        evidence.adopt(
            taken.list,
            sha256=taken.list_sha256,
            size=taken.list_size,
            kind=BLOCKS,
            name=f"{request.stem}.blocks.txt",
            media_type="text/plain",
            notes=notes,
            **about,
        )
    )
    if ranges is not None:
        with (
            evidence.stage(kind=RANGES, name=f"{request.stem}.ranges.jsonl", notes=notes, **about) as (
                writer,
                one,
            ),
            ranges.open("rb") as source,
        ):
            while chunk := source.read(1 << 20):
                writer.write(chunk)
        staged.append(one)
    with evidence.stage(
        kind=RECORD, name=f"{request.stem}.json", media_type="application/json", notes=notes, **about
    ) as (writer, one):
        writer.write((json.dumps(told, indent=1, sort_keys=True) + "\n").encode("ascii"))
    return evidence.commit([*staged, one])[-1]


def _put(image: Path, to: Path) -> None:
    """Give the finished image its name outside of the case; one that a killed run gave it already is the same file."""
    with storage("put the image in its place", to):
        with suppress(FileExistsError):
            to.hardlink_to(image)
        if not to.samefile(image):
            raise BadInput(f"{to} is there already", hint="it is never overwritten; choose another --to")
        to.chmod(0o400)
        sync_folder(to.parent)


def images(case: Case, snapshot_id: str) -> tuple[Item, Item] | None:
    """The whole image of a snapshot that the case holds, and the list of its blocks; None when it holds none."""
    for image in case.evidence.items(kind=IMAGE):
        if image.notes.get("snapshot") == snapshot_id and not image.partial:
            lists = case.evidence.items(kind=BLOCKS, step=image.step)
            if lists:
                return image, lists[0]
    return None
