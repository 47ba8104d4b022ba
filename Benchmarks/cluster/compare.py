#!/usr/bin/env python3
"""The coordinator under load, compared with Dask's scheduler, in one run on one machine.

Drives the real winnow-coordinator over real sockets with light workers that answer at once (winnow-swarm), every
evaluation recorded in a run file, and gives Dask's scheduler as many tasks that do nothing. Prints a table and writes
the figures as JSON.

    Benchmarks/cluster/compare.py [--build .build/release] [--json FILE] [--no-dask]

Needs Python 3.9; for Dask: pip install dask distributed.
"""
import argparse
import json
import os
import re
import sqlite3
import subprocess
import tempfile
import time

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mb(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * PAGE / 2**20


def write_network(path):
    """A fully connected network 3072-64-10 of zeros: masks and messages count here, losses do not."""
    shapes = {"fc1.weight": [64, 3072], "fc1.bias": [64], "fc2.weight": [10, 64], "fc2.bias": [10]}
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 4 * (shape[0] * (shape[1] if len(shape) > 1 else 1))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + bytes(offset))


class Coordinator:
    """A run whose workers are a swarm."""

    def __init__(self, build, folder, masks, options=()):
        self.run = os.path.join(folder, f"{time.monotonic_ns()}.winnow")
        self.log = self.run + ".log"
        data = os.path.join(folder, "data")
        os.makedirs(data, exist_ok=True)
        with open(os.path.join(data, "data_batch_1.bin"), "wb") as file:
            file.write(bytes(3073 * 10))
        model = os.path.join(folder, "network.safetensors")
        write_network(model)
        command = [
            f"{build}/winnow-coordinator", "run", "--model", model, "--data", data, "--masks", str(masks), "--images",
            "10", "--batchnorm", "frozen", "--bind", "tcp://127.0.0.1:0", "--run", self.run, *options]
        self.process = subprocess.Popen(command, stdout=open(self.log, "w"), stderr=subprocess.STDOUT)
        self.endpoint = self.wait_for(r"listening at (\S+)")

    def wait_for(self, pattern, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with open(self.log) as file:
                found = re.search(pattern, file.read())
            if found:
                return found.group(1) if found.groups() else found.group(0)
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise SystemExit("the coordinator said:\n" + open(self.log).read())

    def query(self, sql):
        connection = sqlite3.connect(f"file:{self.run}?mode=ro", uri=True)
        try:
            return connection.execute(sql).fetchone()
        finally:
            connection.close()

    def ended(self):
        """Whether its run is over; fitting what a swarm made up is not of interest."""
        life = self.query("SELECT ended_ms FROM life")
        return self.process.poll() is not None or (life is not None and life[0] is not None)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def start_swarm(build, coordinator, workers, threads, *options):
    return subprocess.Popen(
        [f"{build}/winnow-swarm", "serve", "--connect", coordinator.endpoint, "--workers", str(workers), "--threads",
         str(threads), *options])


def throughput(build, folder, masks, workers, threads, options, swarm_options=()):
    """Evaluations per second, from the first recorded to the last, and the coordinator's CPU time for each."""
    coordinator = Coordinator(build, folder, masks, options)
    before = cpu_seconds(coordinator.process.pid)
    swarm = start_swarm(build, coordinator, workers, threads, *swarm_options)
    try:
        while not coordinator.ended():
            cpu, memory = cpu_seconds(coordinator.process.pid) - before, resident_mb(coordinator.process.pid)
            time.sleep(0.05)
        count, first, last = coordinator.query("SELECT count(*), min(recorded_ms), max(recorded_ms) FROM evaluation")
        leases, = coordinator.query("SELECT count(*) FROM lease")
        if count != masks:
            raise SystemExit(f"{count} of {masks} evaluations were recorded")
        seconds = max(last - first, 1) / 1000
        return {"evaluations_per_second": count / seconds, "masks": count, "workers": workers, "leases": leases,
                "cpu_microseconds_per_evaluation": 1e6 * cpu / count, "resident_mb": memory}
    finally:
        coordinator.stop()
        swarm.kill()
        swarm.wait()


def crowd(build, folder, workers, threads):
    """Time to admit many workers, memory for each, and how busy they keep the coordinator with leases of 1.5 s."""
    coordinator = Coordinator(build, folder, 10_000_000)
    empty = resident_mb(coordinator.process.pid)
    start = time.time()
    swarm = start_swarm(build, coordinator, workers, threads, "--lease-milliseconds", "1500")
    try:
        end = time.monotonic() + 120
        while coordinator.query("SELECT count(*) FROM worker")[0] < workers:
            if time.monotonic() > end:
                raise SystemExit(f"only {coordinator.query('SELECT count(*) FROM worker')[0]} workers were admitted")
            time.sleep(0.02)
        admitted = coordinator.query("SELECT max(joined_ms) FROM worker")[0] / 1000 - start
        time.sleep(5)
        cpu, wall = cpu_seconds(coordinator.process.pid), time.monotonic()
        done, = coordinator.query("SELECT count(*) FROM evaluation")
        time.sleep(15)
        cpu, wall = cpu_seconds(coordinator.process.pid) - cpu, time.monotonic() - wall
        done = coordinator.query("SELECT count(*) FROM evaluation")[0] - done
        return {"workers": workers, "seconds_to_admit": admitted, "idle_share": 1 - cpu / wall,
                "evaluations_per_second": done / wall,
                "kb_per_worker": 1024 * (resident_mb(coordinator.process.pid) - empty) / workers}
    finally:
        coordinator.stop()
        swarm.kill()
        swarm.wait()


def dask(tasks, workers):
    from distributed import Client, LocalCluster
    with LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            client.gather(client.map(lambda x: x, range(1000), pure=False))
            start = time.monotonic()
            futures = client.map(lambda x: x, range(tasks), pure=False)
            client.gather(futures)
            return {"tasks_per_second": tasks / (time.monotonic() - start), "tasks": tasks, "workers": workers}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, ".build/release"), help="the folder of the programs")
    parser.add_argument("--json", help="where to write the figures")
    parser.add_argument("--masks", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=100, help="light workers for the throughput")
    parser.add_argument("--crowd", type=int, default=2000, help="workers to admit")
    parser.add_argument("--threads", type=int, default=1, help="threads of the swarm")
    parser.add_argument("--no-dask", action="store_true")
    options = parser.parse_args()
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        single = ["--masks-per-lease", "1"]
        print("one mask per lease …", flush=True)
        result["one_mask_per_lease"] = throughput(
            options.build, folder, options.masks, options.workers, options.threads, single)
        if not options.no_dask:
            print("Dask …", flush=True)
            result["dask"] = dask(min(options.masks, 20_000), 2)
        print("usual batches …", flush=True)
        result["usual_batches"] = throughput(
            options.build, folder, 5 * options.masks, options.workers, options.threads, [])
        print(f"{options.crowd} workers …", flush=True)
        result["crowd"] = crowd(options.build, folder, options.crowd, options.threads)
    if "dask" in result:
        result["ratio_to_dask"] = (
            result["one_mask_per_lease"]["evaluations_per_second"] / result["dask"]["tasks_per_second"])
    for name, figures in result.items():
        print(name, json.dumps(figures, default=str))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
