#!/usr/bin/env python3
"""A training step's speed against PyTorch's: same ResNet, same batch, same cores, alternating.

    Benchmarks/training/compare.py --model resnet20.th --data cifar10 [--threads 2] [--turns 7]

First both compute every hidden filter's mean squared gate gradient on the same images, which takes a whole forward and
backward pass; the script ends if they differ. Then they alternate gradient steps on a batch of 128, and it prints the
ratio of the medians and of the fastest turns. PyTorch uses its fastest CPU settings: channels_last, oneDNN. Winnow's
step includes random crops and flips; PyTorch's does not include preparing its images.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
import torch.nn.functional as F

IMAGES, BATCH = 32, 128


class Network:
    """The checkpoint's network as a function of its parameters; batch norms by running or by batch statistics."""

    def __init__(self, path):
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)
        self.state = {re.sub("^module[.]", "", k): v.float() for k, v in state.items() if v.dtype.is_floating_point}
        self.trained = [k for k in self.state if "running" not in k]
        for name in self.trained:
            value = self.state[name]
            if value.dim() == 4:
                value = value.contiguous(memory_format=torch.channels_last)
            self.state[name] = value.requires_grad_()
        self.blocks = sorted({k.rsplit(".", 2)[0] for k in self.state if k.endswith("conv1.weight") and "layer" in k},
                             key=lambda name: [int(n) for n in re.findall(r"\d+", name)])

    def _norm(self, x, name, training):
        s = self.state
        return F.batch_norm(x, s[name + ".running_mean"], s[name + ".running_var"], s[name + ".weight"],
                            s[name + ".bias"], training=training)

    def __call__(self, x, training, gates=None):
        s = self.state
        x = F.relu(self._norm(F.conv2d(x, s["conv1.weight"], padding=1), "bn1", training))
        for name in self.blocks:
            stride = 2 if re.match(r"layer[23]\.0$", name) else 1
            h = self._norm(F.conv2d(x, s[name + ".conv1.weight"], stride=stride, padding=1), name + ".bn1", training)
            h = F.relu(h)
            if gates is not None:
                h = h * gates[name]
            h = self._norm(F.conv2d(h, s[name + ".conv2.weight"], padding=1), name + ".bn2", training)
            if h.shape != x.shape:
                more = (h.shape[1] - x.shape[1]) // 2
                x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, more, more))
            x = F.relu(h + x)
        return F.linear(x.mean((2, 3)), s["linear.weight"], s["linear.bias"])


def check_gradients(arguments, network):
    """Ends the program where the two engines' squared gate gradients differ by more than a thousandth of the largest."""
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, "gradients.json")
        subprocess.run([arguments.worker, "gradients", "--model", arguments.model, "--data", arguments.data,
                        "--images", str(IMAGES), "--threads", "1", "--output", output], check=True)
        with open(output) as file:
            ours = json.load(file)["importance"]
    records = np.fromfile(os.path.join(arguments.data, "data_batch_1.bin"), dtype=np.uint8, count=3073 * IMAGES)
    records = records.reshape(IMAGES, 3073)
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in ([.485, .456, .406], [.229, .224, .225]))
    x = (torch.tensor(records[:, 1:].reshape(-1, 3, 32, 32)).float() / 255 - mean) / deviation
    labels = torch.tensor(records[:, 0]).long()
    gates = {name: torch.ones(IMAGES, network.state[name + ".conv1.weight"].shape[0], 1, 1, requires_grad=True)
             for name in network.blocks}
    F.cross_entropy(network(x, False, gates), labels, reduction="sum").backward()
    worst = 0.0
    for name in network.blocks:
        wanted = gates[name].grad.double().square().mean(0).flatten().numpy()
        found = np.array(ours[name + ".conv1"])
        worst = max(worst, float(np.abs(found - wanted).max() / wanted.max()))
    print(f"squared gate gradients of {IMAGES} images: largest difference {worst:.1e} of a layer's largest")
    if worst > 1e-3:
        sys.exit("the engines disagree; their speeds do not compare")


def ours(arguments):
    text = subprocess.run([arguments.worker, "bench-training", "--model", arguments.model, "--batch-size", str(BATCH),
                           "--shards", "2", "--steps", str(arguments.steps), "--threads", str(arguments.threads),
                           "--json"], check=True, capture_output=True, text=True).stdout
    return json.loads(text)["images_per_second"]


def pytorch(arguments, network):
    x = torch.randn(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (BATCH,))
    best = float("inf")
    for step in range(arguments.steps + 1):
        for name in network.trained:
            network.state[name].grad = None
        start = time.perf_counter()
        F.cross_entropy(network(x, True), labels).backward()
        if step > 0:
            best = min(best, time.perf_counter() - start)
    return BATCH / best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--steps", type=int, default=4, help="steps per turn; the fastest counts")
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--worker", default=os.path.join(here, "../../.build/release/winnow-worker"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    check_gradients(arguments, Network(arguments.model))
    network = Network(arguments.model)
    rates = {"winnow": [], "pytorch": []}
    for _ in range(arguments.turns):
        rates["winnow"].append(ours(arguments))
        rates["pytorch"].append(pytorch(arguments, network))
    for name, values in rates.items():
        print(f"{name}: median {statistics.median(values):.0f}, fastest {max(values):.0f} images/s")
    print(f"ratio: {statistics.median(rates['winnow']) / statistics.median(rates['pytorch']):.2f} of the medians, "
          f"{max(rates['winnow']) / max(rates['pytorch']):.2f} of the fastest")


if __name__ == "__main__":
    main()
