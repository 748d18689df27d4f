"""What a page of HTML holds, read by Python's own parser."""

import html.parser
import json

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(html.parser.HTMLParser):
    """Tags with their attributes, in order, and texts by the id of the element that they are in."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts, self.open = [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs).get("id")))

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.handle_data(" ")
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        for _, name in self.open:
            if name:
                self.texts[name] = self.texts.get(name, "") + data
        if self.open and self.open[-1][0] not in ("script", "style"):
            self.texts[""] = self.texts.get("", "") + " " + data

    @property
    def figures(self):
        """The JSON that the page holds for programs."""
        return json.loads(self.texts["figures"])
