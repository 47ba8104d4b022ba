#!/usr/bin/env python3
"""Winnow's engine against ONNX Runtime and PyTorch: the same network, images and masks, in one alternating run.

    winnow-coordinator ensemble --model resnet56.th --masks 64 --output masks.json
    Benchmarks/engine/compare.py --model resnet56.th --data cifar10 --masks masks.json

Takes any network and images that Winnow reads without further options ('winnow-coordinator images' converts them). The
peers' networks are exported by Winnow: whole, with filters zeroed, and as each mask's compact network. The losses of
every mask that a peer evaluates are compared first. A peer's time covers its forward passes alone, not the creation of
its networks and sessions. Winnow's covers the whole command, including startup and file reading; give it enough --images
to make that negligible. Peers evaluate only some of the masks, since each costs them the same; the comparison is of the
time per image and mask. The ratios of processor time also hold on a shared machine."""

import argparse
import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper


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


class Winnow:
    """The programs, and one network and images for them."""

    def __init__(self, arguments, folder):
        self.programs, self.folder = arguments.programs, folder
        self.model, self.data, self.options = arguments.model, f"{folder}/images.npz", arguments
        self.coordinator(
            "images", "--data", arguments.data, "--images", str(arguments.images), "--output", self.data)

    def coordinator(self, *words):
        subprocess.run([f"{self.programs}/winnow-coordinator", *words], check=True, stdout=subprocess.DEVNULL)

    def images(self):
        """The inputs of the split that is evaluated, and their labels."""
        arrays = np.load(self.data)
        prefix = "test_" if "test_images" in arrays else ""
        pixels = arrays[f"{prefix}images"]
        if pixels.dtype == np.uint8:
            shape = (1, -1, 1, 1)
            pixels = (pixels.astype(np.float32) / 255 - arrays["mean"].reshape(shape)) / arrays["deviation"].reshape(
                shape)
        return np.ascontiguousarray(pixels, dtype=np.float32), arrays[f"{prefix}labels"].astype(np.int64)

    def evaluate(self, masks, images):
        """The losses under masks, and what the command took."""
        source, target = f"{self.folder}/masks.json", f"{self.folder}/losses.json"
        with open(source, "w") as file:
            json.dump({"masks": masks}, file)
        with Clock() as clock:
            subprocess.run(
                [f"{self.programs}/winnow-worker", "evaluate", "--model", self.model, "--data", self.data, "--masks",
                 source, "--output", target, "--images", str(images), "--threads", str(self.options.threads)],
                check=True)
        with open(target) as file:
            return [result["loss"] for result in json.load(file)["results"]], clock

    def export(self, name):
        """The whole network as ONNX and as a package for PyTorch."""
        forms = [f"{self.folder}/{name}.onnx", f"{self.folder}/{name}"]
        self.coordinator("export", "--model", self.model, "--onnx", forms[0], "--pytorch", forms[1])
        return name

    def compact(self, disabled, name):
        """The same of the network without the filters of a mask."""
        ranking = f"{self.folder}/{name}.csv"
        rows = [f"{layer},{index},0\n" for layer, filters in disabled.items() for index in filters]
        with open(ranking, "w") as file:
            file.writelines(["layer,filter,importance\n", *rows])
        self.coordinator(
            "prune", "--model", self.model, "--ranking", ranking, "--remove-filters", str(len(rows)), "--keep-at-least",
            "0", "--output", f"{self.folder}/{name}.safetensors", "--onnx", f"{self.folder}/{name}.onnx", "--pytorch",
            f"{self.folder}/{name}")
        return name


def zeroed(path, disabled, target):
    """The ONNX model with the filters' weights zero, and those of the batch norms and depthwise convolutions that follow
    them, so that their channels are zero until something mixes channels."""
    model = onnx.load(path)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}

    def clear(names, filters):
        for name in names:
            values = numpy_helper.to_array(tensors[name]).copy()
            values[filters] = 0
            tensors[name].CopyFrom(numpy_helper.from_array(values, name))

    def clear_followers(value, filters):
        for reader in model.graph.node:
            if reader.input[0] != value:
                continue
            groups = next((a.i for a in reader.attribute if a.name == "group"), 1)
            if reader.op_type == "BatchNormalization":
                clear(reader.input[1:3], filters)
            elif reader.op_type == "Conv" and groups == tensors[reader.input[1]].dims[0] > 1:
                clear(reader.input[1:], filters)
            elif reader.op_type not in ("Relu", "Clip", "MaxPool", "AveragePool"):
                continue
            clear_followers(reader.output[0], filters)

    for layer, filters in disabled.items():
        node = next(node for node in model.graph.node if f"{layer}.weight" in node.input)
        clear(node.input[1:], filters)
        clear_followers(node.output[0], filters)
    onnx.save(model, target)


def onnx_runner(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def torch_runner(package):
    model = importlib.import_module(package).load().to(memory_format=torch.channels_last)

    def run(x):
        with torch.inference_mode():
            return model(torch.from_numpy(x).contiguous(memory_format=torch.channels_last)).numpy()

    return run


def outputs(runner, inputs, batch):
    return np.concatenate([runner(inputs[i:i + batch]) for i in range(0, len(inputs), batch)])


def loss(logits, labels):
    logits = logits.astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--masks", required=True, help="a mask file; filters before an activation that keeps zero")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--peer-masks", type=int, default=2, help="masks that a peer evaluates in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--batches", type=int, nargs="*", default=[32, 128], help="batch sizes that peers try")
    parser.add_argument("--programs", default=".build/release", help="the folder of Winnow's programs")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with open(arguments.masks) as file:
        masks = [{"disabled": mask["disabled"]} for mask in json.load(file)["masks"]]
    step = max(1, len(masks) // arguments.peer_masks)
    chosen = range(0, len(masks), step)[:arguments.peer_masks]

    with tempfile.TemporaryDirectory() as folder:
        sys.path.insert(0, folder)
        winnow = Winnow(arguments, folder)
        inputs, labels = winnow.images()
        dense = winnow.export("dense")
        compact = [winnow.compact(masks[i]["disabled"], f"compact{i}") for i in chosen]
        zero = [f"{folder}/zeroed{i}.onnx" for i in chosen]
        for i, path in zip(chosen, zero):
            zeroed(f"{folder}/{dense}.onnx", masks[i]["disabled"], path)
        peers = {
            "ONNX Runtime, zeroed filters": ([onnx_runner(path, arguments.threads) for path in zero], masks),
            "ONNX Runtime, compact networks": (
                [onnx_runner(f"{folder}/{name}.onnx", arguments.threads) for name in compact], masks),
            "PyTorch, compact networks": ([torch_runner(name) for name in compact], masks),
            "ONNX Runtime, dense": ([onnx_runner(f"{folder}/{dense}.onnx", arguments.threads)], None),
            "PyTorch, dense": ([torch_runner(dense)], None),
        }
        nothing = [{"disabled": {}}]
        losses, _ = winnow.evaluate([masks[i] for i in chosen], len(inputs))
        unmasked, _ = winnow.evaluate(nothing, len(inputs))
        batches = {}
        for name, (runners, under) in peers.items():
            times = {}
            for batch in arguments.batches:
                for runner, own in zip(runners, losses if under else unmasked):
                    theirs = loss(outputs(runner, inputs, batch), labels)
                    if not abs(own / theirs - 1) < 1e-4:
                        sys.exit(f"{name}: loss {theirs}, Winnow's is {own}")
                with Clock() as clock:
                    outputs(runners[0], inputs, batch)
                times[batch] = clock.wall
            batches[name] = min(times, key=times.get)
        print("all losses agree within 1e-4", flush=True)

        times = {}
        for _ in range(arguments.rounds):
            for name, what in (("Winnow, ensemble", masks), ("Winnow, dense", nothing)):
                _, clock = winnow.evaluate(what, len(inputs))
                count = len(what) * len(inputs)
                times.setdefault(name, []).append((clock.wall / count, clock.processor / count))
            for name, (runners, _) in peers.items():
                with Clock() as clock:
                    for runner in runners:
                        outputs(runner, inputs, batches[name])
                count = len(runners) * len(inputs)
                times.setdefault(name, []).append((clock.wall / count, clock.processor / count))

    best = {name: [min(column) for column in zip(*values)] for name, values in times.items()}
    for name, (wall, processor) in best.items():
        batch = f" (batch {batches[name]})" if name in batches else ""
        print(f"{name}{batch}: {1 / wall:.1f} images/s, {1 / processor:.1f} per second of processor time")
    for name in batches:
        mine = "Winnow, dense" if name.endswith("dense") else "Winnow, ensemble"
        ratios = [statistics.median(b[i] / a[i] for a, b in zip(times[mine], times[name])) for i in (0, 1)]
        print(f"{mine} / {name}: {ratios[0]:.2f} x, by processor time {ratios[1]:.2f} x")


if __name__ == "__main__":
    main()
