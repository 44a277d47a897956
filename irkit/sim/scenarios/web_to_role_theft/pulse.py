"""When ordinary things happen: intervals with some jitter, and days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random

from irkit.sim.scenarios.web_to_role_theft.story import Story


def every(story: Story, rng: Random, minutes: float, jitter: float = 0.3) -> Iterator[datetime]:
    """Moments about `minutes` apart over the whole time of the logs."""
    when = story.times.begin + timedelta(seconds=rng.uniform(0, minutes * 60))
    while when < story.times.at:
        yield when
        when += timedelta(seconds=minutes * 60 * rng.uniform(1 - jitter, 1 + jitter))


def days(story: Story) -> Iterator[datetime]:
    """Midnights of the days that the logs cover."""
    day = story.times.begin.replace(hour=0, minute=0, second=0)
    while day < story.times.at:
        yield day
        day += timedelta(days=1)


def within(story: Story, when: datetime) -> bool:
    """Whether the logs cover `when`."""
    return story.times.begin <= when < story.times.at
