"""EBS direct: snapshots read, compared and written block by block, over the images that `irkit.sim.disks` keeps.

References:
    https://docs.aws.amazon.com/ebs/latest/APIReference/API_GetSnapshotBlock.html
    https://docs.aws.amazon.com/ebs/latest/APIReference/API_ListChangedBlocks.html
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.responses import ActionResult
from moto.ebs.responses import EBSResponse

from irkit.sim import disks, world
from irkit.sim.faults import Refusal
from irkit.sim.mends.ebs import find
from irkit.sim.seams import mends

# Where changes are rare AWS answers with empty pages that others follow (same FAQ); how rare, it does not say.
_WINDOW = 5_000


class Invalid(Refusal):
    """A ValidationException that says why in its `Reason`, as this service's do."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__("ValidationException", message)
        self.Reason = reason


def _readable(self: Any, snapshot_id: str) -> Any:
    try:
        snapshot = find(snapshot_id, self.region, self.current_account)
    except Refusal:
        raise Refusal(
            "ResourceNotFoundException", f"The snapshot '{snapshot_id}' does not exist.", 404
        ) from None
    if snapshot.status != "completed":
        raise Invalid("INVALID_SNAPSHOT_ID", f"The snapshot '{snapshot_id}' is not in the completed state.")
    return snapshot


def _page(self: Any, indexes: list[int], *, window: int | None = None) -> tuple[list[int], str | None]:
    """A page of `indexes` and the token of the next; with `window`, a page covers so many numbers and may be empty."""
    token = self._get_param("NextToken") or self._get_param("PageToken")
    if token and not str(token).isdigit():
        raise Invalid("INVALID_PAGE_TOKEN", "The page token is invalid.")
    start = int(token) if token else int(self._get_param("StartingBlockIndex") or 0)
    # AWS takes less than 100 for 100. https://docs.aws.amazon.com/ebs/latest/userguide/ebsapi-faq.html
    size = max(100, min(int(self._get_param("MaxResults") or 10_000), 10_000))
    left = [index for index in indexes if index >= start]
    near = left if window is None else [index for index in left if index < start + window]
    if len(near) > size:
        return near[:size], str(near[size])
    return near, str(start + (window or 0)) if len(left) > len(near) else None


def _envelope(snapshot: Any, following: str | None) -> dict[str, Any]:
    envelope: dict[str, Any] = {
        "ExpiryTime": datetime.now(UTC) + timedelta(days=7),
        "VolumeSize": snapshot.volume.size,
        "BlockSize": disks.BLOCK,
    }
    return envelope | ({"NextToken": following} if following else {})


@mends(EBSResponse, "list_snapshot_blocks")
def list_snapshot_blocks(_original: Any, self: Any) -> ActionResult:
    """Blocks that were ever written, in order, with the tokens to read them."""
    snapshot_id = self._get_param("SnapshotId")
    snapshot = _readable(self, snapshot_id)
    page, following = _page(self, world.current().disks.blocks(snapshot_id))
    token = world.current().disks.token
    blocks = [{"BlockIndex": index, "BlockToken": token(snapshot_id, index)} for index in page]
    return ActionResult({"Blocks": blocks, **_envelope(snapshot, following)})


@mends(EBSResponse, "get_snapshot_block")
def get_snapshot_block(_original: Any, self: Any) -> ActionResult:
    """One block and its SHA-256; the token must be the block's own."""
    snapshot_id, index = self._get_param("SnapshotId"), int(self._get_param("BlockIndex"))
    _readable(self, snapshot_id)
    kept = world.current().disks
    if self._get_param("BlockToken") != kept.token(snapshot_id, index):
        raise Invalid("INVALID_BLOCK_TOKEN", "The block token is invalid.")
    data = kept.read(snapshot_id, index)
    return ActionResult(
        {
            "DataLength": disks.BLOCK,
            "BlockData": kept.sent(snapshot_id, index, data),
            "Checksum": disks.checksum(data),
            "ChecksumAlgorithm": "SHA256",
        }
    )


@mends(EBSResponse, "list_changed_blocks")
def list_changed_blocks(_original: Any, self: Any) -> ActionResult:
    """Blocks that differ between two snapshots of one volume."""
    first, second = self._get_param("FirstSnapshotId"), self._get_param("SecondSnapshotId")
    if first:
        _readable(self, first)
    snapshot = _readable(self, second)
    kept = world.current().disks
    if first and not kept.related(first, second):
        raise Invalid("UNRELATED_SNAPSHOTS", "The snapshots are not of one volume.")
    page, following = _page(self, kept.changed(first, second), window=_WINDOW)
    before, after = set(kept.blocks(first)) if first else set(), set(kept.blocks(second))
    blocks = []
    for index in page:
        block: dict[str, Any] = {"BlockIndex": index}
        if index in before:
            block["FirstBlockToken"] = kept.token(first, index)
        if index in after:
            block["SecondBlockToken"] = kept.token(second, index)
        blocks.append(block)
    return ActionResult({"ChangedBlocks": blocks, **_envelope(snapshot, following)})


@mends(EBSResponse, "start_snapshot")
def start_snapshot(original: Any, self: Any) -> ActionResult:
    """An empty snapshot, pending until it is completed."""
    result = original(self)
    snapshot_id = result.result["SnapshotId"]
    find(snapshot_id, self.region, self.current_account).status = "pending"
    world.current().disks.begin(snapshot_id, int(self._get_param("VolumeSize")))
    return ActionResult({**result.result, "BlockSize": disks.BLOCK, "Status": "pending"})


@mends(EBSResponse, "put_snapshot_block")
def put_snapshot_block(_original: Any, self: Any) -> ActionResult:
    """Write one block; its length and its SHA-256 must be right."""
    snapshot_id = self._get_param("SnapshotId")
    snapshot = self.ebs_backend.snapshots.get(snapshot_id)
    if snapshot is None:
        raise Refusal("ResourceNotFoundException", f"The snapshot '{snapshot_id}' does not exist.", 404)
    if find(snapshot_id, self.region, self.current_account).status != "pending":
        raise Refusal("ValidationException", f"The snapshot '{snapshot_id}' is not pending.")
    data = self._get_param("BlockData")
    data = data.read() if hasattr(data, "read") else bytes(data or b"")
    if len(data) != disks.BLOCK:
        raise Refusal("ValidationException", f"A block has {disks.BLOCK} bytes, not {len(data)}.")
    if self._get_param("Checksum") != disks.checksum(data):
        raise Refusal("ValidationException", "The checksum does not match the block's data.")
    world.current().disks.put(snapshot_id, int(self._get_param("BlockIndex")), data)
    return ActionResult({"Checksum": disks.checksum(data), "ChecksumAlgorithm": "SHA256"})


@mends(EBSResponse, "complete_snapshot")
def complete_snapshot(_original: Any, self: Any) -> ActionResult:
    """Seal a snapshot that was put together block by block."""
    snapshot_id = self._get_param("SnapshotId")
    if snapshot_id not in self.ebs_backend.snapshots:
        raise Refusal("ResourceNotFoundException", f"The snapshot '{snapshot_id}' does not exist.", 404)
    snapshot = find(snapshot_id, self.region, self.current_account)
    written = len(world.current().disks.blocks(snapshot_id))
    if int(self._get_param("ChangedBlocksCount") or 0) != written:
        raise Refusal(
            "ValidationException", f"ChangedBlocksCount is not {written}, the number of blocks put."
        )
    snapshot.status = "completed"
    return ActionResult({"Status": "completed"})
