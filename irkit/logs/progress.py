"""How far an ingest is, how fast it goes, and how long it will take."""

from __future__ import annotations

from dataclasses import dataclass

_MB = 1e6
_TELLING = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an ingest is, for whoever shows it.

    `bytes` is what came out of the files so far, unpacked; `read` and `size` are bytes as the files lie.
    """

    files: int
    of: int
    bytes: int
    rows: int
    read: int = 0
    size: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Unpacked bytes a second so far."""
        return self.bytes / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """About how long the rest takes; None while it is too early to tell."""
        if self.seconds < _TELLING or not self.read or not self.size:
            return None
        return self.seconds * max(self.size - self.read, 0) / self.read

    def sentence(self) -> str:
        """One line for people."""
        line = f"{self.files:,} of {self.of:,} files, {self.rows:,} records, {self.rate / _MB:,.0f} MB/s"
        left = self.seconds_left
        return line if left is None else f"{line}, about {_duration(left)} left"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
