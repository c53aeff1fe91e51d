"""PerSAM-assisted DreamBooth with diffusers: the subject is learned, its background is not.

First show the subject once and let segue mask it in the other photos, then train:

    segue find --reference photos/0.jpg --mask 0.png photos -o found
    python examples/dreambooth_with_masks.py --photos photos --masks found/masks --prompt "a sks dog" \\
        --class-prompt "a dog" --class-images dogs --model stabilityai/stable-diffusion-2-1-base -o trained

Needs the extra 'dreambooth' (diffusers) and, for a real model, a GPU.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from segue.data.io.image import find_images, read_image
from segue.training.dreambooth import Subjects, collate, dreambooth_loss, latent_mask, split_prior


@dataclass(frozen=True)
class Settings:
    """DreamBooth's own values, but for the masks."""

    prompt: str
    class_prompt: str = ""
    steps: int = 800
    rate: float = 5e-6
    batch: int = 1
    prior_weight: float = 1.0
    seed: int = 0


def train(pipe: Any, subjects: Subjects, class_pixels: torch.Tensor | None, settings: Settings) -> list[float]:
    """Fine-tune ``pipe.unet`` on the subject, background left out; the loss of every step.

    ``pipe`` is a diffusers pipeline with ``unet``, ``vae``, ``text_encoder``, ``tokenizer`` and ``scheduler``;
    ``class_pixels`` (n, 3, s, s) in [-1, 1] are pictures of the class for prior preservation, or None.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    device = pipe.unet.device
    optimiser = torch.optim.AdamW(pipe.unet.parameters(), lr=settings.rate)
    loader = DataLoader(subjects, settings.batch, shuffle=True, collate_fn=collate, generator=generator)
    words = [settings.prompt] + ([settings.class_prompt] if class_pixels is not None else [])
    texts = torch.cat([embed(pipe, text) for text in words])
    losses: list[float] = []
    while len(losses) < settings.steps:
        for item in loader:
            pixels, count = item["pixels"], len(item["pixels"])
            if class_pixels is not None:
                chosen = torch.randint(len(class_pixels), (count,), generator=generator)
                pixels = torch.cat((pixels, class_pixels[chosen]))
            prediction, target = predict(pipe, pixels.to(device), texts.repeat_interleave(count, 0), generator)
            size = (target.shape[2], target.shape[3])
            mask = latent_mask(item["mask"].to(device), size)
            prior = None
            if class_pixels is not None:
                (prediction, prior_prediction), (target, prior_target) = split_prior(prediction), split_prior(target)
                prior = (prior_prediction, prior_target)
            loss = dreambooth_loss(prediction, target, mask, prior, settings.prior_weight)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss))
            if len(losses) == settings.steps:
                break
    return losses


def embed(pipe: Any, text: str) -> torch.Tensor:
    """(1, n, c) states of the frozen text encoder."""
    length = pipe.tokenizer.model_max_length
    tokens = pipe.tokenizer(text, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    with torch.no_grad():
        states: torch.Tensor = pipe.text_encoder(tokens.input_ids.to(pipe.unet.device))[0]
    return states


def predict(
    pipe: Any, pixels: torch.Tensor, texts: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """(b, c, h, w) what the UNet says of noised latents, and what it should say (noise or velocity)."""
    with torch.no_grad():
        latents = pipe.vae.encode(pixels).latent_dist.sample() * pipe.vae.config.scaling_factor
    noise = torch.randn(latents.shape, generator=generator).to(latents)
    steps = torch.randint(pipe.scheduler.config.num_train_timesteps, (len(latents),), generator=generator)
    steps = steps.to(latents.device)
    noised = pipe.scheduler.add_noise(latents, noise, steps)
    prediction = pipe.unet(noised, steps, texts).sample
    velocity = pipe.scheduler.config.prediction_type == "v_prediction"
    return prediction, pipe.scheduler.get_velocity(latents, noise, steps) if velocity else noise


def read_pixels(folder: Path, size: int) -> torch.Tensor:
    """All pictures of ``folder`` as (n, 3, size, size) in [-1, 1], squashed to the square."""
    pictures = [torch.from_numpy(read_image(p)).permute(2, 0, 1)[None].float() for p in find_images([folder])]
    squares = [torch.nn.functional.interpolate(p, (size, size), mode="bilinear", antialias=True) for p in pictures]
    return torch.cat(squares) / 127.5 - 1


def main() -> None:
    """Read the arguments, train, save the pipeline."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a diffusers pipeline: Hugging Face id or folder")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--class-prompt", default="")
    parser.add_argument("--class-images", type=Path)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()

    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(given.model).to("cuda" if torch.cuda.is_available() else "cpu")
    subjects = Subjects(given.photos, given.masks, size=given.size, crop="random", flip=True)
    class_pixels = read_pixels(given.class_images, given.size) if given.class_images else None
    losses = train(pipe, subjects, class_pixels, Settings(given.prompt, given.class_prompt, given.steps))
    pipe.save_pretrained(given.output)
    print(f"{len(losses)} steps, last loss {losses[-1]:.4f}, saved to {given.output}")


if __name__ == "__main__":
    main()
