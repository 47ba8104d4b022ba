#!/usr/bin/env python3
"""Compares sampling designs by the CPU time of reaching a ranking, not by masks per second.

Each design gets a run of its own with one local worker. The table has, for each: the CPU seconds that it took, its
masks, Spearman's correlation with the reference ranking, the split-half correlation, R² held out, and the test accuracy
after disabling the 10, 20, … 60 % least important filters (2,000 test images, batch norms corrected with 1,000
training images, no fine-tuning). The reference is a run of the `balanced` design with another seed, whose masks share
nothing.

    Benchmarks/designs/designs.py --model resnet20.th --data cifar10 --output designs --reference 2560 \\
        tree-3x4=2432 tree-3x4@0.1=2240 tree-3x4@0.35=2560 frozen:tree-3x4@0.1=3904 independent=900 balanced=832 \\
        tree-9x2=6144

A design may carry a drop rate of its own (@0.1; the default is 0.15) and a seed (#2; the default is 1). NORMS says where
batch-norm statistics come from while masks are evaluated: frozen, recalibrated, or corrected, the default.
What --output has already is not made again, so an interrupted comparison goes on where it stopped. In the environment
BINARIES may name the folder of the programs.
"""
import argparse
import csv
import json
import os
import pathlib
import re
import resource
import subprocess

BIN = pathlib.Path(os.environ.get("BINARIES", pathlib.Path(__file__).resolve().parents[2] / ".build" / "release"))


# The defaults of the coordinator's options.
DROP_RATE = 0.15
NORMS = {norms: ["--batchnorm", norms] + ([] if norms == "frozen" else ["--calibration-images", "256"])
         for norms in ("corrected", "recalibrated", "frozen")}


def evaluate_run(options, name, design, masks, seed, rate, norms):
    """Runs an ensemble (or goes on with it) and returns its ranking and the CPU seconds that it took."""
    folder = options.output / name.replace(":", "-")
    run, spent = folder / "run.winnow", folder / "cpu_seconds"
    folder.mkdir(parents=True, exist_ok=True)
    seconds = float(spent.read_text()) if spent.exists() else 0.0
    if not (folder / "ranking.json").exists():
        command = ["resume", "--run", run] if run.exists() else [
            "run", "--model", options.model, "--data", options.data, "--split", "train", "--images",
            str(options.images), *norms, "--masks", str(masks), "--seed", str(seed), "--design", design, "--drop-rate",
            str(rate), "--run", run]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        status = subprocess.run(
            [BIN / "winnow-coordinator", *command, "--local-workers", "1", "--worker-threads", "1", "--report", folder])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        spent.write_text(str(seconds))
        status.check_returncode()
    return json.loads((folder / "ranking.json").read_text()), seconds


def ranks(values):
    order = sorted(range(len(values)), key=values.__getitem__)
    result = [0.0] * len(values)
    for rank, index in enumerate(order):
        result[index] = rank
    return result


def agreement(ranking, reference):
    """Spearman's correlation of two rankings' importances (no ties among measured ones)."""
    def table(document):
        return {(row["layer"], row["filter"]): row["importance"] for row in document["ranking"]}
    a, b = table(ranking), table(reference)
    common = sorted(a.keys() & b.keys())
    x, y = ranks([a[key] for key in common]), ranks([b[key] for key in common])
    mean = (len(common) - 1) / 2
    covariance = sum((p - mean) * (q - mean) for p, q in zip(x, y))
    return covariance / sum((p - mean) ** 2 for p in x)


def accuracies(options, name, ranking):
    """Percentages of correct test images when the least important filters are disabled."""
    rows = ranking["ranking"]
    masks = []
    for tenths in range(1, 7):
        disabled = {}
        for row in rows[:len(rows) * tenths // 10]:
            disabled.setdefault(row["layer"], []).append(row["filter"])
        masks.append({"disabled": disabled})
    folder = options.output / name.replace(":", "-")
    (folder / "masks.json").write_text(json.dumps({"masks": masks}))
    subprocess.run(
        [BIN / "winnow-worker", "evaluate", "--model", options.model, "--data", options.data, "--split", "test",
         "--images", "2000", "--batchnorm", "corrected", "--calibration-images", "1000", "--masks",
         folder / "masks.json", "--output", folder / "losses.json"], check=True)
    results = json.loads((folder / "losses.json").read_text())["results"]
    return [100 * result["correct"] / 2000 for result in results]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", required=True, type=pathlib.Path)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--reference", type=int, default=2560, help="masks of the reference run")
    parser.add_argument("designs", nargs="+", metavar="[NORMS:]DESIGN[@RATE][#SEED]=MASKS")
    options = parser.parse_args()
    form = re.compile(r"((?:(frozen|recalibrated|corrected):)?([a-z0-9-]+)(?:@([0-9.]+))?(?:#([0-9]+))?)=([0-9]+)")
    parsed = [form.fullmatch(word) for word in options.designs]
    if None in parsed:
        parser.error(f"{options.designs[parsed.index(None)]} is not [NORMS:]DESIGN[@RATE][#SEED]=MASKS")
    reference, _ = evaluate_run(
        options, "reference", "balanced", options.reference, 99, DROP_RATE, NORMS["corrected"])
    table = []
    for name, norms, design, rate, seed, masks in (match.groups() for match in parsed):
        ranking, seconds = evaluate_run(
            options, name, design, int(masks), int(seed or 1), float(rate or DROP_RATE),
            NORMS[norms or "corrected"])
        fit = ranking["fit"]
        row = [name, f"{seconds:.0f}", fit["masks"], f"{agreement(ranking, reference):.3f}",
               f"{fit['split_half']:.3f}", f"{fit['held_out_r_squared']:.3f}"]
        row += [f"{accuracy:.1f}" for accuracy in accuracies(options, name, ranking)]
        table.append(row)
    head = ["design", "cpu_seconds", "masks", "agreement", "split_half", "held_out_r2"] + [f"at_{k}0" for k in range(1, 7)]
    with open(options.output / "designs.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(table)
    for row in [head] + table:
        print("  ".join(str(cell).rjust(21) for cell in row))


if __name__ == "__main__":
    main()
