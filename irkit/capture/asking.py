"""Read-only questions to AWS: all pages, several at a time, and each answer kept word for word as evidence."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from irkit.aws import error_code
from irkit.canonical import timestamp
from irkit.plan import reason

if TYPE_CHECKING:
    from irkit.case import Case

T = TypeVar("T")
R = TypeVar("R")
WORKERS = 8
# What a call can end in without AWS's answer: a refusal, no answer, or one that is not what AWS writes.
NO_ANSWER = (BotoCoreError, ClientError, ResponseParserError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What AWS said: its pages as they came, and one mapping of all pages' lists put together.

    `code` and `why` are set when it refused; `pages` is then empty.
    """

    service: str
    operation: str
    params: Mapping[str, Any]
    region: str
    asked_at: str
    pages: tuple[Mapping[str, Any], ...] = ()
    code: str = ""
    why: str = ""

    @property
    def ok(self) -> bool:
        """Whether AWS answered."""
        return not self.why

    def __getitem__(self, key: str) -> Any:
        """A member of the answer; lists of several pages are joined."""
        found = [p[key] for p in self.pages if key in p]
        if found and all(isinstance(f, list) for f in found):
            return [entry for page in found for entry in page]
        return found[0] if found else None

    @property
    def request_ids(self) -> tuple[str, ...]:
        """The request ids, by which CloudTrail names these very calls."""
        return tuple(str(p.get("ResponseMetadata", {}).get("RequestId", "")) for p in self.pages)

    def to_json(self) -> bytes:
        """The answer as it is kept: who was asked what and when, and every page without HTTP headers."""
        pages = [{k: v for k, v in p.items() if k != "ResponseMetadata"} for p in self.pages]
        shown = {
            "schema": "irkit/aws-answer/1", "service": self.service, "operation": self.operation, "params": self.params,
            "region": self.region, "asked_at": self.asked_at, "request_ids": self.request_ids, "pages": pages,
        }  # fmt: skip
        return (json.dumps(shown, indent=1, sort_keys=True, default=_json) + "\n").encode("ascii")


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, bytes | bytearray):
        return {"base64": base64.b64encode(value).decode("ascii")}
    return str(value)


@dataclass(slots=True, kw_only=True)
class Asker:
    """Asks on behalf of a case. `answers` are all answers so far, refusals too, in the order in which they came.

    `absent` are sentences on what AWS has none of, so that nobody takes it for something that was not asked for.
    """

    case: Case
    stop: Callable[[], bool] = lambda: False
    answers: list[Answer] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, service: str, operation: str, **params: Any) -> Answer:
        """The answer to one operation, all pages of it; a refusal is an answer too. Never raises for what AWS says."""
        region = self.case.facts.region
        asked: dict[str, Any] = {
            "service": service, "operation": operation, "params": params, "region": region,
            "asked_at": timestamp(datetime.now(UTC)),
        }  # fmt: skip
        if self.stop():
            return self._noted(Answer(**asked, why="stopped before it was asked"))
        try:
            client = self.case.client(service)
            if client.can_paginate(operation):
                pages = tuple(client.get_paginator(operation).paginate(**params))
            else:
                pages = (getattr(client, operation)(**params),)
        except NO_ANSWER as error:
            why = reason(error, doing=operation.replace("_", " "), resource="")
            return self._noted(Answer(**asked, code=error_code(error) or type(error).__name__, why=why))
        return self._noted(Answer(**asked, pages=pages))

    def _noted(self, answer: Answer) -> Answer:
        with self._lock:
            self.answers.append(answer)
        return answer


def side_by_side(work: Callable[[T], R], on: Iterable[T], *, workers: int = WORKERS) -> list[R]:
    """`work` on each, several at a time, results in order."""
    todo = list(on)
    if not todo:
        return []
    with ThreadPoolExecutor(max_workers=min(workers, len(todo)), thread_name_prefix="irkit-ask") as pool:
        return list(pool.map(work, todo))
