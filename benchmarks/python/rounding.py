"""How far bfloat16 takes the numbers of Show-o2 from float32: upstream's PyTorch code beside ours.

Reads the weights and inputs that our section `rounding` wrote into a folder, computes the guided velocity, a short trajectory
and the gradients of the diffusion head with upstream's code, and compares both engines' numbers with PyTorch's in float32.
"""
import contextlib
import glob
import json
import os

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import showo2_ref as ref

ALL_OF, EVERY = 2**16, 61  # which numbers of a gradient are kept, as in rounding.ts
HEAD = "diffusion_head"


def sizes(folder):
    """The sizes of the model in `folder`, as `ref.structure` takes them."""
    with open(os.path.join(folder, "config.json")) as f:
        c = json.load(f)
    head, clip = c["diffusion_head"], c["siglip"]
    pick = lambda source, names: {name: source[name] for name in names.split()}
    return dict(
        vocab=c["llm_vocab_size"],
        llm=pick(c["llm"], "hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads"),
        clip=dict(pick(clip, "hidden_size intermediate_size num_attention_heads"),
                  num_hidden_layers=clip["num_hidden_layers_used"] + 1),  # upstream drops the last one
        head=pick(head, "hidden_size head_dim intermediate_size"), head_heads=head["num_attention_heads"],
        head_kv=head["num_key_value_heads"], head_layers=c["num_diffusion_layers"], grid=c["image_latent_height"],
        latent=c["image_latent_dim"], patch=c["patch_size"])


def load(folder, device, dtype_of):
    """Upstream's model with the stored weights, each in `dtype_of(name)`; the rotary frequencies stay float32, as ours do."""
    from transformers.modeling_utils import no_init_weights
    with no_init_weights():
        model = ref.structure(sizes(folder), device, torch.float32)
    stored = safe_open(os.path.join(folder, "model.safetensors"), "pt", device=str(device))
    for name, p in model.named_parameters():
        p.data = stored.get_tensor(name).to(dtype_of(name))
        p.requires_grad_(HEAD in name)
    return model.eval()


def sequence(inputs, model, dtype, device):
    """Rows [bos] text [boi] [image block], the prompts' and then as many unconditional ones; what follows is never seen."""
    from models import omni_attn_mask_naive
    tokens, lengths = inputs["tokens"].long(), inputs["lengths"].tolist()
    block = model.config.image_latent_height * model.config.image_latent_width + 1
    length = tokens.shape[1] + block
    row = lambda ids: torch.cat([ids, torch.zeros(length - len(ids), dtype=torch.long)])
    texts = [ids[:n] for ids, n in zip(tokens, lengths)]
    texts += [torch.stack([ids[0], ids[-1]]) for ids in texts]  # [bos] [boi]
    text = torch.stack([row(ids) for ids in texts]).to(device)
    positions = torch.tensor([[[len(ids), block]] for ids in texts], device=device)
    mask = omni_attn_mask_naive(len(texts), length, positions, device).to(dtype)
    return dict(text_tokens=text, attention_mask=mask, modality_positions=positions, max_seq_len=length)


def compute(folder, device, dtype, autocast=False):
    """The numbers of one precision. With `autocast` the head is float32 under autocast and the rest bfloat16."""
    inputs = {name: value.to(device) for name, value in load_file(os.path.join(folder, "inputs.safetensors")).items()}
    wide = lambda name: torch.float32 if autocast and HEAD in name else dtype
    model = load(os.path.join(folder, "showo2"), device, wide)
    cast = lambda: torch.autocast(device, dtype=dtype) if autocast else contextlib.nullcontext()
    channels_first = lambda x: x.permute(0, 3, 1, 2)
    rows = sequence({k: inputs[k].cpu() for k in ("tokens", "lengths")}, model, dtype, device)
    scale = inputs["guidanceScale"].item()

    def guided(x, t):
        """The guided velocity as `t2i_generate` makes it; the unconditional branch is a constant, as flow_grpo trains."""
        with cast():
            _, v = model(image_latents=torch.cat([x, x]), t=torch.cat([t, t]), guidance_scale=scale, **rows)
            conditional, unconditional = torch.chunk(v, 2)
            unconditional = unconditional.detach()
            return unconditional + scale * (conditional - unconditional)

    numbers = {}

    def keep(name):
        def hook(p):
            flat = p.grad.float().reshape(-1)
            numbers["gradient." + name] = (flat[::EVERY] if len(flat) > ALL_OF else flat).cpu().clone()
            p.grad = None
        return hook

    for name, p in model.named_parameters():
        if p.requires_grad:
            p.register_post_accumulate_grad_hook(keep(name))
    x = channels_first(inputs["latents"])
    v = guided(x, inputs["times"])
    numbers["velocity"] = v.detach().float()
    (v.float() * channels_first(inputs["lossWeights"])).mean().backward()
    del v
    grid = inputs["schedule"].tolist()
    with torch.no_grad():
        for t, after in zip(grid, grid[1:]):
            x = x + (after - t) * guided(x, torch.full((len(x),), t, device=device)).float()
    numbers["trajectory"] = x
    for name in ("velocity", "trajectory"):
        numbers[name] = numbers[name].permute(0, 2, 3, 1).cpu().contiguous()
    return numbers


def distance(numbers, exact, names, pick=lambda value: value):
    """Norm of the difference over the norm, of the tensors `names` together."""
    weight = lambda name: 1 if name[:9] != "gradient." or exact[name].numel() * EVERY <= ALL_OF else EVERY
    total = lambda of: sum(weight(n) * of(n).double().square().sum().item() for n in names) ** 0.5
    return total(lambda n: pick(numbers[n]) - pick(exact[n])) / total(lambda n: pick(exact[n]))


def compare(folder, device, report):
    modes = dict(float32=(torch.float32,), bfloat16=(torch.bfloat16,), autocast=(torch.bfloat16, True))
    for mode, how in modes.items():
        path = os.path.join(folder, f"torch-{mode}.safetensors")
        if not os.path.exists(path):
            save_file(compute(folder, device, *how), path)
    found = {os.path.basename(path)[:-len(".safetensors")]: load_file(path)
             for engine in ("torch", "ours") for path in sorted(glob.glob(os.path.join(folder, f"{engine}-*.safetensors")))}
    exact = found.pop("torch-float32")
    gradients = [name for name in exact if name.startswith("gradient.")]
    kinds = dict(attention="self_attn", mlp=".mlp.", modulation="adaLN", norms="layernorm", final="head_b")
    for which, numbers in found.items():
        values = {name: distance(numbers, exact, [name]) for name in ("velocity", "trajectory")}
        values["gradients"] = distance(numbers, exact, gradients)
        for name in ("velocity", "trajectory"):
            values[name + "OfImages"] = [float(f"{distance(numbers, exact, [name], lambda v: v[i]):.4g}")
                                         for i in range(len(exact[name]))]
        for kind, part in kinds.items():
            values["gradients." + kind] = distance(numbers, exact, [name for name in gradients if part in name])
        report("rounding." + which, **values)
