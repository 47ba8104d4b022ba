#!/usr/bin/env python3
"""Two worker processes with one thread each against one process with two, alternating; prints the ratio of their rates,
by wall-clock time and by processor time, which says more on a shared machine.

    Benchmarks/engine/processes.py --model resnet56.th --data cifar10 --masks masks.json

Each of the two processes evaluates half of the masks, cut where the trees of the default ensemble end."""

import argparse
import json
import resource
import statistics
import subprocess
import tempfile
import time


def processor_time():
    """Seconds that this process's children have computed."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--masks", required=True)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", default=".build/release/winnow-worker")
    arguments = parser.parse_args()
    with open(arguments.masks) as file:
        masks = json.load(file)["masks"]
    middle = len(masks) // 2

    with tempfile.TemporaryDirectory() as folder:
        def run(parts, threads):
            start, used = time.perf_counter(), processor_time()
            processes = []
            for index, part in enumerate(parts):
                with open(f"{folder}/{index}.json", "w") as file:
                    json.dump({"masks": part}, file)
                processes.append(subprocess.Popen(
                    [arguments.worker, "evaluate", "--model", arguments.model, "--data", arguments.data, "--masks",
                     f"{folder}/{index}.json", "--output", f"{folder}/{index}.out", "--images", str(arguments.images),
                     "--threads", str(threads)]))
            if any(process.wait() != 0 for process in processes):
                raise SystemExit("a worker failed")
            seconds = time.perf_counter() - start, processor_time() - used
            results = []
            for index in range(len(parts)):
                with open(f"{folder}/{index}.out") as file:
                    results += json.load(file)["results"]
            return seconds, results

        ratios = []
        for _ in range(arguments.rounds):
            one, expected = run([masks], 2)
            two, results = run([masks[:middle], masks[middle:]], 1)
            if results != expected:
                raise SystemExit("the losses differ")
            ratios.append([a / b for a, b in zip(one, two)])
            print("one process, two threads: {:.2f} s, processors {:.2f} s; two processes, one thread each: {:.2f} s, "
                  "processors {:.2f} s".format(*one, *two), flush=True)
    wall, processors = (statistics.median(column) for column in zip(*ratios))
    print(f"the losses are the same; rate of two processes / one: {wall:.3f}, by processor time {processors:.3f}")


if __name__ == "__main__":
    main()
