"""Time the upstream PyTorch Show-o2 (folder SHOWO2_DIR) on the Flow-GRPO work, as people run it today."""
import gc
import math
import os
import subprocess
import sys
import tempfile
import time

import torch

import common
import showo2_ref as ref

OPTIONS = common.options()
SIZE = OPTIONS.size
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CUDA = DEVICE == "cuda"
B = common.BATCH[SIZE]
ROUNDS = 10 if SIZE == "full" else 2
report = common.reporter("torch")


def wait(_=None):
    if CUDA:
        torch.cuda.synchronize()


def fresh():
    gc.collect()
    if CUDA:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak():
    return dict(peakGiB=torch.cuda.max_memory_allocated() / 2**30) if CUDA else {}


def autocast():
    return torch.autocast(DEVICE, dtype=torch.bfloat16)


# ---------------------------------------------------------------- micro-benchmarks
def matmul():
    n = common.MATMUL[SIZE]
    a, b = (torch.randn(n, n, device=DEVICE).to(torch.bfloat16) for _ in range(2))
    r = common.timed_many(lambda: a @ b, wait, rounds=ROUNDS)
    report("matmul.square", **r, size=n, tflops=2 * n**3 / r["ms"] / 1e9)


def attention():
    s = common.ATTENTION[SIZE]
    heads = lambda n: torch.randn(s["batch"], n, s["length"], s["size"], device=DEVICE).to(torch.bfloat16)
    q, k, v, dy = heads(s["heads"]), heads(s["kvHeads"]), heads(s["kvHeads"]), heads(s["heads"])
    f = torch.nn.functional.scaled_dot_product_attention
    flops = 4 * s["batch"] * s["heads"] * s["length"] ** 2 * s["size"]
    with torch.no_grad():
        r = common.timed_many(lambda: f(q, k, v, enable_gqa=True), wait, rounds=ROUNDS)
    report("attention.forward", **r, **s, tflops=flops / r["ms"] / 1e9)
    leaves = [x.requires_grad_() for x in (q, k, v)]
    both = lambda: torch.autograd.grad(f(*leaves, enable_gqa=True), leaves, dy)
    r = common.timed_many(both, wait, rounds=ROUNDS)
    report("attention.forwardBackward", **r, **s, tflops=3.5 * flops / r["ms"] / 1e9)


def dispatch():
    x = torch.ones(8, device=DEVICE)
    r = common.timed_dispatch(lambda: torch.neg(x), wait, rounds=ROUNDS)
    report("dispatch.eager", **r, microseconds=r["ms"] * 1e3)
    r = common.timed(lambda: torch.neg(x).cpu(), wait, rounds=10 * ROUNDS)
    report("dispatch.roundTrip", **r, microseconds=r["ms"] * 1e3)


def all_reduce():
    if CUDA and torch.cuda.device_count() < 2:
        print("allReduce needs two GPUs")
        return
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "all_reduce.py")
    subprocess.run([sys.executable, script, str(common.ALL_REDUCE[SIZE]), str(ROUNDS)], check=True)


# ---------------------------------------------------------------- Flow-GRPO's step
def step_numbers(t, dt):
    """Mean and scale of the SDE step as flow_grpo computes them, in Show-o2's time (sigma = 1 - t)."""
    s, d = (1 - t).view(-1, 1, 1, 1), -dt.view(-1, 1, 1, 1)
    std = torch.sqrt(s / (1 - torch.where(s == 1, torch.full_like(s, 0.98), s))) * common.NOISE_LEVEL

    def mean(x, v):
        return x * (1 + std**2 / (2 * s) * d) - v * (1 + std**2 * (1 - s) / (2 * s)) * d

    return mean, std * torch.sqrt(-d)


def log_prob(mean, scale, x_next):
    value = -((x_next - mean) ** 2) / (2 * scale**2) - torch.log(scale) - 0.5 * math.log(2 * math.pi)
    return value.mean(dim=(1, 2, 3))


def schedule():
    n, shift = common.STEPS[SIZE], 3.0
    ts = [i / n for i in range(n + 1)]
    return [t / (t + shift - shift * t) for t in ts]


# ---------------------------------------------------------------- rollout
def rollout_model():
    model = ref.build(SIZE, DEVICE, torch.bfloat16)
    for p in model.parameters():
        p.requires_grad_(False)
    return model


def rollout_step(model):
    text, pos, mask, z = ref.batch_inputs(SIZE, B, DEVICE, torch.bfloat16)
    x = torch.cat([z, z]).to(torch.bfloat16)
    t = torch.full((2 * B,), 0.3, device=DEVICE)
    kw = dict(image_latents=x, t=t, text_tokens=text, attention_mask=mask, guidance_scale=common.GUIDANCE,
              max_seq_len=ref.SIZES[SIZE]["seq"])
    return lambda: model.t2i_generate(modality_positions=pos, **kw)


def rollout():
    fresh()
    begun = time.perf_counter()
    model = rollout_model()
    wait()
    report("rollout.weights", seconds=time.perf_counter() - begun, parameters=sum(p.numel() for p in model.parameters()))
    step = rollout_step(model)
    r = common.timed(step, wait, rounds=ROUNDS)
    report("rollout.step", **r, **peak(), imagesPerSecond=B / (common.STEPS[SIZE] * r["ms"] / 1e3))


def compiled():
    fresh()
    model = rollout_model()
    model.forward = torch.compile(model.forward)
    step = rollout_step(model)
    begun = time.perf_counter()
    step()
    wait()
    seconds = time.perf_counter() - begun
    r = common.timed(step, wait, rounds=ROUNDS)
    report("rollout.stepCompiled", **r, **peak(), compileSeconds=seconds)


# ---------------------------------------------------------------- VAE
def wan_vae():
    sys.path.insert(0, os.environ["SHOWO2_DIR"])
    from models.wan21_vae import WanVAE, WanVAE_
    dim = 96 if SIZE == "full" else 8
    net = WanVAE_(dim=dim, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=2, attn_scales=[],
                  temperal_downsample=[False, True, True])
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "gamma" in name:
                p.fill_(1.0)
            elif p.ndim == 1:
                p.normal_(0, 0.02)
            else:
                p.normal_(0, 1.0 / p[0].numel() ** 0.5)
    if SIZE == "tiny":
        return lambda z: net.decode(z.float(), [torch.zeros(16), torch.ones(16)])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vae.pth")
        torch.save(net.state_dict(), path)
        vae = WanVAE(vae_pth=path, dtype=torch.bfloat16, device=DEVICE)
    return vae.batch_decode


def decode():
    fresh()
    run = wan_vae()
    side = ref.SIZES[SIZE]["grid"] * 2
    z = torch.randn(B, 16, 1, side, side, device=DEVICE, dtype=torch.bfloat16)
    with torch.no_grad():
        r = common.timed(lambda: run(z), wait, rounds=ROUNDS)
    report("decode.images", **r, **peak(), images=B, imagesPerSecond=B / (r["ms"] / 1e3))


# ---------------------------------------------------------------- update
def trained_model():
    """Frozen part bfloat16, diffusion head float32, as mixed-precision training holds them."""
    model = ref.build(SIZE, DEVICE, torch.float32)
    for name, p in model.named_parameters():
        p.requires_grad_("diffusion" in name)
        if "diffusion" not in name:
            p.data = p.data.to(torch.bfloat16)
    model.train()
    params = [p for p in model.parameters() if p.requires_grad]
    return model, params


def adamw(params, fused):
    return torch.optim.AdamW(params, lr=5e-6, betas=(0.9, 0.999), weight_decay=1e-4, eps=1e-8, fused=fused)


def guided(model, text, pos, mask, x, t):
    """Guided velocity; the unconditional branch is detached, as flow_grpo's train_sd3.py does."""
    _, v = model(text, image_latents=torch.cat([x, x]), t=torch.cat([t, t]), attention_mask=mask, modality_positions=pos,
                 guidance_scale=common.GUIDANCE, output_hidden_states=True, max_seq_len=ref.SIZES[SIZE]["seq"])
    v_cond, v_uncond = torch.chunk(v, 2)
    v_uncond = v_uncond.detach()
    return v_uncond + common.GUIDANCE * (v_cond - v_uncond)


def policy_loss(model, inputs, x, x_next, t, dt, advantages):
    mean, scale = step_numbers(t, dt)
    lp = log_prob(mean(x, guided(model, *inputs, x, t).float()), scale, x_next)
    ratio = torch.exp(lp - lp.detach())
    clipped = torch.clamp(ratio, 1 - common.CLIP_RANGE, 1 + common.CLIP_RANGE)
    return torch.mean(torch.maximum(-advantages * ratio, -advantages * clipped))


def update():
    fresh()
    model, params = trained_model()
    *inputs, z = ref.batch_inputs(SIZE, B, DEVICE, torch.bfloat16)
    x = z.float()
    x_next = x + 0.05 * torch.randn_like(x)
    t, dt = torch.full((B,), 0.3, device=DEVICE), torch.full((B,), 0.08, device=DEVICE)
    advantages = torch.linspace(-1, 1, B, device=DEVICE)

    def micro():
        with autocast():
            loss = policy_loss(model, inputs, x, x_next, t, dt, advantages)
        loss.backward()

    r = common.timed(micro, wait, rounds=ROUNDS)
    report("update.step", **r, **peak(), imageStepsPerSecond=B / (r["ms"] / 1e3))
    for fused in (False, True) if CUDA else (False,):
        optimizer = adamw(params, fused)

        def step():
            torch.nn.utils.clip_grad_norm_(params, 1.0)
            optimizer.step()

        r = common.timed(step, wait, rounds=ROUNDS)
        report("update.optimizerFused" if fused else "update.optimizer", **r,
               parameters=sum(p.numel() for p in params))
        del optimizer


# ---------------------------------------------------------------- PickScore
def pick_score(dtype=torch.float32):
    """CLIP-H with random weights behind PickScore's preprocessing: images [B, 3, H, W] in [0, 1] to scores."""
    import numpy as np
    from PIL import Image
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel
    if SIZE == "full":
        vision = dict(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=16,
                      image_size=224, patch_size=14, hidden_act="gelu")
        text = dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16,
                    vocab_size=49408, hidden_act="gelu", projection_dim=1024)
    else:
        vision = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=28,
                      patch_size=14, hidden_act="gelu")
        text = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, vocab_size=64,
                    hidden_act="gelu", eos_token_id=63)
    with torch.device(DEVICE):
        clip = CLIPModel(CLIPConfig(vision_config=vision, text_config=text,
                                    projection_dim=1024 if SIZE == "full" else 16)).eval().to(dtype)
    edge = vision["image_size"]
    processor = CLIPImageProcessor(size=dict(shortest_edge=edge), crop_size=dict(height=edge, width=edge))
    tokens = torch.randint(3, text["vocab_size"] - 2, (B, 77), device=DEVICE)
    tokens[:, -1] = text["vocab_size"] - 1

    @torch.no_grad()
    def score(images):
        arrays = (images * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy().transpose(0, 2, 3, 1)
        pixels = processor([Image.fromarray(np.ascontiguousarray(a)) for a in arrays], return_tensors="pt")["pixel_values"]
        image = clip.get_image_features(pixel_values=pixels.to(DEVICE, dtype))
        words = clip.get_text_features(input_ids=tokens)
        image, words = (f / f.norm(dim=-1, keepdim=True) for f in (image, words))
        return (clip.logit_scale.exp() * (image * words).sum(-1) / 26).cpu()

    return score


def scorer():
    fresh()
    run = pick_score()
    side = ref.SIZES[SIZE]["grid"] * 16
    images = torch.rand(B, 3, side, side, device=DEVICE)
    report("scorer.images", **common.timed(lambda: run(images), wait, rounds=ROUNDS), **peak(), images=B)


# ---------------------------------------------------------------- epoch
def epoch():
    """The recipe's epoch in the order of the reference script: sample, decode, score, then update step by step."""
    fresh()
    model, params = trained_model()
    optimizer = adamw(params, fused=False)
    average = [p.detach().clone() for p in params]
    run_decode, run_score = wan_vae(), pick_score()
    *inputs, z = ref.batch_inputs(SIZE, B, DEVICE, torch.bfloat16)
    times = schedule()
    steps = len(times) - 1
    vector = lambda value: torch.full((B,), value, device=DEVICE)
    seconds = {}

    def lap(name, begun):
        wait()
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - begun

    @torch.no_grad()
    def sample():
        x = torch.randn(z.shape, device=DEVICE)
        path = []
        for i in range(steps):
            t, dt = vector(times[i]), vector(times[i + 1] - times[i])
            with autocast():
                v = guided(model, *inputs, x, t).float()
            if i in (0, steps - 1):
                x = x + v * dt.view(-1, 1, 1, 1)
                continue
            mean, scale = step_numbers(t, dt)
            mean = mean(x, v)
            x_next = mean + scale * torch.randn_like(x)
            path.append((x, x_next, t, dt, log_prob(mean, scale, x_next)))
            x = x_next
        return x, path

    def one():
        seconds.clear()
        batches = []
        for _ in range(common.BATCHES_PER_EPOCH):
            begun = time.perf_counter()
            model.eval()
            x, path = sample()
            lap("secondsRollout", begun)
            begun = time.perf_counter()
            with torch.no_grad():
                images = run_decode(x[:, :, None].to(torch.bfloat16)).float()
                images = (images.reshape(B, 3, *images.shape[-2:]) * 0.5 + 0.5).clamp(0, 1)
            lap("secondsDecode", begun)
            begun = time.perf_counter()
            batches.append((path, run_score(images)))
            lap("secondsReward", begun)
        rewards = torch.cat([scores for _, scores in batches])
        begun = time.perf_counter()
        model.train()
        for path, scores in batches:  # one optimizer step a batch: two an epoch
            advantages = ((scores - rewards.mean()) / (rewards.std() + 1e-4)).to(DEVICE).clamp(-5, 5)
            for x, x_next, t, dt, _ in path:
                with autocast():
                    loss = policy_loss(model, inputs, x, x_next, t, dt, advantages) / len(path)
                loss.backward()
            torch.nn.utils.clip_grad_norm_(params, 1.0)
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            torch._foreach_lerp_(average, params, 0.1)
        lap("secondsUpdate", begun)

    r = common.timed(one, wait, rounds=2, warm=1)
    images = B * common.BATCHES_PER_EPOCH
    report("epoch.recipe", **r, **peak(), images=images, imagesPerSecond=images / (r["ms"] / 1e3), **seconds)


# ---------------------------------------------------------------- rounding
def rounding():
    from rounding import compare
    fresh()
    folder = os.environ.get("FLOW_GRPO_BENCH_KEEP")
    if not folder:
        raise RuntimeError("rounding needs --keep FOLDER, where our section of that name has left weights and numbers")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    compare(folder, DEVICE, report)


# ---------------------------------------------------------------- Z-Image
def z_image():
    from z_image import measure
    folder = os.environ.get("FLOW_GRPO_BENCH_KEEP")
    if not folder:
        raise RuntimeError("zImage needs --keep FOLDER, where our section of that name has left its model and numbers")
    measure(folder, DEVICE, 5 if SIZE == "full" else 2, common.Z_IMAGE_STEPS[SIZE], common.timed, wait, fresh, peak, report)


if CUDA:
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
report("versions", torch=torch.__version__, cudnn=torch.backends.cudnn.version(),
       device=torch.cuda.get_device_name() if CUDA else "cpu")
TABLE = dict(matmul=matmul, attention=attention, dispatch=dispatch, rollout=rollout, decode=decode, update=update,
             epoch=epoch, scorer=scorer, allReduce=all_reduce, rounding=rounding, compiled=compiled, zImage=z_image)
WANTED = OPTIONS.sections + (["compiled"] if CUDA and "rollout" in OPTIONS.sections else [])
common.run_sections(TABLE, WANTED, OPTIONS.seconds)
