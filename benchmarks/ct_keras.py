"""Keras's side of ct_study.py: pydicom + scikit-image, then the same networks in Keras with a bundle's weights.

Run in Keras's own environment: python ct_keras.py BUNDLE FOLDER BATCH   It prints JSON. fp32, default threads,
`predict` batch by batch, Grad-CAM by GradientTape for the slices that are shown. ResNet50 as timm's is (stride in the
3x3 convolution), since keras.applications has another one.
"""

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import numpy as np
import tensorflow as tf
from ct_folder import SIZE, Clock, focus_of, over_slice, prepare, read, that_matter
from keras import layers
from safetensors.numpy import load_file

BLOCKS = (3, 4, 6, 3)
State = dict[str, np.ndarray]


class Built:
    """Layers by the names that their weights have in the bundle, filled once the network is whole."""

    def __init__(self) -> None:
        self.layers: dict[str, layers.Layer] = {}

    def conv(self, x, name, filters, size, stride=1):
        if size > 1:
            x = layers.ZeroPadding2D(size // 2)(x)
        return self.add(name, layers.Conv2D(filters, size, stride, use_bias=False))(x)

    def norm(self, x, name):
        return self.add(name, layers.BatchNormalization(epsilon=1e-5))(x)

    def dense(self, x, name, units, activation=None):
        return self.add(name, layers.Dense(units, activation=activation))(x)

    def add(self, name, layer):
        self.layers[name] = layer
        return layer

    def fill(self, state: State) -> None:
        for name, layer in self.layers.items():
            layer.set_weights(weights_of(layer, name, state))


def weights_of(layer, name: str, state: State) -> list[np.ndarray]:
    if isinstance(layer, layers.Conv2D):
        return [state[f"{name}.weight"].transpose(2, 3, 1, 0)]
    if isinstance(layer, layers.Dense):
        return [state[f"{name}.weight"].T, state[f"{name}.bias"]]
    if isinstance(layer, layers.BatchNormalization):
        return [state[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
    parts = ("weights", "recurrent", "biases")  # of an LSTM, gates in the same order
    return [state[f"{name}.{part}.{way}"].T for way in ("there", "back") for part in parts]


def bottleneck(built: Built, x, name: str, filters: int, stride: int, first: bool):
    short = x
    if first:
        short = built.conv(x, f"{name}.downsample.0", 4 * filters, 1, stride)
        short = built.norm(short, f"{name}.downsample.1")
    x = layers.ReLU()(built.norm(built.conv(x, f"{name}.conv1", filters, 1), f"{name}.bn1"))
    x = layers.ReLU()(built.norm(built.conv(x, f"{name}.conv2", filters, 3, stride), f"{name}.bn2"))
    x = built.norm(built.conv(x, f"{name}.conv3", 4 * filters, 1), f"{name}.bn3")
    return layers.ReLU()(layers.Add()([x, short]))


def slice_net(state: State) -> keras.Model:
    """Logits, features and the last map of slices `[N, 224, 224, 1]`."""
    built, net = Built(), "backbone.net"
    inputs = keras.Input((SIZE, SIZE, 1))
    mean, std = (state[f"backbone.{part}"].ravel() for part in ("mean", "std"))
    x = layers.Normalization(mean=mean, variance=std**2)(layers.Concatenate()([inputs] * 3))
    x = layers.ReLU()(built.norm(built.conv(x, f"{net}.conv1", 64, 7, 2), f"{net}.bn1"))
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))  # after a ReLU zeros pad as well as -inf
    stages = []
    for stage, blocks in enumerate(BLOCKS):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            name = f"{net}.layer{stage + 1}.{block}"
            x = bottleneck(built, x, name, 64 * 2**stage, stride, first=not block)
        stages.append(x)
    joined = layers.Concatenate()([layers.GlobalAveragePooling2D()(stage) for stage in stages[1:]])
    features = built.dense(joined, "head.linears.0", 1024, "relu")
    logits = built.dense(features, "head.linears.1", 3)
    model = keras.Model(inputs, [logits, features, x])
    built.fill(state)
    return model


def study_net(state: State) -> keras.Model:
    """Probabilities of one study, of its features `[1, S, F]`, as they are and weighted."""
    built = Built()
    plain, weighted = keras.Input((None, 1024)), keras.Input((None, 3072))
    scores = []
    for i, given in enumerate((plain, weighted, plain, weighted)):
        if i < 2:
            x, hidden = layers.GlobalMaxPooling1D()(given), 512
        else:
            both = layers.Bidirectional(layers.LSTM(512, return_sequences=True))
            x, hidden = layers.GlobalAveragePooling1D()(built.add(f"members.{i}.lstm", both)(given)), 1024
        x = built.dense(x, f"members.{i}.head.linears.0", hidden, "relu")
        scores.append(built.dense(x, f"members.{i}.head.linears.1", 3, "softmax"))
    x = built.dense(layers.Concatenate()(scores), "ensemble.head.linears.0", 10, "relu")
    model = keras.Model([plain, weighted], built.dense(x, "ensemble.head.linears.1", 3, "softmax"))
    built.fill(state)
    return model


def grad_cam(net: keras.Model, image: np.ndarray, target: int) -> np.ndarray:
    with tf.GradientTape() as tape:
        logits, _, maps = net(image[np.newaxis, ..., np.newaxis], training=False)
        score = logits[0, target]
    weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2), keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * maps, axis=-1))[0].numpy()


def main() -> None:
    bundle, folder, batch = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    net = slice_net(load_file(bundle / "weights.safetensors"))
    judge = study_net(load_file(bundle / "weights_study.safetensors"))
    describe = keras.Model(net.inputs, net.outputs[:2])  # the last maps of all slices are not wanted
    describe.predict(np.zeros((batch, SIZE, SIZE, 1), np.float32), batch_size=batch, verbose=0)
    clock = Clock()
    volume, apart = read(folder)
    clock.lap("read")
    images = np.stack([prepare(hu) for hu in volume])
    clock.lap("prepare")
    logits, features = describe.predict(images[..., np.newaxis], batch_size=batch, verbose=0)
    slices = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    clock.lap("network")
    weighted = (slices[:, :, np.newaxis] * features[:, np.newaxis]).reshape(len(slices), -1)
    study = judge.predict([features[np.newaxis], weighted[np.newaxis]], verbose=0)[0]
    clock.lap("patient")
    target = focus_of(slices, study)
    shown = that_matter(slices[:, target], apart)
    maps = {n: over_slice(grad_cam(net, images[n], target), volume[n].shape) for n in shown}
    clock.lap("maps")
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS") or len(os.sched_getaffinity(0))
    about = f"Keras {keras.__version__} on TensorFlow {tf.__version__}, {threads} threads, fp32, batches of {batch}"
    print(clock.answer(study, slices, maps, about))


if __name__ == "__main__":
    main()
