#!/usr/bin/env python3
"""Winnow's engine beside ONNX Runtime and PyTorch: the same checkpoint, images and masks, in one alternating run.

    winnow-coordinator ensemble --model resnet56.th --masks 64 --output masks.json
    Benchmarks/engine/compare.py --model resnet56.th --data cifar10 --masks masks.json

The losses of every mask that a peer evaluates are compared first. A peer's time is that of its forward passes alone:
making its networks and sessions is not counted. Winnow's is that of the whole command, with its start and its reading
of files. Peers evaluate some of the masks, since each costs them the same; what is compared is the time for an image
under a mask. The ratios of processor time say the same on a machine that others use, too."""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime
import torch

import networks


class Clock:
    """Wall-clock and processor time of this process and its children."""

    def __enter__(self):
        self.start = self.now()
        return self

    def __exit__(self, *_):
        self.wall, self.processor = (b - a for a, b in zip(self.start, self.now()))

    @staticmethod
    def now():
        usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return time.perf_counter(), sum(u.ru_utime + u.ru_stime for u in usage)


def onnx_runner(network, batch, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        network.onnx_model(batch).SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(["y"], {"x": x})[0]


def torch_runner(network, batch, threads):
    forward = network.torch_function()

    def run(x):
        with torch.inference_mode():
            return forward(torch.from_numpy(x)).numpy()

    return run


def outputs(runner, inputs, batch):
    return np.concatenate([runner(inputs[i:i + batch]) for i in range(0, len(inputs), batch)])


def evaluate(arguments, masks, folder):
    """Runs winnow-worker evaluate on masks."""
    source, target = f"{folder}/masks.json", f"{folder}/losses.json"
    with open(source, "w") as file:
        json.dump({"masks": masks}, file)
    with Clock() as clock:
        subprocess.run(
            [arguments.worker, "evaluate", "--model", arguments.model, "--data", arguments.data, "--masks", source,
             "--output", target, "--images", str(arguments.images), "--threads", str(arguments.threads)], check=True)
    with open(target) as file:
        return [result["loss"] for result in json.load(file)["results"]], clock


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--masks", required=True, help="a mask file; hidden filters only")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--peer-masks", type=int, default=2, help="masks that a peer evaluates in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--batches", type=int, nargs="*", default=[32, 128], help="batch sizes that peers try")
    parser.add_argument("--worker", default=".build/release/winnow-worker")
    arguments = parser.parse_args()
    if any(arguments.images % batch for batch in arguments.batches):
        parser.error("--images must be a multiple of every batch size")
    torch.set_num_threads(arguments.threads)

    network = networks.Network(arguments.model)
    inputs, labels = networks.images(arguments.data, arguments.images)
    with open(arguments.masks) as file:
        masks = [{"disabled": mask["disabled"]} for mask in json.load(file)["masks"]]
    step = max(1, len(masks) // arguments.peer_masks)
    chosen = range(0, len(masks), step)[:arguments.peer_masks]

    peers = {
        "ONNX Runtime, zeroed filters": (onnx_runner, network.masked),
        "ONNX Runtime, compact networks": (onnx_runner, network.compact),
        "PyTorch, zeroed filters": (torch_runner, network.masked),
        "PyTorch, compact networks": (torch_runner, network.compact),
        "ONNX Runtime, dense": (onnx_runner, None),
    }
    with tempfile.TemporaryDirectory() as folder:
        losses, _ = evaluate(arguments, masks, folder)
        dense, _ = evaluate(arguments, [{"disabled": {}}], folder)
        runners = {}
        for name, (make, change) in peers.items():
            changed = [change(masks[i]["disabled"]) for i in chosen] if change else [network]
            expected = [losses[i] for i in chosen] if change else dense
            candidates = []
            for batch in arguments.batches:
                made = [make(each, batch, arguments.threads) for each in changed]
                for runner, own in zip(made, expected):
                    theirs = networks.loss(outputs(runner, inputs, batch), labels)
                    if not abs(own / theirs - 1) < 1e-4:
                        sys.exit(f"{name}: loss {theirs}, Winnow's is {own}")
                with Clock() as clock:
                    outputs(made[0], inputs, batch)
                candidates.append((clock.wall, batch, made))
            _, batch, made = min(candidates, key=lambda candidate: candidate[0])
            runners[name] = (made, batch)
        print("all losses agree within 1e-4", flush=True)

        times = {}
        for _ in range(arguments.rounds):
            for name, what in (("Winnow, ensemble", masks), ("Winnow, dense", [{"disabled": {}}])):
                _, clock = evaluate(arguments, what, folder)
                count = len(what) * arguments.images
                times.setdefault(name, []).append((clock.wall / count, clock.processor / count))
            for name, (made, batch) in runners.items():
                with Clock() as clock:
                    for runner in made:
                        outputs(runner, inputs, batch)
                count = len(made) * arguments.images
                times.setdefault(name, []).append((clock.wall / count, clock.processor / count))

    best = {name: [min(column) for column in zip(*values)] for name, values in times.items()}
    for name, (wall, processor) in best.items():
        batch = f" (batch {runners[name][1]})" if name in runners else ""
        print(f"{name}{batch}: {1 / wall:.0f} images/s, {1 / processor:.0f} per second of processor time")
    for name in runners:
        mine = "Winnow, dense" if name.endswith("dense") else "Winnow, ensemble"
        ratios = [statistics.median(b[i] / a[i] for a, b in zip(times[mine], times[name])) for i in (0, 1)]
        print(f"{mine} / {name}: {ratios[0]:.2f} x, by processor time {ratios[1]:.2f} x")


if __name__ == "__main__":
    main()
