import pytest
import torch
from threadpoolctl import threadpool_info

from raynas.threads import limited_threads, one_blas_thread


def blas_threads() -> list[int]:
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_blas_uses_one_thread_and_then_as_many_as_before() -> None:
    with one_blas_thread():  # loads scipy's
        pass
    before = blas_threads()
    with one_blas_thread():
        within = blas_threads()
    assert before and within == [1] * len(before) and blas_threads() == before


def test_torch_uses_as_many_threads_as_stated_and_then_as_many_as_before() -> None:
    before = torch.get_num_threads()
    with limited_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(ValueError, match="n_threads must be at least 1, got 0"), limited_threads(0):
        pass
