#!/usr/bin/env python3
"""Makes a torchvision network with random weights, and noise images for it, to compare engines with.

    Benchmarks/engine/networks.py mobilenet_v2 --size 224 --images 256 --output mobilenet_v2

Writes OUTPUT.onnx, with batch norms kept, and OUTPUT.npz. Batch norms have the statistics of such images, so values stay
in a trained network's range. A VGG gets a single linear layer as its classifier, as usual at 32 × 32."""

import argparse

import numpy as np
import torch
import torchvision
from torch.onnx import TrainingMode


def network(name, size):
    torch.manual_seed(1)
    model = getattr(torchvision.models, name)(num_classes=10)
    if name.startswith("vgg"):
        model.avgpool, model.classifier = torch.nn.Identity(), torch.nn.Linear(512 * (size // 32) ** 2, 10)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    model.train()
    with torch.inference_mode():
        for _ in range(2):
            model(torch.randn(16, 3, size, size))
    return model.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()
    model = network(arguments.name, arguments.size)
    torch.onnx.export(
        model, (torch.randn(1, 3, arguments.size, arguments.size),), f"{arguments.output}.onnx", dynamo=False,
        opset_version=17, training=TrainingMode.PRESERVE, do_constant_folding=False, input_names=["images"],
        output_names=["logits"], dynamic_axes={"images": {0: "batch"}, "logits": {0: "batch"}})
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (arguments.images, 3, arguments.size, arguments.size), dtype=np.uint8)
    np.savez(f"{arguments.output}.npz", images=images, labels=random.integers(0, 10, arguments.images), classes=10)


if __name__ == "__main__":
    main()
