"""Reports: nothing in them is taken for markup, nothing outside is asked for."""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path

import pytest

from decaf.tasks.caltech101 import PUBLISHED
from decaf.tasks.grid import Effect, Setting
from decaf.tasks.paper_report import dropout_sentence
from decaf.tasks.report import Figure, Page, Points, Section, Table, Text, markdown_text, write_page

ODD = 'a|b <script>alert("1")</script> *x* _y_ `z` [u](v) & $1$ 日本'


@pytest.fixture
def written(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "one.png").write_bytes(b"not really a picture")
    table = Table(ODD, ("", ODD, "c"), [[ODD, "1", "2"], ["second\nline", "3", ""]], strong=[(1, 1)])
    page = Page(
        ODD,
        ODD,
        [
            Section(ODD, [table, Text(ODD), Points([ODD, "two"])]),
            Section("figures", [Figure("one.png", ODD, ODD), Table("", ("", ""), [["key", ODD]])]),
        ],
    )
    assert set(write_page(page, tmp_path)) == {"report.html", "report.md"}
    return (tmp_path / "report.html").read_text(encoding="utf-8"), (tmp_path / "report.md").read_text(encoding="utf-8")


def test_the_page_is_escaped_and_stands_alone(written: tuple[str, str]) -> None:
    page, _ = written
    assert "<script" not in page and page.count("&lt;script&gt;") >= 8
    assert not re.search(r"https?:|//[a-z]|<link|@import|url\(", page)
    assert base64.b64encode(b"not really a picture").decode() in page
    assert "default-src 'none'" in page and "prefers-color-scheme: dark" in page
    assert html.unescape(re.search(r"<h1>(.*?)</h1>", page)[1]) == ODD  # type: ignore[index]
    assert page.count('<td class="strong">') == 1 and '<td class="strong">3</td>' in page


def test_markdown_shows_the_text_as_it_is(written: tuple[str, str]) -> None:
    _, text = written
    assert "<script" not in text.replace("\\<script", "") and "![" in text and "](one.png)" in text
    table = [line for line in text.splitlines() if line.startswith("|")][:4]
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in table] == [4, 4, 4, 4]
    assert table[1] == "|---|---:|---:|"
    assert table[3].startswith("| second\\\\nline | **3** |  |")
    unescaped = re.sub(r"\\([\\`*_{}\[\]<>#|&~$])", r"\1", text.splitlines()[0])
    assert unescaped == f"# {ODD}"
    assert markdown_text("plain 93.58 ± 0.47") == "plain 93.58 ± 0.47"


def effect(difference: float, low: float, high: float) -> Effect:
    from decaf.probe import Comparison

    return Effect(Setting("a", "svm", 0.5, "none"), difference, Comparison(difference, 0.1, (low, high), 0.5))


def test_what_is_said_of_dropout_comes_from_the_numbers() -> None:
    up, down, level = effect(0.02, 0.01, 0.03), effect(-0.03, -0.04, -0.02), effect(0.001, -0.01, 0.01)
    assert dropout_sentence([up, up], PUBLISHED).startswith("Yes: of 2 settings it made 2 better and 0 worse")
    mixed = dropout_sentence([up, down, level], PUBLISHED)
    assert mixed.startswith("In part: of 3 settings it made 1 better and 1 worse, and of 1 the splits cannot tell")
    assert "by -3.00 to +2.00 points" in mixed
    assert dropout_sentence([down, level], PUBLISHED).startswith("No: of 2 settings it made 0 better and 1 worse")
    assert mixed.endswith("In the paper, with another network, by +0.81 to +2.27 points.")
