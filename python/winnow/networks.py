"""Networks on their way between PyTorch and Winnow. PyTorch is imported only here, and only where it is used."""

import contextlib
import importlib.util
import os
import sys
import tempfile
import uuid

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
    """A package by its folder, under a name of its own, so that several can be imported."""
    name = f"winnow_network_{uuid.uuid4().hex}"
    place = importlib.util.spec_from_file_location(
        name, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder])
    module = importlib.util.module_from_spec(place)
    sys.modules[name] = module
    place.loader.exec_module(module)
    return module


def export(model, example, path):
    """Writes a `torch.nn.Module` as ONNX, with its batch norms and its names kept.

    `example` is an input, `[1, C, H, W]` or a batch. Returns `path`.
    """
    import torch

    was_training = model.training
    model.eval()
    try:
        # Evaluation mode without folding: the exporter would melt batch norms into convolutions.
        torch.onnx.export(
            model, (example,), os.fspath(path), input_names=["images"], output_names=["logits"],
            dynamic_axes={"images": {0: "batch"}, "logits": {0: "batch"}}, do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE, dynamo=False)
    finally:
        model.train(was_training)
    return path


@contextlib.contextmanager
def file_of(model):
    """A file that Winnow reads: the path that was given, or a module's parameters in a temporary file."""
    if isinstance(model, (str, os.PathLike)):
        yield os.fspath(model)
        return
    import torch

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "network.pt")
        torch.save(model.state_dict(), path)
        yield path
