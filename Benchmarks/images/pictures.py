#!/usr/bin/env python3
"""Writes CIFAR-10's test images as large JPEG pictures in class folders, to measure the cost of pictures.

    Benchmarks/images/pictures.py CIFAR10 FOLDER [--images 10000] [--width 500] [--height 375]

Each picture is an image enlarged (Lanczos) with some pixel-sized noise, which gives its file the size of a photograph."""

import argparse
import multiprocessing
import pathlib

import numpy as np
from PIL import Image

CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
IMAGE_BYTES = 3 * 32 * 32


def save(work):
    path, pixels, size, seed = work
    picture = Image.fromarray(pixels.transpose(1, 2, 0)).resize(size, Image.LANCZOS)
    noise = np.random.default_rng(seed).normal(0, 6, (size[1], size[0], 1))
    noisy = np.clip(np.asarray(picture, np.float32) + noise, 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(path, quality=85)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cifar10", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--images", type=int, default=10000)
    parser.add_argument("--width", type=int, default=500)
    parser.add_argument("--height", type=int, default=375)
    arguments = parser.parse_args()
    data = np.fromfile(arguments.cifar10 / "test_batch.bin", np.uint8).reshape(-1, 1 + IMAGE_BYTES)
    for name in CLASSES:
        (arguments.folder / name).mkdir(parents=True, exist_ok=True)
    work = [
        (arguments.folder / CLASSES[record[0]] / f"{number:05}.jpg", record[1:].reshape(3, 32, 32),
         (arguments.width, arguments.height), number) for number, record in enumerate(data[:arguments.images])
    ]
    with multiprocessing.Pool() as pool:
        for _ in pool.imap_unordered(save, work, chunksize=64):
            pass


if __name__ == "__main__":
    main()
