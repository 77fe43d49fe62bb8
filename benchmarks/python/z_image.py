"""Z-Image in diffusers: the model and the numbers that our section `zImage` left in a folder, timed and compared."""
import glob
import os
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from safetensors.torch import load_file

PROMPT = " ".join(["word"] * 8)
CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
GUIDANCE = 4.0


def distance(found, expected):
    """|found - expected| / |expected|, over all numbers."""
    found, expected = found.double(), expected.double()
    return ((found - expected).norm() / expected.norm()).item()


def load(folder, device, dtype):
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
    from transformers import PreTrainedTokenizerFast, Qwen3Model
    part = lambda kind, name, dtype: kind.from_pretrained(os.path.join(folder, name), torch_dtype=dtype).to(device).eval()
    pipeline = ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler.from_pretrained(os.path.join(folder, "scheduler")),
        vae=part(AutoencoderKL, "vae", dtype), text_encoder=part(Qwen3Model, "text_encoder", dtype),
        tokenizer=PreTrainedTokenizerFast(tokenizer_file=os.path.join(folder, "tokenizer", "tokenizer.json")),
        transformer=part(ZImageTransformer2DModel, "transformer", dtype))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def states_of(pipeline, prompt):
    """What the transformer reads of a prompt: [tokens, width]."""
    ids = pipeline.tokenizer.encode(CHAT.format(prompt), add_special_tokens=False)
    ids = torch.tensor([ids], device=pipeline.text_encoder.device)
    return pipeline.text_encoder(input_ids=ids, output_hidden_states=True).hidden_states[-2][0]


@torch.no_grad()
def measure(kept, device, rounds, steps, timed, wait, fresh, peak, report):
    folder = os.path.join(kept, "z-image")
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    fresh()
    begun = time.perf_counter()
    pipeline = load(folder, device, dtype)
    wait()
    report("zImage.load", seconds=time.perf_counter() - begun, **peak())

    time_of = lambda run, n=rounds: timed(run, wait, rounds=n)
    report("zImage.text", **time_of(lambda: states_of(pipeline, PROMPT)))
    captions, negative = [states_of(pipeline, PROMPT)], [states_of(pipeline, "")]
    size_of = lambda file: int(os.path.splitext(file)[0].split("-")[-1])
    for file in sorted(glob.glob(os.path.join(kept, "z-image-*.safetensors")), key=size_of, reverse=True):
        name = size_of(file)
        given = {key: value.to(device) for key, value in load_file(file).items()}
        latents = given["latents"].permute(0, 3, 1, 2)
        rows, t = list(latents.to(dtype).unsqueeze(2)), given["t"]
        transformer = pipeline.transformer
        velocity = lambda: transformer(rows, t, captions, return_dict=False)[0][0]

        def guided():
            both = transformer(rows * 2, t.repeat(2), captions + negative, return_dict=False)[0]
            conditional, unconditional = (v.float() for v in both)
            return conditional + GUIDANCE * (conditional - unconditional)

        config = pipeline.vae.config
        decode = lambda: pipeline.vae.decode((latents / config.scaling_factor + config.shift_factor).to(dtype))[0]
        image = lambda: pipeline(
            prompt_embeds=captions, guidance_scale=0, num_inference_steps=steps, output_type="pt",
            height=latents.shape[2] * pipeline.vae_scale_factor, width=latents.shape[3] * pipeline.vae_scale_factor,
        ).images.cpu()
        fresh()
        report(f"zImage.step{name}", **time_of(velocity), **peak())
        report(f"zImage.guidedStep{name}", **time_of(guided), **peak())
        report(f"zImage.decode{name}", **time_of(decode), **peak())
        report(f"zImage.image{name}", **time_of(image, 2), steps=steps, **peak())

    # Of the smallest images: in float32 the model takes twice the memory.
    compare(pipeline, given, captions, velocity, decode, report)


def compare(pipeline, given, captions, velocity, decode, report):
    """How far both engines' numbers are from diffusers' in float32."""
    theirs = dict(states=captions[0], velocity=velocity()[:, 0], decoded=decode()[0])
    config = pipeline.vae.config
    for part in (pipeline.text_encoder, pipeline.transformer, pipeline.vae):
        part.to(torch.float32)
    latents = given["latents"].permute(0, 3, 1, 2)
    states = states_of(pipeline, PROMPT)
    exact = dict(
        states=states,
        velocity=pipeline.transformer(list(latents.unsqueeze(2)), given["t"], [states], return_dict=False)[0][0][:, 0],
        decoded=pipeline.vae.decode(latents / config.scaling_factor + config.shift_factor)[0][0])
    ours = dict(states=given["states"][0, : int(given["length"][0])],
                velocity=given["velocity"][0].permute(2, 0, 1), decoded=given["decoded"][0].permute(2, 0, 1))
    for name, expected in exact.items():
        report(f"zImage.distance.{name}", ours=distance(ours[name], expected), torch=distance(theirs[name], expected))
