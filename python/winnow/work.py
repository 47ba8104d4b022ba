"""Ranking, pruning and fine-tuning: each a run of `winnow-coordinator`, whose options are the keyword arguments."""

import os
import tempfile

from . import networks, programs


class Ranking:
    """The filters of a network, ordered by their importance."""

    def __init__(self, run, table):
        #: The run file, which `prune` takes.
        self.run = os.fspath(run)
        #: rank, layer, filter, importance, standard_error, …: a pandas table, or a NumPy one without pandas.
        self.table = table

    def __len__(self):
        return len(self.table)

    def __repr__(self):
        return f"Ranking of {len(self)} filters ({self.run})"


def rank(model, data, masks, run, report=None, example=None, **options):
    """Ranks the filters of a network on images, and returns a `Ranking`.

    `model` is a module or the path of a checkpoint. A module is exported as ONNX, with inputs like `example` or, without
    one, of the images' shape. `data` is the path of images in any format that Winnow reads, `masks` the number of masks.
    `run` is the run file to create and `report` a folder for the report. Further options are those of
    `winnow-coordinator run`.
    """
    with networks.file_of(model, data, example, options) as path, tempfile.TemporaryDirectory() as folder:
        programs.run(
            "run",
            {"model": path, "data": data, "masks": masks, "run": run, "report": report or folder, **options})
        return Ranking(run, _table(os.path.join(report or folder, "ranking.csv")))


def _table(path):
    try:
        import pandas
    except ImportError:
        import numpy

        return numpy.genfromtxt(path, delimiter=",", names=True, dtype=None, encoding="utf-8", ndmin=1)
    return pandas.read_csv(path)


def prune(source, output, data=None, example=None, **options):
    """Prunes the network of a run file or of a checkpoint, and returns the smaller `Network`.

    `source` is a `Ranking`, the path of a run file, or, with a `method` such as "l1", a module or the path of a
    checkpoint; a module needs `data` or `example`, like `rank`. Further options are those of
    `winnow-coordinator prune`, such as `remove_flops=0.5`.
    """
    arguments = {"output": output, "data": data, **options}
    if isinstance(source, Ranking):
        source = source.run
    if isinstance(source, (str, os.PathLike)) and "method" not in options and "ranking" not in options:
        programs.run("prune", {"run": source, **arguments})
    else:
        with networks.file_of(source, data, example, options) as path:
            programs.run("prune", {"model": path, **arguments})
    return networks.Network(output)


def finetune(model, data, output, distill_from=None, example=None, **options):
    """Trains a network further, and returns the `Network` of the last epoch.

    `model` is a `Network`, a module or the path of a checkpoint; `distill_from` likewise, a network to learn from as
    well. Further options are those of `winnow-coordinator finetune`, such as `epochs=20`.
    """
    arguments = {"data": data, "output": output, **options}
    with networks.file_of(model, data, example, options) as path:
        if distill_from is None:
            programs.run("finetune", {"model": path, **arguments})
        else:
            with networks.file_of(distill_from, data, example, options) as teacher:
                programs.run("finetune", {"model": path, "distill_from": teacher, **arguments})
    return networks.Network(output)
