"""Images for Winnow, from any PyTorch data set."""

import numpy


def images(dataset, path, test=None, classes=None):
    """Writes a `.npz` file of a data set's images and labels, after its transforms.

    `dataset` returns pairs of image and label by index, like any map-style `torch.utils.data.Dataset`. Images are
    tensors or arrays `[C, H, W]`: floats enter the network unchanged, Winnow scales and normalises bytes. Pictures
    without a transform to tensors count as bytes. With `test`, `dataset` holds the training images, as fine-tuning
    needs. `classes` gives the number of classes if not all of them occur.

    The images are written in a random order seeded by their number, since Winnow often uses the first N. Returns
    `path`.
    """
    arrays = {}
    for prefix, part in (("train_", dataset), ("test_", test)) if test is not None else (("", dataset),):
        arrays[prefix + "images"], arrays[prefix + "labels"] = _arrays(part)
    if classes is not None:
        arrays["classes"] = numpy.array(classes)
    with open(path, "wb") as file:
        numpy.savez(file, **arrays)
    return path


def _arrays(dataset):
    count = len(dataset)
    order = numpy.random.default_rng(count).permutation(count)
    pixels, labels = None, numpy.empty(count, numpy.int64)
    for place, number in enumerate(order.tolist()):
        image, label = dataset[number]
        image = _array(image)
        if pixels is None:
            pixels = numpy.empty((count, *image.shape), image.dtype)
        if image.shape != pixels.shape[1:] or image.dtype != pixels.dtype:
            raise ValueError(
                f"image {number} is {image.dtype} of {image.shape}, others are {pixels.dtype} of {pixels.shape[1:]}")
        pixels[place] = image
        labels[place] = int(label)
    if pixels is None:
        raise ValueError("the data set has no images")
    return pixels, labels


def _array(image):
    """An image as `[C, H, W]` of uint8 or float32."""
    is_picture = hasattr(image, "convert")
    if is_picture and image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    array = numpy.asarray(image)
    if array.ndim == 2:
        array = array[None]
    elif is_picture:
        array = array.transpose(2, 0, 1)
    if array.ndim != 3:
        raise ValueError(f"an image has the shape {array.shape}, not [channels, height, width]")
    if array.dtype == numpy.uint8:
        return array
    if array.dtype.kind != "f":
        raise ValueError(f"an image holds {array.dtype}, neither bytes (uint8) nor floats")
    return array.astype(numpy.float32)
