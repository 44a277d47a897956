"""What validation says of each digest and each log file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from irkit.markup import table

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["sound", "changed", "missing", "extra", "unproved", "pending"]
MEANINGS: dict[Verdict, str] = {
    "sound": "as CloudTrail delivered it",
    "changed": "not what CloudTrail delivered",
    "missing": "delivered, and not there any more",
    "extra": "in the time that digests cover, and in none of them",
    "unproved": "cannot be told: the digest that would prove it is not sound, or its key or signature is not known",
    "pending": "newer than the last digest, which CloudTrail writes every hour",
}
_SHOWN = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class FileVerdict:
    """One file: `kind` is `digest` or `log`, `why` says what the verdict rests on."""

    uri: str
    kind: Literal["digest", "log"]
    verdict: Verdict
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The verdicts on the digests and log files of some trails."""

    verdicts: tuple[FileVerdict, ...]

    @property
    def counts(self) -> dict[tuple[str, Verdict], int]:
        """How many digests and logs there are of each verdict."""
        return dict(Counter((one.kind, one.verdict) for one in self.verdicts))

    @property
    def tampered(self) -> tuple[FileVerdict, ...]:
        """What was changed, removed or added."""
        return tuple(one for one in self.verdicts if one.verdict in ("changed", "missing", "extra"))

    @property
    def proved(self) -> bool:
        """Whether there was something to validate, and all of it is sound or too new."""
        return any(one.kind == "digest" for one in self.verdicts) and all(
            one.verdict in ("sound", "pending") for one in self.verdicts
        )

    def sentence(self) -> str:
        """One line for people."""
        if not any(one.kind == "digest" for one in self.verdicts):
            return "there are no digest files: the trail does not validate its files, or they were not copied"
        parts = [
            f"{count:,} {kind} files {verdict}" for (kind, verdict), count in sorted(self.counts.items())
        ]
        return ", ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types."""
        return {
            "proved": self.proved,
            "counts": {f"{kind} {verdict}": count for (kind, verdict), count in sorted(self.counts.items())},
            "verdicts": [
                {"uri": one.uri, "kind": one.kind, "verdict": one.verdict, "why": one.why}
                for one in self.verdicts
            ],
        }

    def to_frame(self) -> pd.DataFrame:
        """A row a file."""
        import pandas as pd

        rows = [(one.kind, one.verdict, one.uri, one.why) for one in self.verdicts]
        return pd.DataFrame(rows, columns=["kind", "verdict", "uri", "why"])

    def __repr__(self) -> str:
        return f"Validation({self.sentence()})"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        worst = [one for one in self.verdicts if one.verdict != "sound"]
        rows = [(one.kind, one.verdict, one.uri, one.why) for one in worst[:_SHOWN]]
        note = f"{len(worst) - _SHOWN:,} more" if len(worst) > _SHOWN else ""
        html = table(["kind", "verdict", "file", "why"], rows, caption=self.sentence(), note=note)
        return {"text/plain": repr(self), "text/html": html}
