"""The number of threads of PyTorch's operations."""

from __future__ import annotations

import pytest
import torch

from winnow.threads import threads_of_torch


def test_the_number_of_threads_comes_back_also_after_an_error() -> None:
    before = torch.get_num_threads()
    with threads_of_torch(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before

    with pytest.raises(KeyError), threads_of_torch(before + 2):
        raise KeyError
    assert torch.get_num_threads() == before
