#!/usr/bin/env python3
"""Compares ranking methods by the cost of a ranking, not by masks per second.

A contender is a way of drawing masks and assigning images. Each has one run per seed, with one local worker of one
thread, extended step by step (304, 608, 1216, 2432 masks). The reference is a run with other masks and images: seed 99,
rotating images. The table has, for each contender, seed and step: processor seconds; Spearman's correlation with the
reference, divided by the square root of the reference's reliability, so that the reference's noise does not count
against the contender; the reliability that the contender's own report states, and the measured one (the square of that
correlation, with Pearson's for Spearman's); and the test accuracy after disabling the 10, 20, … 60 % least important
filters in one global order (2,000 test images, batch norms corrected with 1,000 training images, no fine-tuning). Below
the table are the processor seconds to correlations of 0.8, 0.9 and 0.95, interpolated linearly in the logarithm of the
seconds, as the median over the seeds; and the criteria that need no masks.

    Benchmarks/designs/designs.py --model resnet20.th --data cifar10 --output designs           about an hour
    Benchmarks/designs/designs.py --model demo/resnet.safetensors --data IMAGES --output designs --small   minutes

The default contenders are rotating:tree, fixed:tree and fixed:independent; the last is what one would write without
this program. Others have the form [fixed:|rotating:][NORMS:]DESIGN[@RATE][=MASKS,MASKS…], such as
fixed:recalibrated:tree-9x2@0.25=6144. NORMS is the source of batch-norm statistics under masks: frozen, recalibrated, or
corrected, the default. Existing results in --output are kept, so an interrupted comparison resumes. BINARIES in the
environment may name the folder of the programs.
"""
import argparse
import csv
import json
import math
import os
import pathlib
import re
import resource
import shutil
import statistics
import subprocess

BIN = pathlib.Path(os.environ.get("BINARIES", pathlib.Path(__file__).resolve().parents[2] / ".build" / "release"))
STEPS = [304, 608, 1216, 2432]
SMALL_STEPS = [128, 256, 512]
TARGETS = [0.8, 0.9, 0.95]
FORM = re.compile(
    r"(?:(fixed|rotating):)?(?:(frozen|recalibrated|corrected):)?([a-z0-9-]+)(?:@([0-9.]+))?(?:=([0-9,]+))?")
DEFAULT = ["rotating:tree", "fixed:tree", "fixed:independent"]


class Contender:
    """A way of drawing masks and of giving them images."""

    def __init__(self, word, steps):
        match = FORM.fullmatch(word)
        if match is None:
            raise SystemExit(f"{word} is not [fixed:|rotating:][NORMS:]DESIGN[@RATE][=MASKS,MASKS…]")
        images, norms, design, rate, masks = match.groups()
        self.name = word.split("=")[0]
        self.rotates = images != "fixed"
        self.norms = norms or "corrected"
        self.design = design
        self.rate = rate
        self.steps = [int(number) for number in masks.split(",")] if masks else steps

    def options(self, images):
        words = ["--design", self.design, "--batchnorm", self.norms]
        if self.norms != "frozen":
            words += ["--calibration-images", "256"]
        if self.rate:
            words += ["--drop-rate", self.rate]
        return words + ["--images-per-mask" if self.rotates else "--images", str(images)]


def coordinator(*words):
    """Runs the coordinator and returns the processor seconds that it and its workers took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([BIN / "winnow-coordinator", *map(str, words)], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def rankings(options, contender, seed):
    """Yields for every step its masks, the processor seconds up to it and its ranking.json."""
    folder = options.output / contender.name.replace(":", "-") / str(seed)
    folder.mkdir(parents=True, exist_ok=True)
    run, spent = folder / "run.winnow", folder / "cpu_seconds"
    seconds = float(spent.read_text()) if spent.exists() else 0.0
    for masks in contender.steps:
        done = folder / f"{masks}.json"
        if not done.exists():
            report = folder / "report"
            workers = ["--local-workers", 1, "--worker-threads", 1, "--worker-cache", options.output / "cache"]
            if run.exists():
                seconds += coordinator("resume", "--run", run, "--masks", masks, "--report", report, *workers)
            else:
                seconds += coordinator(
                    "run", "--model", options.model, "--data", options.data, "--masks", masks, "--seed", seed, "--run",
                    run, "--report", report, *contender.options(options.images), *workers)
            spent.write_text(str(seconds))
            document = json.loads((report / "ranking.json").read_text())
            document["cpu_seconds"] = seconds
            done.with_suffix(".part").write_text(json.dumps(document))
            done.with_suffix(".part").rename(done)
        document = json.loads(done.read_text())
        yield masks, document["cpu_seconds"], document


def table(document):
    return {(row["layer"], row["filter"]): row["importance"] for row in document["ranking"]}


def ranks(values):
    order = sorted(range(len(values)), key=values.__getitem__)
    result = [0.0] * len(values)
    for rank, index in enumerate(order):
        result[index] = rank
    return result


def correlations(a, b):
    """Spearman's and Pearson's correlation of two scores of the same filters."""
    common = sorted(a.keys() & b.keys())
    x, y = [a[key] for key in common], [b[key] for key in common]

    def pearson(x, y):
        p, q = statistics.fmean(x), statistics.fmean(y)
        covariance = sum((i - p) * (j - q) for i, j in zip(x, y))
        return covariance / math.sqrt(sum((i - p) ** 2 for i in x) * sum((j - q) ** 2 for j in y))

    return pearson(ranks(x), ranks(y)), pearson(x, y)


def accuracies(options, name, scores):
    """Percentages of correct test images when the filters of the lowest scores are disabled."""
    file = options.output / "accuracies" / (name.replace(":", "-").replace("/", "-") + ".json")
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        order = sorted(scores, key=scores.get)
        masks = []
        for tenths in range(1, 7):
            disabled = {}
            for layer, number in order[:len(order) * tenths // 10]:
                disabled.setdefault(layer, []).append(number)
            masks.append({"disabled": disabled})
        (file.parent / "masks").write_text(json.dumps({"masks": masks}))
        subprocess.run(
            [BIN / "winnow-worker", "evaluate", "--model", options.model, "--data", options.data, "--split", "test",
             "--images", "2000", "--batchnorm", "corrected", "--calibration-images", "1000", "--masks",
             file.parent / "masks", "--output", file], check=True)
    document = json.loads(file.read_text())
    return [100 * result["correct"] / document["images"] for result in document["results"]]


def criteria(options, reference):
    """Scores that need no masks: Taylor on 1,024 training images, L1 norms over their layer's mean."""
    file = options.output / "gradients.json"
    if not file.exists():
        subprocess.run(
            [BIN / "winnow-worker", "gradients", "--model", options.model, "--data", options.data, "--images", "1024",
             "--output", file], check=True)
    taylor = json.loads(file.read_text())["importance"]
    norms, sums = {}, {}
    for row in reference["ranking"]:
        norms[row["layer"], row["filter"]] = row["l1_norm"]
        sums.setdefault(row["layer"], []).append(row["l1_norm"])
    yield "taylor", {key: taylor[key[0]][key[1]] for key in norms}
    yield "l1", {key: norm / statistics.fmean(sums[key[0]]) for key, norm in norms.items()}


def seconds_to(target, points):
    """The processor seconds at which a contender reaches a correlation, by its steps; infinite where it does not."""
    for (before, low), (after, high) in zip(points, points[1:]):
        if low < target <= high:
            share = (target - low) / (high - low)
            return math.exp(math.log(before) + share * (math.log(after) - math.log(before)))
    return points[0][0] if points[0][1] >= target else math.inf


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", required=True, type=pathlib.Path)
    parser.add_argument("--images", type=int, default=512, help="images per mask")
    parser.add_argument("--reference", type=int, help="masks of the reference run (9728, or 2048 with --small)")
    parser.add_argument("--seeds", type=int, help="seeds of every contender (3, or 1 with --small)")
    parser.add_argument("--small", action="store_true", help="few masks, one seed: minutes for a small network")
    parser.add_argument("contenders", nargs="*", metavar="CONTENDER")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    steps = SMALL_STEPS if options.small else STEPS
    masks = options.reference or (2048 if options.small else 9728)
    seeds = range(1, (options.seeds or (1 if options.small else 3)) + 1)

    reference_run = Contender(f"rotating:tree={masks}", steps)
    reference_run.name = "reference"
    *_, (_, _, reference) = rankings(options, reference_run, 99)
    truth, reliability = table(reference), reference["fit"]["reliability"]
    head = ["contender", "seed", "masks", "cpu_seconds", "agreement", "stated", "measured"]
    head += [f"at_{tenths}0" for tenths in range(1, 7)]
    rows, summary = [], []

    def numbers(scores):
        spearman, pearson = correlations(scores, truth)
        return spearman / math.sqrt(reliability), pearson ** 2 / reliability

    for contender in (Contender(word, steps) for word in options.contenders or DEFAULT):
        reached = {target: [] for target in TARGETS}
        for seed in seeds:
            points = []
            for masks, seconds, document in rankings(options, contender, seed):
                agreement, measured = numbers(table(document))
                points.append((seconds, agreement))
                stated = document["fit"]["reliability"]
                curve = accuracies(options, f"{contender.name}-{seed}-{masks}", table(document))
                rows.append([contender.name, seed, masks, f"{seconds:.0f}", f"{agreement:.3f}",
                             "" if stated is None else f"{stated:.2f}", f"{measured:.2f}",
                             *(f"{value:.1f}" for value in curve)])
            for target in TARGETS:
                reached[target].append(seconds_to(target, points))
        summary.append([contender.name, *(statistics.median(reached[target]) for target in TARGETS)])
    for name, scores in [("reference", truth), *criteria(options, reference)]:
        agreement, measured = numbers(scores)
        rows.append([name, "", "", "", "" if scores is truth else f"{agreement:.3f}",
                     f"{reliability:.2f}" if scores is truth else "", "" if scores is truth else f"{measured:.2f}",
                     *(f"{value:.1f}" for value in accuracies(options, name, scores))])
    with open(options.output / "designs.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
    for row in [head] + rows:
        print("  ".join(str(cell).rjust(20 if index == 0 else 9) for index, cell in enumerate(row)))
    print("processor seconds to correlations of " + ", ".join(map(str, TARGETS)))
    for name, *seconds in summary:
        print(f"  {name}: " + ", ".join("not reached" if math.isinf(value) else f"{value:.0f}" for value in seconds))
    shutil.rmtree(options.output / "cache", ignore_errors=True)


if __name__ == "__main__":
    main()
