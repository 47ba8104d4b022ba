#!/usr/bin/env python3
"""Compares sampling designs by the CPU time of reaching a ranking, not by masks per second.

Each design gets a run of its own with one local worker. The table has, for each: the CPU seconds that its worker
computed, its masks, Spearman's correlation with the reference ranking, the split-half correlation, R² held out, and the
test accuracy after disabling the 10, 20, … 60 % least important filters (batch norms recalibrated on the evaluated
images, no fine-tuning). The reference is a run of the `balanced` design with another seed, whose masks share nothing.

    Benchmarks/designs/designs.py --model resnet20.th --data cifar10 --output designs \\
        --reference 2560 independent=900 balanced=832 tree-3x4=2432 tree-9x2=6144

What --output has already is not made again, so an interrupted comparison goes on where it stopped. In the environment
BINARIES may name the folder of the programs.
"""
import argparse
import csv
import json
import os
import pathlib
import sqlite3
import subprocess

BIN = pathlib.Path(os.environ.get("BINARIES", pathlib.Path(__file__).resolve().parents[2] / ".build" / "release"))


def evaluate_run(options, name, design, masks, seed, rate, norms):
    """Runs an ensemble (or goes on with it) and returns its ranking and what it cost."""
    folder = options.output / name
    run = folder / "run.winnow"
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "ranking.json").exists():
        pass
    elif run.exists():
        subprocess.run([BIN / "winnow-coordinator", "resume", "--run", run, "--local-workers", "1", "--report", folder],
                       check=True)
    else:
        subprocess.run(
            [BIN / "winnow-coordinator", "run", "--model", options.model, "--data", options.data, "--split", "train",
             "--images", str(options.images), *norms, "--masks", str(masks), "--seed", str(seed), "--design", design,
             "--drop-rate", str(rate), "--local-workers", "1", "--run", run, "--report", folder], check=True)
    ranking = json.loads((folder / "ranking.json").read_text())
    with sqlite3.connect(f"file:{run}?mode=ro", uri=True) as database:
        seconds = database.execute("SELECT sum(compute_us) / 1e6 FROM evaluation").fetchone()[0]
    return ranking, seconds


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
    folder = options.output / name
    (folder / "masks.json").write_text(json.dumps({"masks": masks}))
    subprocess.run(
        [BIN / "winnow-worker", "evaluate", "--model", options.model, "--data", options.data, "--split", "test",
         "--images", "2000", "--batchnorm", "recalibrated", "--calibration-images", "1000", "--masks",
         folder / "masks.json", "--output", folder / "losses.json"], check=True)
    results = json.loads((folder / "losses.json").read_text())["results"]
    return [100 * result["correct"] / 2000 for result in results]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", required=True, type=pathlib.Path)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rate", type=float, default=0.25)
    parser.add_argument("--reference", type=int, default=2560, help="masks of the reference run")
    parser.add_argument("--frozen", action="store_true", help="keep the checkpoint's batch-norm statistics")
    parser.add_argument("designs", nargs="+", metavar="DESIGN=MASKS")
    options = parser.parse_args()
    norms = ["--batchnorm", "frozen"] if options.frozen else [
        "--batchnorm", "recalibrated", "--calibration-images", "256"]
    reference, _ = evaluate_run(options, "reference", "balanced", options.reference, 99, options.rate, norms)
    table = []
    for word in options.designs:
        design, masks = word.split("=")
        ranking, seconds = evaluate_run(options, design, design, int(masks), 1, options.rate, norms)
        fit = ranking["fit"]
        row = [design, f"{seconds:.0f}", fit["masks"], f"{agreement(ranking, reference):.3f}",
               f"{fit['split_half']:.3f}", f"{fit['held_out_r_squared']:.3f}"]
        row += [f"{accuracy:.1f}" for accuracy in accuracies(options, design, ranking)]
        table.append(row)
    head = ["design", "cpu_seconds", "masks", "agreement", "split_half", "held_out_r2"] + [f"at_{k}0" for k in range(1, 7)]
    with open(options.output / "designs.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(table)
    for row in [head] + table:
        print("  ".join(str(cell).rjust(11) for cell in row))


if __name__ == "__main__":
    main()
