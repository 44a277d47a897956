"""The questions by name, so that a notebook completes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from irkit.hunt.question import Question
from irkit.markup import table


class Catalog:
    """Every question that can be asked: `questions()` lists them, `questions.beacons` is one, TAB names them."""

    def __init__(self, questions: Iterable[Question]) -> None:
        self._by_name = {question.name: question for question in sorted(questions, key=lambda q: q.name)}

    def __call__(self) -> list[Question]:
        """All of them, by name."""
        return list(self._by_name.values())

    def __getattr__(self, name: str) -> Question:
        if name.startswith("_") or name not in self._by_name:
            raise AttributeError(f"there is no question {name!r}")
        return self._by_name[name]

    def __dir__(self) -> list[str]:
        return list(self._by_name)

    def __iter__(self) -> Iterator[Question]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def __repr__(self) -> str:
        return f"{len(self)} questions: {', '.join(self._by_name)}"

    def _repr_html_(self) -> str:
        rows = [(q.name, ", ".join(p.name for p in q.params), q.title) for q in self]
        return table(("question", "takes", "answers"), rows, caption=f"{len(self)} questions")
