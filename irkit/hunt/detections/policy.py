"""How pySigma is to read rules here: regular expressions by RE2, as DuckDB reads them, and nothing from elsewhere."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sigma.policy import SigmaPolicy
    from sigma.policy.regex_engine import RegexPattern


@cache
def policy() -> SigmaPolicy:
    """The policy, made once. RE2 would write what is wrong with a pattern to standard error; this one does not."""
    from sigma.policy import SigmaPolicy
    from sigma.policy.regex_engine import RE2RegexEngine

    class QuietEngine(RE2RegexEngine):
        def compile(self, pattern: str, flags: int = 0) -> RegexPattern:
            import re2

            options = re2.Options()
            options.log_errors = False
            re2.compile(pattern, options)
            return super().compile(pattern, flags)

    return SigmaPolicy(regex_engine=QuietEngine())
