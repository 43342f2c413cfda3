"""Train the gate's network and write src/pneumoscope/assets/gate/ (see runtime/looks.py for what it answers).

Run: python tools/make_gate.py --data ../shared/data --others FOLDER --work FOLDER
FOLDER of --others: photographs (JPEG, PNG, WebP) and brains (NIfTI) under open licences; what the shipped one learned
from is in gate.json. The same call resumes one that was stopped, and the same seed gives the same network.
"""

from __future__ import annotations

import argparse
import hashlib
import zlib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import torch
from gate_pictures import CT, FRONTAL, OTHER, SIDE, Picture, chests, others
from torch import Tensor, nn

from pneumoscope.core.files import write_bytes, write_json
from pneumoscope.runtime import looks

SEED = 7
EPOCHS, BATCH, PER_EPOCH, RATE = 16, 64, 8_000, 2e-3
VAL_SHARE = 12  # one group in so many
# how often each kind is drawn, and changes of a picture
DRAWS = (0.34, 0.06, 0.26, 0.34)
TURNED, NEGATIVE, PIECE, BROKEN = 0.3, 0.2, 0.08, 0.04
ASSETS = Path(__file__).resolve().parents[1] / "src" / "pneumoscope" / "assets" / "gate"


class GateNet(nn.Module):
    """Images `[N, 1, 96, 96]` in 0..1 -> logits of kinds `[N, 4]`, of turns `[N, 4]`, of a negative `[N, 1]`."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for width, stride in ((16, 2), (24, 2), (24, 1), (48, 2), (48, 1), (72, 2), (72, 1), (96, 2), (96, 1)):
            layers += [nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        self.body = nn.Sequential(*layers)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(2 * before, 9)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        maps = self.body(x)
        features = torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)
        found = self.head(self.drop(features))
        return found[:, :4], found[:, 4:8], found[:, 8:]


class Answering(nn.Module):
    """The same with probabilities."""

    def __init__(self, net: GateNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        kinds, turns, negative = self.net(images)
        return kinds.softmax(dim=1), turns.softmax(dim=1), negative.sigmoid()


def pictures(data: Path, folder: Path, work: Path) -> dict[str, np.ndarray]:
    """All pictures, read once: pixels `[N, SIDE, SIDE]`, kind, held (of the validation part), source."""
    path = work / "pictures.npz"
    if not path.exists():
        found: list[Picture] = [*chests(data), *others(folder, SEED)]
        held = [zlib.crc32(p.whose.encode()) % VAL_SHARE == 0 for p in found]
        np.savez(
            path,
            pixels=np.stack([p.pixels for p in found]),
            kind=np.array([p.kind for p in found]),
            held=np.array(held),
            source=np.array([p.source for p in found]),
        )
    return dict(np.load(path))


def changed(
    pixels: np.ndarray, kind: int, rng: np.random.Generator, peers: np.ndarray
) -> tuple[np.ndarray, int, int, bool]:
    """A picture as it might come: the network's input, its kind, its turn and whether it is a negative."""
    x = pixels.astype(np.float32) / 255
    chest, draw = kind != OTHER, rng.random()
    if chest and draw < PIECE:
        x, kind = _piece(x, rng, 0.22, 0.45), OTHER
    elif chest and draw < PIECE + BROKEN:
        x, kind = _broken(x, peers[rng.integers(len(peers))].astype(np.float32) / 255, rng), OTHER
    else:
        x = _moved(x, rng)
    turn = int(rng.integers(1, 4)) if rng.random() < TURNED else 0
    negative = bool(rng.random() < NEGATIVE)
    small = cv2.resize(x, (looks.SIDE, looks.SIDE), interpolation=cv2.INTER_AREA)
    x = _exposed(np.ascontiguousarray(np.rot90(small, turn)), rng)
    return looks.shrunk(np.ascontiguousarray(1 - x if negative else x, dtype=np.float32)), kind, turn, negative


def _piece(x: np.ndarray, rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    side = int(SIDE * rng.uniform(low, high))
    top, left = rng.integers(0, SIDE - side + 1, 2).tolist()
    return np.asarray(cv2.resize(x[top : top + side, left : left + side], (SIDE, SIDE)))


def _broken(x: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """No chest any more: its pieces in another order, its spectrum without its places, or several on one sheet."""
    how = rng.integers(3)
    if how == 0:
        n = int(rng.integers(3, 7))
        s = SIDE // n
        tiles = [x[i * s : (i + 1) * s, j * s : (j + 1) * s] for i in range(n) for j in range(n)]
        order = rng.permutation(len(tiles))
        rows = [np.hstack([tiles[order[i * n + j]] for j in range(n)]) for i in range(n)]
        return np.asarray(cv2.resize(np.vstack(rows), (SIDE, SIDE)))
    if how == 1:
        phase = np.exp(1j * np.angle(np.fft.fft2(rng.normal(size=x.shape))))
        y = np.fft.ifft2(np.abs(np.fft.fft2(x)) * phase).real
        return np.asarray((y - y.min()) / max(float(np.ptp(y)), 1e-6), dtype=np.float32)
    half = cv2.resize(x, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA)
    more = cv2.resize(other, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA)
    return np.vstack(
        [np.hstack([half, more]), np.hstack([more, half])] if rng.random() < 0.7 else [np.hstack([half, more])]
    )


def _moved(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A little turned, cut, shifted, stretched, mirrored, with a border or a line of text."""
    angle, scale = rng.uniform(-9, 9), rng.uniform(0.85, 1.25, 2)
    move = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), angle, 1.0)
    move[0] *= scale[0]
    move[1] *= scale[1]
    move[:, 2] = move[:, 2] + SIDE * (1 - scale) / 2 + rng.uniform(-0.07, 0.07, 2) * SIDE
    edge = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    x = cv2.warpAffine(x, move, (SIDE, SIDE), borderMode=edge, borderValue=float(rng.random() < 0.2))
    if rng.random() < 0.3:
        x = x[:, ::-1]
    if rng.random() < 0.2:
        x = np.pad(
            x, [tuple(rng.integers(0, 22, 2)), tuple(rng.integers(0, 22, 2))], constant_values=rng.choice([0.0, 1.0])
        )
    x = np.ascontiguousarray(x)
    if rng.random() < 0.15:
        text = np.zeros(x.shape, np.uint8)
        cv2.putText(text, "LR PA 12:30 mA"[int(rng.integers(8)) :], rng.integers(0, 140, 2).tolist(), 0, 0.4, 255, 1)
        x = np.maximum(x, text / np.float32(255))
    return x


def _exposed(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    x = np.clip(x, 0, 1) ** np.float32(rng.uniform(0.55, 1.8))
    if rng.random() < 0.3:
        x = np.clip((x - 0.5) * rng.uniform(0.7, 2.2) + 0.5 + rng.uniform(-0.2, 0.2), 0, 1)
    if rng.random() < 0.3:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.3, 1.3))
    if rng.random() < 0.3:
        x = x + rng.standard_normal(x.shape, dtype=np.float32) * np.float32(rng.uniform(0.01, 0.06))
    return np.clip(x, 0, 1)


def batch(
    found: dict[str, np.ndarray], rows: np.ndarray, peers: np.ndarray, rng: np.random.Generator
) -> tuple[Tensor, ...]:
    """The network's inputs, kinds, turns and negatives of some rows."""
    made = [changed(found["pixels"][i], int(found["kind"][i]), rng, peers) for i in rows]
    x = torch.from_numpy(np.stack([m[0] for m in made]))[:, None].contiguous(memory_format=torch.channels_last)
    return (x, *(torch.tensor([m[k] for m in made]) for k in (1, 2, 3)))


def loss_of(answers: tuple[Tensor, ...], truth: tuple[Tensor, ...]) -> Tensor:
    """Cross-entropy of kinds, and, of chest images, of turns and negatives."""
    kinds, turns, negative = answers
    kind, turn, swapped = truth
    chest = kind != OTHER
    own = nn.functional.cross_entropy(kinds, kind, label_smoothing=0.02)
    of_turn = nn.functional.cross_entropy(turns[chest], turn[chest])
    of_swap = nn.functional.binary_cross_entropy_with_logits(negative[chest, 0], swapped[chest].float())
    return own + 0.5 * of_turn + 0.5 * of_swap


def train(found: dict[str, np.ndarray], work: Path) -> GateNet:
    """Fit the network, going on where an earlier call stopped."""
    torch.manual_seed(SEED)
    net = GateNet().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-3)
    path, first = work / "net.pt", 0
    if path.exists():
        kept = torch.load(path, weights_only=True)
        net.load_state_dict(kept["net"])
        optimizer.load_state_dict(kept["optimizer"])
        first = int(kept["epoch"])
    chance, peers = _chance(found), found["pixels"][found["kind"] == FRONTAL]
    for epoch in range(first, EPOCHS):
        rng = np.random.default_rng([SEED, epoch])
        torch.manual_seed(SEED + epoch)
        rows = rng.choice(len(chance), PER_EPOCH, p=chance)
        net.train()
        total = 0.0
        for start in range(0, PER_EPOCH, BATCH):
            done = (epoch + start / PER_EPOCH) / EPOCHS
            optimizer.param_groups[0]["lr"] = RATE * min(1, 20 * done) * 0.5 * (1 + np.cos(np.pi * done))
            x, *truth = batch(found, rows[start : start + BATCH], peers, rng)
            loss = loss_of(net(x), tuple(truth))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(loss.detach())
        torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch + 1}, path)
        print(f"epoch {epoch + 1}: loss {total / (PER_EPOCH / BATCH):.4f}", flush=True)
    return net.to(memory_format=torch.contiguous_format).eval()


def _chance(found: dict[str, np.ndarray]) -> np.ndarray:
    """How likely each picture is drawn: kinds as `DRAWS`, within a kind each source by the root of its size."""
    chance = np.zeros(len(found["kind"]))
    for kind, share in enumerate(DRAWS):
        of_kind = (found["kind"] == kind) & ~found["held"]
        counts = Counter(found["source"][of_kind].tolist())
        each = np.array([counts[s] ** -0.5 if s in counts else 0 for s in found["source"].tolist()]) * of_kind
        chance += share * each / each.sum()
    return chance


def measured(net: GateNet, found: dict[str, np.ndarray]) -> dict[str, float]:
    """On the groups that were held out: shares decided rightly, of pictures as they are and of turned ones."""
    held = {name: values[found["held"]] for name, values in found.items()}
    answers: dict[str, float] = {}
    for name, kind in (("frontal", FRONTAL), ("ct", CT), ("other", OTHER)):
        pixels = held["pixels"][held["kind"] == kind]
        answers[name] = _share(net, pixels, lambda out, kind=kind: out[0].argmax(1) == kind)
        if kind != OTHER:
            for turn in range(4):
                answers[f"{name} turned {90 * turn}"] = _share(
                    net, np.rot90(pixels, turn, (1, 2)), lambda out, turn=turn: out[1].argmax(1) == turn
                )
            answers[f"{name} as a negative"] = _share(net, 255 - pixels, lambda out: out[2][:, 0] > 0)
            answers[f"{name} not taken for a negative"] = _share(net, pixels, lambda out: out[2][:, 0] < 0)
    return {"pictures": len(held["kind"]), **answers}


def _share(net: GateNet, pixels: np.ndarray, right: object) -> float:
    x = torch.from_numpy(np.stack([looks.shrunk(p.astype(np.float32) / 255) for p in pixels]))[:, None]
    with torch.inference_mode():
        return round(float(right(net(x)).float().mean()), 4)  # type: ignore[operator]


def export(net: GateNet, found: dict[str, np.ndarray], about: dict[str, float]) -> None:
    """Write gate.onnx, and gate.json with its hash, what it learned from and what was measured."""
    from pneumoscope.train.graphs import _exported

    names = ["kinds", "turns", "negative"]
    dim = torch.export.Dim("n", min=1)
    graph = _exported(Answering(net), (torch.zeros(2, 1, looks.SIDE, looks.SIDE),), ["images"], names, ({0: dim},))
    write_bytes(ASSETS / "gate.onnx", graph)
    sources = Counter(found["source"][~found["held"]].tolist())
    write_json(
        ASSETS / "gate.json",
        {"sha256": hashlib.sha256(graph).hexdigest(), "kinds": looks.KINDS, "learned_from": sources, "held_out": about},
    )


def main() -> None:
    """Read, train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--data", "--others", "--work"):
        parser.add_argument(name, type=Path, required=True)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    ASSETS.mkdir(parents=True, exist_ok=True)
    found = pictures(args.data, args.others, args.work)
    print(Counter(zip(found["kind"].tolist(), found["source"].tolist(), strict=True)), flush=True)
    net = train(found, args.work)
    about = measured(net, found)
    print(about)
    export(net, found, about)


if __name__ == "__main__":
    main()
