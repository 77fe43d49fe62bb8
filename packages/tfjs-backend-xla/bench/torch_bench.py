"""PyTorch's times for the workloads of workloads.mjs, in their order, as one line of JSON."""
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

config = json.loads(sys.argv[1])
block = config["block"]


def timed(f):
    for _ in range(2):
        f()
    times, end = [], time.perf_counter() + config["seconds"]
    cpu = time.process_time()
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        f()
        times.append((time.perf_counter() - start) * 1000)
    return {"ms": statistics.median(times), "cpuMs": (time.process_time() - cpu) * 1000 / len(times)}


def random(*shape):
    return torch.randn(*shape) * 0.05


def block_step():
    n, s, d, h = block["batch"], block["length"], block["width"], block["heads"]
    x = random(n, s, d).requires_grad_()
    shapes = [(d,), (d,), (d, d), (d, d), (d, d), (d, d), (d,), (d,), (d, block["hidden"]), (block["hidden"], d)]
    layers = [[random(*shape).requires_grad_() for shape in shapes] for _ in range(block["layers"])]
    leaves = [x] + [w for layer in layers for w in layer]

    def step():
        y = x
        for g1, b1, wq, wk, wv, wo, g2, b2, up, down in layers:
            z = F.layer_norm(y, (d,), g1, b1)
            q, k, v = ((z @ w).view(n, s, h, d // h).transpose(1, 2) for w in (wq, wk, wv))
            a = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, s, d)
            y = y + a @ wo
            y = y + F.silu(F.layer_norm(y, (d,), g2, b2) @ up) @ down
        torch.autograd.grad(y.square().mean(), leaves)

    return step


a, b = random(1024, 1024), random(1024, 1024)
image = random(8, 64, 56, 56).to(memory_format=torch.channels_last)
kernel = random(64, 64, 3, 3).to(memory_format=torch.channels_last)
rows, wide, gain, bias = random(4096, 1024), random(8192, 512), random(512), random(512)
with torch.no_grad():
    times = [
        timed(lambda: a @ b),
        timed(lambda: F.conv2d(image, kernel, padding=1)),
        timed(lambda: F.softmax(rows, -1)),
        timed(lambda: F.layer_norm(wide, (512,), gain, bias)),
    ]
times.append(timed(block_step()))
print(json.dumps({"version": torch.__version__, "times": times}))
