"""Masked DreamBooth: no gradient from the background, prior preservation untouched."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segue.core.errors import DataError, InputError
from segue.data.io.image import write_image, write_labels
from segue.training.dreambooth import Subjects, collate, dreambooth_loss, latent_mask, split_prior


@pytest.fixture
def folder(tmp_path):
    """The object is red, so that the picture itself tells where its mask should be."""
    for i, (h, w) in enumerate([(60, 90), (90, 50), (64, 64)]):
        image, mask = np.zeros((h, w, 3), np.uint8), np.zeros((h, w), bool)
        mask[h // 4 : h // 2, w // 3 : w - 5] = True
        image[mask] = (255, 0, 0)
        write_image(tmp_path / "photos" / f"{i}.png", image)
        write_labels(tmp_path / "masks" / f"{i}.png", mask if i < 2 else mask & False)
    return tmp_path


@pytest.mark.parametrize(("crop", "flip"), [("center", False), ("random", True)])
def test_picture_and_mask_are_cut_and_mirrored_together(folder, crop, flip):
    data = Subjects(folder / "photos", folder / "masks", size=32, crop=crop, flip=flip, seed=4)
    for _ in range(4):
        for item in (data[i] for i in range(len(data))):
            red = item["pixels"][0] > 0
            assert (red == (item["mask"][0] > 0)).float().mean() > 0.93


def test_photos_in_which_the_subject_is_absent_are_left_out(folder):
    with pytest.warns(UserWarning, match=r"1 photos without the subject are left out: 2\.png"):
        assert len(Subjects(folder / "photos", folder / "masks", size=32)) == 2
    with pytest.raises(DataError, match="segue find"):
        Subjects(folder / "photos" / "2.png", folder / "masks")


def test_pixels_are_in_minus_one_to_one(folder):
    item = Subjects(folder / "photos", folder / "masks", size=32)[0]
    assert item["pixels"].min() == -1
    assert item["pixels"].max() == 1


def test_an_empty_item_is_dropped_from_the_batch_with_a_notice():
    here = {"pixels": torch.ones(3, 4, 4), "mask": torch.ones(1, 4, 4)}
    gone = {"pixels": torch.zeros(3, 4, 4), "mask": torch.zeros(1, 4, 4)}
    with pytest.warns(UserWarning, match="1 pictures without the subject"):
        assert collate([gone, here])["pixels"].min() == 1
    with pytest.raises(DataError, match="empty masks"):
        collate([gone])


@pytest.mark.parametrize("crop", ["center", "random"])
def test_a_crop_shows_the_whole_subject_wherever_it_is(tmp_path, crop):
    places = [(0, 0), (10, 84), (20, 48)]
    for number, (top, left) in enumerate(places):
        mask = np.zeros((32, 96), bool)
        mask[top : top + 10, left : left + 12] = True
        write_image(tmp_path / "photos" / f"{number}.png", np.zeros((32, 96, 3), np.uint8))
        write_labels(tmp_path / "masks" / f"{number}.png", mask)
    data = Subjects(tmp_path / "photos", tmp_path / "masks", size=32, crop=crop, seed=1)
    for _ in range(5):
        assert [int(data[i]["mask"].sum()) for i in range(3)] == [120] * 3


def test_a_tiny_subject_is_kept_in_the_picture_and_in_the_latents(tmp_path):
    mask = np.zeros((400, 800), bool)
    mask[300:303, 700:703] = True
    write_image(tmp_path / "photos" / "a.png", np.zeros((400, 800, 3), np.uint8))
    write_labels(tmp_path / "masks" / "a.png", mask)
    cover = Subjects(tmp_path / "photos", tmp_path / "masks", size=64)[0]["mask"]
    assert cover.sum() >= 1
    latents = latent_mask(cover[None], (8, 8))
    assert 1 <= latents.sum() <= 4
    assert not latent_mask(torch.zeros(1, 1, 16, 16), (2, 2)).any()
    assert torch.isfinite(dreambooth_loss(torch.zeros(1, 4, 8, 8), torch.ones(1, 4, 8, 8), latents))


class TinyUNet(nn.Module):
    """A random noise predictor that mixes pixels, as every UNet does."""

    def __init__(self):
        super().__init__()
        self.down, self.middle = nn.Conv2d(4, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1)
        self.up, self.out = nn.ConvTranspose2d(8, 8, 2, 2), nn.Conv2d(12, 4, 3, 1, 1)

    def forward(self, latents):
        deep = F.silu(self.up(F.silu(self.middle(F.silu(self.down(latents))))))
        return self.out(torch.cat((latents, deep), 1))


def diffusers_unet():
    diffusers = pytest.importorskip("diffusers", reason="needs the extra 'dreambooth'")
    net = diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=8,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    return lambda x: net(x, torch.tensor(3), torch.ones(len(x), 2, 8)).sample


@pytest.fixture(params=["plain", "diffusers"])
def unet(request):
    torch.manual_seed(0)
    return TinyUNet() if request.param == "plain" else diffusers_unet()


def masks(b=2):
    mask = torch.zeros(b, 1, 64, 64)
    mask[:, :, 16:40, 8:48] = 1
    return mask


def test_the_gradient_outside_the_mask_is_exactly_zero(unet):
    mask = latent_mask(masks(), (8, 8))
    prediction = unet(torch.randn(2, 4, 8, 8))
    prediction.retain_grad()
    dreambooth_loss(prediction, torch.randn(2, 4, 8, 8), mask).backward()
    outside = ~mask.expand_as(prediction)
    assert (prediction.grad[outside] == 0).all()
    assert (prediction.grad[~outside] != 0).all()


def test_the_target_outside_the_mask_teaches_nothing():
    mask = latent_mask(masks(), (8, 8))
    target = torch.randn(2, 4, 8, 8)
    other = torch.where(mask, target, torch.randn_like(target))
    gradients = []
    for wanted in (target, other):
        torch.manual_seed(1)
        net = TinyUNet()
        dreambooth_loss(net(torch.full((2, 4, 8, 8), 0.3)), wanted, mask).backward()
        gradients.append([p.grad for p in net.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_prior_preservation_is_what_it_is_without_masks():
    mask = latent_mask(masks(), (8, 8))
    prediction = torch.randn(4, 4, 8, 8, requires_grad=True)
    target = torch.randn(4, 4, 8, 8)
    (mine, prior), (wanted, prior_wanted) = split_prior(prediction), split_prior(target)
    dreambooth_loss(mine, wanted, mask, (prior, prior_wanted), prior_weight=0.7).backward()
    plain = prediction.detach().clone().requires_grad_()
    (0.7 * F.mse_loss(plain[2:], target[2:])).backward()
    torch.testing.assert_close(prediction.grad[2:], plain.grad[2:])
    assert (prediction.grad[2:] != 0).all()


def test_a_broken_background_cannot_reach_the_gradient():
    mask = latent_mask(masks(1), (8, 8))
    prediction = torch.randn(1, 4, 8, 8)
    prediction[0, 0, 0, 0] = torch.inf
    prediction.requires_grad_()
    loss = dreambooth_loss(prediction, torch.zeros(1, 4, 8, 8), mask)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(prediction.grad).all()


def test_a_full_mask_is_plain_dreambooth():
    prediction, target = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    full = torch.ones(2, 1, 8, 8, dtype=torch.bool)
    torch.testing.assert_close(dreambooth_loss(prediction, target, full), F.mse_loss(prediction, target))


def test_wrong_shapes_and_empty_masks_are_refused():
    with pytest.raises(InputError, match="latent grid"):
        dreambooth_loss(torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 8, 8), masks(1).bool())
    with pytest.raises(InputError, match="empty masks"):
        dreambooth_loss(torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.bool))
    with pytest.raises(InputError, match="batch of 3"):
        split_prior(torch.zeros(3, 4))
