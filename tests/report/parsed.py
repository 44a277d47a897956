"""A page as a strict reader sees it: tags, attributes, text, and everything that would reach outside or run."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_ALLOWED = set(
    re.findall(
        r"[a-z0-9]+",
        " html head meta title style body div p h1 h2 h3 dl dt dd nav ul li a main section span table thead tbody"
        " tr th td strong br details summary figure picture source img figcaption header footer code pre colgroup"
        " col",
    )
)
_VOID = {"meta", "br", "source", "img", "col"}
_REFERENCES = {
    "src",
    "href",
    "srcset",
    "action",
    "formaction",
    "data",
    "poster",
    "background",
    "xlink:href",
    "cite",
}


class Page(HTMLParser):
    """The parsed page; `faults` is empty when nothing in it can run, load or break out."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []
        self.anchors: list[str] = []
        self.targets: list[str] = []
        self.images: list[dict[str, str]] = []
        self.policy = ""
        self.styles = ""
        self.titles: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        if self._open:
            self.faults.append(f"never closed: {self._open}")
        self.faults += [
            f"the style sheet loads: {found}" for found in re.findall(r"@import|url\([^)]*\)", self.styles)
        ]
        self.faults += [f"points nowhere: #{name}" for name in set(self.targets) - set(self.anchors)]
        self.faults += [
            f"id used twice: {name}" for name in {n for n in self.anchors if self.anchors.count(n) > 1}
        ]

    @property
    def text(self) -> str:
        """What a person reads."""
        return " ".join(self.words)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _ALLOWED:
            self.faults.append(f"a <{tag}>")
        given = {name: value or "" for name, value in attrs}
        for name, value in given.items():
            self._attribute(tag, name, value)
        if tag == "img":
            self.images.append(given)
        if tag == "meta" and given.get("http-equiv", "").lower() == "content-security-policy":
            self.policy = given["content"]
        elif tag == "meta" and "http-equiv" in given:
            self.faults.append(f"meta {given}")
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        where = self._open[-1] if self._open else ""
        if where == "style":
            self.styles += data
        elif where == "title":
            self.titles.append(data)
        else:
            self.words.append(data)

    def handle_comment(self, data: str) -> None:
        self.faults.append(f"a comment: {data[:40]}")

    def _attribute(self, tag: str, name: str, value: str) -> None:
        if name.startswith("on"):
            self.faults.append(f"{tag} runs {name}={value}")
        if name == "id":
            self.anchors.append(value)
        if name in _REFERENCES:
            if tag == "a" and value.startswith("#"):
                self.targets.append(value[1:])
            elif not re.fullmatch(r"data:image/png;base64,[A-Za-z0-9+/=]+", value):
                self.faults.append(f"{tag} {name}={value[:80]}")
        if name == "style" and not re.fullmatch(r"width:[0-9.]+(rem|%)", value):
            self.faults.append(f"{tag} style={value}")
