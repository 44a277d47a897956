"""What a command needs beyond the core, asked for before anything is begun."""

from __future__ import annotations

from importlib.util import find_spec

from irkit.errors import MissingExtra


def require(extra: str, *modules: str) -> None:
    """Raise `MissingExtra`, which names `extra`, unless all `modules` are installed; imports none of them."""
    for module in modules:
        try:
            there = find_spec(module) is not None
        except ModuleNotFoundError:
            there = False
        if not there:
            raise MissingExtra(
                f"this needs {module}, which is not installed", hint=f"pip install 'irkit-aws[{extra}]'"
            )
