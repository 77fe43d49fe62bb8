"""CLIP of the given size in PyTorch, from bytes to cosines: prints the milliseconds of each run, and the processor's of all, as JSON.

Bicubic resize with antialiasing, normalisation, both towers; random weights. The argument is one JSON object.
"""

import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

given = json.loads(sys.argv[1])
device = "cuda" if torch.cuda.is_available() else "cpu"


def tower(width, layers, heads):
    layer = nn.TransformerEncoderLayer(
        width, heads, 4 * width, 0.0, F.gelu, batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


class Clip(nn.Module):
    def __init__(self, vision, text, projection):
        super().__init__()
        width, layers, patch, heads = vision
        text_width, text_layers, text_heads = text
        self.patches = nn.Conv2d(3, width, patch, patch, bias=False)
        self.start = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros((224 // patch) ** 2 + 1, width))
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.vision = tower(width, layers, heads)
        self.words = nn.Embedding(49408, text_width)
        self.places = nn.Parameter(torch.zeros(77, text_width))
        self.text = tower(text_width, text_layers, text_heads)
        self.last = nn.LayerNorm(text_width)
        self.from_vision = nn.Linear(width, projection, bias=False)
        self.from_text = nn.Linear(text_width, projection, bias=False)

    def forward(self, pixels, ids):
        x = F.interpolate(
            pixels.permute(0, 3, 1, 2).float() / 255, (224, 224), mode="bicubic", antialias=True
        )
        x = self.patches(((x - 0.45) / 0.27).to(self.start.dtype)).flatten(2).transpose(1, 2)
        x = torch.cat([self.start.expand(len(x), -1, -1), x], 1) + self.positions
        seen = self.from_vision(self.after(self.vision(self.before(x))[:, 0]))
        y = self.words(ids) + self.places
        mask = nn.Transformer.generate_square_subsequent_mask(77, device=ids.device, dtype=y.dtype)
        y = self.text(y, mask=mask, is_causal=True)
        read = self.from_text(self.last(y)[:, 10])
        return F.cosine_similarity(seen, read)


torch.manual_seed(0)
dtype = getattr(torch, given["dtype"])
model = Clip(given["vision"], given["text"], given["projection"]).to(device, dtype).eval()
side = given["side"]
pixels = torch.randint(0, 256, (given["batch"], side, side, 3), dtype=torch.uint8)
ids = torch.randint(0, 49408, (given["batch"], 77))
times = []
with torch.inference_mode():
    model(pixels.to(device), ids.to(device)).cpu()
    before = time.process_time()
    end = time.perf_counter() + given["ms"] / 1000
    while len(times) < given["runs"] or time.perf_counter() < end:
        start = time.perf_counter()
        model(pixels.to(device), ids.to(device)).float().cpu()
        times.append(1000 * (time.perf_counter() - start))
cpu = 1000 * (time.process_time() - before)
print(json.dumps({"version": torch.__version__, "device": device, "times": times, "cpu": cpu}))
