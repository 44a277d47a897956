"""What a person should decide next, by rule from the findings and the steps. Suggestions; irkit does none of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irkit.report.incident import facts

if TYPE_CHECKING:
    from irkit.report.casebook import Casebook

_RULES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("access_key",), "Revoke or deactivate every key and session named here, created ones first: {}."),
    (("user",), "Review the users that were touched and remove what the intruder gave them: {}."),
    (
        ("snapshot", "account"),
        "Withdraw the sharing and ask AWS about copies that the other account may hold: {}.",
    ),
    (("bucket",), "Classify the data in these buckets; legal and privacy decide on duties to notify: {}."),
    (("secret",), "Rotate every secret that was read: {}."),
    (("pool",), "Block and watch for these addresses in the rest of the estate: {}."),
    (
        ("file", "cron", "ssh_key", "process"),
        "Rebuild the instance from a trusted image and close the way in; do not clean it and go on. Found on it: {}.",
    ),
)
_MOST = 5


def suggestions(book: Casebook) -> list[str]:
    """Sentences, in the order in which they usually matter."""
    said = []
    for kinds, text in _RULES:
        values = facts(book.findings, *kinds)
        if values:
            more = f" and {len(values) - _MOST} more" if len(values) > _MOST else ""
            said.append(text.format(", ".join(values[:_MOST]) + more))
    unsettled = [
        step for step in book.steps if step.standing in {"failed", "interrupted"} and not step.notebook
    ]
    if unsettled:
        said.insert(
            0,
            f"Settle what failed or was interrupted: {'; '.join(step.title for step in unsettled[:_MOST])}.",
        )
    if any(step.undo and step.standing in {"done", "done in part"} for step in book.steps):
        said.append(
            "Keep containment until the cause is removed; “irkit case undo” then puts back what was there."
        )
    if book.findings:
        said.append("Review the account for what logs cannot show, and restore from before the first sign.")
    return said
