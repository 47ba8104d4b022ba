"""Checkpoints as training scripts leave them, with images and what PyTorch computes of them.

    python3 Tests/PyTorch/checkpoints.py FOLDER

Writes a checkpoint for each case, FOLDER/CASE.images and FOLDER/CASE.logits (32-bit floats) beside it, and
FOLDER/cases.json: a list of the cases, each with its file, the images' shape, the options that it needs (`hints`) and
words of what is to be said of it (`note`). A case with `refusal` instead is to be refused with these words.
"""

import collections
import copy
import dataclasses
import datetime
import enum
import json
import pathlib
import random
import struct
import sys
import zipfile

import numpy
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune

FOLDER = pathlib.Path(sys.argv[1])
CASES = []


class Block(nn.Module):
    def __init__(self, channels, hidden, filters, stride, activation, shortcut, **options):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, hidden, 3, stride, 1, bias=options["conv_bias"])
        self.bn1 = nn.BatchNorm2d(hidden, eps=options["epsilon"])
        self.conv2 = nn.Conv2d(hidden, filters, 3, 1, 1, bias=options["conv_bias"])
        self.bn2 = nn.BatchNorm2d(filters, eps=options["epsilon"])
        self.stride, self.activation, self.kind = stride, activation, shortcut

    def shortcut(self, x, channels):
        missing = channels - x.shape[1]
        if self.stride > 1:
            x = F.avg_pool2d(x, 2) if "pooled" in self.kind else x[:, :, ::2, ::2]
        front = 0 if "at-end" in self.kind else missing // 2
        return F.pad(x, (0, 0, 0, 0, front, missing - front))

    def forward(self, x):
        y = self.bn2(self.conv2(self.activation(self.bn1(self.conv1(x)))))
        return self.activation(y + self.shortcut(x, y.shape[1]))


class ResNet(nn.Module):
    """A CIFAR ResNet of three blocks."""

    def __init__(
            self, activation=F.relu, shortcut="padded", head="linear", widths=(4, 8, 12), channels=3, epsilon=1e-5,
            conv_bias=False, head_bias=True):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, widths[0], 3, 1, 1, bias=conv_bias)
        self.bn1 = nn.BatchNorm2d(widths[0], eps=epsilon)
        for index, width in enumerate(widths):
            block = Block(
                widths[max(index - 1, 0)], 5, width, 2 if index else 1, activation, shortcut, epsilon=epsilon,
                conv_bias=conv_bias)
            setattr(self, f"layer{index + 1}", nn.Sequential(block))
        self.head_name = head
        setattr(self, head, nn.Linear(widths[-1], 10, bias=head_bias))
        self.activation = activation

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.activation(self.bn1(self.conv1(x))))))
        return getattr(self, self.head_name)(x.mean((2, 3)))


class Chain(nn.Module):
    """Linear layers, used in another order than they are declared in."""

    def __init__(self, activation=F.relu, order=("fc1", "fc2", "fc3", "fc4")):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(192, 9), nn.Linear(9, 9), nn.Linear(9, 9)
        self.fc4 = nn.Linear(9, 10)
        self.activation, self.order = activation, order

    def forward(self, x):
        x = x.flatten(1)
        for name in self.order[:-1]:
            x = self.activation(getattr(self, name)(x))
        return self.fc4(x)


class Normalise(nn.Module):
    def __init__(self, mean, deviation):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(deviation).view(1, -1, 1, 1))

    def forward(self, x):
        return (x - self.mean) / self.std


def ready(model):
    """The model with batch norms as after training."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.3, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
    return model.eval()


def case(name, model, checkpoint, size=16, channels=3, scale=None, hints=None, note="", options=None, suffix="pt"):
    """Saves a checkpoint, or what was saved already (None). `scale` turns images into what the model takes."""
    path = FOLDER / f"{name}.{suffix}"
    if checkpoint is not None:
        torch.save(checkpoint, path, **(options or {}))
    images = torch.randn(2, channels, size, size)
    with torch.no_grad():
        logits = model(scale(images) if scale else images)
    (FOLDER / f"{name}.images").write_bytes(images.numpy().tobytes())
    (FOLDER / f"{name}.logits").write_bytes(logits.numpy().tobytes())
    CASES.append({
        "name": name, "file": path.name, "image": [channels, size, size], "hints": hints or {}, "note": note})


def refused(name, checkpoint, words):
    torch.save(checkpoint, FOLDER / f"{name}.pt")
    CASES.append({
        "name": name, "file": f"{name}.pt", "image": [3, 16, 16], "hints": {}, "note": "", "refusal": words})


def with_prefix(prefix, state):
    return collections.OrderedDict((prefix + name, tensor) for name, tensor in state.items())


def heads():
    for head in ("fc", "classifier", "head", "output_layer"):
        model = ready(ResNet(head=head))
        case(f"head-{head}", model, model.state_dict())
    model = ready(ResNet(head="fc", head_bias=False))
    case("head-without-bias", model, model.state_dict())


def places():
    model = ready(ResNet())
    state = model.state_dict()
    case("other-key", model, {"epoch": 3, "trained_weights": state})
    case("nested", model, {"run": {"best": {"weights": state, "accuracy": 0.9}}})
    case("pair", model, (state, 3))
    case("default-dictionary", model, {"model": collections.defaultdict(int, state)})
    case("beside-optimizer", model, {
        "model": state, "optimizer": torch.optim.Adam(model.parameters()).state_dict(),
        "momentum": {name: torch.zeros_like(tensor) for name, tensor in model.named_parameters()}})
    for prefix in ("model.", "net.encoder.", "module.model.", "model._orig_mod."):
        case(f"prefix-{prefix}", model, {"state_dict": with_prefix(prefix, state)})
    chain = ready(Chain())
    case("prefix-chain", chain, with_prefix("model.", chain.state_dict()), size=8)

    other = ready(ResNet())
    both = {"state_dict": state, "ema_state_dict": other.state_dict()}
    case("raw-of-two", model, both, note="'ema_state_dict': --weights")
    case("averaged-of-two", other, both, hints={"weights": "ema_state_dict"})
    flat = {**with_prefix("model.", state), **with_prefix("ema_model.", other.state_dict())}
    case("side-by-side", model, {"state_dict": flat}, note="under 'state_dict.model'")
    case("side-by-side-averaged", other, {"state_dict": flat}, hints={"weights": "ema_model"})
    refused("unclear", {"first": state, "second": other.state_dict()}, "--weights")


def additions():
    model = ready(ResNet())
    averaged = torch.optim.swa_utils.AveragedModel(model)
    case("averaged-counter", model, averaged.state_dict())
    counted = copy.deepcopy(model.state_dict())
    for name in list(counted):
        if name.endswith("weight"):
            counted[name.replace("weight", "total_ops")] = torch.zeros(1, dtype=torch.float64)
            counted[name.replace("weight", "total_params")] = torch.zeros(1, dtype=torch.float64)
    case("operation-counters", model, counted)

    model = ready(ResNet())
    for module in (model.conv1, model.layer2[0].conv2):
        prune.l1_unstructured(module, "weight", amount=0.4)
    prune.random_structured(model.layer3[0].conv1, "weight", amount=2, dim=0)
    case("masked", model, model.state_dict(), note="masked")

    model = ready(ResNet())
    state = model.state_dict()
    state["bn1.weight"] = torch.ones(1).expand(4)
    state["layer1.0.bn2.bias"] = torch.zeros(()).expand(4)
    model.load_state_dict(state)
    case("repeated-elements", model, state)

    model = ready(ResNet())
    case("auxiliary", model, {**model.state_dict(), "aux_head.fc.weight": torch.randn(10, 8)}, note="aux_head left out")

    model = ready(ResNet())
    mean, deviation = [0.49, 0.48, 0.45], [0.25, 0.24, 0.26]
    case("normalising", model, nn.Sequential(Normalise(mean, deviation), model).state_dict(), note="0.49,0.48,0.45")
    scaled = Normalise([255 * value for value in mean], [255 * value for value in deviation])
    case("normalising-bytes", model, nn.Sequential(scaled, model).state_dict(), note="pixels in 0…1")


def forms():
    model = ready(ResNet(widths=(4, 7, 12)))
    case("odd-padding", model, model.state_dict())
    model = ready(ResNet(conv_bias=True))
    case("convolution-bias", model, model.state_dict())
    model = ready(ResNet(channels=1))
    case("grey", model, model.state_dict(), channels=1)

    model = ready(ResNet(conv_bias=True))
    for parent in [model, *(layer[0] for layer in (model.layer1, model.layer2, model.layer3))]:
        for number in (1, 2):
            if hasattr(parent, f"conv{number}"):
                fused = nn.utils.fuse_conv_bn_eval(getattr(parent, f"conv{number}"), getattr(parent, f"bn{number}"))
                setattr(parent, f"conv{number}", fused)
                setattr(parent, f"bn{number}", nn.Identity())
    case("folded", model, model.state_dict())


def conventions():
    activations = {
        "leaky-relu:0.2": lambda x: F.leaky_relu(x, 0.2), "elu": F.elu, "silu": F.silu, "gelu": F.gelu,
        "tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu6": F.relu6, "hard-swish": F.hardswish,
    }
    for name, function in activations.items():
        model = ready(ResNet(activation=function))
        case(f"residual-{name}", model, model.state_dict(), hints={"activation": name})
        chain = ready(Chain(activation=function))
        case(f"chain-{name}", chain, chain.state_dict(), size=8, hints={"activation": name})
    for shortcut in ("padded-at-end", "pooled", "pooled-at-end"):
        model = ready(ResNet(shortcut=shortcut))
        case(f"shortcut-{shortcut}", model, model.state_dict(), hints={"shortcut": shortcut})
    model = ready(ResNet(epsilon=1e-3))
    case("epsilon", model, model.state_dict(), hints={"epsilon": 1e-3}, note="assumed: ReLU, shortcuts padded")
    order = ("fc1", "fc3", "fc2", "fc4")
    chain = ready(Chain(order=order))
    case("layer-order", chain, chain.state_dict(), size=8, hints={"layerOrder": list(order)}, note="fc1, fc3, fc2, fc4")


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Options:
    rate: float = 0.1
    where: pathlib.Path = pathlib.Path("data")


class Configuration(dict):
    """A dictionary whose entries are attributes too."""

    __getattr__ = dict.__getitem__


def companions():
    """Values that are no tensors, of classes that the reader does not know."""
    model = ready(ResNet())
    checkpoint = {
        "args": Options(), "config": Configuration(rate=0.1, inner=Configuration(x=1)), "colour": Colour.RED,
        "where": pathlib.Path("/tmp/x"), "when": datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.timezone.utc),
        "day": datetime.date(2026, 1, 2), "took": datetime.timedelta(seconds=3), "classes": {"cat", "dog"},
        "array": numpy.arange(6.0).reshape(2, 3), "number": numpy.float64(0.5), "kind": numpy.dtype("int64"),
        "random": random.getstate(), "numpy_random": numpy.random.get_state(), "counter": collections.Counter("abca"),
        "bytes": b"123", "buffer": bytearray(b"123"), "big": 10**400, "complex": 1 + 2j, "function": F.relu,
        "range": range(3), "device": torch.device("cpu"), "type": torch.float16, "size": torch.Size([1, 2]),
        "waves": torch.zeros(2, dtype=torch.complex64), "sparse": torch.eye(2).to_sparse(),
        "quantised": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "state_dict": model.state_dict(),
    }
    case("companions", model, checkpoint)
    # The old format needs the sizes of all storages.
    for key in ("waves", "sparse", "quantised"):
        del checkpoint[key]
    for protocol in (2, 4, 5):
        case(f"companions-legacy-{protocol}", model, checkpoint, options={
            "_use_new_zipfile_serialization": False, "pickle_protocol": protocol})
    case("own-class", model, {"net": Configuration(model.state_dict())})
    refused("whole-module", model, "such as a whole module")
    refused("no-tensors", {"epoch": 1, "accuracy": 0.5}, "only epoch, accuracy")


def files():
    model = ready(ResNet())
    torch.save({"state_dict": model.state_dict()}, FOLDER / "plain.zip")
    with zipfile.ZipFile(FOLDER / "plain.zip") as plain, zipfile.ZipFile(
            FOLDER / "compressed.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    case("compressed", model, None)

    tensors = with_prefix("model.", model.state_dict())
    header, data = {}, b""
    for name, tensor in tensors.items():
        raw = tensor.contiguous().numpy().tobytes()
        kind = "I64" if tensor.dtype == torch.int64 else "F32"
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    (FOLDER / "prefixed.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    case("prefixed", model, None, suffix="safetensors")


def main():
    torch.manual_seed(0)
    for make in (heads, places, additions, forms, conventions, companions, files):
        make()
    (FOLDER / "cases.json").write_text(json.dumps(CASES))


main()
