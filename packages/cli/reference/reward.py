"""Writes scores of a reward model by transformers, for `flow-grpo verify MODEL --reward NAME --reference FILE`.

    pip install torch transformers safetensors pillow
    python reward.py pickscore --images some-folder --out pickscore.safetensors

PickScore and CLIP are computed as flow_grpo computes them, ImageReward by its own package (pip install image-reward). The
images are cut to squares of one size first, so that the file holds exactly what was scored; their names without the
ending, with blanks for hyphens, are the prompts.
"""

import argparse
import json
from pathlib import Path

import numpy
import torch
from PIL import Image
from safetensors.torch import save_file

MODELS = {
    "pickscore": "yuvalkirstain/PickScore_v1",
    "clipscore": "openai/clip-vit-large-patch14",
    "imagereward": "ImageReward-v1.0",
}
PROCESSORS = {"pickscore": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "clipscore": "openai/clip-vit-large-patch14"}

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("reward", choices=sorted(MODELS))
arguments.add_argument("--images", required=True, help="a folder; red-apple.png has the prompt 'red apple'")
arguments.add_argument("--model", help="in place of the published one")
arguments.add_argument("--processor", help="in place of the published one")
arguments.add_argument("--size", type=int, default=432)
arguments.add_argument("--out", required=True)
given = arguments.parse_args()


def square(path):
    image = Image.open(path).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side)).resize((given.size, given.size), Image.BICUBIC)


paths = sorted(path for path in Path(given.images).iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
if not paths:
    raise SystemExit(f"{given.images} has no PNG or JPEG file")
images = [square(path) for path in paths]
prompts = [path.stem.replace("-", " ") for path in paths]
device = "cuda" if torch.cuda.is_available() else "cpu"
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False


def clip_scores():
    from transformers import AutoModel, AutoProcessor

    model = AutoModel.from_pretrained(given.model or MODELS[given.reward]).float().to(device).eval()
    processor = AutoProcessor.from_pretrained(given.processor or PROCESSORS[given.reward])
    pictures = processor(images=images, return_tensors="pt").to(device)
    texts = processor(text=prompts, padding=True, truncation=True, max_length=77, return_tensors="pt").to(device)
    with torch.no_grad():
        of_images = torch.nn.functional.normalize(features(model.get_image_features(**pictures)), dim=-1)
        of_texts = torch.nn.functional.normalize(features(model.get_text_features(**texts)), dim=-1)
        cosines = (of_images * of_texts).sum(-1)
        # As flow_grpo scales them, to come near to 1.
        return model.logit_scale.exp() * cosines / (26 if given.reward == "pickscore" else 30)


def features(output):
    """Newer versions of transformers wrap the projected features."""
    return output if isinstance(output, torch.Tensor) else output.pooler_output


def image_rewards():
    import ImageReward

    model = ImageReward.load(given.model or MODELS[given.reward], device=device)
    with torch.no_grad():
        return torch.tensor([model.score(prompt, image) for prompt, image in zip(prompts, images)])


scores = image_rewards() if given.reward == "imagereward" else clip_scores()
pixels = torch.from_numpy(numpy.stack([numpy.asarray(image) for image in images]).astype("int32"))
save_file(
    {"images": pixels, "scores": scores.float().cpu().contiguous()},
    given.out,
    metadata={"prompts": json.dumps(prompts)},
)
for prompt, score in zip(prompts, scores.tolist()):
    print(f"{score:10.5f}  {prompt}")
print(f"written: {given.out}")
