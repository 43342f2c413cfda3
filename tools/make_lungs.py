"""Train and export the network that finds lung fields in X-rays, and put it where the package ships it.

Run: python tools/make_lungs.py --data ../shared/data --work WORK   (about 5 minutes of one core to itself; resumes)

It replaces src/pneumoscope/assets/xray_lungs, which holds no image. Needs the extra [train] and constraints.txt's
versions. The last epoch is what is shipped: nothing is chosen on the pictures that it is measured on.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import datetime
import hashlib
import io
import json
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from lungs_pictures import IGNORED, LUNG, SEED, Picture, grey, more_lungs, no_lungs, outlined, parts, varied
from torch import Tensor, nn

import pneumoscope
from pneumoscope.core.serial import to_json
from pneumoscope.evaluate.metrics import interval
from pneumoscope.nets.unet import CHANNELS, Shares, small_unet
from pneumoscope.runtime import lungs
from pneumoscope.runtime.engine import Graph
from pneumoscope.runtime.lungs import SIZE, Card, Measured, standardise
from pneumoscope.train import graphs
from pneumoscope.train.allocator import keep_memory

EPOCHS, BATCH, RATE, DECAY = 40, 8, 3e-3, 1e-3
FP16_TOLERANCE = 0.02  # of a probability, between torch and the graph whose weights are stored in half precision
RESAMPLES = 2000
CREDITS = "credits.csv"
KINDS = {
    "phantom": "synthetic X-rays",
    "no-lungs": "synthetic CT slices and lateral views, as showing no lungs",
    "imlab2d": "demo pictures of imlab-uiip/lung-segmentation-2d",
}
LICENCE = (
    "For research. Most images that it learned from are under CC BY, many under CC BY-NC-SA (credits.csv names all): "
    "whoever takes the weights out of pneumoscope should treat them as under CC BY-NC-SA 4.0."
)
LIMITS = (
    "It learned from adults, mostly with pneumonia, on films of the early pandemic; children were only looked at.",
    "It outlines upright frontal views. What it answers for other pictures means nothing; doubt() finds most of them.",
    "Outlines include what lies behind the heart, and on consolidated lungs they are guesses, as the readers' were.",
)


def loss_of(logits: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy and 1 - Dice over the batch, without what is `IGNORED`. logits, mask: `[N, H, W]`."""
    counted, lung = (mask != IGNORED).float(), (mask == LUNG).float()
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, lung, weight=counted)
    share = torch.sigmoid(logits) * counted
    return entropy + 1 - (2 * (share * lung).sum() + 1) / (share.sum() + lung.sum() + 1)


def fit(pictures: Sequence[Picture], held: Sequence[Picture], epochs: int, work: Path) -> nn.Module:
    """Train for all epochs, going on from what `work` holds; no epoch is chosen, so nothing is measured to choose."""
    torch.manual_seed(SEED)  # in fp32: at 16 to 128 channels bf16 was slower on a CPU that has it
    torch.set_num_threads(1)  # a second one waits more than it helps on layers this small
    net = small_unet().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    steps = len(pictures) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=epochs * steps, pct_start=0.15)
    saved, first = work / "fit.pt", 0
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        first = int(state["epochs"])
    for epoch in range(first, epochs):
        start = time.perf_counter()
        rng = np.random.default_rng([SEED, epoch])
        order, losses = rng.permutation(len(pictures)), []
        net.train()
        for i in range(steps):
            made = [varied(pictures[k], rng) for k in order[i * BATCH : (i + 1) * BATCH]]
            images, masks = (torch.from_numpy(np.stack(part)) for part in zip(*made, strict=True))
            logits = net(images[:, None].to(memory_format=torch.channels_last))[:, 0]
            loss = loss_of(logits, masks)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
        torch.save({**state, "epochs": epoch + 1}, saved)
        told = f", Dice {np.mean(raw_dice(net, held)):.3f}" if epoch % 5 == 4 else ""
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}{told}, {time.perf_counter() - start:.0f} s", flush=True)
    return net.eval()


def raw_dice(net: nn.Module, pictures: Sequence[Picture]) -> list[float]:
    """Dice of the bare network at the size it works at, to see a training fail early."""
    net.eval()
    with torch.inference_mode():
        taken = torch.from_numpy(np.stack([standardise(p.pixels.astype(np.float32) / 255) for p in pictures]))
        logits = torch.cat([net(part[:, None])[:, 0] for part in torch.split(taken, BATCH)]).numpy()
    masks = [cv2.resize(p.mask, (SIZE, SIZE), interpolation=cv2.INTER_NEAREST) for p in pictures]
    return [dice(found > 0, mask) for found, mask in zip(logits, masks, strict=True)]


def dice(found: np.ndarray, mask: np.ndarray) -> float:
    """Twice the overlap over both areas, without what is `IGNORED`."""
    found, lung = found & (mask != IGNORED), mask == LUNG
    return float(2 * (found & lung).sum() / max(int(found.sum() + lung.sum()), 1))


def halved(graph: bytes) -> bytes:
    """The graph with its weights stored in half precision; a cast before each use, which OpenVINO folds away."""
    model = onnx.load_from_string(graph)
    big = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT and np.prod(t.dims) > 64]
    casts = []
    for tensor in big:
        values = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        casts.append(onnx.helper.make_node("Cast", [tensor.name + "_half"], [tensor.name], to=onnx.TensorProto.FLOAT))
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name + "_half"))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def check(graph: bytes, net: nn.Module, pictures: Sequence[Picture]) -> float:
    """The largest difference of a probability between the graph on OpenVINO and torch."""
    taken = np.stack([standardise(p.pixels.astype(np.float32) / 255) for p in pictures[:BATCH]])[:, None]
    (found,) = Graph(graph, name=lungs.GRAPH, threads=1).infer([taken], 1, "a graph that runs")
    with torch.inference_mode():
        wanted = Shares(net)(torch.from_numpy(taken)).numpy()
    apart = float(np.abs(found - wanted).max())
    if apart > FP16_TOLERANCE:
        raise SystemExit(f"{lungs.GRAPH}: expected torch's answer within {FP16_TOLERANCE}, found {apart:.3f} apart.")
    return apart


def measure(what: str, pictures: Sequence[Picture], data: Path) -> Measured:
    """Dice of the shipped network in the images' own pixels, mean over each patient's images, then over patients."""
    by_patient = defaultdict(list)
    for picture in pictures:
        pixels = grey(data / "xray" / "ieee8023" / "images" / picture.name)
        mask = grey(data / "masks" / "xray-v7-lung" / "masks" / f"{Path(picture.name).stem}.png")
        found = lungs.lung_fields(pixels.astype(np.float32) / 255)
        by_patient[picture.group].append(dice(found, mask))
    each = np.array([np.mean(values) for _, values in sorted(by_patient.items())])
    drawn = np.random.default_rng(SEED).choice(each, (RESAMPLES, len(each))).mean(1)
    return Measured(what=what, images=len(pictures), patients=len(each), dice=interval(float(each.mean()), drawn))


def write(files: Mapping[str, bytes], card: Card) -> None:
    """Put files and card where the package ships them."""
    lungs.FOLDER.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (lungs.FOLDER / name).write_bytes(content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    plain = to_json(dataclasses.replace(card, files=hashes))
    (lungs.FOLDER / lungs.CARD).write_text(json.dumps({**plain, "id": lungs.card_id(plain)}, indent=2) + "\n")
    lungs.card.cache_clear()


def credit(pictures: Sequence[Picture]) -> bytes:
    """Whom the licences of the images ask to name, as CSV."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("image", "licence", "url"))
    rows.writerows((p.name, p.licence, p.url) for p in pictures if p.url)
    return text.getvalue().encode()


def card_of(pictures: Sequence[Picture], epochs: int, apart: float) -> Card:
    """All but what is measured and hashed."""
    return Card(
        name="xray_lungs",
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        made_by=f"pneumoscope {pneumoscope.__version__}, tools/make_lungs.py",
        learned_from=dict(sorted(Counter(f"{kind_of(p)}, {p.licence}" for p in pictures).items())),
        licence=LICENCE,
        settings={
            "network": f"MONAI BasicUNet, channels {CHANNELS}, {SIZE} x {SIZE}",
            "training": f"{epochs} epochs, batch {BATCH}, AdamW, one cycle to {RATE}, weight decay {DECAY}",
            "loss": "cross-entropy + 1 - Dice",
            "seed": str(SEED),
            "graph": f"weights stored in fp16, at most {apart:.4f} from torch in a probability",
        },
        measured=(),
        limits=LIMITS,
        files={},
        id="",
    )


def kind_of(picture: Picture) -> str:
    """What a training picture is, for the card."""
    for start, kind in KINDS.items():
        if picture.name.startswith(start):
            return kind
    return "ieee8023 X-rays outlined by V7 Labs (CC BY 4.0)"


def main() -> None:
    """Train, export, measure."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--data", type=Path, required=True)
    ask.add_argument("--work", type=Path, required=True)
    ask.add_argument("--epochs", type=int, default=EPOCHS)
    args = ask.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    keep_memory()
    learned, held, elsewhere = parts(outlined(args.data))
    pictures = [*learned, *more_lungs(args.data), *no_lungs()]
    print(
        f"{len(pictures)} pictures to learn from, {len(held)} held out, {len(elsewhere)} of other sources", flush=True
    )
    net = fit(pictures, held, args.epochs, args.work).to(memory_format=torch.contiguous_format)
    graph = halved(graphs.lungs_to_onnx(net, SIZE))
    files = {lungs.GRAPH: graph, CREDITS: credit(learned)}
    card = card_of(pictures, args.epochs, check(graph, net, held))
    write(files, card)
    measured = (
        measure("patients held out, of the same sources", held, args.data),
        measure("patients of other sources, whose images do not let us learn from them", elsewhere, args.data),
    )
    write(files, dataclasses.replace(card, measured=measured))
    for one in measured:
        print(f"Dice {one.dice.value:.3f} ({one.dice.low:.3f} to {one.dice.high:.3f}): {one.patients} {one.what}")


if __name__ == "__main__":
    main()
