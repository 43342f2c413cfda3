import base64

import cv2
import numpy as np
from report_examples import HEAT, HOSTILE, Page, evaluation, facts, gallery, picture, recipe, screened

from pneumoscope.core.result import Gallery
from pneumoscope.report import html


def evaluated(*evaluations, galleries):
    return html.evaluation_report(evaluations, recipe(), run={}, galleries=galleries)


def test_pictures_are_right_or_wrong_in_words():
    shown = gallery(picture(right=True), picture(right=False), picture("as it is"))
    page = Page(evaluated(evaluation(), galleries=[[shown]]))
    assert [len(page.all("figure", css)) for css in ("good", "bad", "plain")] == [1, 1, 1]
    assert "✓ right normal; decided covid, 83 %" in page.text
    assert "✗ wrong normal; decided covid, 83 %" in page.text
    images = page.all("img")
    assert [a["alt"] for a in images] == [
        "Picture 1 of 3: normal; decided covid, 83 %",
        "Picture 2 of 3: normal; decided covid, 83 %",
        "Picture 3 of 3: as it is",
    ]
    assert all(a["loading"] == "lazy" and a["src"].startswith("data:image/jpeg;base64,") for a in images)
    assert "Some pictures" in page.text
    assert "Drawn by a seed." in page.text
    assert "colour scale" not in page.text


def test_heat_has_its_scale_and_an_empty_map_is_said():
    shown = gallery(picture(heat=HEAT), picture(heat=np.zeros((2, 2), np.float32)))
    page = Page(evaluated(evaluation(), galleries=[[shown]]))
    assert [a["alt"].partition(":")[0] for a in page.all("img")] == [
        "Heat map over picture 1 of 2",
        "Picture 2 of 2",
        "colour scale from low to high",
    ]
    assert page.text.count("Nothing speaks for it: no map.") == 1


def test_pictures_go_with_their_panel():
    galleries = [[gallery(title="of the first")], [gallery(title="of the second")]]
    text = evaluated(evaluation(), evaluation(protocol="paper"), galleries=galleries)
    order = ["Honest protocol</h2>", "of the first", "The paper's protocol</h2>", "of the second", "All figures"]
    positions = [text.replace("&#39;", "'").index(piece) for piece in order]
    assert positions == sorted(positions)


def test_text_of_a_gallery_is_inert():
    shown = gallery(picture(HOSTILE, right=False), picture(HOSTILE, heat=HEAT), title=HOSTILE, note=HOSTILE)
    text = evaluated(evaluation(), galleries=[[shown]])
    page = Page(text)
    assert "<script>alert" not in text
    assert page.text.count(HOSTILE) == 4
    assert [a["alt"].endswith(HOSTILE) for a in page.all("img")] == [True, True, False]
    assert not any(name.startswith("on") for a in page.all("img") for name in a)


def test_a_gallery_keeps_the_report_small():
    noise = np.random.default_rng(0).random((3000, 2000), dtype=np.float32)
    shown = gallery(picture(pixels=noise), picture(pixels=noise, heat=HEAT))
    assert len(evaluated(evaluation(), galleries=[[shown]])) < 300_000


def test_a_large_gallery_is_shown_in_rows_of_four_over_the_whole_width():
    pixels = np.random.default_rng(0).random((1400, 1400), dtype=np.float32)
    large = Gallery(title="Inside", note="n", pictures=(picture(), *[picture(pixels=pixels)] * 3), large=True)
    page = Page(evaluated(evaluation(), galleries=[[large, gallery(picture(pixels=pixels))]]))
    (shown,) = page.all("div", "large")
    assert "by-4" in shown["class"]
    assert len(page.all("div", "whole")) == 1
    sizes = [cv2.imdecode(_bytes(a["src"]), cv2.IMREAD_UNCHANGED).shape for a in page.all("img")]
    assert [max(shape) for shape in sizes[1:]] == [448, 448, 448, 224]


def test_a_screening_report_shows_galleries_below_its_studies():
    text = html.screening_report([screened()], facts(), galleries=[gallery(picture(HOSTILE), title=HOSTILE)])
    page = Page(text)
    assert page.text.count(HOSTILE) == 2
    assert "<script>alert" not in text
    assert "How to read the heat map" in page.text


def test_three_large_pictures_stand_in_one_row():
    three = Gallery(title="Inside", note="n", pictures=(picture(),) * 3, large=True)
    text = html.screening_report([screened()], facts(), galleries=[three])
    assert "by-3" in Page(text).all("div", "large")[0]["class"]


def _bytes(uri):
    return np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8)
