"""The bucket's side of a memory capture: the tool and the links for the host, the upload, and what has arrived.

The host gets lists of links, each list named in the one before. A list is signed when the host nears the end of the one
before, so that only the next few parts can be written at any time, and an upload may take longer than a link lives.

References:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from irkit.aws import error_code, translating
from irkit.aws.courier import SECONDS, Courier, courier, policy
from irkit.errors import IrkitError
from irkit.evidence import bucket

if TYPE_CHECKING:
    from irkit.case import Case

# The link in the command itself need only live until the agent has fetched the command.
FIRST_LINK_SECONDS = 900
_LINK_BYTES = 4 << 30
_MOST_LINKS = 64
_CHUNK = 1 << 20
_READS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """The dump as it lies in the bucket."""

    key: str
    size: int
    version: str
    etag: str


@dataclass(slots=True, kw_only=True)
class Transfer:
    """One dump on its way into `bucket`. `key` is where it ends up; all else lies under `prefix` and is removed.

    `kept` says how the bucket holds on to what is written, once it was reached.
    """

    case: Case
    bucket: str
    key: str
    prefix: str
    part_bytes: int
    role: str | None
    region: str = ""
    kept: str = ""
    upload: str | None = None
    _client: Any = None
    _courier: Courier | None = None
    _signer: Any = None
    _couriers: dict[str, str] = field(default_factory=dict)
    _lists: int = 0
    _reached: int = 0

    def reach(self) -> None:
        """Find the bucket's region. Raises `NotFound` or `Refused` when it is not there or not ours to write to."""
        with translating("reach the evidence bucket", self.bucket):
            head = self.case.client("s3").head_bucket(Bucket=self.bucket, **self._owner)
        self.region = str(head.get("BucketRegion") or self.case.facts.region)
        self._client = self.case.client("s3", region=self.region)
        try:
            held = bucket.look(self.case, self.bucket, owner=bucket.owner_of(self.case))
        except IrkitError:
            self.kept = "not known whether the bucket keeps what is written"
        else:
            self.kept = held.default_retention or (
                "Object Lock without a default retention" if held.lockable else "no Object Lock"
            )

    # -- what is there already -------------------------------------------------------------------------------------

    def arrived(self) -> Arrived | None:
        """The dump, when its upload has been completed."""
        with translating("look for", self._where):
            try:
                head = self._client.head_object(Bucket=self.bucket, Key=self.key, **self._owner)
            except ClientError as error:
                if error_code(error) in {"404", "NoSuchKey", "NotFound"}:
                    return None
                raise
        return Arrived(key=self.key, size=int(head["ContentLength"]), version=str(head.get("VersionId", "")),
                       etag=str(head.get("ETag", "")).strip('"'))  # fmt: skip

    def take_up(self) -> None:
        """Go on with the upload that an earlier run began, if there is one; of several, the one that has most parts."""
        with translating("look for the upload to", self._where):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket, Prefix=self.key, **self._owner
            )
            begun = [u["UploadId"] for p in pages for u in p.get("Uploads", ()) if u["Key"] == self.key]
        counted = sorted((len(self._parts_of(upload)), upload) for upload in begun)
        for parts, upload in counted[:-1]:
            if not parts:
                self._abort(upload)
        self.upload = counted[-1][1] if counted else None

    def begin(self) -> None:
        """Begin the upload."""
        with translating("begin the upload to", self._where):
            said = self._client.create_multipart_upload(
                Bucket=self.bucket, Key=self.key, ContentType="application/octet-stream", **self._owner
            )
        self.upload = str(said["UploadId"])

    def parts(self) -> list[dict[str, Any]]:
        """The parts that have arrived, in order: PartNumber, ETag, Size."""
        return self._parts_of(self.upload) if self.upload else []

    # -- for the host ----------------------------------------------------------------------------------------------

    def send_tool(self, tool: bytes) -> None:
        """Put the acquisition tool where its link leads."""
        with translating("upload the acquisition tool to", f"s3://{self.bucket}/{self.prefix}tool"):
            self._client.put_object(Bucket=self.bucket, Key=f"{self.prefix}tool", Body=tool, **self._owner)

    def first_link(self) -> str:
        """A link to the first list of links, for the command."""
        return self._link("get_object", self._list_key(1), FIRST_LINK_SECONDS)

    def keep_ahead(self) -> None:
        """Sign lists of links until there is one for parts that the host has not come to yet."""
        with translating("list the parts of", self._where):
            told = self._owner | ({"PartNumberMarker": self._reached} if self._reached else {})
            said = self._client.list_parts(Bucket=self.bucket, Key=self.key, UploadId=self.upload, **told)
        self._reached = max([self._reached, *(p["PartNumber"] for p in said.get("Parts", ()))])
        wanted = self._reached // self.links_a_list + 2
        if self._lists == 0:  # taken up: the host may be waiting for the list that follows
            self._lists = self._reached // self.links_a_list
        while self._lists < wanted:
            self._lists += 1
            self._write_list(self._lists)

    @property
    def links_a_list(self) -> int:
        """How many parts one list is for: few enough that they are sent well before their links end."""
        return max(4, min(_MOST_LINKS, _LINK_BYTES // self.part_bytes))

    @property
    def signed_by(self) -> dict[str, str]:
        """The sessions that signed links, each with the call that made it."""
        return dict(self._couriers)

    # -- at the end ------------------------------------------------------------------------------------------------

    def complete(self) -> Arrived:
        """Make the parts that have arrived one object, which must not be there yet. Raises when there are none."""
        parts = self.parts()
        whole = [p for n, p in enumerate(parts, 1) if p["PartNumber"] == n]
        if not whole:
            raise IrkitError(
                "no part of the memory has arrived", hint="apply the plan again to try once more"
            )
        with translating("complete the upload to", self._where):
            try:
                self._client.complete_multipart_upload(
                    Bucket=self.bucket, Key=self.key, UploadId=self.upload, IfNoneMatch="*",
                    MultipartUpload={"Parts": [{"PartNumber": p["PartNumber"], "ETag": p["ETag"]} for p in whole]},
                    **self._owner,
                )  # fmt: skip
            except ClientError as error:
                # Completed already, by a call whose answer was lost.
                if (
                    error_code(error) not in {"PreconditionFailed", "NoSuchUpload", "412"}
                    or not self.arrived()
                ):
                    raise
        found = self.arrived()
        if found is None:
            raise IrkitError(f"{self._where} was completed and is not there", hint="apply the plan again")
        return found

    def give_up(self) -> None:
        """Abort an upload that no part has arrived of, so that nothing of it is stored and paid for."""
        if self.upload and not self.parts():
            self._abort(self.upload)
            self.upload = None

    def clean_up(self) -> bool:
        """Remove the tool and the lists, and say whether that went well.

        Under Object Lock older versions stay: a tool that anybody may have, and links that have ended.
        """
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self.prefix, **self._owner
            )
            keys = [o["Key"] for page in pages for o in page.get("Contents", ())]
            for n in range(0, len(keys), 1000):
                named = [{"Key": k} for k in keys[n : n + 1000]]
                self._client.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": named, "Quiet": True}, **self._owner
                )
        except (BotoCoreError, ClientError):
            return False
        return True

    def read(self, found: Arrived) -> Iterator[bytes]:
        """The dump as S3 gives it back, read on where a connection breaks."""
        offset, failures = 0, 0
        more = {"VersionId": found.version} if found.version not in {"", "null"} else {}
        while offset < found.size:
            began = offset
            try:
                with translating("read", self._where):
                    told = more | ({"Range": f"bytes={offset}-"} if offset else {}) | self._owner
                    body = self._client.get_object(Bucket=self.bucket, Key=self.key, **told)["Body"]
                    for chunk in body.iter_chunks(_CHUNK):
                        offset += len(chunk)
                        yield chunk
            except (IrkitError, OSError):
                failures = 1 if offset > began else failures + 1
                if failures >= _READS:
                    raise

    # -- inside ----------------------------------------------------------------------------------------------------

    @property
    def _owner(self) -> dict[str, str]:
        """What makes S3 refuse when the bucket is not the account's that it should be."""
        owner = bucket.owner_of(self.case)
        return {"ExpectedBucketOwner": owner} if owner else {}

    @property
    def _where(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def _list_key(self, number: int) -> str:
        return f"{self.prefix}links-{number}"

    def _write_list(self, number: int) -> None:
        first = (number - 1) * self.links_a_list + 1
        lines = [f"tool {self._link('get_object', f'{self.prefix}tool')}"] if number == 1 else []
        for part in range(first, first + self.links_a_list):
            link = self._link("upload_part", self.key, UploadId=self.upload, PartNumber=part)
            lines.append(f"part {part} {link}")
        lines += [f"next {self._link('get_object', self._list_key(number + 1))}", "end", ""]
        with translating("write a list of links to", f"s3://{self.bucket}/{self._list_key(number)}"):
            self._client.put_object(
                Bucket=self.bucket, Key=self._list_key(number), Body="\n".join(lines).encode("ascii"),
                ContentType="text/plain", **self._owner,
            )  # fmt: skip

    def _link(self, operation: str, key: str, seconds: int = SECONDS, **more: Any) -> str:
        # A link of a session that ends in a minute is of no use to a part that takes ten.
        if self._courier is None or self._courier.seconds_left < SECONDS / 2:
            self._courier = courier(
                self.case.aws,
                policy(self.bucket, reads=[f"{self.prefix}*"], writes=[self.key]),
                role=self.role,
            )
            self._couriers[self._courier.arn] = self._courier.how
            self._signer = self._courier.client(self.region)
        lives = int(max(1, min(seconds, self._courier.seconds_left)))
        link: str = self._signer.generate_presigned_url(
            operation, Params={"Bucket": self.bucket, "Key": key, **more}, ExpiresIn=lives
        )
        return link

    def _parts_of(self, upload: str) -> list[dict[str, Any]]:
        with translating("list the parts of", self._where):
            pages = self._client.get_paginator("list_parts").paginate(
                Bucket=self.bucket, Key=self.key, UploadId=upload, **self._owner
            )
            return [part for page in pages for part in page.get("Parts", ())]

    def _abort(self, upload: str) -> None:
        try:
            self._client.abort_multipart_upload(
                Bucket=self.bucket, Key=self.key, UploadId=upload, **self._owner
            )
        except (BotoCoreError, ClientError):
            return  # a lifecycle rule of the bucket ends what was left open
