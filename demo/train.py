#!/usr/bin/env python3
"""Trains the demonstration's network, a ResNet-14, on the images that winnow-demo makes.

    swift run -c release winnow-demo images --output demo-images
    python3 demo/train.py --data demo-images --output demo/resnet.safetensors

Needs PyTorch and NumPy and takes four minutes on one core. The committed network came from these two commands with
--threads 1 and PyTorch 2.15: 96.40 % accuracy on the 2,000 test images, mean loss 0.1139 (the last epoch; test images
chose nothing). The seed decides everything but rounding, which depends on the machine and PyTorch's version.
"""
import argparse
import json
import struct

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

RECORD_BYTES = 1 + 3 * 32 * 32
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters: every second pixel, zero-padded channels."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.padding = stride, (outputs - inputs) // 2

    def forward(self, x):
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.padding, self.padding))
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + shortcut)


class ResNet(nn.Module):
    """He et al. (2016), section 4.2."""

    def __init__(self, blocks_per_stage):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths = [16, 16, 32, 64]
        for stage in (1, 2, 3):
            blocks = []
            for index in range(blocks_per_stage):
                first = index == 0
                blocks.append(Block(widths[stage - first], widths[stage], 2 if first and stage > 1 else 1))
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def read(path):
    """Images of a binary batch, normalised, and their labels."""
    records = torch.from_numpy(np.fromfile(path, np.uint8).reshape(-1, RECORD_BYTES))
    images = records[:, 1:].reshape(-1, 3, 32, 32).float() / 255
    mean, deviation = torch.tensor(MEAN).reshape(3, 1, 1), torch.tensor(DEVIATION).reshape(3, 1, 1)
    return (images - mean) / deviation, records[:, 0].long()


def augment(images, generator):
    """Flips, quarter turns and a swap of the colour channels change no figure's kind."""
    if torch.rand((), generator=generator) < 0.5:
        images = images.flip(3)
    images = torch.rot90(images, int(torch.randint(4, (), generator=generator)), (2, 3))
    return images[:, torch.randperm(3, generator=generator)]


def evaluate(network, images, labels):
    """Mean cross-entropy and the share of correct images."""
    network.eval()
    with torch.no_grad():
        outputs = torch.cat([network(part) for part in images.split(500)])
    return F.cross_entropy(outputs, labels).item(), (outputs.argmax(1) == labels).float().mean().item()


def save(network, path):
    """Writes a safetensors file without needing its library."""
    header, parts, position = {"__metadata__": {"format": "pt"}}, [], 0
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        part = tensor.detach().float().contiguous().numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [position, position + len(part)]}
        parts.append(part)
        position += len(part)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with data_batch_1.bin and test_batch.bin")
    parser.add_argument("--output", required=True, help="the safetensors file to write")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--blocks", type=int, default=2, help="blocks in each stage; 2 makes a ResNet-14")
    parser.add_argument("--rate", type=float, default=0.2, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    generator = torch.Generator().manual_seed(options.seed)
    images, labels = read(f"{options.data}/data_batch_1.bin")
    test = read(f"{options.data}/test_batch.bin")
    network = ResNet(options.blocks).to(memory_format=torch.channels_last)
    batch = 100
    steps = options.epochs * (len(images) // batch)
    optimizer = torch.optim.SGD(network.parameters(), options.rate, 0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.rate, steps, pct_start=0.2)
    for epoch in range(options.epochs):
        network.train()
        total = 0.0
        for chosen in torch.randperm(len(images), generator=generator).split(batch):
            inputs = augment(images[chosen], generator).contiguous(memory_format=torch.channels_last)
            loss = F.cross_entropy(network(inputs), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(chosen)
        test_loss, accuracy = evaluate(network, *test)
        print(
            f"epoch {epoch + 1}: training loss {total / len(images):.4f}, test loss {test_loss:.4f}, "
            f"{accuracy:.2%} of the test images right",
            flush=True,
        )
    save(network, options.output)


if __name__ == "__main__":
    main()
