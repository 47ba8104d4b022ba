#!/usr/bin/env python3
"""The live page's cost to the coordinator.

Drives the real winnow-coordinator with light workers (winnow-swarm), alternating without and with --http; with it, a
reader requests what the page does every two seconds, and /metrics every 16 seconds. Compares the coordinator's processor
time, and reports the share of the page's own thread and, by the coordinator's own count, of its loop for the page.

    Benchmarks/cluster/live_page.py [--build .build/release] [--workers 2000] [--lease-milliseconds 1500] [--readers 1]
                                    [--pairs 3] [--json FILE]

Needs Python 3.9.
"""
import argparse
import http.client
import json
import os
import statistics
import tempfile
import threading
import time

from compare import ROOT, Coordinator, start_swarm


def seconds_by_thread(pid):
    """Processor time of every thread of a process, by thread number, and the threads' names."""
    seconds, names = {}, {}
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                seconds[int(task)] = int(file.read().split()[0]) / 1e9
            with open(f"/proc/{pid}/task/{task}/comm") as file:
                names[int(task)] = file.read().strip()
        except FileNotFoundError:
            pass
    return seconds, names


def loop_seconds(address):
    """Processor time that the coordinator's loop has spent on the page."""
    connection = http.client.HTTPConnection(address.split("//")[1].strip("/"))
    connection.request("GET", "/metrics")
    for line in connection.getresponse().read().decode().splitlines():
        if line.startswith("winnow_live_page_loop_cpu_seconds_total "):
            return float(line.split()[1])
    raise SystemExit("/metrics does not have the loop's time")


class Reader(threading.Thread):
    """Reads as the page in a browser does, and as Prometheus does."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.host = address.split("//")[1].strip("/")
        self.over = threading.Event()
        self.seconds, self.bytes = [], 0

    def run(self):
        connection = http.client.HTTPConnection(self.host)
        turn = 0
        while not self.over.wait(2):
            for path in ["/snapshot.json"] + (["/metrics"] if turn % 8 == 0 else []):
                start = time.monotonic()
                connection.request("GET", path)
                answer = connection.getresponse()
                body = answer.read()
                if answer.status == 200 and path == "/snapshot.json":
                    self.seconds.append(time.monotonic() - start)
                    self.bytes = len(body)
            turn += 1


def measure(options, folder, with_page):
    """Processor time of a coordinator whose workers hold each lease, of 16 masks, for some time."""
    coordinator = Coordinator(
        options.build, folder, options.masks,
        ["--masks-per-lease", "16", *(["--http", "127.0.0.1:0"] if with_page else [])])
    swarm = start_swarm(options.build, coordinator, options.workers, 1,
                        "--lease-milliseconds", str(options.lease_milliseconds))
    readers = []
    try:
        if with_page:
            address = coordinator.wait_for(r"live page is at (\S+)")
            readers = [Reader(address) for _ in range(options.readers)]
            for reader in readers:
                reader.start()
        end = time.monotonic() + 120
        while coordinator.query("SELECT count(*) FROM worker")[0] < options.workers:
            if time.monotonic() > end:
                raise SystemExit("the workers were not admitted within two minutes")
            time.sleep(0.1)
        time.sleep(5)
        pid = coordinator.process.pid
        page = loop_seconds(address) if with_page else 0
        before, _ = seconds_by_thread(pid)
        start, (count,) = time.monotonic(), coordinator.query("SELECT count(*) FROM evaluation")
        time.sleep(options.seconds)
        after, names = seconds_by_thread(pid)
        wall, done = time.monotonic() - start, coordinator.query("SELECT count(*) FROM evaluation")[0] - count
        if coordinator.ended() or done == 0:
            raise SystemExit("the run ended too soon; give it more --masks")
        spent = {task: after[task] - before.get(task, 0) for task in after}
        figures = {
            "evaluations_per_second": done / wall, "processor_share": sum(spent.values()) / wall,
            "loop_share": spent[pid] / wall,
            "server_share": sum(spent[task] for task in spent if names[task].startswith("MHD")) / wall}
        if readers:
            figures["loop_share_for_page"] = (loop_seconds(address) - page) / wall
            answers = [seconds for reader in readers for seconds in reader.seconds]
            figures["answer_milliseconds"] = 1000 * statistics.median(answers)
            figures["answer_bytes"] = readers[0].bytes
        return figures
    finally:
        for reader in readers:
            reader.over.set()
        coordinator.stop()
        swarm.kill()
        swarm.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, ".build/release"), help="the folder of the programs")
    parser.add_argument("--json", help="where to write the figures")
    parser.add_argument("--workers", type=int, default=2000)
    parser.add_argument("--lease-milliseconds", type=int, default=1500,
                        help="how long a worker holds a lease; 0 keeps the coordinator as busy as possible")
    parser.add_argument("--readers", type=int, default=1, help="browsers that show the page")
    parser.add_argument("--pairs", type=int, default=3, help="turns without and with the page")
    parser.add_argument("--seconds", type=float, default=20, help="seconds to measure per turn")
    parser.add_argument("--masks", type=int, default=10_000_000)
    options = parser.parse_args()
    turns = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(options.pairs):
            # The first of a pair changes, so that a drift of the machine's speed favours neither.
            for with_page in (False, True) if pair % 2 == 0 else (True, False):
                figures = measure(options, folder, with_page)
                turns[with_page].append(figures)
                print("with the page   " if with_page else "without the page", json.dumps(figures), flush=True)

    def median(with_page, name):
        return statistics.median(figures[name] for figures in turns[with_page])

    # For an evaluation, so that turns of unequal load compare.
    ratios = [page["loop_share"] / page["evaluations_per_second"] * plain["evaluations_per_second"] / plain["loop_share"]
              for plain, page in zip(turns[False], turns[True])]
    result = {
        "workers": options.workers, "readers": options.readers, "turns": turns[False] + turns[True],
        "evaluations_per_second": median(True, "evaluations_per_second"),
        "coordinator_share_of_a_processor": median(True, "processor_share"),
        "page_thread_share_of_a_processor": median(True, "server_share"),
        "page_loop_share_of_a_processor": median(True, "loop_share_for_page"),
        "page_share_of_the_coordinator": statistics.median(
            (f["server_share"] + f["loop_share_for_page"]) / f["processor_share"] for f in turns[True]),
        "loop_with_to_without": statistics.median(ratios),
        "loop_with_to_without_range": [min(ratios), max(ratios)]}
    print(json.dumps({name: value for name, value in result.items() if name != "turns"}, indent=1))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
