from __future__ import annotations

from markdown_it import MarkdownIt

from bracket.report.summary import Summary
from bracket.report.writing.document import Bullets, Code, Document, Paragraph, Row, Section, Table
from bracket.report.writing.markdown import escape, render

HOSTILE = "<script>x</script> | **bold** `code` [link](http://a.example) ![i](b) # $x$ &lt;"


def shown(markdown: str) -> str:
    return str(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))


def test_escaped_text_shows_itself() -> None:
    assert shown(escape(HOSTILE)) == (
        "<p>&lt;script&gt;x&lt;/script&gt; | **bold** `code` [link](http://a.example) ![i](b) # $x$ &amp;lt;</p>\n"
    )


def test_escaped_text_starts_no_list_and_no_new_block() -> None:
    for text in ("1. one", "- dash", "+ plus", "= equals", "two\n\nparagraphs", "> quote", "# heading"):
        page = shown(escape(text))
        assert page.startswith("<p>")
        assert page.count("<") == 2


def test_a_table_keeps_its_columns() -> None:
    table = Table(("a", "b"), (Row(("1 | 2", "<b>")),), frozenset({1}))
    page = shown(render(Document("n", "s", "h", False, (), (), (Section("t", "T", (table,)),))))
    assert page.count("<td") == 2
    assert "<b>" not in page


def test_code_can_not_end_its_fence() -> None:
    code = Code("a\n````\n<script>\n```\nb")
    page = shown(render(Document("n", "s", "h", False, (), (), (Section("c", "C", (code, Paragraph("after"))),))))
    assert page.count("<pre>") == 1
    assert "<script>" not in page
    assert page.rstrip().endswith("<p>after</p>")


def test_warnings_and_bullets_are_laid_out() -> None:
    blocks = (Paragraph("Watch out.", "warning"), Bullets(("one", "two")))
    text = render(Document("n", "s", "h.", False, (), (), (Section("x", "X", blocks),)))
    assert text == "# n\n\ns\n\n**h.**\n\n## X\n\n> Watch out.\n\n- one\n- two\n"


def test_every_linked_image_was_written(finished: Summary) -> None:
    report = finished.folder / "report"
    tokens = MarkdownIt().parse((report / "report.md").read_text(encoding="utf-8"))
    images = [child.attrs["src"] for token in tokens for child in token.children or [] if child.type == "image"]
    assert len(images) == 11
    assert all((report / str(name)).is_file() for name in images)
