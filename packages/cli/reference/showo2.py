"""Writes numbers of the published Show-o2 code, for `flow-grpo verify MODEL --reference FILE`.

    git clone https://github.com/showlab/Show-o
    pip install -r of its build_env.sh, and safetensors
    python showo2.py --upstream Show-o/show-o2 --out showo2.safetensors

Show-o2 runs in float32, on a GPU where there is one. The file has, for two prompts: token sequences, the velocity of
the conditional branch at given noise and times, and an image that the VAE decodes from given latents. Layouts are
upstream's own. The weights are those that the configuration names.
"""

import argparse
import json
import os
import sys

import torch
from safetensors.torch import save_file

PROMPTS = ["a red apple on a wooden table", "a lighthouse on a cliff at sunset, with waves below"]

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("--upstream", required=True, help="the folder show-o2 of a clone of showlab/Show-o")
arguments.add_argument("--config", default="configs/showo2_1.5b_demo_432x432.yaml", help="relative to it")
arguments.add_argument("--model", help="in place of the configuration's pretrained_model_path")
arguments.add_argument("--vae", help="in place of the configuration's Wan2.1_VAE.pth")
arguments.add_argument("--out", required=True)
given = arguments.parse_args()
out = os.path.abspath(given.out)

os.chdir(given.upstream)
sys.path.insert(0, os.getcwd())
from models import Showo2Qwen2_5, WanVAE, omni_attn_mask_naive  # noqa: E402
from models.misc import get_text_tokenizer, prepare_gen_input  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402
from utils import get_hyper_params, path_to_llm_name  # noqa: E402

config = OmegaConf.load(given.config)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False

llm = config.model.showo.llm_model_path
tokenizer, token_ids = get_text_tokenizer(
    llm, add_showo_tokens=True, return_showo_token_ids=True, llm_name=path_to_llm_name[llm]
)
config.model.showo.llm_vocab_size = len(tokenizer)
if config.model.showo.add_time_embeds:  # the time's token stands before the image's
    for name in ("num_t2i_image_tokens", "num_mmu_image_tokens", "num_video_tokens"):
        config.dataset.preprocessing[name] += 1
(
    image_tokens, _, _, _, max_text_len, channels, patch, width, height,
    pad_id, bos_id, eos_id, boi_id, eoi_id, _, _, img_pad_id, _, _,
) = get_hyper_params(config, tokenizer, token_ids)  # fmt: skip

model = Showo2Qwen2_5.from_pretrained(
    given.model or config.model.showo.pretrained_model_path, use_safetensors=False
)
model = model.to(device=device, dtype=torch.float32).eval()
vae = WanVAE(
    vae_pth=given.vae or config.model.vae_model.pretrained_model_path, dtype=torch.float32, device=device
)

text_tokens, _, positions, _ = prepare_gen_input(
    PROMPTS, tokenizer, image_tokens, bos_id, eos_id, boi_id, eoi_id, pad_id, img_pad_id, max_text_len, device
)
random = torch.Generator().manual_seed(1)
shape = (len(PROMPTS), channels, height * patch, width * patch)
latents = torch.randn(shape, generator=random)
vae_latents = 0.7 * torch.randn(shape, generator=random)
times = torch.tensor([0.25, 0.75])
length = text_tokens.shape[1]
mask = omni_attn_mask_naive(len(PROMPTS), length, positions, device).to(torch.float32)

with torch.no_grad():
    velocity = model.t2i_generate(
        latents.to(device),
        times.to(device),
        text_tokens=text_tokens,
        attention_mask=mask,
        modality_positions=positions,
        output_hidden_states=True,
        max_seq_len=length,
        guidance_scale=0.0,
    )
    image = vae.batch_decode(vae_latents.to(device).unsqueeze(2)).squeeze(2).clamp(-1, 1)

tensors = {
    "text_tokens": text_tokens,
    "modality_positions": positions,
    "latents": latents,
    "t": times,
    "velocity": velocity,
    "vae_latents": vae_latents,
    "image": image,
}
whole = (torch.int64, torch.int32)
stored = {
    name: (value if value.dtype in whole else value.float()).cpu().contiguous() for name, value in tensors.items()
}
save_file(stored, out, metadata={"prompts": json.dumps(PROMPTS)})
for name, value in stored.items():
    print(f"{name:20} {list(value.shape)} {value.dtype}")
print(f"written: {out}")
