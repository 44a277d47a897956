"""Where the notebooks, playbooks and templates that come with irkit lie: in the wheel, or beside it in a checkout."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Literal

from irkit.errors import NotFound

Kind = Literal["notebooks", "playbooks", "cfn"]


def folder(kind: Kind) -> Path:
    """The folder of `kind`. A wheel holds it as package data, an editable install finds it beside the package."""
    package = Path(str(resources.files("irkit")))
    for place in (package / "_data" / kind, package.parent / kind):
        if place.is_dir():
            return place
    raise NotFound(f"irkit's {kind} are not installed", hint="install irkit-aws again from its wheel")
