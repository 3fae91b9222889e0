import pytest

from tasks.models.device import cpu_threads, demand_provider, provider
from tasks.schema.errors import ModelError


def test_a_device_that_is_asked_for_is_taken():
    assert provider("cpu") == "cpu"
    assert provider("cuda") == "cuda"


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_hidden_gpu_is_none(monkeypatch, hidden):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert provider("auto") == "cpu"


def test_threads_are_bounded_by_what_was_asked(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = cpu_threads()
    assert cores >= 1
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert cpu_threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "100000")
    assert cpu_threads() == cores


@pytest.mark.slow
def test_our_answer_is_that_of_torch():
    import torch

    assert (provider("auto") == "cuda") == torch.cuda.is_available()
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="driver"):
            demand_provider("cuda")
    demand_provider("cpu")
