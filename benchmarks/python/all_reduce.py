"""NCCL's all-reduce of float32 over two GPUs through PyTorch, one process a GPU; started by bench_torch.py."""
import os
import sys

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import common

DEVICES = 2
COUNT = 10


def work(rank, n, rounds):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29531", RANK=str(rank), WORLD_SIZE=str(DEVICES))
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(rank)
    dist.init_process_group("nccl" if cuda else "gloo")
    x = torch.randn(n, device="cuda" if cuda else "cpu")
    wait = lambda _: torch.cuda.synchronize() if cuda else None

    # Values double with every call; float32 has room for these.
    times = common.timed_many(lambda: dist.all_reduce(x), wait, count=COUNT, rounds=rounds)
    if rank == 0:
        moved = 4 * n * 2 * (DEVICES - 1) / DEVICES
        common.reporter("torch")("allReduce.float32", **times, bytes=4 * n, gigabytesPerSecond=moved / times["ms"] / 1e6)
    dist.destroy_process_group()


if __name__ == "__main__":
    mp.spawn(work, args=(int(sys.argv[1]), int(sys.argv[2])), nprocs=DEVICES)
