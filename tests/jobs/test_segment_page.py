"""The segmentation's report: self-contained, every k with its segments, and what a person types is text."""

import re
from datetime import date
from typing import Any

from jobs.segment_charts import Line, heat, lines_over_k
from jobs.segment_page import render
from jobs.segment_report import summary

DAY = date(2017, 10, 12)


def model(k: int, **more: Any) -> dict[str, Any]:
    about = {
        "segmentation_version": f"rfm@x-k{k}",
        "segmentation": "rfm",
        "request": "rfm@x",
        "as_of_date": DAY,
        "k": k,
        "roles": [],
        "features": ["recency", "mean_sale"],
        "centroids": [-0.5, 1.2, 1.6, -0.1, 0.0, 0.0][: 2 * k],
        "means": [3.0, 54.2, 60.0, 20.0, 9.0, 9.0][: 2 * k],
        "rules": [f"rule {number}" for number in range(k)],
        "subjects": 100,
        "left_out": 7,
        "sampled": 100,
        "silhouette": 0.6 - k / 10,
        "shuffled_silhouette": 0.15,
        "calinski_harabasz": 10.0,
        "davies_bouldin": 1.0,
        "stability": 0.9,
        "stability_low": 0.8,
        "smallest_share": 0.2,
        "has_structure": True,
        "is_suggested": k == 2,
        "reason": "k = 2: it is <stable>.",
        "seed": 7,
    }
    return {**about, **more}


def profile(k: int, segment: int, **more: Any) -> dict[str, Any]:
    about = {
        "segmentation_version": f"rfm@x-k{k}",
        "segment": segment,
        "suggested_name": f"<b>n{segment}</b>",
        "subjects": 80 if segment == 0 else 20,
        "share": 0.8 if segment == 0 else 0.2,
        "revenue_cents": 123_456,
        "revenue_share": 0.66 if segment == 0 else None,
        "orders": 10,
        "session_orders": 8,
        "page_views": 40,
        "basket_cents": 12_345.6 if segment == 0 else None,
        "basket_lines": 4.0 if segment == 0 else None,
        "retention": 0.51 if segment == 0 else None,
        "widgets_seen": [("home/trending", 50)],
        "widgets_clicked": [("home/trending", 10 + 20 * segment)],
        "roles": [("customer", 20)],
        "against": "rfm@old-k2",
        "continues": "core" if segment == 0 else None,
        "migration": [("core", 20)],
    }
    return {**about, **more}


MODELS = [model(3), model(2)]
PROFILES = [profile(k, segment) for k in (2, 3) for segment in range(k)]


def page(**more: Any) -> str:
    return render(
        MODELS, PROFILES, **{"meanings": {"recency": "days since the last visit"}, "note": "", **more}
    )


def test_it_needs_nothing_but_itself() -> None:
    html = page()
    assert not re.findall(r"(?:src|href)=|https?:|@import|<script", html)
    assert "prefers-color-scheme: dark" in html


def test_every_k_is_there_and_the_suggested_one_is_open() -> None:
    html = page()
    assert re.findall(r'id="k(\d)"( checked)?', html) == [("2", " checked"), ("3", "")]
    assert [html.count(f'<div class="panel k{k}">') for k in (2, 3, 4)] == [1, 1, 0]
    assert html.count('<article class="card segment"') == 5
    assert "k = 2 (suggested)" in html


def test_figures_are_those_of_the_rows() -> None:
    html = page()
    assert "<dt>basket</dt><dd>123.46</dd>" in html
    assert "<dt>retention</dt><dd>51%</dd>" in html
    assert "<dt>retention</dt><dd>–</dd>" in html
    assert "<dt>orders made in a session</dt><dd>80%</dd>" in html
    assert "80 subjects · continues core" in html
    assert "Rule 0." in html
    assert "<th>days since the last visit</th>" in html
    assert "54.2<small>+1.2</small>" in html
    # 10 of 50 in one segment, 30 of 50 in the other.
    assert html.count("20%<small>of 50</small>") >= 2
    assert "60%<small>of 50</small>" in html
    assert "rfm@old-k2, the last approved" in html


def test_what_a_person_typed_is_text() -> None:
    html = page(note="a <note>")
    assert "<b>n0</b>" not in html
    assert "&lt;b&gt;n0&lt;/b&gt;" in html
    assert "it is &lt;stable&gt;." in html
    assert "a &lt;note&gt;" in html


def test_without_a_suggestion_the_fewest_segments_are_open() -> None:
    models = [{**row, "is_suggested": False} for row in MODELS]
    html = render(models, PROFILES, meanings={}, note="")
    assert re.findall(r'id="k(\d)" checked', html) == ["2"]
    assert "suggested)" not in html


def test_the_question_s_table_is_of_the_suggested_k(tmp_path: Any) -> None:
    told = summary(MODELS, PROFILES, tmp_path / "rfm@x.html")
    assert (told["report"], told["suggested"], told["fitted"]) == ("segments/rfm@x.html", 2, [2, 3])
    assert [(row["segment"], row["share"], row["revenue"]) for row in told["segments"]] == [
        (0, "80%", "66%"),
        (1, "20%", "0%"),
    ]
    none = summary([{**row, "is_suggested": False} for row in MODELS], PROFILES, tmp_path / "x.html")
    assert (none["suggested"], none["segments"]) == (None, [])


def test_a_line_is_drawn_to_scale() -> None:
    drawn = lines_over_k([Line("ours", {2: 0.0, 4: 0.5, 5: 1.0})], best=4, asked=0.5, top=1, title="t")
    assert '<polyline class="ours" points="34.0,164.0 221.0,87.0 408.0,10.0"/>' in drawn
    assert '<circle class="best" cx="221.0" cy="87.0" r="6"><title>k = 4: 0.500</title></circle>' in drawn


def test_a_cell_s_colour_grows_with_the_difference() -> None:
    assert heat("x", 0.75) == '<td style="background:rgb(var(--high)/22%)">x</td>'
    assert heat("x", -9, aside="y") == '<td style="background:rgb(var(--low)/45%)">x<small>y</small></td>'
