"""What of a network a stage trains, and what that part is fed with: images, or what the frozen part made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from pneumoscope.core.stage import Stage
from pneumoscope.nets.build import Net
from pneumoscope.nets.cut import cut
from pneumoscope.train.bench import Bench
from pneumoscope.train.data import Prepared
from pneumoscope.train.features import cached_features, weights_digest

MOST_KNOWN = 4 * 2**30  # bytes of maps below a cut that are kept; more are computed anew in every epoch
# what is frozen in a network does not change while the network lives; hashing it takes longer than fitting a head
_DIGESTS: WeakKeyDictionary[Net, dict[str, str]] = WeakKeyDictionary()


class Learner(NamedTuple):
    """model: what is trained. take: positions -> its inputs. named: a tensor's name in it -> in the whole network."""

    model: nn.Module
    take: Callable[[np.ndarray], Tensor]
    named: Callable[[str], str]


def learner_of(bench: Bench, net: Net, stage: Stage) -> Learner:
    """The trained part of a network whose `requires_grad` is set as the stage says.

    What is frozen gives the same answers in every epoch unless images are changed at random, so it is asked once.
    """
    if stage.trainable != "all" and not stage.augment:
        if stage.trainable == "head":
            known = _known(bench, stage, net, net.backbone, net.eval().features, pooled_kind(stage))
            return Learner(net.head, known.__getitem__, lambda name: f"head.{name}")
        parts = cut(net)
        if parts is not None and _bytes(parts[0], bench.data[stage.role]) <= MOST_KNOWN:
            lower, upper = parts
            known = _known(bench, stage, net, lower, lower, f"before features.{upper.first}")
            return Learner(upper, known.__getitem__, lambda name: name.removeprefix("net."))
    return Learner(net, bench.data[stage.role].take, lambda name: name)


def pooled_kind(stage: Stage) -> str:
    """What the head of a stage takes, as the cache knows it: maps pooled as it does, or whole where it convolves."""
    kind: str = "maps" if stage.head.convolution else stage.head.pooling
    return kind + (f" of {stage.head.scales} scales" if stage.head.scales > 1 else "")


def _bytes(lower: nn.Module, data: Prepared) -> int:
    """How much the maps below a cut would take, of all images."""
    with torch.inference_mode():
        one: Tensor = lower.eval()(torch.zeros(1, 1, *data.input_size))
    return one.numel() * 4 * len(data.dataset)


def _known(
    bench: Bench, stage: Stage, net: Net, frozen: nn.Module, compute: Callable[[Tensor], Tensor], kind: str
) -> Tensor:
    digests = _DIGESTS.setdefault(net, {})
    digest = digests[kind] if kind in digests else digests.setdefault(kind, weights_digest(frozen))
    key = f"{digest} {stage.net} {stage.role} {kind}"
    if key not in bench.known:
        data = bench.data[stage.role]
        with bench.clock.of("features"):
            bench.known[key] = cached_features(
                frozen,
                digest,
                compute,
                kind,
                data.images,
                data.dataset,
                bench.recipe,
                stage,
                bench.cache,
                bench.progress,
            )
    return bench.known[key]
