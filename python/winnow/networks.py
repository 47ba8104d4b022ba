"""Moves networks between PyTorch and Winnow. PyTorch is imported only here, and only when needed."""

import contextlib
import importlib.util
import json
import os
import sys
import tempfile
import uuid
import warnings

from . import programs


class Network:
    """A network in a file that Winnow wrote."""

    def __init__(self, path):
        #: The file.
        self.path = os.fspath(path)

    def load(self):
        """The network as a `torch.nn.Module`, ready for evaluation."""
        return load(self.path)

    def __fspath__(self):
        return self.path

    def __repr__(self):
        return f"Network({self.path!r})"


def load(path):
    """The network of a file, or of a package that `--pytorch` wrote, as a `torch.nn.Module` ready for evaluation."""
    if os.path.isdir(path):
        return _package(os.fspath(path)).load()
    with tempfile.TemporaryDirectory() as folder:
        package = os.path.join(folder, "network")
        programs.run("export", {"model": path, "pytorch": package})
        return _package(package).load()


def _package(folder):
    """A package by its folder, under a unique name, so that several can be imported."""
    name = f"winnow_network_{uuid.uuid4().hex}"
    place = importlib.util.spec_from_file_location(
        name, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder])
    module = importlib.util.module_from_spec(place)
    sys.modules[name] = module
    place.loader.exec_module(module)
    return module


def export(model, example, path):
    """Writes a `torch.nn.Module` as ONNX, with its batch norms and its names kept.

    `example` is an input, `[1, C, H, W]` or a batch. A module that takes vectors gets them flattened. Returns `path`.
    """
    import torch

    if importlib.util.find_spec("onnx") is None:
        raise programs.UnavailableError(
            "PyTorch writes ONNX with the package onnx, which is not installed: pip install onnx", 69)
    was_training = model.training
    model.eval()
    try:
        with _taking(model, example), _silence():
            # Evaluation mode without folding: the exporter would fold batch norms into convolutions.
            torch.onnx.export(
                model, (example,), os.fspath(path), input_names=["images"], output_names=["logits"],
                dynamic_axes={"images": {0: "batch"}, "logits": {0: "batch"}}, do_constant_folding=False,
                training=torch.onnx.TrainingMode.PRESERVE, dynamo=False)
    finally:
        model.train(was_training)
    return path


@contextlib.contextmanager
def _taking(model, example):
    """Makes a module take an example: unchanged, or flattened if the module takes only vectors."""
    import torch

    def fails():
        try:
            with torch.no_grad():
                model(example)
        except RuntimeError as error:
            return error
        return None

    if example.dim() <= 2 or fails() is None:
        yield
        return
    problem = fails()
    hook = model.register_forward_pre_hook(lambda module, inputs: (inputs[0].flatten(1),))
    try:
        if fails() is not None:
            raise problem
        yield
    finally:
        hook.remove()


@contextlib.contextmanager
def _silence():
    """Hides the exporter's own messages."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def file_of(model, data=None, example=None, options=None):
    """A file that Winnow reads: the given path, or a module as ONNX in a temporary file.

    The module's input is `example`, or has the shape of the images in `data`; `options` may say how these are read.
    """
    if isinstance(model, (str, os.PathLike)):
        yield os.fspath(model)
        return
    if example is None:
        if data is None:
            raise ValueError("give example=, an input of the module, since there are no images to infer its shape from")
        import torch

        # A module may be on an accelerator; one without parameters is anywhere.
        device = next(model.parameters(), torch.empty(0)).device
        example = torch.zeros(1, *shape(data, options or {}), device=device)
    with tempfile.TemporaryDirectory() as folder:
        yield export(model, example, os.path.join(folder, "network.onnx"))


#: The options that say how images are read.
_reading = ("data_format", "classes", "cifar100_labels", "resize", "crop", "skip_broken")


def shape(data, options):
    """The shape of the images that Winnow reads: `[C, H, W]`."""
    arguments = {name: value for name, value in options.items() if name in _reading}
    return json.loads(programs.run("images", {"data": data, "images": 1, "json": True, **arguments}))["shape"]
