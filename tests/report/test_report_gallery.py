import numpy as np
from report_examples import HEAT, HOSTILE, Page, evaluation, gallery, picture, recipe

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
