"""Train a small neural network on handwritten digits, data-parallel over every GPU of the attempt's Ray cluster.

One Ray actor per GPU keeps a shard of the 8x8-pixel digits and computes gradients; this driver averages them, so that
every step is one synchronous step of gradient descent on the whole training set whatever the number of actors.
A checkpoint follows every epoch and the step during which SIGTERM came; a later attempt of the job resumes there.

Submit it with ``entrypoint: ray``: it runs once and finds the whole gang in its Ray cluster. The data is part of
scikit-learn. Its last line is ``RESULT`` and a JSON object.
Environment: DURE_JOB, DURE_ATTEMPT, DURE_NODE_RANK, DURE_NUM_NODES, DURE_CHECKPOINT_DIR, RAY_ADDRESS.
Exit status: 0 trained, 2 submitted as a script on several nodes, 3 failed as asked by --fail-at-epoch, 143 stopped by
SIGTERM after a checkpoint.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import ray
from numpy.typing import NDArray
from ray.actor import ActorHandle
from sklearn.datasets import load_digits

from scheduler.client import job

Array = NDArray[np.float32]
Labels = NDArray[np.int64]
Params = list[Array]

HIDDEN = 32
TEST_EVERY = 5  # every fifth image is held out: 360 of 1,797
STEPS_PER_EPOCH = 10
LEARNING_RATE = 0.5
MOMENTUM = 0.9
IDENTITY = ("DURE_JOB", "DURE_ATTEMPT", "DURE_NODE_RANK", "DURE_NUM_NODES")
MISUSED, FAILED, INTERRUPTED = 2, 3, 128 + signal.SIGTERM


def load_split() -> tuple[Array, Labels, Array, Labels]:
    """Return training images and labels, then test images and labels; one row per image, pixels scaled to 0..1."""
    images, labels = load_digits(return_X_y=True)
    pixels = (images / 16.0).astype(np.float32)
    held_out = np.arange(len(labels)) % TEST_EVERY == 0
    return pixels[~held_out], labels[~held_out], pixels[held_out], labels[held_out]


def initial_params(seed: int) -> Params:
    """Return weights and biases of the two layers, He-initialised (He et al., 2015, equation 10)."""
    random = np.random.default_rng(seed)
    layers = [(random.normal(0.0, np.sqrt(2.0 / i), (i, o)), np.zeros(o)) for i, o in ((64, HIDDEN), (HIDDEN, 10))]
    return [part.astype(np.float32) for layer in layers for part in layer]


def forward(params: Params, pixels: Array) -> tuple[Array, Array]:
    """Return the hidden activations and the class probabilities of each image."""
    hidden = np.maximum(pixels @ params[0] + params[1], 0.0)
    logits = hidden @ params[2] + params[3]
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return hidden, exponents / exponents.sum(axis=1, keepdims=True)


def loss_and_gradients(params: Params, pixels: Array, labels: Labels) -> tuple[float, Params]:
    """Return the summed cross-entropy of the images and its gradients; sums, so that shards of any size add up."""
    hidden, probabilities = forward(params, pixels)
    truth = np.eye(10, dtype=np.float32)[labels]
    loss = float(-np.log((probabilities * truth).sum(axis=1) + 1e-9).sum())
    delta = probabilities - truth
    back = (delta @ params[2].T) * (hidden > 0.0)
    return loss, [pixels.T @ back, back.sum(axis=0), hidden.T @ delta, delta.sum(axis=0)]


@ray.remote(num_gpus=1, num_cpus=0, max_restarts=0)
class Shard:
    """One GPU's part of the training set, sent to it once: actors need numpy alone and start quickly."""

    def __init__(self, pixels: Array, labels: Labels) -> None:
        self._pixels, self._labels = pixels, labels

    def gradients(self, params: Params) -> tuple[float, Params, int]:
        """Return the loss sum, the gradient sums and the number of images of this shard."""
        return *loss_and_gradients(params, self._pixels, self._labels), len(self._labels)


def save(path: Path, params: Params, velocity: Params, steps: int) -> None:
    """Write the checkpoint under a temporary name and rename it, so that a reader never sees half a file."""
    arrays = {f"p{i}": part for i, part in enumerate(params)} | {f"v{i}": part for i, part in enumerate(velocity)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with (temporary := path.with_suffix(".tmp")).open("wb") as out:
        np.savez(out, allow_pickle=False, steps=np.int64(steps), **arrays)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(path)


def restore(path: Path, seed: int) -> tuple[Params, Params, int]:
    """Return parameters, velocities and the number of finished steps; fresh ones without a checkpoint."""
    if not path.exists():
        return (params := initial_params(seed)), [np.zeros_like(part) for part in params], 0
    with np.load(path, allow_pickle=False) as stored:
        return [stored[f"p{i}"] for i in range(4)], [stored[f"v{i}"] for i in range(4)], int(stored["steps"])


def step(shards: list[ActorHandle[Shard]], params: Params, velocity: Params) -> float:
    """Take one synchronous step with momentum in place; return the mean loss before it."""
    results: list[tuple[float, Params, int]] = ray.get([shard.gradients.remote(params) for shard in shards])
    images = sum(count for _, _, count in results)
    for i, part in enumerate(params):
        velocity[i] = MOMENTUM * velocity[i] - LEARNING_RATE * sum(sums[i] for _, sums, _ in results) / images
        params[i] = part + velocity[i]
    return float(sum(loss for loss, _, _ in results) / images)


class Pace:
    """Spreads the steps over at least ``seconds`` (for demonstrations); SIGTERM ends every wait."""

    def __init__(self, seconds: float, steps: int) -> None:
        self._seconds_per_step = seconds / max(1, steps)
        self._started = time.monotonic()
        self._taken = 0
        self._stop = threading.Event()

    def ask_to_stop(self) -> None:
        """Stop after the present step."""
        self._stop.set()

    def wait(self) -> bool:
        """Wait until the next step is due; True when this one was the last."""
        self._taken += 1
        due = self._started + self._taken * self._seconds_per_step
        return self._stop.wait(max(0.0, due - time.monotonic()))


def train(arguments: argparse.Namespace, checkpoint: Path) -> int:
    """Take the steps that the checkpoint leaves to do; return the exit status."""
    actors = int(ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]  # Ray has no type for it
    pixels, labels, test_pixels, test_labels = load_split()
    parts = [(pixels[index::actors], labels[index::actors]) for index in range(actors)]
    shards = [Shard.remote(*part) for part in parts]  # type: ignore[attr-defined]  # ray.remote adds it
    params, velocity, done = restore(checkpoint, arguments.seed)
    steps, loss = arguments.epochs * STEPS_PER_EPOCH, 0.0
    ray_nodes = len(ray.nodes())  # type: ignore[no-untyped-call]  # Ray has no type for it
    print(f"start step={done} of {steps} actors={actors} ray_nodes={ray_nodes}", flush=True)
    pace = Pace(arguments.min_seconds, steps - done)
    # Only now: ray.init has a handler of its own.
    signal.signal(signal.SIGTERM, lambda *_: pace.ask_to_stop())
    for number in range(done + 1, steps + 1):
        epoch = (number - 1) // STEPS_PER_EPOCH + 1
        if epoch == arguments.fail_at_epoch:
            print(f"failing at epoch {epoch}, as asked", flush=True)
            return FAILED
        loss = step(shards, params, velocity)
        stopped = pace.wait()
        if (ended := number % STEPS_PER_EPOCH == 0) or stopped:
            save(checkpoint, params, velocity, number)
            job.checkpointed(step=number)
        if ended:
            reached = accuracy(params, test_pixels, test_labels)
            print(f"epoch={epoch} loss={loss:.4f} accuracy={reached:.4f}", flush=True)
        if stopped and number < steps:
            print(f"stopped step={number}, checkpoint saved", flush=True)
            return INTERRUPTED
    reached = accuracy(params, test_pixels, test_labels)
    result: dict[str, float | int] = {"accuracy": round(reached, 4), "loss": round(loss, 4)}
    result |= {"epochs": arguments.epochs, "gpus": actors, "resumed_at_step": done}
    print("RESULT", json.dumps(result), flush=True)
    return 0


def accuracy(params: Params, pixels: Array, labels: Labels) -> float:
    """Return the part of the images whose most probable digit is the right one."""
    return float((forward(params, pixels)[1].argmax(axis=1) == labels).mean())


def main() -> int:
    """Parse the arguments, join the attempt's cluster and train."""
    parser = argparse.ArgumentParser(description="Train on handwritten digits, one Ray actor per GPU.")
    parser.add_argument("--epochs", type=int, default=12, help=f"epochs of {STEPS_PER_EPOCH} steps in all")
    parser.add_argument("--seed", type=int, default=0, help="of the first parameters")
    parser.add_argument("--fail-at-epoch", type=int, default=0, metavar="N", help="exit with status 3 on reaching N")
    parser.add_argument("--min-seconds", type=float, default=0.0, metavar="S", help="spread the steps over S seconds")
    arguments = parser.parse_args()
    print(*(f"{name}={os.environ[name]}" for name in IDENTITY), flush=True)
    if os.environ["DURE_NODE_RANK"] != "0":
        print("this rank has nothing to do: submit with `entrypoint: ray`", file=sys.stderr)
        return MISUSED
    ray.init(address="auto", log_to_driver=False, logging_level=logging.WARNING)
    return train(arguments, Path(os.environ["DURE_CHECKPOINT_DIR"]) / "digits.npz")


if __name__ == "__main__":
    sys.exit(main())
