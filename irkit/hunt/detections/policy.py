"""How pySigma is to read rules here: regular expressions by RE2, as DuckDB reads them, and nothing from elsewhere."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from irkit.errors import MissingExtra

if TYPE_CHECKING:
    from sigma.policy import SigmaPolicy
    from sigma.policy.regex_engine import RegexPattern


@cache
def policy() -> SigmaPolicy:
    """The policy, made once; raises `MissingExtra` without pySigma.

    RE2 by itself would write what is wrong with a pattern to standard error; this one does not.
    """
    try:
        from sigma.policy import SigmaPolicy
        from sigma.policy.regex_engine import RE2RegexEngine
    except ModuleNotFoundError as missing:
        raise MissingExtra(
            "reading Sigma rules needs pySigma", hint='pip install "irkit-aws[analysis]"'
        ) from missing

    class QuietEngine(RE2RegexEngine):
        def compile(self, pattern: str, flags: int = 0) -> RegexPattern:
            options = self._re2.Options()
            options.log_errors = False
            self._re2.compile(pattern, options)
            return super().compile(pattern, flags)

    return SigmaPolicy(regex_engine=QuietEngine())
