"""Writes the PyTorch files of this folder, and expected.json with what torch.load gives of them.

    python make.py        (torch 2.13)
"""

import argparse
import collections
import json
import pathlib
import sys
import types

import torch

HERE = pathlib.Path(__file__).parent
expected = {}


class Foreign:
    """A class that no reader knows."""

    def __init__(self, **state):
        self.__dict__.update(state)


class ForeignDict(dict):
    """As Lightning's AttributeDict: a dictionary of a class of its own."""


class ForeignTensor(torch.Tensor):
    """A tensor whose data may mean something else."""


Foreign.__module__ = ForeignDict.__module__ = ForeignTensor.__module__ = "somewhere.models"
for cls in (Foreign, ForeignDict, ForeignTensor):
    cls.__qualname__ = cls.__name__
module = types.ModuleType("somewhere.models")
module.Foreign, module.ForeignDict, module.ForeignTensor = Foreign, ForeignDict, ForeignTensor
sys.modules["somewhere"] = types.ModuleType("somewhere")
sys.modules["somewhere.models"] = module


def describe(tensor):
    tensor = tensor.detach().resolve_neg()
    wide = tensor.to(torch.float64 if tensor.dtype.is_floating_point else torch.int64)
    values = [v if abs(v) != float("inf") and v == v else str(v) for v in wide.flatten().tolist()]
    return {"dtype": str(tensor.dtype)[6:], "shape": list(tensor.shape), "values": values}


def save(name, value, tensors=None, refused=None, metadata=None, **options):
    """tensors: what the reader gives, by name; refused: what its error says."""
    torch.save(value, HERE / f"{name}.pt", **options)
    expected[f"{name}.pt"] = {
        **({"tensors": {key: describe(x) for key, x in tensors.items()}} if tensors is not None else {}),
        **({"refused": refused} if refused is not None else {}),
        **({"metadata": metadata} if metadata is not None else {}),
    }


w = torch.arange(6, dtype=torch.float32).reshape(2, 3)
good = {"w": w}

for protocol in (2, 3, 4, 5):
    both = {"w": w, "t": w.T, "half": w.half(), "tied": w}
    zipped = {"pickle_protocol": protocol}
    save(f"legacy-p{protocol}", both, both, _use_new_zipfile_serialization=False, **zipped)
    save(f"zip-p{protocol}", both, both, **zipped)

for dtype in ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"):
    x = torch.tensor([0, -1.5, 2, 0.1, -240], dtype=torch.float32).to(getattr(torch, dtype))
    save(f"dtype-{dtype}", {"w": x}, {"w": x})
for dtype in ("int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64", "bool"):
    x = torch.tensor([0, 1, 100], dtype=torch.int64).to(getattr(torch, dtype))
    save(f"dtype-{dtype}", {"w": x}, {"w": x})
    if dtype.startswith("uint1") or dtype.startswith("uint3"):
        save(f"legacy-{dtype}", {"w": x, "v": w}, {"w": x, "v": w}, _use_new_zipfile_serialization=False)
view = torch.arange(6, dtype=torch.int32).to(torch.uint32).reshape(2, 3).T
save("view-uint32", {"w": view}, {"w": view})
bytes_ = torch.arange(16, dtype=torch.uint8)
save("view-offset-uint16", {"w": bytes_.view(torch.uint16)[3:6]}, {"w": bytes_.view(torch.uint16)[3:6]})
for dtype in ("complex64", "complex128", "float8_e4m3fnuz", "float8_e8m0fnu"):
    x = torch.zeros(2, dtype=torch.float32).to(getattr(torch, dtype))
    save(f"unread-{dtype}", {"w": w, "x": x}, refused="x is a tensor")
    legacy = {"_use_new_zipfile_serialization": False}
    save(f"beside-{dtype}", {"model": good, "other": [x]}, good)
    save(f"legacy-beside-{dtype}", {"model": good, "other": [x]}, good, **legacy)

for name, x in {
    "float32": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "float16": torch.arange(3).half(),
    "bfloat16": torch.arange(3).bfloat16(),
    "int64": torch.tensor([0, 1, -7, 2**31 - 1]),
    "int8": torch.tensor([0, 1, -7], dtype=torch.int8),
    "strided": torch.arange(6, dtype=torch.float32).reshape(2, 3).T,
}.items():
    negated = torch._neg_view(x)
    save(f"neg-{name}", {"w": negated, "plain": x}, {"w": negated, "plain": x})
imag = torch.tensor([1 + 2j, 3 - 4j]).conj().imag
save("neg-imag", {"w": imag}, {"w": imag})
save("conj", {"w": torch.tensor([1 + 2j]).conj()}, refused="w is a tensor in a torch.ComplexFloatStorage")

parameter = torch.nn.Parameter(w.clone())
marked = torch.nn.Parameter(w.clone())
marked.tensor_model_parallel = True
marked.owner = Foreign(name="x")
attributed = w.clone()
attributed.note = "x"
save("parameter", {"w": parameter}, {"w": parameter})
save("parameter-attributes", {"w": marked}, {"w": marked})
save("tensor-attributes", {"w": attributed}, {"w": attributed})
save("buffer", {"w": torch.nn.Buffer(w.clone())}, {"w": w})
save("ordered", collections.OrderedDict(w=w), {"w": w})
save("default-dict", collections.defaultdict(list, w=w), {"w": w})
save("state-dict", torch.nn.Sequential(torch.nn.Linear(2, 1)).state_dict(), None, None)
sequential = torch.load(HERE / "state-dict.pt")
expected["state-dict.pt"] = {"tensors": {key: describe(x) for key, x in sequential.items()}}

beside = {
    "set": ({"b"}, ["b"]),
    "frozenset": (frozenset({"b"}), ["b"]),
    "counter": (collections.Counter("aab"), {"a": 2, "b": 1}),
    "dtype": ({"dtype": torch.float16}, {"dtype": "torch.float16"}),
    "device": (torch.device("cuda", 1), "cuda:1"),
    "size": (w.shape, [2, 3]),
    "layout": (torch.strided, "torch.strided"),
    "complex": (1 + 2j, [1, 2]),
    "qscheme": (torch.per_tensor_affine, "torch.per_tensor_affine"),
    "int1": (torch.int1, "torch.int1"),
    "nested": ({"a": [1, (2.5, None)], "b": True}, {"a": [1, [2.5, None]], "b": True}),
    "large": (2**70, None),
}
for name, (value, plain) in beside.items():
    metadata = {"extra": plain} if plain is not None else None
    save(f"extra-{name}", {"model": good, "extra": value}, good, metadata=metadata)
    save(f"extra-{name}-p4", {"model": good, "extra": value}, good, metadata=metadata, pickle_protocol=4)
for name, value in {"bytes": b"abc\xff", "bytearray": bytearray(b"abc\xff")}.items():
    for protocol in (2, 5):
        save(f"extra-{name}-p{protocol}", {"model": good, "extra": value}, good, pickle_protocol=protocol)

for name, value in {
    "object": Foreign(a=1, b=[2]),
    "dictionary": ForeignDict(a=1, b=Foreign(c=2)),
    "namespace": argparse.Namespace(lr=1e-4),
    "path": pathlib.PurePosixPath("/tmp/x"),
    "class": Foreign,
    "function": describe,
    "with-tensor": Foreign(weight=w),
}.items():
    if name == "function":
        value = json.dumps
    for protocol in (2, 4):
        file = f"foreign-{name}-p{protocol}"
        save(file, {"epoch": 3, "state_dict": good, "hyper_parameters": value}, good, metadata={"epoch": 3}, pickle_protocol=protocol)
save("foreign-in-weights", {"w": w, "extra": Foreign(a=1)}, good)
save("foreign-tensor-in-weights", {"w": w, "x": w.as_subclass(ForeignTensor)}, refused="x holds tensors in a somewhere.models.ForeignTensor")
save("foreign-holds-weights", {"w": w, "x": Foreign(weight=w)}, refused="x holds tensors in a somewhere.models.Foreign")
save("foreign-dictionary-of-weights", {"model": ForeignDict(w=w)}, refused="model holds tensors in a somewhere.models.ForeignDict")
save("foreign-root", Foreign(w=w), refused="objects of somewhere.models.Foreign")
save("module", torch.nn.Linear(2, 1), refused="objects of torch.nn.modules.linear.Linear")
save("module-legacy", torch.nn.Linear(2, 1), refused="objects of torch.nn.modules.linear.Linear", _use_new_zipfile_serialization=False)

save("sparse", {"w": w, "x": w.to_sparse()}, refused="x is a sparse tensor")
save("meta", {"w": w, "x": torch.empty(2, device="meta")}, refused="x is a meta tensor")
quantised = torch.quantize_per_tensor(w, 0.1, 0, torch.qint8)
save("quantised", {"w": w, "x": quantised}, refused="x is a quantised tensor")
save("sparse-beside", {"model": good, "other": [w.to_sparse(), quantised]}, good)

scripted = torch.jit.trace(torch.nn.Linear(2, 1), torch.zeros(1, 2))
torch.jit.save(scripted, HERE / "script.pt")
expected["script.pt"] = {"refused": "is a TorchScript archive"}

lines = [f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in expected.items()]
(HERE / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
