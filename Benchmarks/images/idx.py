#!/usr/bin/env python3
"""Converts CIFAR-10's binary batches to grey at 28 x 28 as MNIST's four IDX files: images of the usual size for a fully
connected network if MNIST itself is not at hand.

    Benchmarks/images/idx.py CIFAR10 FOLDER

Takes the luma of each pixel (ITU-R 601) and crops two rows or columns at each side. A prefix of either split has the same
images as a prefix of CIFAR-10's."""

import pathlib
import struct
import sys

import numpy as np

IMAGE_BYTES = 3 * 32 * 32


def records(paths):
    data = np.concatenate([np.fromfile(path, np.uint8) for path in paths]).reshape(-1, 1 + IMAGE_BYTES)
    return data[:, 1:].reshape(-1, 3, 32, 32), data[:, 0]


def write(folder, name, values):
    """An IDX file of bytes: two zeros, the type, the count of dimensions, the dimensions, the values."""
    with open(folder / name, "wb") as file:
        file.write(struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape))
        file.write(np.ascontiguousarray(values).tobytes())


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, folder = (pathlib.Path(word) for word in sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    luma = np.array([0.299, 0.587, 0.114])
    for split, paths in (("train", sorted(source.glob("data_batch_*.bin"))), ("t10k", [source / "test_batch.bin"])):
        if not paths:
            sys.exit(f"{source} has no data_batch_*.bin")
        images, labels = records(paths)
        grey = np.rint(np.tensordot(images, luma, axes=([1], [0]))).astype(np.uint8)
        write(folder, f"{split}-images-idx3-ubyte", grey[:, 2:30, 2:30])
        write(folder, f"{split}-labels-idx1-ubyte", labels)


if __name__ == "__main__":
    main()
