"""The part of an audit about shortcuts: of all data sets together, of each alone, and from each to each other.

Every picture is looked at once; what follows costs seconds. Of very many images some are drawn, by patient.
"""

from __future__ import annotations

import dataclasses
import importlib.util

from pneumoscope.audit.baselines import drawn, headline_of, rows_of, said_drawn
from pneumoscope.audit.crossing import cross
from pneumoscope.audit.shortcuts import measured_or_said
from pneumoscope.audit.shown import show
from pneumoscope.bundle import Bundle
from pneumoscope.core.audit import Audit
from pneumoscope.core.dataset import Dataset
from pneumoscope.core.progress import Progress, silent
from pneumoscope.core.shortcuts import Audited, Headline

MOST = 6000  # images
ITS_OWN = 0.9  # share of the images, from which on a data set is the one that a bundle learned from
TOGETHER = "all together"
NO_EXTRA = 'Shortcuts were not measured, since scikit-learn is not installed: pip install "pneumoscope[train]"'
NO_LABELS = "Shortcuts were not measured, since there are not two labels to tell apart."


def with_shortcuts(audit: Audit, dataset: Dataset | None, bundle: Bundle | None, progress: Progress = silent) -> Audit:
    """The audit with what shortcuts score on the labelled images that can be read, or with why it was not measured.

    bundle: its own evaluation is the headline where it learned from nearly all of the data: a share of a figure of
    other images would be nobody's.
    """
    missing = importlib.util.find_spec("sklearn") is None or importlib.util.find_spec("torch") is None
    if missing or dataset is None:
        return dataclasses.replace(audit, left_out=(*audit.left_out, NO_EXTRA if missing else NO_LABELS))
    own = None
    if bundle is not None and _is_of(audit):
        own = headline_of(bundle.facts.evaluation, "the bundle's own evaluation")
    return dataclasses.replace(audit, shortcuts=audited(dataset, own, progress))


def _is_of(audit: Audit) -> bool:
    return audit.seen is not None and sum(audit.seen.images.values()) >= ITS_OWN * audit.images


def audited(dataset: Dataset, own: Headline | None, progress: Progress = silent) -> Audited:
    """Shortcuts of all the data sets in `dataset` together, of each alone, and what one is worth on another."""
    few = drawn(dataset, MOST)
    shown = show(few, rows_of(few), progress=progress)
    names = list(dict.fromkeys(s.collection for s in shown.samples))
    if len(names) == 1:
        alone = measured_or_said(shown, names[0] or TOGETHER, own)
        return Audited(shortcuts=(said_drawn(alone, dataset, few),))
    kept = {name: [i for i, s in enumerate(shown.samples) if s.collection == name] for name in names}
    found = [measured_or_said(shown, TOGETHER, own)]
    for i, name in enumerate(names):
        progress("asking small models", i + 1, len(names))
        found.append(measured_or_said(shown.only(kept[name]), name))
    return Audited(shortcuts=tuple(said_drawn(one, dataset, few) for one in found), crossed=cross(shown))
