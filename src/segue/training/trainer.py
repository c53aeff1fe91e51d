"""One training run's state and its step: simulate users on random views, correct the model, average its weights."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from segue.core.errors import CheckpointError, ConfigError, MissingFile
from segue.models.pretrained import WEIGHTS, read_state
from segue.nn.losses import normalized_focal, soft_iou
from segue.nn.training_core import TrainingCore
from segue.nn.vit import layer_shares
from segue.session.load import build
from segue.training.augment import CutOuts, jitter_colours, transplant
from segue.training.checkpoint import write_checkpoint
from segue.training.click_sampler import (
    boxes_around,
    decaying_clicks,
    decaying_rounds,
    first_clicks,
    next_clicks,
    rough_masks,
    scattered_clicks,
)
from segue.training.config import TrainConfig
from segue.training.crop_views import STRIDE, Looks, chosen_looks, extents
from segue.training.muon import Muon
from segue.training.view_sampler import Pack, ViewSampler, build_pack, pick_objects

MOST_ROUNDS = 20
PHOTO = 512  # pixels of the photos that are glanced at
GLANCE_WEIGHT = 0.5  # of its loss
SHAPES = 700  # synthetic ones that are drawn, if any


class Trainer:
    """Model, moving average, optimiser, random state and step: everything that an exact resume needs.

    Source: RITM (section 3) for clicks on the model's own errors with the previous mask as input; InterFormer for
    several decodes per encode. Each round is back-propagated into the shared maps at once, so that memory does not
    grow with the rounds.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.device = torch.device(config.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.manual_seed(config.seed)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.step = 0
        data = config.data
        self.pack: Pack = build_pack([data.root / name for name in data.folders], data.cache)
        train, self.held_out = self.pack.held_out(data.held_out)
        self.sampler = ViewSampler(self.pack, train, data.folders, self.generator)
        self.cutouts = CutOuts.from_folders([data.root / name for name in data.cutouts], cache=data.cache)
        self.shapes = CutOuts.drawn(SHAPES if data.shapes else 0, config.seed)
        self.model = build(config.model, config.config).module.train()
        self.core: TrainingCore = self.model.training_core()
        self._prepare()
        self.model.to(self.device).to(memory_format=torch.channels_last)
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.optimiser = self._optimiser()

    def update(self) -> dict[str, float]:
        """One optimiser step; what to log: loss, gradient norm, targets, IoU after each click of fresh targets."""
        share = self.config.clicks.glances
        glances = share > 0 and float(torch.rand((), generator=self.generator)) < share
        log = self._glanced() if glances else self._viewed()
        if log:
            log["gradient"] = self._apply()
            self.step += 1
        return log

    def _viewed(self) -> dict[str, float]:
        """Back-propagate dialogues in random views."""
        pixels, rows, targets, ignore_mask = self.batch()
        if not len(rows):
            return {}
        clicks, box, previous = self.opening(targets, ignore_mask)
        log, _ = self._dialogue(pixels, rows, targets, ignore_mask, clicks, box, previous, self._rounds())
        return log | {"targets": float(len(rows))}

    def _glanced(self) -> dict[str, float]:
        """Back-propagate a first answer at a glance, then dialogues in the views that nano turns to."""
        c, g, model = self.config, self.generator, self.core.coarse_pass
        if model is None:
            raise ConfigError(f"clicks: glances for {c.model}", "the model nano, the only one that glances")
        views = self.sampler.draw(max(1, c.batch // 2), PHOTO, self.device, whole=True)
        pixels, labels = self._augmented(views.pixels, views.labels)
        rows, targets, ignore_mask = pick_objects(labels, c.objects, c.data.merge, g)
        if not len(rows):
            return {}
        photos, small = extents(views.inside), shrunk(targets, STRIDE)
        first = first_clicks(small, STRIDE, g, c.clicks.centred)[:, None]
        boxed = (torch.rand(len(rows), generator=g) < c.clicks.boxes).to(self.device)
        clicks = torch.where(boxed[:, None, None], -1.0, first)
        box = torch.where(boxed[:, None], boxes_around(small, STRIDE, g), 0.0)
        posed = targets.float(), ignore_mask.float(), clicks, box

        glance = Looks(photos[rows], PHOTO, model.glance)
        seen = Looks(photos, PHOTO, model.glance).pixels(avg_pool2d(pixels, 2))
        log, logits = self._dialogue(seen, rows, *glance.posed(4, *posed), 1, GLANCE_WEIGHT)
        found = glance.lifted(logits.sigmoid())

        logs, rounds = [{"glance": log["iou1"]} if "iou1" in log else {}], self._rounds()
        for pick, looks in chosen_looks(model, found > 0.5, photos[rows], clicks, box, PHOTO):
            shrink = 2 if looks.size == model.longest else 1
            told = float(torch.rand((), generator=g)) < c.clicks.told
            own, seen = torch.arange(len(pick), device=self.device), looks.pixels(pixels[rows[pick]])
            opening = looks.posed(shrink, *(t[pick] for t in posed))
            glanced = looks.masks(found[pick]) if told else None
            log, _ = self._dialogue(seen, own, *opening, rounds, glanced=glanced)
            logs.append({f"{k}_{looks.size}": v for k, v in log.items()})
        return {k: v for one in logs for k, v in one.items()}

    def _dialogue(
        self,
        pixels: Tensor,
        rows: Tensor,
        targets: Tensor,
        ignore_mask: Tensor,
        clicks: Tensor,
        box: Tensor,
        previous: Tensor,
        rounds: int,
        weight: float = 1.0,
        glanced: Tensor | None = None,
    ) -> tuple[dict[str, float], Tensor]:
        """Back-propagate ``rounds`` of clicks on the targets, of which ``rows`` says in which views they are; what to
        log, and the last logits. If ``glanced``, an answer mixed with it is the previous one of the first round."""
        c = self.config
        fresh = (clicks[:, 1:, 2] < 0).all(1) & (clicks[:, 0, 2] > 0)
        wanted, log = torch.where(ignore_mask, -1.0, targets.float()), {"loss": 0.0}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=c.bf16 and bf16_pays(self.device)):
            maps = self.core.encode(pixels)
            chosen = {k: _as_images(v.index_select(0, rows)) for k, v in maps.items()}
            leaves = {k: v.detach().requires_grad_(v.requires_grad) for k, v in chosen.items()}
            if glanced is not None:
                with torch.no_grad():
                    previous = self.core.decode(leaves, clicks, box, previous)[0].sigmoid()
                share = torch.rand(len(glanced), 1, 1, 1, generator=self.generator).to(self.device)
                previous = torch.lerp(previous, glanced, share)
            for turn in range(rounds):
                logits, score = self.core.decode(leaves, clicks, box, previous)
                loss, reached = self.loss(logits, score, wanted)
                torch.autograd.backward(loss * (weight / rounds))
                log["loss"] += float(loss.detach()) / rounds
                if bool(fresh.any()):
                    log[f"iou{turn + 1}"] = float(reached[fresh].mean())
                previous = logits.detach().sigmoid()
                if turn + 1 < rounds:
                    clicks = torch.cat([clicks, self._next(previous, targets, ignore_mask)[:, None]], dim=1)
            pairs = [(chosen[k], leaf.grad) for k, leaf in leaves.items() if leaf.grad is not None]
            if pairs:
                torch.autograd.backward([t for t, _ in pairs], [g for _, g in pairs])
        return log, logits.detach()

    def batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """pixels (b, 3, S, S) in [0, 1]; rows (n,) view of each target; targets and void (n, 1, s, s) bool."""
        data = self.config.data
        size = data.sizes[int(torch.randint(len(data.sizes), (), generator=self.generator))]
        count = max(1, round(self.config.batch * (data.sizes[0] / size) ** 2))
        views = self.sampler.draw(count, size, self.device)
        pixels, labels = self._augmented(views.pixels, views.labels)
        rows, targets, ignore_mask = pick_objects(labels, self.config.objects, data.merge, self.generator)
        return pixels, rows, shrunk(targets, self.core.stride), shrunk(ignore_mask, self.core.stride)

    def _augmented(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The views with things pasted on some of them and other colours."""
        data = self.config.data
        pixels, labels = self._transplanted(pixels, labels)
        pixels, labels = self.cutouts.paste(pixels, labels, data.paste, data.most_pasted, self.generator)
        pixels, labels = self.shapes.paste(pixels, labels, data.shapes, 1, self.generator)
        return jitter_colours(pixels, self.generator, data.colour), labels

    def _transplanted(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The views, some of them with an object of another photo."""
        share = self.config.data.transplant
        if not share:
            return pixels, labels
        rows = torch.nonzero(torch.rand(len(pixels), generator=self.generator) < share)[:, 0]
        if not len(rows):
            return pixels, labels
        others = self.sampler.draw(len(rows), pixels.shape[-1], self.device)
        found, targets, _ = pick_objects(others.labels, 1, 0.0, self.generator)
        return transplant(pixels, labels, rows.to(self.device)[found], others.pixels[found], targets)

    def opening(self, targets: Tensor, ignore_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """clicks (n, k, 3), box (n, 4), previous (n, 1, s, s) of the first round."""
        c, g, stride, device = self.config.clicks, self.generator, self.core.stride, targets.device
        kind = torch.rand(len(targets), generator=g).to(device)
        resumed, boxed = kind < c.resumed, kind > 1 - c.boxes
        clicks = torch.full((len(targets), c.most_scattered, 3), -1.0, device=device)
        clicks[:, 0] = first_clicks(targets, stride, g, c.centred)
        scattered = scattered_clicks(targets, ignore_mask, c.most_scattered, stride, g)
        clicks = torch.where(resumed[:, None, None], scattered, clicks)
        clicks = torch.where(boxed[:, None, None], -1.0, clicks)
        box = torch.where(boxed[:, None], boxes_around(targets, stride, g), 0.0)
        masked = resumed & (torch.rand(len(targets), generator=g).to(device) < 0.8)
        return clicks, box, torch.where(masked[:, None, None, None], rough_masks(targets, g), 0.0)

    def loss(self, logits: Tensor, score: Tensor | None, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """One round's loss, and the IoU (n,) that its masks reach; ``wanted`` is 1, 0 or -1 for void."""
        c = self.config
        shown, is_object = (logits.detach() > 0) & (wanted >= 0), wanted > 0.5
        both, either = (m.flatten(1).sum(1) for m in (shown & is_object, shown | is_object))
        reached = both / either.clamp(min=1)
        loss = normalized_focal(logits, wanted).mean() + c.iou_weight * soft_iou(logits, wanted).mean()
        if score is not None:
            loss = loss + c.score_weight * nn.functional.binary_cross_entropy_with_logits(score[:, 0], reached)
        return loss, reached

    def save(self, path: Path) -> None:
        """Write the checkpoint whole or not at all."""
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "torch": torch.get_rng_state(),
        }
        write_checkpoint(path, state)

    def resume(self, path: Path) -> None:
        """Continue exactly where the checkpoint was written."""
        if not path.is_file():
            raise MissingFile(f"no checkpoint {path}", "one left by an earlier run", "train without --resume first")
        state = torch.load(path, map_location=self.device, weights_only=True)
        try:
            self.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"{path}, which is of another run ({str(error).splitlines()[0][:120]})",
                "a checkpoint of this configuration",
                "choose another output folder",
            ) from error
        self.step, self.average = state["step"], state["average"]
        self.generator.set_state(state["generator"].cpu())
        torch.set_rng_state(state["torch"].cpu())

    def _prepare(self) -> None:
        """Pretrained weights, then fresh layers scaled on one batch."""
        c, stride = self.config, self.core.stride
        if c.start is not None:
            if not c.start.is_file():
                raise MissingFile(f"no file {c.start}", "pretrained weights to start from", "check start:")
            self.core.load_backbone(c.start, c.frozen)
        views = self.sampler.draw(4, c.data.sizes[0], torch.device("cpu"))
        rows, targets, _ = pick_objects(views.labels, 1, 0.0, self.generator)
        small = shrunk(targets, stride)
        clicks = scattered_clicks(small, torch.zeros_like(small), 4, stride, self.generator)
        box = boxes_around(small, stride, self.generator)
        if len(rows):
            self.core.calibrate(views.pixels[rows], clicks, box, small.float())
        if c.warm is not None:
            self._warm(c.warm)

    def _warm(self, path: Path) -> None:
        """Take over an earlier run's weights; what it does not have stays as it was initialised."""
        state, own = read_state(path / WEIGHTS if path.is_dir() else path), self.model.state_dict()
        wrong = [k for k, v in state.items() if k not in own or own[k].shape != v.shape]
        if wrong:
            raise CheckpointError(
                f"{path}, whose {wrong[0]} has no place here",
                "a model of the same sizes, or with fewer blocks",
                "check warm: and config:",
            )
        self.model.load_state_dict(own | state)

    def _optimiser(self) -> torch.optim.AdamW:
        """AdamW with a slower rate for the pretrained backbone and no decay of biases."""
        rates = self.config.optimiser
        pretrained = {id(p) for module in self.core.backbone() for p in module.parameters()}
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        shares = layer_shares(self.model, rates.layer_decay)
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                rate = rates.backbone_rate if id(parameter) in pretrained else rates.rate
                rate = rates.rate * shares[name] if shares else rate
                decay = rates.weight_decay if parameter.ndim > 1 else 0.0
                groups.setdefault((rate, decay), []).append(parameter)
        rows = [{"params": p, "lr": r, "peak": r, "weight_decay": d} for (r, d), p in groups.items()]
        return Muon(rows) if rates.kind == "muon" else torch.optim.AdamW(rows, foreach=True)

    def _schedule(self) -> float:
        """The factor of the learning rate at this step."""
        c = self.config
        ending = max(1, int(c.steps * c.optimiser.decay))
        return min(1.0, (self.step + 1) / c.optimiser.warmup, max(0.0, (c.steps - self.step) / ending))

    def _apply(self) -> float:
        """Clip, step, advance the moving average; the gradient's norm. A step that is not finite is left out."""
        rates = self.config.optimiser
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        norm = float(nn.utils.clip_grad_norm_(parameters, rates.clip))
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * self._schedule()
        if math.isfinite(norm):
            self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        # early weights are forgotten quickly, later ones averaged over 1 / (1 - ema) steps
        decay = min(rates.ema, (1 + self.step) / (10 + self.step))
        now = {k: v for k, v in self.model.state_dict().items() if v.is_floating_point()}
        torch._foreach_lerp_([self.average[k] for k in now], list(now.values()), 1 - decay)
        return norm

    def _rounds(self) -> int:
        c = self.config.clicks
        if c.policy == "decaying":
            return decaying_rounds(c.gamma, MOST_ROUNDS, self.generator)
        return int(torch.randint(c.rounds[0], c.rounds[1] + 1, (), generator=self.generator))

    def _next(self, previous: Tensor, targets: Tensor, ignore_mask: Tensor) -> Tensor:
        c, stride = self.config.clicks, self.core.stride
        if c.policy == "decaying":
            return decaying_clicks(previous, targets, ignore_mask, stride, self.generator, c.inner)
        return next_clicks(previous, targets, ignore_mask, stride, self.generator, c.greedy)


def shrunk(masks: Tensor, stride: int) -> Tensor:
    """(n, 1, S, S) bool -> (n, 1, S / stride, S / stride) bool: cells at least two fifths covered.

    >>> shrunk(torch.tensor([[[[True, True], [False, False]]]]), 2).tolist()
    [[[[True]]]]
    """
    return nn.functional.avg_pool2d(masks.float(), stride) > 0.4


def bf16_pays(device: torch.device) -> bool:
    """Whether the device computes bf16 natively: a GPU that says so, a CPU with AVX-512 BF16 or AMX."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _as_images(maps: Tensor) -> Tensor:
    return maps.contiguous(memory_format=torch.channels_last) if maps.ndim == 4 else maps
