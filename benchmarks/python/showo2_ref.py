"""Build the upstream PyTorch Show-o2 with random weights, for timing.

The upstream source is imported from the folder named by SHOWO2_DIR (it holds `models/`); nothing of it is copied here.
No hub access is needed: the two `from_pretrained` calls of the constructor are given local configurations.
"""
import importlib.util
import json
import os
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
for _name in ("USE_FLAX", "USE_TF", "USE_JAX"):
    os.environ.setdefault(_name, "0")

import torch

SIZES = {
    "full": dict(
        vocab=151669,  # len(Qwen2.5 tokenizer) + [PAD], <image>, <|vid_start|>, <|vid_end|>
        llm=dict(hidden_size=1536, intermediate_size=8960, num_hidden_layers=28, num_attention_heads=12,
                 num_key_value_heads=2),
        clip=dict(hidden_size=1152, intermediate_size=4304, num_hidden_layers=27, num_attention_heads=16),
        head=dict(hidden_size=2048, head_dim=64, intermediate_size=8192), head_heads=32, head_kv=8, head_layers=10,
        grid=27, latent=16, patch=2, seq=1024, text_max=128),
    "tiny": dict(
        vocab=160,
        llm=dict(hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4,
                 num_key_value_heads=2),
        clip=dict(hidden_size=48, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4),
        head=dict(hidden_size=128, head_dim=16, intermediate_size=256), head_heads=8, head_kv=2, head_layers=3,
        grid=3, latent=16, patch=2, seq=32, text_max=12),
}


def upstream():
    """Upstream's module with the model. Of timm it takes one function, but timm itself does not load without torchvision."""
    sys.path.insert(0, os.environ["SHOWO2_DIR"])
    try:
        import timm.layers.helpers
    except ImportError:
        for name in ("timm", "timm.layers", "timm.layers.helpers"):
            sys.modules[name] = importlib.util.module_from_spec(importlib.machinery.ModuleSpec(name, None))
        sys.modules["timm.layers.helpers"].to_2tuple = lambda value: value if isinstance(value, tuple) else (value, value)
    import models.modeling_showo2_qwen2_5 as m
    return m


def build(size, device, dtype, seed=0):
    """The upstream module with random weights in `dtype` on `device`."""
    s = SIZES[size]
    model = structure(s, device, dtype)
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim == 1 and ("norm" in name or name == "fusion_proj.0.weight") and name.endswith("weight"):
                p.normal_(1.0, 0.1)
            elif p.ndim == 1:
                p.normal_(0.0, 0.05)
            elif "embed" in name:
                p.normal_(0.0, 0.5 if size == "tiny" else 0.1)
            else:
                p.normal_(0.0, 0.7 / p[0].numel() ** 0.5)
    return model.eval()


def structure(s, device, dtype):
    """The upstream module of sizes `s` as its constructor leaves it."""
    m = upstream()
    from transformers.models.siglip.configuration_siglip import SiglipConfig

    llm_dir = tempfile.mkdtemp()
    with open(os.path.join(llm_dir, "config.json"), "w") as f:
        json.dump(dict(architectures=["Qwen2ForCausalLM"], model_type="qwen2", hidden_act="silu", attention_dropout=0.0,
                       max_position_embeddings=32768, rms_norm_eps=1e-6, rope_theta=1000000.0, sliding_window=32768,
                       max_window_layers=21, use_sliding_window=False, tie_word_embeddings=True, use_cache=True,
                       vocab_size=s["vocab"], **s["llm"]), f)

    upstream_head = m.DiffusionHeadConfig

    def head_config():
        c = upstream_head(**s["head"])
        c.num_attention_heads, c.num_key_value_heads = s["head_heads"], s["head_kv"]
        return c

    def siglip(cls, *_a, **_k):
        n = s["grid"]
        return cls(SiglipConfig(
            text_config=dict(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
                             vocab_size=64, max_position_embeddings=4, projection_size=32),
            vision_config=dict(image_size=14 * n, patch_size=14, hidden_act="gelu_pytorch_tanh", layer_norm_eps=1e-6,
                               **s["clip"])))

    m.DiffusionHeadConfig = head_config
    m.SiglipModel.from_pretrained = classmethod(siglip)
    old = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = m.Showo2Qwen2_5(
                llm_vocab_size=s["vocab"], llm_model_path=llm_dir, load_from_showo=True, image_latent_dim=s["latent"],
                image_latent_height=s["grid"], image_latent_width=s["grid"], video_latent_height=s["grid"],
                video_latent_width=s["grid"], patch_size=s["patch"], hidden_size=s["llm"]["hidden_size"],
                clip_latent_dim=s["clip"]["hidden_size"], num_diffusion_layers=s["head_layers"], add_time_embeds=True,
                add_qk_norm=True, clip_pretrained_model_path="")
    finally:
        torch.set_default_dtype(old)
        m.DiffusionHeadConfig = upstream_head
    # as upstream's `model.to(weight_type)`: in bf16 this also rounds the rotary `inv_freq` buffers
    return model.to(device=device, dtype=dtype)


def text_lengths(size, batch):
    """Prefix lengths (bos + prompt + boi) of the conditional rows; unconditional rows have 2."""
    hi = SIZES[size]["text_max"]
    return [max(3, round(hi * (i + 1) / batch)) for i in range(batch)]


def batch_inputs(size, batch, device, dtype, seed=1):
    """Token rows, mask, positions and latents as inference_t2i.py builds them with guidance on."""
    from models import omni_attn_mask_naive

    s = SIZES[size]
    g = torch.Generator().manual_seed(seed)
    n_img = s["grid"] ** 2 + 1
    rows, pos = [], []
    for k in text_lengths(size, batch) + [2] * batch:
        tail = s["seq"] - k - n_img
        rows.append(torch.cat([torch.randint(0, s["vocab"], (k,), generator=g),
                               torch.full((n_img,), 7), torch.randint(0, s["vocab"], (tail,), generator=g)]))
        pos.append(torch.tensor([[k, n_img]]))
    # every unconditional row carries the same two prefix tokens
    for r in rows[batch:]:
        r[:2] = rows[batch][:2]
    text = torch.stack(rows).to(device)
    positions = torch.stack(pos).to(device)
    mask = omni_attn_mask_naive(2 * batch, s["seq"], positions, device).to(dtype)
    side = s["grid"] * s["patch"]
    z = torch.randn((batch, s["latent"], side, side), generator=g).to(device)
    return text, positions, mask, z
