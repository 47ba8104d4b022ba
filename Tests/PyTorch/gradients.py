"""Writes the gradients that PyTorch computes for a network of export.py, in double precision.

    python3 Tests/PyTorch/gradients.py training|gates MODEL FOLDER FORM IMAGES

Writes FOLDER/FORM.onnx; FOLDER/images, IMAGES images in 32-bit floats; FOLDER/labels, bytes; and FOLDER/gradients, a JSON
object of lists by the names of tensors or layers. Nothing is dropped at random.

`training`: the gradients of the sum of the images' cross-entropies with the batch's own statistics. ReLUs of deep networks
become SiLUs, and plain max pools average: of millions of ReLUs some are so near to zero, and of windows some have two so
equal pixels, that single and double precision take different sides, and the deep networks' gradients in PyTorch itself differ by up to a quarter between the two.

`gates`: the sum over images of the squared gradients of gates on filters, with running statistics. A gate is put where
PyTorch has a module for it: at the output of the batch norm that follows the filter's convolution, where only a ReLU
follows, which a positive factor passes, or at the input of the layer that reads it.
"""

import json
import pathlib
import re
import runpy
import sys

import torch
import torch.nn.functional as F
from torch import nn

EXPORT = runpy.run_path(str(pathlib.Path(__file__).parent / "export.py"))


def gate_places(name, network):
    """For the networks that have them: a filter's layer, the module with the gate, and whether it is at its input."""
    if name == "resnet18":
        for layer in [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d)]:
            norm = re.sub(r"conv(\d)$", r"bn\1", layer) if "downsample" not in layer else layer[:-1] + "1"
            yield layer, norm, False
    if name == "mobilenet_v2":
        for index in range(2, 18):
            yield f"features.{index}.conv.0.0", f"features.{index}.conv.2", True
            yield f"features.{index}.conv.2", f"features.{index}.conv.3", False


def smooth(network):
    """Replaces every ReLU, and max pools of windows that do not overlap the borders."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, (nn.ReLU, nn.ReLU6)):
                setattr(module, name, nn.SiLU())
            if isinstance(child, nn.MaxPool2d) and child.padding == 0 and not child.ceil_mode:
                setattr(module, name, nn.AvgPool2d(child.kernel_size, child.stride))
    F.relu = lambda x, inplace=False: F.silu(x)


def squared_gates(name, network, images, labels):
    network.eval()
    layers = {}
    for layer, module, at_input in gate_places(name, network):
        module = network.get_submodule(module)
        channels = network.get_submodule(layer).out_channels
        gates = torch.ones(len(images), channels, 1, 1, dtype=torch.double, requires_grad=True)
        if at_input:
            module.register_forward_pre_hook(lambda _, x, g=gates: (x[0] * g,))
        else:
            module.register_forward_hook(lambda _, x, y, g=gates: y * g)
        layers[layer] = gates
    F.cross_entropy(network(images), labels, reduction="sum").backward()
    return {layer: (gates.grad ** 2).sum((0, 2, 3)).tolist() for layer, gates in layers.items()}


def gradients(network, images, labels):
    network.train()
    for module in network.modules():
        if "Drop" in type(module).__name__ or "StochasticDepth" in type(module).__name__:
            module.eval()
    F.cross_entropy(network(images), labels, reduction="sum").backward()
    return {name: parameter.grad.flatten().tolist() for name, parameter in network.named_parameters()}


def main(kind, name, folder, form, count):
    torch.set_num_threads(2)
    folder = pathlib.Path(folder)
    network, shape = EXPORT["network"](name)
    if kind == "training" and sum(isinstance(m, nn.BatchNorm2d) for m in network.modules()) > 12:
        smooth(network)
    images = torch.randn(int(count), *shape)
    labels = torch.arange(int(count)) % 4
    with EXPORT["quiet"]():
        EXPORT["export"](network, images, str(folder / f"{form}.onnx"), form)
    (folder / "images").write_bytes(images.numpy().tobytes())
    (folder / "labels").write_bytes(bytes(labels.tolist()))
    network.double()
    images = images.double()
    found = gradients(network, images, labels) if kind == "training" else squared_gates(name, network, images, labels)
    (folder / "gradients").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
