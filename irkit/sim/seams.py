"""How a piece of moto is replaced: once, by name, and only while a simulator runs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from irkit.sim import world


def replace(owner: object, name: str, value: object) -> None:
    """Put `value` in the place of `owner.name`; raises AttributeError when moto no longer has it."""
    getattr(owner, name)
    setattr(owner, name, value)


def covers(owner: type, **members: property) -> None:
    """Let properties answer for what moto keeps as plain members of `owner`'s instances."""
    for name, member in members.items():
        setattr(owner, name, member)


def mends(owner: type, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Replace the method `owner.name` by the decorated function, which gets the original as its first argument.

    Raises AttributeError when moto no longer has that method: an upgrade must break loudly here.
    """
    original = getattr(owner, name)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def mended(self: Any, *args: Any, **kwargs: Any) -> Any:
            if world.active() is None:
                return original(self, *args, **kwargs)
            return function(original, self, *args, **kwargs)

        setattr(owner, name, mended)
        return mended

    return decorate


def adds(owner: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give `owner`, a moto Response class, an operation that it lacks, named like the decorated function."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        name = function.__name__

        @functools.wraps(function)
        def added(self: Any) -> Any:
            if world.active() is None:
                raise NotImplementedError(f"The {name} action has not been implemented")
            return function(self)

        setattr(owner, name, added)
        return added

    return decorate
