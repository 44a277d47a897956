"""A playbook as a picture: Mermaid text for documents, SVG for everything else.

Steps run from the top to the bottom; an arrow says what has to be done before. What changes AWS is told apart by its
border and by words, never by colour alone.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from irkit.escape import for_terminal
from irkit.playbooks.schema import Playbook, Step, When

_WIDTH, _BOX, _LEFT, _TOP, _LINE = 720, 620, 24, 72, 18
_STYLE = """
svg{background:#fff;color:#1b1f24;font:14px system-ui,sans-serif}
.box{fill:#f6f8fa;stroke:#57606a}.changes{fill:#fff8ee;stroke:#b35900;stroke-width:2}
.arrow{stroke:#57606a;fill:none}.tip{fill:#57606a}.small{font-size:12px;fill:#57606a}
text{fill:#1b1f24}
@media (prefers-color-scheme:dark){svg{background:#0d1117}text{fill:#e6edf3}.box{fill:#161b22;stroke:#8b949e}
.changes{fill:#2b1d0e;stroke:#ffa657}.arrow{stroke:#8b949e}.tip,.small{fill:#9aa4af}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edge:
    source: str
    target: str
    required: bool


def mermaid(playbook: Playbook) -> str:
    """The playbook as a Mermaid flowchart; it shows in Markdown where Mermaid does, such as on GitHub."""
    lines = ["flowchart TB"]
    for step in playbook.steps:
        said = "<br>".join(_quoted(line) for line in (step.title, *_small(step)))
        opening, closing = ("[[", "]]") if step.mutates else ("[", "]")
        lines.append(f'  {_node(step.id)}{opening}"{said}"{closing}')
    lines += [
        f"  {_node(edge.source)} {'==>' if edge.required else '-->'} {_node(edge.target)}"
        for edge in _edges(playbook)
    ]
    if changing := [_node(step.id) for step in playbook.steps if step.mutates]:
        lines += [
            "  classDef changes stroke:#b35900,stroke-width:2px",
            f"  class {','.join(changing)} changes",
        ]
    return "\n".join(lines) + "\n"


def svg(playbook: Playbook) -> str:
    """The playbook as one SVG file that needs nothing else, with a description in words for those who do not see it."""
    parts: list[str] = []
    places: dict[str, tuple[int, int]] = {}
    top = _TOP
    for step in playbook.steps:
        title = textwrap.wrap(for_terminal(step.title), 78) or [""]
        small = [line for text in _small(step) for line in textwrap.wrap(for_terminal(text), 98)]
        height = 16 + _LINE * (len(title) + len(small))
        parts += _boxed(step, title, small, top, height)
        places[step.id] = (top, top + height)
        top += height + 26
    drawn = [line for edge in _edges(playbook) for line in _arrow(edge, places)]
    name, told = escape(for_terminal(playbook.title)), escape(for_terminal(_in_words(playbook)))
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" width="{_WIDTH}" height="{top}" '
                'role="img" aria-labelledby="title desc">'
            ),
            f'<title id="title">{name}</title>',
            f'<desc id="desc">{told}</desc>',
            f"<style>{_STYLE}</style>",
            f'<text x="{_LEFT}" y="30" font-weight="600">{name}</text>',
            f'<text x="{_LEFT}" y="52" class="small">double border: changes AWS</text>',
            *drawn,
            *parts,
            "</svg>\n",
        ]
    )


def _edges(playbook: Playbook) -> Iterator[_Edge]:
    """From each step to the next; where a step `needs` others, from those, and marked as required."""
    for before, step in zip(playbook.steps, playbook.steps[1:], strict=False):
        needed = set(step.needs)
        yield _Edge(source=before.id, target=step.id, required=before.id in needed)
        for need in step.needs:
            if need != before.id:
                yield _Edge(source=need, target=step.id, required=True)


def _small(step: Step) -> list[str]:
    """What stands below a step's title."""
    about = [step.notebook, "changes AWS" if step.mutates else "reads", _duration(step.timeout)]
    lines = [" · ".join(about)]
    if step.when is not None:
        lines.append(f"only if {_condition(step.when)}")
    if step.on_failure == "stop":
        lines.append("if it fails, the playbook stops")
    return lines


def _condition(when: When) -> str:
    if when.is_set is not None:
        return f"{when.input} is {'given' if when.is_set else 'not given'}"
    return f"{when.input} is {' or '.join(map(str, when.compared))}"


def _duration(seconds: int) -> str:
    if seconds >= 3600:
        return f"at most {seconds / 3600:g} h"
    return f"at most {seconds / 60:g} min" if seconds >= 60 else f"at most {seconds} s"


def _boxed(step: Step, title: list[str], small: list[str], top: int, height: int) -> list[str]:
    kind = "changes" if step.mutates else "box"
    shape = f'<rect x="{{x}}" y="{{y}}" width="{{w}}" height="{{h}}" rx="6" class="{kind}"/>'
    parts = [shape.format(x=_LEFT, y=top, w=_BOX, h=height)]
    if step.mutates:
        parts.append(shape.format(x=_LEFT + 4, y=top + 4, w=_BOX - 8, h=height - 8))
    for number, (text, css) in enumerate([*((t, "") for t in title), *((t, "small") for t in small)]):
        y = top + 22 + _LINE * number
        parts.append(f'<text x="{_LEFT + 16}" y="{y}" class="{css}">{escape(text)}</text>')
    return parts


def _arrow(edge: _Edge, places: dict[str, tuple[int, int]]) -> list[str]:
    """A straight arrow to the next step, or one that goes around what lies between."""
    (_, begin), (end, _) = places[edge.source], places[edge.target]
    middle = _LEFT + _BOX // 2
    width = 3 if edge.required else 1
    if end - begin < 40:
        path, tip = f"M{middle} {begin}V{end - 8}", f"M{middle - 5} {end - 8}h10l-5 8z"
    else:
        side, inner = _LEFT + _BOX + 32, _LEFT + _BOX
        path = f"M{inner} {begin - 14}H{side}V{end + 14}H{inner + 8}"
        tip = f"M{inner + 8} {end + 9}v10l-8 -5z"
    return [
        f'<path d="{path}" class="arrow" stroke-width="{width}"/>',
        f'<path d="{tip}" class="tip"/>',
    ]


def _in_words(playbook: Playbook) -> str:
    told = [
        f"{number}. {step.title} ({'; '.join(_small(step))})."
        for number, step in enumerate(playbook.steps, 1)
    ]
    return " ".join(told)


def _node(ident: str) -> str:
    return "s_" + re.sub(r"[^a-z0-9]", "_", ident)


def _quoted(text: str) -> str:
    """Text inside a Mermaid label: what could end it or be markup becomes an entity code."""
    return re.sub(r"[^\w \-.,:()/·]", lambda m: f"#{ord(m.group())};", for_terminal(text))
