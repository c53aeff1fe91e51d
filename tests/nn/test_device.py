"""A device is there, or refused by name with what is there."""

import pytest
import torch

from segue.core.errors import ConfigError
from segue.nn.device import choose_device


def test_what_is_there_is_taken():
    assert choose_device("cpu") == "cpu"
    assert torch.device(choose_device()).type in ("cpu", "cuda")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta", "tpu", "", "cuda:x"])
def test_what_is_not_there_is_refused_with_what_is(name):
    with pytest.raises(ConfigError, match=f"the device '{name}'; expected one that is there: cpu"):
        choose_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_build_without_cuda_says_so():
    with pytest.raises(ConfigError, match="cuda"):
        choose_device("cuda")
