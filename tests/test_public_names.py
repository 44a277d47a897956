from __future__ import annotations

import irkit
from irkit import errors


def test_the_public_names_are_exactly_these() -> None:
    assert list(irkit.__all__) == [
        "Case", "Finding", "IrkitError", "Item", "Plan", "Report", "__version__", "capture", "contain", "findings",
        "hunt", "logs", "notebook", "playbooks", "report", "verify",
    ]  # fmt: skip


def test_every_error_is_one_of_irkit_has_an_exit_code_and_is_drawn_in_the_tree() -> None:
    drawn = errors.__doc__ or ""
    found = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]
    assert len(found) > 15
    for error in found:
        assert issubclass(error, errors.IrkitError)
        assert error.exit_code in {1, 2, 3, 4}
        assert error.__name__ in drawn


def test_an_error_is_one_line_however_it_was_worded() -> None:
    assert str(errors.Refused("a\nb", hint=" c\n\nd ")) == "a b: c d"
    assert str(errors.Refused("a")) == "a"
