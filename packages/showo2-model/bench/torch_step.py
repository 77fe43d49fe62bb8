"""The work of denoise.mjs as PyTorch users do it: every token of both guidance rows through trunk and head, with a mask."""
import json
import statistics
import sys
import time

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    sys.exit(3)

size = json.load(open(sys.argv[1]))
c = size["config"]
llm, clip, head = c["llm"], c["siglip"], c["diffusion_head"]
B, T = size["batch"], size["textLength"]
N = c["image_latent_height"] * c["image_latent_width"]
L = c["max_text_len"] + N + 5
P = c["image_latent_dim"] * c["patch_size"] ** 2
g = torch.Generator().manual_seed(0)


def w(out, into):
    return torch.randn(out, into, generator=g) / into**0.5


def layer(width, heads, kv, dim, ff, extra=()):
    p = dict(q=w(heads * dim, width), k=w(kv * dim, width), v=w(kv * dim, width), o=w(width, heads * dim), gate=w(ff, width),
             up=w(ff, width), down=w(width, ff), n1=torch.ones(width), n2=torch.ones(width))
    p.update({name: w(*shape) for name, shape in extra})
    return p, heads, kv, dim


D, H, C = c["hidden_size"], head["hidden_size"], clip["hidden_size"]
trunk = [layer(D, llm["num_attention_heads"], llm["num_key_value_heads"], D // llm["num_attention_heads"], llm["intermediate_size"])
         for _ in range(llm["num_hidden_layers"])]
blocks = [layer(H, head["num_attention_heads"], head["num_key_value_heads"], head["head_dim"], head["intermediate_size"],
                [("ada", (6 * H, H))]) for _ in range(c["num_diffusion_layers"])]
vision = [dict(q=w(C, C), k=w(C, C), v=w(C, C), o=w(C, C), a=w(clip["intermediate_size"], C), b=w(C, clip["intermediate_size"]))
          for _ in range(clip["num_hidden_layers_used"])]
und, gen = w(C, P), w(D, P)
fuse1, fuse2 = w(D, C + D), w(D, D)
table = torch.randn(c["llm_vocab_size"], D, generator=g)
final, final_ada, time1, time2 = w(P, H), w(2 * H, H), w(H, 256), w(H, H)


def rms(x, weight):
    return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def rope(x):
    d, length = x.shape[-1], x.shape[-2]
    angle = torch.arange(length)[:, None] * (1e4 ** (-torch.arange(0, d, 2) / d))[None]
    cos, sin = torch.cat([angle, angle], -1).cos(), torch.cat([angle, angle], -1).sin()
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


def attention(x, p, heads, kv, dim, mask):
    b, n, _ = x.shape
    q, k, v = (F.linear(x, p[i]).view(b, n, -1, dim).transpose(1, 2) for i in "qkv")
    k, v = (y.repeat_interleave(heads // kv, 1) for y in (rope(k), v))
    return F.linear(F.scaled_dot_product_attention(rope(q), k, v, attn_mask=mask).transpose(1, 2).reshape(b, n, -1), p["o"])


def swiglu(x, p):
    return F.linear(F.silu(F.linear(x, p["gate"])) * F.linear(x, p["up"]), p["down"])


def mask_of(offset):
    m = torch.ones(L, L).tril().bool()
    m[offset:offset + N + 1, offset:offset + N + 1] = True
    return m


offsets = [T + 2] * B + [2] * B
mask = torch.stack([mask_of(o) for o in offsets])[:, None]
mask = torch.zeros(mask.shape).masked_fill(~mask, -9.2e18)
inside = torch.zeros(2 * B, L, 1)
for i, o in enumerate(offsets):
    inside[i, o:o + N + 1] = 1
ids = torch.randint(0, c["llm_vocab_size"], (2 * B, L), generator=g)
patches = torch.randn(2 * B, N, P, generator=g)
t_features = torch.randn(2 * B, 256, generator=g)


def run_head(x, time):
    for p, heads, kv, dim in blocks:
        sa, ca, ga, sm, cm, gm = (y[:, None] * inside for y in F.linear(F.silu(time), p["ada"]).chunk(6, 1))
        x = x + (ga + 1 - inside) * attention(rms(x, p["n1"]) * (1 + ca) + sa, p, heads, kv, dim, mask)
        x = x + (gm + 1 - inside) * swiglu(rms(x, p["n2"]) * (1 + cm) + sm, p)
    shift, scale = (y[:, None] * inside for y in F.linear(F.silu(time), final_ada).chunk(2, 1))
    return F.linear(rms(x, torch.ones(H)) * (1 + scale) + shift, final)


def run_trunk():
    y = F.linear(patches, und)
    for p in vision:
        q, k, v = (F.linear(F.layer_norm(y, (C,)), p[i]).view(2 * B, N, clip["num_attention_heads"], -1).transpose(1, 2) for i in "qkv")
        y = y + F.linear(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2 * B, N, C), p["o"])
        y = y + F.linear(F.gelu(F.linear(F.layer_norm(y, (C,)), p["a"]), approximate="tanh"), p["b"])
    image = F.linear(F.gelu(F.linear(torch.cat([y, F.linear(patches, gen)], -1), fuse1)), fuse2)
    time = F.linear(F.silu(F.linear(t_features, time1)), time2)
    x = table[ids].clone()
    for i, o in enumerate(offsets):
        x[i, o] = time[i, :D]
        x[i, o + 1:o + 1 + N] = image[i]
    for p, heads, kv, dim in trunk:
        x = x + attention(rms(x, p["n1"]), p, heads, kv, dim, mask)
        x = x + swiglu(rms(x, p["n2"]), p)
    F.linear(x, table)  # upstream computes the logits of every token
    return x, time


def measure(name, fn):
    fn()
    times = []
    for _ in range(7):
        start = time.perf_counter()
        fn()
        times.append((time.perf_counter() - start) * 1e3)
    print(json.dumps(dict(engine="torch", name=name, ms=round(statistics.median(times), 1))))


def step():
    with torch.no_grad():
        run_head(*run_trunk())


leaves = [y for p, *_ in blocks for y in p.values()] + [final, final_ada]


def update():
    with torch.no_grad():
        kept = run_trunk()
    for y in leaves:
        y.requires_grad_(True)
        y.grad = None
    run_head(*kept).pow(2).mean().backward()
    for y in leaves:
        y.requires_grad_(False)


if D != H:
    sys.exit("size.json: this script has no projection between trunk and head; make their widths equal")
measure("denoising step, plain forward", step)
measure("update, trunk run again as flow_grpo does", update)
