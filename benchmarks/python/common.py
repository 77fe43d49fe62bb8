"""What the Python columns share: options, timing, and one line of JSON a measured case."""
import argparse
import json
import statistics
import sys
import time
import traceback

MATMUL = {"full": 8192, "tiny": 128}
ATTENTION = {"full": dict(batch=16, length=768, heads=12, kvHeads=2, size=128),
             "tiny": dict(batch=2, length=16, heads=4, kvHeads=2, size=16)}
STEPS = {"full": 12, "tiny": 4}
BATCH = {"full": 8, "tiny": 2}
ALL_REDUCE = {"full": 2**28, "tiny": 2**10}
Z_IMAGE_STEPS = {"full": 8, "tiny": 3}
PARAMETERS = {"full": 1000, "tiny": 50}
BATCHES_PER_EPOCH = 2
GUIDANCE = 5.0
NOISE_LEVEL = 0.7
CLIP_RANGE = 1e-4


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sections", required=True, help="comma-separated")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--seconds", type=float, default=500, help="sections that would start later are left out")
    given = parser.parse_args()
    given.size = "tiny" if given.tiny else "full"
    given.sections = given.sections.split(",")
    return given


def reporter(engine):
    def report(case, **values):
        rounded = {k: (float(f"{v:.4g}") if isinstance(v, float) else v) for k, v in values.items()}
        print(json.dumps(dict(engine=engine, case=case, **rounded)), flush=True)

    return report


def summary(samples):
    return dict(ms=statistics.median(samples), msMin=min(samples), msMax=max(samples), rounds=len(samples))


def timed(run, wait, rounds=10, warm=2):
    """Milliseconds of `run()`; `wait(result)` returns when the device is done."""
    samples = []
    for i in range(warm + rounds):
        start = time.perf_counter()
        wait(run())
        if i >= warm:
            samples.append((time.perf_counter() - start) * 1e3)
    return summary(samples)


def timed_many(run, wait, count=20, rounds=10, warm=2):
    """The same for short work: `count` calls are queued before one wait."""
    def queue():
        for _ in range(count - 1):
            run()
        return run()

    times = timed(queue, wait, rounds, warm)
    return {k: (v if k == "rounds" else v / count) for k, v in times.items()}


def timed_dispatch(run, wait, count=200, rounds=10, warm=2):
    """Host time alone: `count` calls without waiting, then one wait outside of the clock."""
    samples = []
    for i in range(warm + rounds):
        results = []
        start = time.perf_counter()
        for _ in range(count):
            results.append(run())
        if i >= warm:
            samples.append((time.perf_counter() - start) * 1e3 / count)
        wait(results[-1])
    return summary(samples)


def run_sections(table, wanted, seconds):
    """Runs the known ones of `wanted` in order; one that fails does not stop the others, but the exit status tells."""
    begun = time.perf_counter()
    failed = []
    for name in wanted:
        if name not in table:
            continue
        if time.perf_counter() - begun > seconds:
            failed.append(f"{name} (no time left)")
            continue
        try:
            table[name]()
        except Exception:
            traceback.print_exc()
            failed.append(name)
    if failed:
        sys.exit("Error: failed sections: " + ", ".join(failed))
