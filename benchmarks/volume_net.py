"""The 3D ResNet50 of Xue 2021: screening against eager torch, and the memory of a step of training.

Run: python benchmarks/volume_net.py speed [SIZE...]     the exported graph in OpenVINO (which gives maps, too), in fp32
                                                         and bf16, against MONAI's network as everybody calls it in
                                                         fp32; in turns, wall and CPU seconds
     python benchmarks/volume_net.py memory [SIZE...]    peak memory of two steps, a process each
Random weights, whose answers of both sides are compared. Threads: OMP_NUM_THREADS, else all cores.
"""

import os
import resource
import statistics
import subprocess
import sys
import time

ROUNDS = 3


def network(size, weights="random", save_memory=None):
    from pneumoscope.core.dataset import ClassSet
    from pneumoscope.core.stage import Head, Optim, Stage
    from pneumoscope.nets.volume import build_volume

    head = Head(pooling="average", hidden=(512,), activation="clipped_relu", dropout=0.5)
    stage = Stage(
        name="volume", level="volume", net="resnet50_3d", head=head, init=weights, trainable="all", epochs=1, batch=1,
        loss="cross_entropy", class_weights="none", optim=Optim(name="adam", lr=2e-4),
    )  # fmt: skip
    classes = ClassSet(names=("covid", "cap", "normal"))
    net, _ = build_volume(stage, classes, input_size=(size,) * 3, weights_dir=None, seed=0)
    if save_memory is not None:
        net.backbone.save_memory = save_memory
    return net


def eager(net):
    """The same network out of MONAI's and torch's own parts, as it is written everywhere."""
    import torch
    from monai.networks.nets import resnet50
    from torch import nn

    plain = resnet50(n_input_channels=1, conv1_t_stride=2, shortcut_type="B", bias_downsample=False, feed_forward=False)
    plain.load_state_dict(net.backbone.net.state_dict())
    first, last = net.head.linears
    whole = nn.Sequential(plain, first, nn.Hardtanh(0, 10), nn.Dropout(0.5), last).eval()
    mean, std = net.backbone.mean, net.backbone.std

    def answer(volume):
        with torch.inference_mode():
            x = (torch.from_numpy(volume)[None, None] - mean) / std
            return torch.softmax(whole(x), dim=1).numpy()[0]

    return answer


def noise(rng, size):
    """Bricks of 1, 2, 4, 8 or 16 voxels, drawn at random."""
    import numpy as np

    brick = 2 ** int(rng.integers(5))
    small = rng.random((-(-size // brick),) * 3, dtype=np.float32) ** rng.uniform(0.3, 3)
    for axis in range(3):
        small = small.repeat(brick, axis=axis)
    return np.ascontiguousarray(small[:size, :size, :size], dtype=np.float32)


def differ(net, volumes):
    """Spread the answers over the classes by the last layer: random weights give all volumes the same one."""
    import torch

    last = net.head.linears[-1]
    with torch.no_grad():
        logits = torch.cat([net(torch.from_numpy(v)[None, None]) for v in volumes])
        scale = 2 / logits.std(dim=0)
        last.weight.mul_(scale[:, None])
        last.bias.copy_((last.bias - logits.mean(dim=0)) * scale)


def speed(size):
    import numpy as np
    import torch

    from pneumoscope.runtime.volume_engine import VolumeEngine
    from pneumoscope.train import graphs

    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    torch.set_num_threads(threads)
    net = network(size).eval()
    volumes = [noise(np.random.default_rng([size, i]), size) for i in range(ROUNDS)]
    differ(net, volumes)
    graph = graphs.volumes_to_onnx(net, (size,) * 3)
    sides = {"eager torch fp32": eager(net)}
    for precision in ("fp32", "bf16"):
        engine = VolumeEngine(graph, precision=precision, threads=threads)
        sides[f"ours {precision}"] = lambda volume, engine=engine: engine.run(volume)[0]
    wall, cpu, answers = ({name: [] for name in sides} for _ in range(3))
    for side in sides.values():
        side(volumes[0])
    for volume in volumes:
        for name, side in sides.items():
            before, start = time.process_time(), time.perf_counter()
            answers[name].append(side(volume))
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - before)
    told = {name: np.stack(found) for name, found in answers.items()}
    theirs = told["eager torch fp32"]
    for name, ours in told.items():
        seconds = [statistics.median(kind[name]) for kind in (wall, cpu)]
        faster = [statistics.median(kind["eager torch fp32"]) / s for kind, s in zip((wall, cpu), seconds, strict=True)]
        same = int((theirs.argmax(1) == ours.argmax(1)).sum())
        print(
            f"| {size} | {threads} | {name} | {seconds[0]:.2f} | {seconds[1]:.2f} | {faster[0]:.1f} x "
            f"| {faster[1]:.1f} x | {np.abs(theirs - ours).max():.1e} | {same} of {len(volumes)} |",
            flush=True,
        )
    print(f"answers {theirs.argmax(1)} at {theirs.max(1).round(2)}")


def step(size, save_memory):
    from pneumoscope.train.allocator import keep_memory

    keep_memory()
    import torch

    net = network(size, save_memory=save_memory).to(memory_format=torch.channels_last_3d).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-4, fused=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    x = torch.rand(1, 1, size, size, size).contiguous(memory_format=torch.channels_last_3d)
    for _ in range(2):
        start = time.process_time()
        loss = torch.nn.functional.cross_entropy(net(x), torch.tensor([1]))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"| {size} | {'blocks anew' if save_memory else 'all kept'} | {peak / 2**20:.2f} | {before / 2**20:.2f} "
        f"| {seconds:.1f} |",
        flush=True,
    )


def main():
    what, *rest = sys.argv[1:]
    if what == "step":
        step(int(rest[0]), rest[1] == "save")
        return
    if what == "speed":
        print("| size | threads | side | s | CPU s | times faster | CPU | largest difference | equal decisions |")
        print("|---|---|---|---|---|---|---|---|---|")
        for size in rest or (128, 224):
            speed(int(size))
        return
    print("| size | gradient | peak GB | of that before the first step | CPU s a step |\n|---|---|---|---|---|")
    for size in rest or (64, 96, 128):
        for kind in ("keep", "save"):
            subprocess.run([sys.executable, __file__, "step", str(size), kind], check=True)


if __name__ == "__main__":
    main()
