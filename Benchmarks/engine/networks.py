"""A CIFAR-10 ResNet from a PyTorch checkpoint, as plain arrays, as a PyTorch function and as an ONNX model.

Batch norms are folded into the convolutions, as both runtimes would do themselves. A disabled filter is either zeroed
(`masked`) or, for filters that nothing but the next convolution reads, physically removed (`compact`)."""

import copy
import re

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper


class Convolution:
    def __init__(self, weight, bias, stride):
        self.weight, self.bias, self.stride = weight, bias, stride


class Network:
    """`stem`, `blocks` of (first, second) convolutions, and the linear layer `head`."""

    def __init__(self, path):
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)
        state = {re.sub("^module[.]", "", name): value.double().numpy() for name, value in state.items()}

        def convolution(conv, norm, stride):
            scale = state[norm + ".weight"] / np.sqrt(state[norm + ".running_var"] + 1e-5)
            bias = state[norm + ".bias"] - state[norm + ".running_mean"] * scale
            weight = state[conv + ".weight"] * scale[:, None, None, None]
            return Convolution(weight.astype(np.float32), bias.astype(np.float32), stride)

        self.stem = convolution("conv1", "bn1", 1)
        self.names = sorted({name.rsplit(".", 2)[0] for name in state if name.endswith("conv1.weight") and "layer" in name})
        self.blocks = []
        for name in self.names:
            stride = 2 if name in ("layer2.0", "layer3.0") else 1
            self.blocks.append((convolution(name + ".conv1", name + ".bn1", stride),
                                convolution(name + ".conv2", name + ".bn2", 1)))
        self.head = (state["linear.weight"].astype(np.float32), state["linear.bias"].astype(np.float32))

    def _layer(self, name):
        if name == "conv1":
            return self.stem
        block, conv = name.rsplit(".", 1)
        return self.blocks[self.names.index(block)][0 if conv == "conv1" else 1]

    def masked(self, disabled):
        """A copy with the filters zeroed."""
        result = copy.deepcopy(self)
        for name, filters in disabled.items():
            layer = result._layer(name)
            layer.weight[filters] = 0
            layer.bias[filters] = 0
        return result

    def compact(self, disabled):
        """A copy with the filters removed. Only the first convolutions of blocks; at least one filter stays."""
        result = self.masked(disabled)
        for name, filters in disabled.items():
            block, conv = name.rsplit(".", 1)
            assert conv == "conv1", "only hidden filters can be removed here"
            first, second = result.blocks[result.names.index(block)]
            kept = [i for i in range(first.weight.shape[0]) if i not in set(filters)] or [0]
            first.weight, first.bias = first.weight[kept], first.bias[kept]
            second.weight = np.ascontiguousarray(second.weight[:, kept])
        return result

    def torch_function(self):
        """Outputs for a batch, channels last."""
        def prepare(layer):
            weight = torch.from_numpy(layer.weight).contiguous(memory_format=torch.channels_last)
            return weight, torch.from_numpy(layer.bias), layer.stride

        stem, blocks = prepare(self.stem), [tuple(map(prepare, block)) for block in self.blocks]
        head = [torch.from_numpy(array) for array in self.head]

        def apply(layer, x):
            return torch.nn.functional.conv2d(x, layer[0], layer[1], stride=layer[2], padding=1)

        def forward(x):
            x = x.contiguous(memory_format=torch.channels_last)
            x = torch.relu_(apply(stem, x))
            for first, second in blocks:
                y = apply(second, torch.relu_(apply(first, x)))
                if first[2] == 2:
                    pad = (y.shape[1] - x.shape[1]) // 2
                    x = torch.nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, pad, pad))
                x = torch.relu_(y.add_(x))
            return torch.nn.functional.linear(x.mean(dim=(2, 3)), *head)

        return forward

    def onnx_model(self, batch):
        """An ONNX model with the input `x` [batch, 3, 32, 32] and the output `y`."""
        nodes, constants = [], []

        def constant(name, array):
            constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
            return name

        def node(kind, inputs, **attributes):
            output = f"v{len(nodes)}"
            nodes.append(helper.make_node(kind, inputs, [output], **attributes))
            return output

        def apply(layer, x):
            n = len(nodes)
            return node("Conv", [x, constant(f"w{n}", layer.weight), constant(f"b{n}", layer.bias)],
                        kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[layer.stride] * 2)

        x = node("Relu", [apply(self.stem, "x")])
        channels = self.stem.weight.shape[0]
        for first, second in self.blocks:
            y = apply(second, node("Relu", [apply(first, x)]))
            if first.stride == 2:
                pad = (second.weight.shape[0] - channels) // 2
                n = len(nodes)
                x = node("Slice", [x, constant(f"s{n}", np.array([0, 0])), constant(f"e{n}", np.array([99, 99])),
                                   constant(f"a{n}", np.array([2, 3])), constant(f"t{n}", np.array([2, 2]))])
                x = node("Pad", [x, constant(f"p{n}", np.array([0, pad, 0, 0, 0, pad, 0, 0]))])
                channels = second.weight.shape[0]
            x = node("Relu", [node("Add", [y, x])])
        x = node("Flatten", [node("GlobalAveragePool", [x])])
        nodes.append(helper.make_node("Gemm", [x, constant("hw", self.head[0]), constant("hb", self.head[1])], ["y"],
                                      transB=1))
        graph = helper.make_graph(
            nodes, "resnet", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 32, 32])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 10])], constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def images(folder, count):
    """The first test images, normalised, and their labels."""
    records = np.fromfile(f"{folder}/test_batch.bin", np.uint8, count * 3073).reshape(-1, 3073)
    pixels = records[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) / 255
    mean = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
    deviation = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]
    return (pixels - mean) / deviation, records[:, 0].astype(np.int64)


def loss(outputs, labels):
    """Mean cross-entropy, in double precision."""
    outputs = outputs.astype(np.float64)
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    return float((np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]).mean())
