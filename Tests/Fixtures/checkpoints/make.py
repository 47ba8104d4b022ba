#!/usr/bin/env python3
"""Makes the checkpoints beside it with PyTorch: python3 make.py (PyTorch 2.15 made the committed ones).

All hold the same small network, whose values are exact in every number format; the tests compute them too.
"""
import argparse
import os
from collections import OrderedDict

import torch
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))


def value(name, shape):
    """Counts up from the length of the name, in sixteenths; positive where it must be."""
    count = torch.Size(shape).numel()
    steps = (torch.arange(count) + len(name)) % 64
    if not name.endswith("running_var"):
        steps = steps - 32
    return (steps.float() / 16).reshape(shape)


def shapes():
    def convolution(prefix, number, inputs, outputs):
        yield f"{prefix}conv{number}.weight", (outputs, inputs, 3, 3)
        for part in ("weight", "bias", "running_mean", "running_var"):
            yield f"{prefix}bn{number}.{part}", (outputs,)

    yield from convolution("", 1, 3, 4)
    inputs = 4
    for stage, outputs in ((1, 4), (2, 6)):
        yield from convolution(f"layer{stage}.0.", 1, inputs, 5)
        yield from convolution(f"layer{stage}.0.", 2, 5, outputs)
        inputs = outputs
    yield "linear.weight", (10, 6)
    yield "linear.bias", (10,)


def save(name, checkpoint, **options):
    torch.save(checkpoint, os.path.join(HERE, name), **options)


def main():
    state = OrderedDict((name, value(name, shape)) for name, shape in shapes())
    wrapped = OrderedDict((f"module.{name}", tensor) for name, tensor in state.items())
    wrapped["module.bn1.num_batches_tracked"] = torch.tensor(123)
    wrapped._metadata = OrderedDict([("", {"version": 1})])
    parameters = {name: nn.Parameter(tensor.clone()) for name, tensor in state.items()}
    optimizer = torch.optim.SGD(parameters.values(), 0.1, momentum=0.9)
    for parameter in parameters.values():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    whole = {
        "epoch": 3,
        "best": 0.5,
        "arguments": argparse.Namespace(rate=0.1, name="x"),
        "shape": torch.Size([1, 2]),
        "state_dict": wrapped,
        "optimizer": optimizer.state_dict(),
    }
    save("bare.pt", dict(state))
    save("whole.pt", whole)
    save("whole.th", whole, _use_new_zipfile_serialization=False)
    save("parameters.pt", {name: nn.Parameter(tensor) for name, tensor in state.items()})
    for protocol in (3, 4, 5):
        save(f"protocol-{protocol}.th", whole, _use_new_zipfile_serialization=False, pickle_protocol=protocol)
    for name, kind in (("half", torch.float16), ("bfloat16", torch.bfloat16), ("double", torch.float64)):
        save(f"{name}.pt", {name: tensor.to(kind) for name, tensor in state.items()})
    # Tensors that are views into one storage, with strides of their own.
    one = torch.cat([torch.zeros(7)] + [tensor.flatten() for tensor in state.values()])
    views, start = OrderedDict(), 7
    for name, tensor in state.items():
        view = one[start : start + tensor.numel()].reshape(tensor.shape)
        start += tensor.numel()
        views[name] = view.contiguous(memory_format=torch.channels_last) if view.dim() == 4 else view
    views["linear.weight"] = state["linear.weight"].t().contiguous().t()
    save("views.pt", views)
    save("views.th", views, _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
