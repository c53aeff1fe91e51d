"""What InterFormer computes ahead of the click changes no logit: the published order of operators gives the same."""

import torch

from segue.models.interformer.network import InterFormerConfig, InterFormerNet
from segue.models.interformer.registry import TINY
from tests.parity.imsa_official import logits_official


def test_the_published_order_gives_the_same_logits():
    torch.manual_seed(0)
    net = InterFormerNet(InterFormerConfig.from_fields(TINY)).eval()
    labels = torch.randint(0, 5, (1, 1, 96, 128))
    with torch.no_grad():
        maps = net.backbone(torch.randn(1, 3, 96, 128))
        assert torch.allclose(net.decode(net.prepare(maps), labels), logits_official(net, maps, labels), atol=1e-4)
