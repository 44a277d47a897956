"""Which blocks a snapshot holds, page by page, and the tokens to read them.

Page tokens expire after an hour, and a download may take longer over one page: the listing then goes on by the number
of the next block. Where changes are rare AWS gives empty pages that others follow.

References:
    https://docs.aws.amazon.com/ebs/latest/APIReference/API_ListSnapshotBlocks.html
    https://docs.aws.amazon.com/ebs/latest/APIReference/API_ListChangedBlocks.html
    https://docs.aws.amazon.com/ebs/latest/userguide/ebsapi-faq.html
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from irkit.aws.refusals import explained
from irkit.errors import AwsError, BadInput, IntegrityError, IrkitError

# AWS takes 100 to 10,000.
PAGE = 10_000
_FEW = 1_000
GIB = 1 << 30
# What EBS has always used; the API names it in each answer all the same.
BLOCK_SIZE = 512 * 1024


@dataclass(frozen=True, slots=True)
class Block:
    """A block to read: its number, and the token that reading it needs. No token: the snapshot holds zeros there."""

    index: int
    token: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Part of a listing, ascending; `volume_bytes` is the size of the disk, `block_size` that of a block."""

    blocks: tuple[Block, ...]
    volume_bytes: int
    block_size: int


class Listing:
    """The blocks of `snapshot_id`; with `since`, those that differ from that earlier snapshot of the same volume."""

    def __init__(self, client: Any, snapshot_id: str, since: str | None = None) -> None:
        self._client = client
        self.snapshot_id = snapshot_id
        self.since = since
        self._fresh: dict[int, str] = {}
        self._span = range(0)
        self._lock = threading.Lock()

    def pages(self, start: int = 0) -> Iterator[Page]:
        """The blocks from `start` on, ascending, at most `PAGE` at a time; a page may be empty and others follow.

        Raises irkit's errors for AWS's.
        """
        following: str | None = None
        while True:
            where = {"NextToken": following} if following else {"StartingBlockIndex": start}
            try:
                answer = self._changed(where) if self.since else self._written(where)
            except (ClientError, BotoCoreError) as error:
                if following is None or _reason(error) != "INVALID_PAGE_TOKEN":
                    raise self._explained(error) from error
                following = None
                continue
            page = self._page(answer, start)
            yield page
            start = page.blocks[-1].index + 1 if page.blocks else start
            following = answer.get("NextToken")
            if not following:
                return

    def token(self, index: int, stale: str | None = None) -> str | None:
        """A token for one block other than `stale`; None when the snapshot holds nothing there.

        The answer is remembered for the blocks near it, so that tokens which expired together are listed again
        together, and neighbours are asked for once.
        """
        with self._lock:
            known = self._fresh.get(index)
            if known is not None and known != stale:
                return known
            if known is None and index in self._span:
                return None
            try:
                answer = self._written({"StartingBlockIndex": index}, most=_FEW)
            except (ClientError, BotoCoreError) as error:
                raise self._explained(error) from error
            found = self._page(answer, index).blocks
            self._fresh = {b.index: b.token for b in found if b.token}
            end = found[-1].index + 1 if answer.get("NextToken") and found else 1 << 62
            self._span = range(index, end)
            return self._fresh.get(index)

    def _written(self, where: dict[str, Any], most: int = PAGE) -> dict[str, Any]:
        said: dict[str, Any] = self._client.list_snapshot_blocks(
            SnapshotId=self.snapshot_id, MaxResults=most, **where
        )
        return said

    def _changed(self, where: dict[str, Any]) -> dict[str, Any]:
        said: dict[str, Any] = self._client.list_changed_blocks(
            FirstSnapshotId=self.since, SecondSnapshotId=self.snapshot_id, MaxResults=PAGE, **where
        )
        return said

    def _explained(self, error: Exception) -> IrkitError:
        region = str(self._client.meta.region_name)
        if _reason(error) == "UNRELATED_SNAPSHOTS":
            return BadInput(
                f"{self.since} and {self.snapshot_id} are not of one volume, so AWS does not compare them",
                hint="choose another --since, or read the snapshot without it",
            )
        if self.since:
            both = f"{self.since} and {self.snapshot_id}"
            return explained(error, doing="list the blocks that differ between", resource=both, region=region)
        return explained(error, doing="list the blocks of", resource=self.snapshot_id, region=region)

    def _page(self, answer: dict[str, Any], start: int) -> Page:
        if self.since and "ChangedBlocks" in answer:
            blocks = tuple(Block(b["BlockIndex"], b.get("SecondBlockToken")) for b in answer["ChangedBlocks"])
        else:
            blocks = tuple(Block(b["BlockIndex"], b["BlockToken"]) for b in answer.get("Blocks", ()))
        size, block_size = int(answer.get("VolumeSize", 0)) * GIB, int(answer.get("BlockSize") or BLOCK_SIZE)
        if size <= 0 or block_size <= 0:
            raise AwsError(
                f"AWS gives no size for {self.snapshot_id}",
                hint="see that it can be described, and try again",
            )
        previous = start - 1
        for block in blocks:
            if not previous < block.index < size // block_size:
                raise IntegrityError(
                    f"AWS lists block {block.index} of {self.snapshot_id} after block {previous}, of "
                    f"{size // block_size}",
                    hint="run the same command again; nothing that was read is lost",
                )
            previous = block.index
        return Page(blocks=blocks, volume_bytes=size, block_size=block_size)


def _reason(error: Exception) -> str:
    """Why a request is not valid, in the service's own word."""
    return str(error.response.get("Reason") or "") if isinstance(error, ClientError) else ""


def counted(listing: Listing, *, most_pages: int | None = None) -> tuple[int, int, int, bool]:
    """How many blocks must be read, the disk's size and a block's in bytes, and whether all pages were counted."""
    total, size, block_size = 0, 0, BLOCK_SIZE
    pages = listing.pages()
    for number, page in enumerate(pages, 1):
        total += sum(b.token is not None for b in page.blocks)
        size, block_size = page.volume_bytes, page.block_size
        if most_pages is not None and number >= most_pages:
            return total, size, block_size, next(pages, None) is None
    return total, size, block_size, True
