"""Exports a network of many kinds to ONNX in the ways that PyTorch has, with images and PyTorch's outputs for them.

    python3 Tests/PyTorch/export.py MODEL FOLDER [FORM…]
    python3 Tests/PyTorch/export.py --list

Writes FOLDER/FORM.onnx for each form, FOLDER/images (32-bit floats, [image, channel, row, column]) and FOLDER/logits.
The forms: `folded` and `kept` by the exporter based on TorchScript, `dynamo` and `dynamo-kept` by the newer one, each
with batch norms folded into convolutions and kept. Prints the forms that PyTorch could export; an exporter that does
not know an operator of the network leaves its forms out. Weights are random, the same at every call, and batch norms have
statistics as after training.
"""

import contextlib
import logging
import os
import pathlib
import sys
import warnings

import torch
import torch.nn.functional as F
from torch import nn
from torch.onnx import TrainingMode


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.avg_pool2d(torch.tanh(self.conv1(x)), 2)
        x = F.avg_pool2d(torch.tanh(self.conv2(x)), 2)
        x = x.view(x.size(0), -1)
        return self.fc3(torch.tanh(self.fc2(torch.tanh(self.fc1(x)))))


class Block(nn.Module):
    """A block of a CIFAR ResNet, with a projection or a parameter-free shortcut."""

    def __init__(self, channels, filters, stride, projects):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.shortcut = nn.Sequential()
        self.pads = 0
        if stride > 1 and projects:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters))
        elif stride > 1:
            self.pads = (filters - channels) // 2

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.pads:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pads, self.pads))
        return F.relu(y + self.shortcut(x))


class CIFARResNet(nn.Module):
    def __init__(self, projects):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(Block(8, 8, 1, projects))
        self.layer2 = nn.Sequential(Block(8, 16, 2, projects), Block(16, 16, 1, projects))
        self.layer3 = nn.Sequential(Block(16, 32, 2, projects))
        self.linear = nn.Linear(32, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        x = F.avg_pool2d(x, x.size(3))
        return self.linear(x.view(x.size(0), -1))


class PreActivationResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.blocks = nn.ModuleList()
        for channels, filters, stride in [(8, 8, 1), (8, 16, 2), (16, 16, 1), (16, 32, 2)]:
            block = nn.ModuleDict()
            block["bn1"], block["conv1"] = nn.BatchNorm2d(channels), nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
            block["bn2"], block["conv2"] = nn.BatchNorm2d(filters), nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
            if stride > 1:
                block["shortcut"] = nn.Conv2d(channels, filters, 1, stride, bias=False)
            self.blocks.append(block)
        self.bn, self.fc = nn.BatchNorm2d(32), nn.Linear(32, 10)

    def forward(self, x):
        x = self.conv1(x)
        for block in self.blocks:
            y = F.relu(block["bn1"](x))
            shortcut = block["shortcut"](y) if "shortcut" in block else x
            x = block["conv2"](F.relu(block["bn2"](block["conv1"](y)))) + shortcut
        return self.fc(F.adaptive_avg_pool2d(F.relu(self.bn(x)), 1).flatten(1))


class Activations(nn.Module):
    """Every activation as a module, then those that are often written out."""

    def __init__(self):
        super().__init__()
        self.activations = nn.ModuleList([
            nn.ReLU(), nn.LeakyReLU(0.2), nn.PReLU(8), nn.PReLU(), nn.ReLU6(), nn.Hardtanh(-1, 2), nn.Sigmoid(),
            nn.Hardsigmoid(), nn.Hardswish(), nn.SiLU(), nn.Tanh(), nn.ELU(0.7), nn.GELU(), nn.GELU("tanh"), nn.SELU(),
            nn.CELU(0.8),
        ])
        self.convs = nn.ModuleList(nn.Conv2d(8 if i else 3, 8, 3, padding=1) for i in range(len(self.activations)))
        self.fc = nn.Linear(8 * 4 * 4, 5)
        for conv in self.convs:
            conv.weight.data *= 2

    def forward(self, x):
        for conv, activation in zip(self.convs, self.activations):
            x = activation(conv(x))
        x = x * torch.sigmoid(x)
        x = x * F.relu6(x + 3) / 6
        x = F.relu6(x + 3) / 6 * x
        x = x * 0.5 * (1 + torch.erf(x / 2**0.5))
        x = 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * torch.pow(x, 3))))
        x = torch.maximum(torch.clamp(x, max=2.5), torch.tensor(-1.0))
        return self.fc(F.adaptive_avg_pool2d(x, (4, 4)).reshape(x.shape[0], -1))


class Rearrangements(nn.Module):
    """Normalised images, uneven padding, parts of channels and of rows, means and maxima in several ways."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 12, 3, padding="same")
        self.conv2 = nn.Conv2d(12, 12, 3, 2, padding=1, groups=4)
        self.conv3 = nn.Conv2d(24, 8, (1, 3), padding=(0, 1))
        self.scale, self.shift = nn.Parameter(torch.rand(8, 1, 1)), nn.Parameter(torch.rand(1, 8, 1, 1))
        self.fc = nn.Linear(22, 4)

    def forward(self, x):
        x = (x - torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1)) / torch.tensor([0.2, 0.25, 0.3]).view(1, 3, 1, 1)
        x = F.relu(self.conv1(F.pad(x, (1, 0, 2, 1))))
        first, second = x.chunk(2, 1)
        x = torch.cat([second * 2, first - 1], 1)
        x = x.view(-1, 3, 4, 22, 22).transpose(1, 2).reshape(-1, 12, 22, 22)
        x = torch.cat([F.max_pool2d(x, 3, 2, ceil_mode=True)[:, :, :10, 1:], self.conv2(x)[:, :, 1:, :10]], 1)
        x = self.conv3(x) * self.scale + self.shift
        x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=True) + F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        return self.fc(torch.cat([x.mean((2, 3)), x.amax((2, 3)), x.flatten(2).mean(2)[:, :6]], 1))


def perceptron():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 32),
        nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))


def lenet300():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))


def vgg(name):
    """Torchvision's network with a narrow classifier, whose 120 million weights would take most of a test's time."""
    network = torchvision(name)
    network.classifier = nn.Sequential(nn.Linear(512 * 49, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 10))
    return network


def torchvision(name, **options):
    import torchvision.models

    return getattr(torchvision.models, name)(num_classes=10, **options)


# Name: network, channels and size of its images.
MODELS = {
    "lenet5": (LeNet5, 1, 28, 28),
    "lenet300": (lenet300, 1, 28, 28),
    "perceptron": (perceptron, 1, 28, 28),
    "resnet-padded": (lambda: CIFARResNet(projects=False), 3, 32, 32),
    "resnet-projected": (lambda: CIFARResNet(projects=True), 3, 32, 32),
    "resnet-preactivated": (PreActivationResNet, 3, 32, 32),
    "activations": (Activations, 3, 8, 8),
    "rearrangements": (Rearrangements, 3, 19, 21),
    "resnet18": (lambda: torchvision("resnet18"), 3, 64, 64),
    "resnet50": (lambda: torchvision("resnet50"), 3, 64, 64),
    "resnext50": (lambda: torchvision("resnext50_32x4d"), 3, 64, 64),
    "vgg16_bn": (lambda: vgg("vgg16_bn"), 3, 64, 64),
    "vgg11": (lambda: vgg("vgg11"), 3, 32, 32),
    "mobilenet_v2": (lambda: torchvision("mobilenet_v2"), 3, 64, 64),
    "mobilenet_v3_small": (lambda: torchvision("mobilenet_v3_small"), 3, 64, 64),
    "efficientnet_b0": (lambda: torchvision("efficientnet_b0"), 3, 64, 64),
    "densenet121": (lambda: torchvision("densenet121"), 3, 64, 64),
    "squeezenet1_1": (lambda: torchvision("squeezenet1_1"), 3, 64, 64),
    "shufflenet_v2": (lambda: torchvision("shufflenet_v2_x0_5"), 3, 64, 64),
    "googlenet": (lambda: torchvision("googlenet", aux_logits=False, init_weights=False), 3, 64, 64),
    "inception_v3": (
        lambda: torchvision("inception_v3", aux_logits=False, init_weights=False, transform_input=True), 3, 96, 96),
}
FORMS = ["folded", "kept", "dynamo", "dynamo-kept"]


def network(name):
    """A network by name, ready for evaluation, and an image's shape."""
    make, *shape = MODELS[name]
    torch.manual_seed(0)
    made = make().eval()
    generator = torch.Generator().manual_seed(1)
    for module in made.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.1, generator=generator)
    return made, shape


def export(made, images, path, form):
    """Writes a network in one form. Raises where the exporter cannot."""
    if form.startswith("dynamo"):
        torch.onnx.export(
            made, (images,), path, dynamo=True, optimize=form == "dynamo", verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},))
    else:
        keeps = {"training": TrainingMode.PRESERVE, "do_constant_folding": False} if form == "kept" else {}
        torch.onnx.export(
            made, (images,), path, dynamo=False, opset_version=17, input_names=["image"],
            dynamic_axes={"image": {0: "batch"}}, **keeps)


@contextlib.contextmanager
def quiet():
    """Sends what is printed, by C++ too, nowhere."""
    sys.stdout.flush()
    kept = [os.dup(stream) for stream in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream in (1, 2):
            os.dup2(nowhere, stream)
        yield
    finally:
        sys.stdout.flush()
        for stream, copy in zip((1, 2), kept):
            os.dup2(copy, stream)
            os.close(copy)
        os.close(nowhere)


def main(arguments):
    if arguments == ["--list"]:
        print(*MODELS, sep="\n")
        return
    name, folder, *forms = arguments
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    made, shape = network(name)
    images = torch.randn(2, *shape)
    with torch.no_grad():
        logits = made(images)
    folder = pathlib.Path(folder)
    (folder / "images").write_bytes(images.numpy().tobytes())
    (folder / "logits").write_bytes(logits.numpy().tobytes())
    for form in forms or FORMS:
        try:
            with quiet():
                export(made, images, str(folder / f"{form}.onnx"), form)
            print(form)
        except (torch.onnx.errors.UnsupportedOperatorError, torch.onnx.errors.SymbolicValueError):
            pass


if __name__ == "__main__":
    main(sys.argv[1:])
