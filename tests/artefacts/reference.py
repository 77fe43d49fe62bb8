"""What PyTorch and Hugging Face's tokenizers make of files, as JSON on standard output.

reference.py checkpoints FILE...                  every tensor of each file: dtype, shape, SHA-256 of its bytes
reference.py tokenizers FOLDER TEXTS              ids of each text of the JSON list TEXTS by each tokenizer; writes those that
                                                  are put together here (CLIP's, BERT's) into FOLDER as the hub has them
reference.py adapters MODEL FOLDER...              for each folder of adapters, what PEFT makes of the linear layers in the
                                                  safetensors file MODEL: their weights with the adapters merged in
"""

import hashlib
import importlib.util
import json
import pathlib
import sys


def digest(tensor):
    import torch

    tensor = tensor.detach().cpu().contiguous()
    data = tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
    dtype = str(tensor.dtype).removeprefix("torch.")
    return {"dtype": dtype, "shape": list(tensor.shape), "sha256": hashlib.sha256(data).hexdigest()}


def tensors_of(value, path=()):
    """(path, tensor) of all that dictionaries hold, modules by their state dict."""
    import torch

    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from tensors_of(item, (*path, str(key)))


def read_checkpoint(file):
    import torch
    from safetensors.torch import load_file

    if file.endswith(".safetensors"):
        return load_file(file), True
    try:
        return torch.load(file, map_location="cpu", weights_only=True), True
    except Exception as refusal:  # its own list of classes, or a format that is older than the option
        return foreign_load(file, refusal)


def foreign_load(file, refusal):
    """Files with objects of classes that are not installed: each such class is an empty one."""
    import pickle

    import torch

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            if module.split(".")[0] in ("torch", "collections", "numpy", "_codecs"):
                return super().find_class(module, name)
            return type(name, (), {"__module__": module, "__setstate__": lambda self, state: None})

    class Module:
        pass

    Module.Unpickler = Unpickler
    Module.load = staticmethod(lambda stream, **options: Unpickler(stream, **options).load())
    Module.__name__ = "pickle"
    try:
        return torch.load(file, map_location="cpu", weights_only=False, pickle_module=Module), False
    except Exception as error:
        raise RuntimeError(f"{file}: {error}; with weights_only: {refusal}") from error


def checkpoints(files):
    result = {}
    for file in files:
        try:
            value, weights_only = read_checkpoint(file)
        except Exception as error:
            result[file] = {"error": str(error)}
            continue
        result[file] = {
            "weightsOnly": weights_only,
            "tensors": {".".join(path): digest(tensor) for path, tensor in tensors_of(value)},
        }
    return result


def open_clip_tokenizer(folder):
    spec = importlib.util.spec_from_file_location("open_clip_tokenizer", folder / "open_clip" / "tokenizer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SimpleTokenizer()


def write_clip(folder, own):
    """CLIP's tokenizer as transformers has it, from open_clip's list of merges."""
    from transformers import CLIPTokenizerFast

    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(token, token): i for token, i in own.encoder.items()}
    merges = list(own.bpe_ranks)
    CLIPTokenizerFast(vocab=vocabulary, merges=merges, model_max_length=77).save_pretrained(folder)


def write_bert(folder, words):
    """BERT's tokenizer, from a vocabulary that marks the starts of words with U+2581 instead of what follows with ##."""
    from transformers import BertTokenizerFast

    def as_bert(token):
        if token.startswith("[") and token.endswith("]") and len(token) > 2:
            return token
        if token == "\u2581":
            return "[unused0]"
        return token[1:] if token.startswith("\u2581") else f"##{token}"

    vocabulary = {as_bert(token): i for i, token in enumerate(words)}
    assert len(vocabulary) == len(words)
    BertTokenizerFast(vocab=vocabulary, do_lower_case=True).save_pretrained(folder)


def tokenizers(folder, texts):
    from transformers import AutoTokenizer

    folder = pathlib.Path(folder)
    own_clip = open_clip_tokenizer(folder / "open_clip_torch")
    write_clip(folder / "clip", own_clip)
    words = json.loads((folder / "bert-tokenizer/assets/vocab.json").read_text())
    write_bert(folder / "bert", words)
    texts = json.loads(pathlib.Path(texts).read_text())

    def ids(of, **options):
        tokenizer = AutoTokenizer.from_pretrained(of, local_files_only=True)
        return [tokenizer(text, **options)["input_ids"] for text in texts]

    return {
        "clip": ids(folder / "clip"),
        "open_clip": [row.tolist() for row in own_clip(texts)],
        "bert": ids(folder / "bert"),
        "qwen2.5": ids(folder / "tokenizer-qwen2_5/models", add_special_tokens=False),
    }


def linear_layers(file):
    """A module with a linear layer, without bias, for every weight of a safetensors file, by its name."""
    import torch
    from safetensors.torch import load_file

    root = torch.nn.Module()
    for name, weight in load_file(file).items():
        *path, layer, _ = name.split(".")
        module = root
        for part in path:
            if not hasattr(module, part):
                module.add_module(part, torch.nn.Module())
            module = getattr(module, part)
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        linear.weight.data = weight
        module.add_module(layer, linear)
    return root


def adapters(model, *folders):
    from peft import PeftModel

    result = {}
    for folder in folders:
        merged = PeftModel.from_pretrained(linear_layers(model), folder).merge_and_unload()
        result[folder] = {name: value.flatten().tolist() for name, value in merged.state_dict().items()}
    return result


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "checkpoints":
        answer = checkpoints(arguments)
    else:
        answer = {"tokenizers": tokenizers, "adapters": adapters}[command](*arguments)
    json.dump(answer, sys.stdout)
