"""Rank, prune and fine-tune PyTorch networks with Winnow's programs.

    import winnow

    winnow.images(train_set, "images.npz", test=test_set)
    ranking = winnow.rank(model, "images.npz", masks=2000, run="model.winnow")
    pruned = winnow.prune(ranking.run, "pruned.safetensors", data="images.npz", remove_flops=0.5, reconstruct=True)
    tuned = winnow.finetune(pruned, "images.npz", "tuned.safetensors", distill_from=model, epochs=20)
    module = tuned.load()

The programs, `winnow-coordinator` and `winnow-worker`, do all the work. The package finds them in `$WINNOW_BINARIES`,
then in the path. Keyword arguments become their options: `remove_flops=0.5` is `--remove-flops 0.5`, `reconstruct=True`
is `--reconstruct`. Failures raise an `Error` with the program's message.
"""

from .arrays import images
from .networks import Network, export, load
from .programs import BadInputError, Error, UnavailableError, UsageError
from .work import Ranking, finetune, prune, rank

__all__ = [
    "BadInputError", "Error", "Network", "Ranking", "UnavailableError", "UsageError", "export", "finetune", "images",
    "load", "prune", "rank",
]
