"""A strict reading of a page with the standard library's parser: every element is closed, in
order.
"""

from __future__ import annotations

from html.parser import HTMLParser

__all__ = ["Page"]

VOID = {"meta", "br", "wbr", "link", "img", "hr", "input"}
SILENT = {"script", "style"}


class Page(HTMLParser):
    """What a page holds.

    Attributes:
        text: everything a reader sees, with single spaces, without breaking marks.
        ids: of elements, in order.
        scripts: (attributes, content) of each script element.
        elements: (tag, attributes) of each element, in order.
        sections: text by the id of the section (or header) it stands in.
    """

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, str | None]] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self._words: list[str] = []
        self._sections: dict[str, list[str]] = {}
        self.feed(source)
        self.close()
        assert not self.open, f"never closed: {self.open}"
        self.text = " ".join("".join(self._words).split())
        self.ids = [attributes["id"] for _, attributes in self.elements if "id" in attributes]
        self.sections = {
            name: " ".join("".join(words).split()) for name, words in self._sections.items()
        }

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(
                (tag, dict(attributes).get("id") if tag in ("section", "header") else None)
            )
        if tag == "script":
            self.scripts.append((dict(attributes), ""))
        if tag in ("td", "th", "p", "h1", "h2", "h3", "li", "dd", "dt", "br", "tr"):
            self._say(" ")

    def handle_endtag(self, tag: str) -> None:
        assert [name for name, _ in self.open[-1:]] == [tag], (
            f"</{tag}> at line {self.getpos()[0]} closes {self.open[-1:]}"
        )
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1][0] == "script":
            attributes, content = self.scripts[-1]
            self.scripts[-1] = (attributes, content + data)
        elif not self.open or self.open[-1][0] not in SILENT:
            self._say(data)

    def _say(self, data: str) -> None:
        self._words.append(data)
        for _, name in self.open:
            if name:
                self._sections.setdefault(name, []).append(data)
