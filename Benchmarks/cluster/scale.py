#!/usr/bin/env python3
"""How a run grows with masks and filters: the real coordinator's time and memory, then those of its report.

For each size, with a fully connected network of that many filters:

- light workers (winnow-swarm) answer all masks over real sockets, every evaluation recorded in the run file;
- every mask gets a loss derived from its filters, plus noise (winnow-swarm fill), so the fit has something to find;
- `winnow-coordinator report` reads, fits, ranks and writes the page; every filter must be ranked.

Prints one line of JSON per size: processor seconds, wall-clock seconds, and the peak memory of either program.

    Benchmarks/cluster/scale.py [--build .build/release] [--layers 50] [--workers 20] [--json FILE] MASKSxFILTERS…

For example 100000x3000 300000x10000 1000000x30000. Needs Python 3.9.
"""
import argparse
import json
import math
import os
import re
import sqlite3
import subprocess
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def write_network(path, layers, filters):
    """Fully connected, 3072 inputs, hidden layers of the same width, 10 outputs; all zeros, in a file with a hole."""
    widths = [3072] + [filters // layers] * layers + [10]
    header, offset = {}, 0
    for index, (before, after) in enumerate(zip(widths, widths[1:])):
        for name, shape in ((f"fc{index}.weight", [after, before]), (f"fc{index}.bias", [after])):
            size = 4 * math.prod(shape)
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
            offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + offset)


def used(pid):
    """Processor seconds of a process so far, and the most memory that it has had, in MB."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    with open(f"/proc/{pid}/status") as file:
        peak = int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1))
    return (int(fields[11]) + int(fields[12])) / TICKS, peak / 1024


def query(run, sql):
    connection = sqlite3.connect(f"file:{run}?mode=ro", uri=True, timeout=60)
    try:
        return connection.execute(sql).fetchone()
    finally:
        connection.close()


def evaluate(build, folder, masks, filters, layers, workers):
    """A run of light workers; the run file, and what the coordinator took until all was recorded."""
    data = os.path.join(folder, "data")
    os.makedirs(data)
    with open(os.path.join(data, "data_batch_1.bin"), "wb") as file:
        file.write(bytes(3073 * 10))
    model = os.path.join(folder, "network.safetensors")
    write_network(model, layers, filters)
    run = os.path.join(folder, "run.winnow")
    log = os.path.join(folder, "log")
    coordinator = subprocess.Popen(
        [f"{build}/winnow-coordinator", "run", "--model", model, "--data", data, "--masks", str(masks), "--images", "10",
         "--batchnorm", "frozen", "--bind", "tcp://127.0.0.1:0", "--run", run],
        stdout=open(log, "w"), stderr=subprocess.STDOUT)
    swarm = None
    try:
        while not (found := re.search(r"listening at (\S+)", open(log).read())):
            if coordinator.poll() is not None:
                raise SystemExit("the coordinator said:\n" + open(log).read())
            time.sleep(0.1)
        swarm = subprocess.Popen(
            [f"{build}/winnow-swarm", "serve", "--connect", found.group(1), "--workers", str(workers)])
        # The fit of what the swarm made up is not of interest.
        while coordinator.poll() is None:
            cpu, memory = used(coordinator.pid)
            life = query(run, "SELECT ended_ms FROM life")
            if life is not None and life[0] is not None:
                break
            time.sleep(0.2)
    finally:
        for process in filter(None, (coordinator, swarm)):
            process.kill()
            process.wait()
    count, first, last = query(run, "SELECT count(*), min(recorded_ms), max(recorded_ms) FROM evaluation")
    if count != masks:
        raise SystemExit(f"{count} of {masks} evaluations were recorded:\n" + open(log).read())
    return run, {"processor_seconds": round(cpu, 1), "seconds": round((last - first) / 1000, 1),
                 "memory_mb": round(memory)}


def report(build, folder, run, filters):
    """What the report takes."""
    output = os.path.join(folder, "report")
    start = time.monotonic()
    process = subprocess.Popen(
        [f"{build}/winnow-coordinator", "report", "--run", run, "--report", output], stdout=subprocess.PIPE, text=True)
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"the report ended with {status}:\n{said}")
    with open(os.path.join(output, "ranking.csv")) as file:
        rows = sum(1 for _ in file) - 1
    if rows != filters:
        raise SystemExit(f"{rows} of {filters} filters are ranked")
    return {"processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
            "seconds": round(time.monotonic() - start, 1), "memory_mb": round(usage.ru_maxrss / 1024),
            "said": said.splitlines()[-2]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="+", metavar="MASKSxFILTERS")
    parser.add_argument("--build", default=os.path.join(ROOT, ".build/release"), help="the folder of the programs")
    parser.add_argument("--layers", type=int, default=50, help="hidden layers that the filters are in")
    parser.add_argument("--workers", type=int, default=20, help="light workers")
    parser.add_argument("--json", help="where to write the figures")
    options = parser.parse_args()
    results = []
    for size in options.sizes:
        masks, filters = (int(part) for part in size.split("x"))
        filters -= filters % options.layers
        with tempfile.TemporaryDirectory() as folder:
            run, evaluated = evaluate(options.build, folder, masks, filters, options.layers, options.workers)
            subprocess.run([f"{options.build}/winnow-swarm", "fill", "--run", run], check=True)
            reported = report(options.build, folder, run, filters)
            results.append({"masks": masks, "filters": filters, "run": evaluated, "report": reported,
                            "run_file_mb": round(os.path.getsize(run) / 2**20)})
        print(json.dumps(results[-1], ensure_ascii=False), flush=True)
        if options.json:
            with open(options.json, "w") as file:
                json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
