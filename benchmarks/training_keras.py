"""Keras's side of training.py: seconds per epoch of `model.fit` on the same random images, as its guide writes it.

Run in Keras's own environment: python training_keras.py NET all|head IMAGES EPOCHS   It prints JSON. fp32, default
threads, jit_compile as Keras decides ("auto"), glibc's allocator as it comes. A frozen backbone stands in the model
(`trainable = False`), so its BatchNorms use their running statistics and it runs in every epoch.
"""

import json
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import numpy as np
import tensorflow as tf
from keras import layers

BATCH, SIZE = 32, 224
APPLICATIONS = {"inceptionv3": "InceptionV3", "densenet121": "DenseNet121"}


def cnn12() -> tuple[keras.Model, list[layers.Layer]]:
    conv = []
    for filters in (32, 64, 128):
        conv += [layers.Conv2D(filters, 3, activation="relu"), layers.Conv2D(filters, 3, activation="relu")]
        conv += [layers.MaxPooling2D(2)]
    head = [layers.Flatten(), layers.Dense(256, activation="relu"), layers.Dense(128, activation="relu")]
    return keras.Sequential([keras.Input((SIZE, SIZE, 1)), *conv]), head


def model_of(name: str, trainable: str, classes: int) -> keras.Model:
    if name == "cnn12":
        base, head = cnn12()
    else:
        application = getattr(keras.applications, APPLICATIONS[name])
        base = application(weights=None, include_top=False, input_shape=(SIZE, SIZE, 3), pooling="avg")
        head = []
    base.trainable = trainable == "all"
    inputs = keras.Input(base.input_shape[1:], dtype="uint8")
    x = base(layers.Rescaling(1 / 255)(inputs))
    for layer in [*head, layers.Dense(classes, activation="softmax")]:
        x = layer(x)
    model = keras.Model(inputs, x)
    model.compile(keras.optimizers.Adam(1e-4), "categorical_crossentropy")
    return model


class Clock(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)


def main() -> None:
    name, trainable, count, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    classes = 2 if name == "cnn12" else 3
    model = model_of(name, trainable, classes)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, *model.input_shape[1:]), dtype=np.uint8)
    labels = np.eye(classes, dtype=np.float32)[rng.integers(0, classes, count)]
    clock = Clock()
    # the first epoch holds the tracing of the graph, as it does for a user
    model.fit(images, labels, batch_size=BATCH, epochs=epochs, callbacks=[clock], verbose=0)
    threads = tf.config.threading.get_intra_op_parallelism_threads() or len(os.sched_getaffinity(0))
    about = (
        f"Keras {keras.__version__} on TensorFlow {tf.__version__}, {threads} threads, "
        f"jit_compile {model.jit_compile}, fp32, parameters {model.count_params()}"
    )
    print(json.dumps({"seconds": clock.seconds, "about": about}))


if __name__ == "__main__":
    main()
