"""What `--protocol both` shows, for every recipe: the honest and the paper's column in one table."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from report_examples import Page

from pneumoscope.app.measured import print_evaluations
from pneumoscope.core.resolve import resolve_all
from pneumoscope.core.result import Evaluation
from pneumoscope.evaluate import metrics
from pneumoscope.recipes import find, recipes
from pneumoscope.report.html import evaluation_report


def both(name: str) -> tuple[list[Evaluation], str]:
    """Made-up answers under both protocols of a recipe, the paper's ones better; and the report of the two."""
    resolved = resolve_all(find(name)[0], variant=None, protocols=("honest", "paper"), overrides=None)
    classes, k = resolved[0].classes, len(resolved[0].classes.names)
    truth = np.arange(24) % k
    evaluations = []
    for one, wrong in zip(resolved, (7, 2), strict=True):
        decided = np.where(np.arange(24) < wrong, (truth + 1) % k, truth)
        p = np.full((24, k), 0.2 / (k - 1)) + np.eye(k)[decided] * (0.8 - 0.2 / (k - 1))
        found = metrics.evaluate(p, truth, decided, [str(i) for i in range(24)], classes, resamples=20)
        evaluations.append(
            dataclasses.replace(
                found,
                protocol=one.protocol.name,
                judged=one.judges,
                reported=one.comparable,
                shared_patients=24 - wrong,
            )
        )
    together = dataclasses.replace(resolved[0], protocols=tuple(one.protocol for one in resolved))
    return evaluations, evaluation_report(evaluations, together, run={})


@pytest.mark.parametrize("name", list(recipes()))
def test_both_columns_are_in_one_table(name: str) -> None:
    evaluations, html = both(name)
    (table,) = [t for t in re.findall("<table.*?</table>", html, re.DOTALL) if "Honest protocol</th>" in t]
    assert "The paper&#39;s protocol</th>" in table
    (row,) = re.findall(r"<tr>\s*<th scope=\"row\">Accuracy.*?</tr>", table, re.DOTALL)
    assert re.findall(r"<b>([\d.]+)</b>", row) == ["0.708", "0.917"]
    page = Page(html)
    assert "parted by patient" in page.text
    if any(entry.metrics for e in evaluations for entry in e.reported):
        assert "Ours, honest protocol" in page.text
        assert "Ours, the paper's protocol" in page.text


def test_both_columns_are_in_one_table_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_evaluations(both("szalay2021")[0])
    out, err = capsys.readouterr()
    (row,) = [line for line in out.splitlines() if " accuracy" in line and "balanced" not in line]
    assert re.findall(r"0\.\d{3} \(", row) == ["0.708 (", "0.917 ("]
    assert out.count("metric") == 1
    assert "honest protocol, 24 images of 24 patients:" in err
    assert "warning: 22 patients stand on both sides" in err
