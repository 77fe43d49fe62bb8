"""JAX twin of Show-o2's text-to-image denoiser with the exact savings, for timing what an XLA engine can reach.

Same function of (text prefix, latents, t) as upstream, computed with less work:
  - tokens after the image block and the language-model head are left out (they never influence the image tokens);
  - the text prefix is causal and does not see t, so its keys and values (language model and head) are computed once;
  - the semantic tower and the fusion run once per image, not once per guidance row (both rows share the latents).
Row order: [conditional rows, unconditional rows]. Keys and values: [image block first, text right-padded], with one valid
length per row; RoPE is applied with the true positions before that, so the order in memory does not matter.
"""
import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class Cfg:
    vocab: int
    d: int
    ff: int
    layers: int
    heads: int
    kv: int
    cd: int
    cf: int
    clayers: int
    cheads: int
    hd: int
    hff: int
    hlayers: int
    hheads: int
    hkv: int
    hdim: int
    grid: int
    text: int
    latent: int = 16
    patch: int = 2
    impl: str = "cudnn"        # cudnn | xla
    unroll: bool = False       # python loop over layers instead of lax.scan
    clip_pad: int = 0          # pad the semantic tower's head dimension to this (0: as is)
    dtype: str = "bfloat16"
    fused: bool = True         # one matrix for q, k, v and one for gate, up (as separate matrices otherwise)

    @property
    def n(self):
        return self.grid * self.grid

    @property
    def dt(self):
        return jnp.dtype(self.dtype)


FULL = Cfg(vocab=151669, d=1536, ff=8960, layers=28, heads=12, kv=2, cd=1152, cf=4304, clayers=26, cheads=16, hd=2048,
           hff=8192, hlayers=10, hheads=32, hkv=8, hdim=64, grid=27, text=128)
TINY = Cfg(vocab=160, d=64, ff=128, layers=3, heads=4, kv=2, cd=48, cf=96, clayers=2, cheads=4, hd=128, hff=256, hlayers=3,
           hheads=8, hkv=2, hdim=16, grid=3, text=12, impl="xla", dtype="float32")


def lin(x, w, b=None):
    y = jax.lax.dot_general(x, w, (((x.ndim - 1,), (0,)), ((), ())))
    return y if b is None else y + b


def rms(x, w, eps):
    x32 = x.astype(jnp.float32)
    y = x32 * jax.lax.rsqrt(jnp.mean(x32 * x32, -1, keepdims=True) + eps)
    return w * y.astype(x.dtype)


def layer_norm(x, w, b, eps=1e-6):
    x32 = x.astype(jnp.float32)
    m = jnp.mean(x32, -1, keepdims=True)
    v = jnp.mean(jnp.square(x32 - m), -1, keepdims=True)
    return ((x32 - m) * jax.lax.rsqrt(v + eps) * w.astype(jnp.float32) + b.astype(jnp.float32)).astype(x.dtype)


def rope_tables(pos, dim, theta, scaling=None, dtype=jnp.float32):
    inv = 1.0 / (theta ** (np.arange(0, dim, 2, dtype=np.float32) / dim))
    if scaling:
        factor, low, high, old = scaling
        wave = 2 * np.pi / inv
        inv2 = np.where(wave > old / low, inv / factor, inv)
        smooth = (old / wave - low) / (high - low)
        mid = (1 - smooth) * inv2 / factor + smooth * inv2
        inv = np.where((wave <= old / low) & (wave >= old / high), mid, inv2)
    ang = pos[..., None].astype(jnp.float32) * jnp.asarray(inv, jnp.float32)
    ang = jnp.concatenate([ang, ang], -1)[..., None, :]  # [R, S, 1, dim]
    return jnp.cos(ang).astype(dtype), jnp.sin(ang).astype(dtype)


def rope(x, cs):
    cos, sin = cs
    h = x.shape[-1] // 2
    rot = jnp.concatenate([-x[..., h:], x[..., :h]], -1)
    return x * cos + rot * sin


def attend(q, k, v, impl, kv_len=None, causal=False):
    return jax.nn.dot_product_attention(q, k, v, is_causal=causal, implementation=impl, key_value_seq_lengths=kv_len,
                                        query_seq_lengths=None if kv_len is None else
                                        jnp.full(q.shape[:1], q.shape[1], jnp.int32))


def layers_loop(cfg, body, carry, xs, length):
    """lax.scan, or the same loop unrolled (xs then holds lists of per-layer trees)."""
    if not cfg.unroll:
        return jax.lax.scan(body, carry, xs)
    ys = []
    for i in range(length):
        xi = jax.tree.map(lambda a: a[i], xs, is_leaf=lambda a: isinstance(a, list))
        carry, y = body(carry, xi)
        ys.append(y)
    if all(y is None for y in ys):
        return carry, None
    return carry, jax.tree.map(lambda *z: list(z), *ys)


# ---------------------------------------------------------------- semantic tower
def siglip_layer(cfg, x, p):
    b, s, _ = x.shape
    dh = cfg.cd // cfg.cheads
    y = layer_norm(x, p["ln1"], p["ln1b"])
    qkv = lin(y, p["wqkv"], p["bqkv"]).reshape(b, s, 3, cfg.cheads, dh)
    q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
    if cfg.clip_pad > dh:
        pad = ((0, 0), (0, 0), (0, 0), (0, cfg.clip_pad - dh))
        q, k, v = (jnp.pad(a, pad) for a in (q, k, v))
        o = jax.nn.dot_product_attention(q, k, v, scale=dh**-0.5, implementation=cfg.impl)[..., :dh]
    else:
        o = attend(q, k, v, cfg.impl)
    x = x + lin(o.reshape(b, s, cfg.cd), p["wo"], p["bo"])
    y = layer_norm(x, p["ln2"], p["ln2b"])
    return x + lin(jax.nn.gelu(lin(y, p["w1"], p["b1"]), approximate=True), p["w2"], p["b2"])


def image_embeds(cfg, P, x):
    """Latents [B, 16, H, W] to fused image embeddings [B, n, d]."""
    b = x.shape[0]
    g, p, c = cfg.grid, cfg.patch, cfg.latent
    t = x.astype(cfg.dt).reshape(b, c, g, p, g, p).transpose(0, 2, 4, 1, 3, 5).reshape(b, g * g, c * p * p)
    und = lin(t, P["und_w"], P["und_b"]) + P["pos"]
    gen = lin(t, P["gen_w"], P["gen_b"])
    und, _ = layers_loop(cfg, lambda h, w: (siglip_layer(cfg, h, w), None), und, P["und"], cfg.clayers)
    f = rms(jnp.concatenate([und, gen], -1), P["fus_norm"], 1e-6)
    return lin(jax.nn.gelu(lin(f, P["fus_w1"], P["fus_b1"]), approximate=False), P["fus_w2"], P["fus_b2"])


def time_embed(cfg, P, t):
    half = 128
    fr = jnp.exp(-math.log(10000.0) * jnp.arange(half, dtype=jnp.float32) / half)
    a = t.astype(jnp.float32)[:, None] * fr[None]
    e = jnp.concatenate([jnp.cos(a), jnp.sin(a)], -1).astype(cfg.dt)
    return lin(jax.nn.silu(lin(e, P["te_w1"], P["te_b1"])), P["te_w2"], P["te_b2"])


# ---------------------------------------------------------------- language model
def llm_qkv(cfg, y, p, cs):
    r, s, _ = y.shape
    dh = cfg.d // cfg.heads
    if "wq" in p:
        q, k, v = (lin(y, p["w" + n], p["b" + n]).reshape(r, s, -1, dh) for n in "qkv")
        return rope(q, cs), rope(k, cs), v
    qkv = lin(y, p["wqkv"], p["bqkv"]).reshape(r, s, cfg.heads + 2 * cfg.kv, dh)
    q = rope(qkv[:, :, :cfg.heads], cs)
    k = rope(qkv[:, :, cfg.heads:cfg.heads + cfg.kv], cs)
    return q, k, qkv[:, :, cfg.heads + cfg.kv:]


def swiglu(y, p):
    if "wg" in p:
        return lin(jax.nn.silu(lin(y, p["wg"])) * lin(y, p["wu"]), p["wd"])
    gu = lin(y, p["wgu"])
    h = gu.shape[-1] // 2
    return lin(jax.nn.silu(gu[..., :h]) * gu[..., h:], p["wd"])


def llm_layer(cfg, x, p, cs, text_kv=None, kv_len=None):
    """Image rows (with the cached text keys and values) or, with text_kv None, the causal text prefix."""
    r, s, _ = x.shape
    q, k, v = llm_qkv(cfg, rms(x, p["ln1"], 1e-6), p, cs)
    if text_kv is None:
        o = attend(q, k, v, cfg.impl, causal=True)
    else:
        o = attend(q, jnp.concatenate([k, text_kv[0]], 1), jnp.concatenate([v, text_kv[1]], 1), cfg.impl, kv_len)
    x = x + lin(o.reshape(r, s, cfg.d), p["wo"])
    x = x + swiglu(rms(x, p["ln2"], 1e-6), p)
    return x, (k, v)


# ---------------------------------------------------------------- diffusion head
def head_attn(cfg, x, p, cs, text_kv, kv_len):
    r, s, _ = x.shape
    n, m = cfg.hheads, cfg.hkv
    if "wq" in p:
        q, k, v = (lin(x, p["w" + i]).reshape(r, s, -1, cfg.hdim) for i in "qkv")
    else:
        qkv = lin(x, p["wqkv"]).reshape(r, s, n + 2 * m, cfg.hdim)
        q, k, v = qkv[:, :, :n], qkv[:, :, n:n + m], qkv[:, :, n + m:]
    q = rope(rms(q, p["qn"], 1e-6), cs)
    k = rope(rms(k, p["kn"], 1e-6), cs)
    if text_kv is None:
        o = attend(q, k, v, cfg.impl, causal=True)
    else:
        o = attend(q, jnp.concatenate([k, text_kv[0]], 1), jnp.concatenate([v, text_kv[1]], 1), cfg.impl, kv_len)
    return lin(o.reshape(r, s, n * cfg.hdim), p["wo"]), (k, v)


def modulate(x, shift, scale):
    f = jnp.float32
    return (x.astype(f) * (1 + scale.astype(f)[:, None]) + shift.astype(f)[:, None]).astype(x.dtype)


def head_block(cfg, x, p, temb, cs, text_kv, kv_len):
    mod = lin(jax.nn.silu(temb), p["ada_w"], p["ada_b"])
    sa, ca, ga, sm, cm, gm = jnp.split(mod, 6, -1)
    o, _ = head_attn(cfg, modulate(rms(x, p["ln1"], 1e-5), sa, ca), p, cs, text_kv, kv_len)
    x = x + ga[:, None] * o
    return x + gm[:, None] * swiglu(modulate(rms(x, p["ln2"], 1e-5), sm, cm), p)


def head_text_block(cfg, x, p, cs):
    o, kv = head_attn(cfg, rms(x, p["ln1"], 1e-5), p, cs, None, None)
    x = x + o
    return x + swiglu(rms(x, p["ln2"], 1e-5), p), kv


def head_final(cfg, x, p, temb):
    mod = lin(jax.nn.silu(temb), p["fin_ada_w"], p["fin_ada_b"])
    shift, scale = jnp.split(mod, 2, -1)
    return lin(modulate(rms(x, p["fin_norm"], 1e-6), shift, scale), p["fin_w"], p["fin_b"])


def unpatchify(cfg, y):
    b = y.shape[0]
    g, p, c = cfg.grid, cfg.patch, cfg.latent
    # upstream reshapes (h, w, p, p, c) to (h*p*w*p, c) without a transpose, then to (c, h*p, w*p)
    return y.reshape(b, g * p * g * p, c).transpose(0, 2, 1).reshape(b, c, g * p, g * p)


def positions(cfg, text_len):
    """(image positions [R, n+1], text positions [R, T])."""
    r = text_len.shape[0]
    return (text_len[:, None] + jnp.arange(cfg.n + 1)[None],
            jnp.broadcast_to(jnp.arange(cfg.text)[None], (r, cfg.text)))


LLAMA3 = (32.0, 1.0, 4.0, 8192)


def tables(cfg, pos):
    return (rope_tables(pos, cfg.d // cfg.heads, 1e6, dtype=cfg.dt),
            rope_tables(pos, cfg.hdim, 5e5, LLAMA3, dtype=cfg.dt))


def diff_proj(P, h):
    return lin(jax.nn.gelu(lin(h, P["dp_w1"], P["dp_b1"]), approximate=False), P["dp_w2"], P["dp_b2"])


def prefill_trunk(cfg, P, tokens):
    """Text prefix through the language model: its keys and values, and the projected hidden states."""
    pos = jnp.broadcast_to(jnp.arange(cfg.text)[None], tokens.shape)
    cs, _ = tables(cfg, pos)
    x = P["embed"][tokens]
    x, kv = layers_loop(cfg, lambda h, w: llm_layer(cfg, h, w, cs), x, P["llm"], cfg.layers)
    return kv, diff_proj(P, rms(x, P["llm_norm"], 1e-6))


def prefill_head(cfg, H, h_text):
    pos = jnp.broadcast_to(jnp.arange(cfg.text)[None], h_text.shape[:2])
    _, cs = tables(cfg, pos)
    _, kv = layers_loop(cfg, lambda h, w: head_text_block(cfg, h, w, cs), h_text, H["blocks"], cfg.hlayers)
    return kv


def trunk(cfg, P, x, temb, llm_kv, text_len, pos_img, guidance_rows=2):
    """Latents to the projected hidden states [R, n+1, hd] that the head reads (frozen part)."""
    img = image_embeds(cfg, P, x)
    img = jnp.concatenate([img] * guidance_rows, 0)
    tok = lin(temb, P["tp_w"], P["tp_b"])[:, None]
    h = jnp.concatenate([tok, img], 1)
    cs, _ = tables(cfg, pos_img)
    kv_len = (text_len + cfg.n + 1).astype(jnp.int32)
    h, _ = layers_loop(cfg, lambda h, w: (llm_layer(cfg, h, w[0], cs, w[1], kv_len)[0], None), h, (P["llm"], llm_kv),
                       cfg.layers)
    return diff_proj(P, rms(h, P["llm_norm"], 1e-6))


def head(cfg, H, h, temb, head_kv, text_len, pos_img, remat=False):
    _, cs = tables(cfg, pos_img)
    kv_len = (text_len + cfg.n + 1).astype(jnp.int32)

    def body(h, w):
        return head_block(cfg, h, w[0], temb, cs, w[1], kv_len), None

    if remat:
        body = jax.checkpoint(body, prevent_cse=cfg.unroll)  # inside a scan no barrier is needed
    h, _ = layers_loop(cfg, body, h, (H["blocks"], head_kv), cfg.hlayers)
    return head_final(cfg, h[:, 1:], H, temb)


def velocity(cfg, P, H, x, t, llm_kv, head_kv, text_len, guidance=5.0):
    """Guided velocity [B, 16, H, W] for latents x [B, ...] and one time per image, and the head's input."""
    temb = time_embed(cfg, P, jnp.concatenate([t, t]))
    pos_img, _ = positions(cfg, text_len)
    h = trunk(cfg, P, x, temb, llm_kv, text_len, pos_img)
    v = unpatchify(cfg, head(cfg, H, h, temb, head_kv, text_len, pos_img))
    vc, vu = jnp.split(v, 2, 0)
    return vu + guidance * (vc - vu), h


# ---------------------------------------------------------------- Flow-GRPO
def sde_mean_scale(v, x, t, dt, noise):
    s = (1 - t)[:, None, None, None]
    d = -dt[:, None, None, None]
    std = jnp.sqrt(s / (1 - jnp.where(s == 1, 0.98, s))) * noise
    mean = x * (1 + std**2 / (2 * s) * d) - v * (1 + std**2 * (1 - s) / (2 * s)) * d
    return mean, std * jnp.sqrt(-d)


def log_prob(mean, scale, x_next):
    lp = -((x_next - mean) ** 2) / (2 * scale**2) - jnp.log(scale) - 0.5 * math.log(2 * math.pi)
    return lp.mean((1, 2, 3))


def rollout_step(cfg, P, H, x, t, dt, key, llm_kv, head_kv, text_len):
    v, h = velocity(cfg, P, H, x, t, llm_kv, head_kv, text_len)
    mean, scale = sde_mean_scale(v.astype(jnp.float32), x, t, dt, 0.7)
    x2 = mean + scale * jax.random.normal(key, x.shape, jnp.float32)
    return x2, log_prob(mean, scale, x2), h


def policy_loss(cfg, H, data, remat=False, detach_uncond=True, split=False):
    """Flow-GRPO loss of one denoising step from the cached head input.

    data: h [2B, n+1, hd], h_text [R, T, hd] and `text_row` [2B] (which text row each image row reads), temb [2B, hd],
    text_len [2B], x, x_next [B, ...], t, dt, adv, old [B]. split: the unconditional rows run forward only, so nothing of
    them is kept for the backward pass (their velocity is detached in Flow-GRPO).
    """
    b = data["x"].shape[0]
    pos_img, _ = positions(cfg, data["text_len"])

    def run(H, rows, text_rows):
        kv = prefill_head(cfg, H, data["h_text"][text_rows])
        idx = data["text_row"][rows] - text_rows.start
        n_text = text_rows.stop - text_rows.start
        n_rows = rows.stop - rows.start
        if n_text != n_rows:
            gather = (lambda a: a[idx]) if cfg.unroll else (lambda a: a[:, idx])
            kv = jax.tree.map(gather, kv)
        return unpatchify(cfg, head(cfg, H, data["h"][rows], data["temb"][rows], kv, data["text_len"][rows],
                                    pos_img[rows], remat))

    nt = data["h_text"].shape[0]
    if split:
        nc = data["n_text_cond"] if "n_text_cond" in data else nt - b if nt == 2 * b else nt - 1
        vc = run(H, slice(0, b), slice(0, nc))
        vu = run(jax.lax.stop_gradient(H), slice(b, 2 * b), slice(nc, nt))
    else:
        v = run(H, slice(0, 2 * b), slice(0, nt))
        vc, vu = jnp.split(v, 2, 0)
    if detach_uncond:
        vu = jax.lax.stop_gradient(vu)
    v = (vu + 5.0 * (vc - vu)).astype(jnp.float32)
    mean, scale = sde_mean_scale(v, data["x"], data["t"], data["dt"], 0.7)
    lp = log_prob(mean, scale, data["x_next"])
    ratio = jnp.exp(lp - data["old"])
    adv = data["adv"]
    return jnp.mean(jnp.maximum(-adv * ratio, -adv * jnp.clip(ratio, 1 - 1e-4, 1 + 1e-4))), lp


def adamw(p32, g32, m, v, step, lr=1e-5, b1=0.9, b2=0.999, eps=1e-8, wd=1e-4, clip=1.0):
    """Clipped AdamW on the fp32 master weights; also returns the bf16 copy for the next steps."""
    norm = jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in jax.tree.leaves(g32)))
    k = jnp.minimum(1.0, clip / (norm + 1e-6))

    def one(p, g, m, v):
        g = g * k
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        p = p * (1 - lr * wd) - lr * (m / (1 - b1**step)) / (jnp.sqrt(v / (1 - b2**step)) + eps)
        return p, m, v, p.astype(jnp.bfloat16), jnp.zeros_like(g)

    out = jax.tree.map(one, p32, g32, m, v)
    return tuple(jax.tree.map(lambda t: t[i], out, is_leaf=lambda t: isinstance(t, tuple)) for i in range(5)) + (norm,)


# ---------------------------------------------------------------- weights
def shapes(cfg):
    d, cd, hd = cfg.d, cfg.cd, cfg.hd
    dh = d // cfg.heads
    f = cfg.latent * cfg.patch**2
    L, C, B = cfg.layers, cfg.clayers, cfg.hlayers
    P = dict(embed=(cfg.vocab, d), llm_norm=(d,), und_w=(f, cd), und_b=(cd,), gen_w=(f, d), gen_b=(d,), pos=(cfg.n, cd),
             fus_norm=(cd + d,), fus_w1=(cd + d, d), fus_b1=(d,), fus_w2=(d, d), fus_b2=(d,), te_w1=(256, hd), te_b1=(hd,),
             te_w2=(hd, hd), te_b2=(hd,), tp_w=(hd, d), tp_b=(d,), dp_w1=(d, hd), dp_b1=(hd,), dp_w2=(hd, hd), dp_b2=(hd,),
             llm=dict(ln1=(L, d), ln2=(L, d), wqkv=(L, d, (cfg.heads + 2 * cfg.kv) * dh),
                      bqkv=(L, (cfg.heads + 2 * cfg.kv) * dh), wo=(L, d, d), wgu=(L, d, 2 * cfg.ff), wd=(L, cfg.ff, d)),
             und=dict(ln1=(C, cd), ln1b=(C, cd), ln2=(C, cd), ln2b=(C, cd), wqkv=(C, cd, 3 * cd), bqkv=(C, 3 * cd),
                      wo=(C, cd, cd), bo=(C, cd), w1=(C, cd, cfg.cf), b1=(C, cfg.cf), w2=(C, cfg.cf, cd), b2=(C, cd)))
    H = dict(fin_norm=(hd,), fin_w=(hd, f), fin_b=(f,), fin_ada_w=(hd, 2 * hd), fin_ada_b=(2 * hd,),
             blocks=dict(ln1=(B, hd), ln2=(B, hd), qn=(B, cfg.hdim), kn=(B, cfg.hdim),
                         wqkv=(B, hd, (cfg.hheads + 2 * cfg.hkv) * cfg.hdim), wo=(B, cfg.hheads * cfg.hdim, hd),
                         wgu=(B, hd, 2 * cfg.hff), wd=(B, cfg.hff, hd), ada_w=(B, hd, 6 * hd), ada_b=(B, 6 * hd)))
    return P, H


def random_weights(cfg, key, dtype=jnp.bfloat16):
    P, H = shapes(cfg)
    leaves, tree = jax.tree.flatten((P, H), is_leaf=lambda s: isinstance(s, tuple) and not isinstance(s[0], dict))
    keys = jax.random.split(key, len(leaves))

    @functools.partial(jax.jit, static_argnums=(1,))
    def make(k, s):
        if len(s) >= 3 or (len(s) == 2 and s[0] > 64 and s[0] != cfg.layers):
            return (jax.random.normal(k, s, jnp.float32) * (0.7 / s[-2] ** 0.5)).astype(dtype)
        return (1.0 + 0.1 * jax.random.normal(k, s, jnp.float32)).astype(dtype)

    return jax.tree.unflatten(tree, [make(k, s) for k, s in zip(keys, leaves)])


def unstack(tree):
    """Stacked layer arrays to lists of per-layer arrays (for the unrolled programs)."""
    return {k: ({n: list(v) for n, v in tree[k].items()} if isinstance(tree[k], dict) else tree[k]) for k in tree}


# ---------------------------------------------------------------- Wan 2.1 decoder, first frame only (all 2-D)
def conv2(x, w, b):
    """x NHWC, w HWIO."""
    pad = [(w.shape[0] // 2, w.shape[0] // 2)] * 2
    return jax.lax.conv_general_dilated(x, w, (1, 1), pad, dimension_numbers=("NHWC", "HWIO", "NHWC")) + b


def vae_norm(x, g):
    x32 = x.astype(jnp.float32)
    n = jnp.maximum(jnp.sqrt(jnp.sum(x32 * x32, -1, keepdims=True)), 1e-12)
    return (x32 / n * (x.shape[-1] ** 0.5) * g.astype(jnp.float32)).astype(x.dtype)


def vae_res(p, x):
    h = conv2(x, *p["shortcut"]) if "shortcut" in p else x
    y = conv2(jax.nn.silu(vae_norm(x, p["g1"])), *p["c1"])
    return conv2(jax.nn.silu(vae_norm(y, p["g2"])), *p["c2"]) + h


def vae_attn(p, x, impl):
    b, hh, ww, c = x.shape
    qkv = conv2(vae_norm(x, p["g"]), *p["qkv"]).reshape(b, hh * ww, 3, 1, c)
    o = jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], implementation=impl)
    return conv2(o.reshape(b, hh, ww, c), *p["proj"]) + x


def vae_decode(kinds, V, z, impl="xla"):
    """z NHWC, already unscaled. kinds (static) and V as vae_weights returns them."""
    x = z
    for kind, p in zip(kinds, V):
        if kind == "conv":
            x = conv2(x, *p)
        elif kind == "res":
            x = vae_res(p, x)
        elif kind == "attn":
            x = vae_attn(p, x, impl)
        elif kind == "up":
            x = conv2(jnp.repeat(jnp.repeat(x, 2, 1), 2, 2), *p)
        elif kind == "head":
            x = conv2(jax.nn.silu(vae_norm(x, p["g"])), *p["c"])
    return jnp.clip(x.astype(jnp.float32), -1, 1)


def vae_weights(get, dim=96):
    """get(name, shape) returns an array; 3-D kernels give their last time slice (the others meet zero padding)."""
    def conv(name, i, o, k, threed=True):
        shape = (o, i, k, k, k) if threed else (o, i, k, k)
        w = get(name + ".weight", shape)
        w = w[:, :, -1] if threed else w
        return (w.transpose(2, 3, 1, 0), get(name + ".bias", (o,)))

    def res(name, i, o):
        p = dict(g1=get(name + ".residual.0.gamma", (i, 1, 1, 1)).reshape(-1), c1=conv(name + ".residual.2", i, o, 3),
                 g2=get(name + ".residual.3.gamma", (o, 1, 1, 1)).reshape(-1), c2=conv(name + ".residual.6", o, o, 3))
        if i != o:
            p["shortcut"] = conv(name + ".shortcut", i, o, 1)
        return ("res", p)

    dims = [dim * u for u in (4, 4, 4, 2, 1)]
    V = [("conv", conv("conv2", 16, 16, 1)), ("conv", conv("decoder.conv1", 16, dims[0], 3)),
         res("decoder.middle.0", dims[0], dims[0]),
         ("attn", dict(g=get("decoder.middle.1.norm.gamma", (dims[0], 1, 1)).reshape(-1),
                       qkv=conv("decoder.middle.1.to_qkv", dims[0], 3 * dims[0], 1, False),
                       proj=conv("decoder.middle.1.proj", dims[0], dims[0], 1, False))),
         res("decoder.middle.2", dims[0], dims[0])]
    n = 0
    for lv, (i, o) in enumerate(zip(dims[:-1], dims[1:])):
        i = i // 2 if lv else i
        for _ in range(3):
            V.append(res(f"decoder.upsamples.{n}", i, o))
            i, n = o, n + 1
        if lv != 3:
            V.append(("up", conv(f"decoder.upsamples.{n}.resample.1", o, o // 2, 3, False)))
            n += 1
    V.append(("head", dict(g=get("decoder.head.0.gamma", (dims[-1], 1, 1, 1)).reshape(-1),
                           c=conv("decoder.head.2", dims[-1], 3, 3))))
    return tuple(k for k, _ in V), [p for _, p in V]
