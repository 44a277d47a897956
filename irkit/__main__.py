"""`python -m irkit`: the command line, where the script is not on the path."""

from __future__ import annotations

from irkit.cli import main

main()
