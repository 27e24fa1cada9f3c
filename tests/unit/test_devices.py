"""What is computed on, and in which numbers."""

import os
import subprocess
import sys

import pytest
import torch

from inference_server.devices import choose_device, choose_dtype
from inference_server.errors import UserError, is_out_of_memory
from inference_server.evaluation.command import default_jobs


def test_the_best_device_that_is_here_is_taken():
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert choose_device("auto").type == best and choose_device("cpu").type == "cpu"


@pytest.mark.parametrize("name", ["toaster", "cuda:99", ""])
def test_a_device_that_is_not_here_is_a_sentence(name):
    with pytest.raises(UserError, match="cannot be used here"):
        choose_device(name)


def test_numbers_are_bfloat16_only_where_the_hardware_multiplies_them():
    capabilities = torch.cpu.get_capabilities()
    fast = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    assert choose_dtype(torch.device("cpu")) is (torch.bfloat16 if fast else torch.float32)
    assert choose_dtype(torch.device("mps")) is torch.float32
    assert choose_dtype(torch.device("cpu"), "float32") is torch.float32
    with pytest.raises(UserError, match="int8"):
        choose_dtype(torch.device("cpu"), "int8")


def test_what_mps_lacks_is_computed_on_the_cpu_unless_the_user_says_otherwise():
    name = "PYTORCH_ENABLE_MPS_FALLBACK"
    code = f"import inference_server, os, sys; print(os.environ['{name}'], 'torch' in sys.modules)"
    for mine, said in ((None, "1 False"), ("0", "0 False")):
        environment = {key: value for key, value in os.environ.items() if key != name} | ({name: mine} if mine else {})
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert done.stdout.strip() == said, done.stderr


def test_one_process_evaluates_on_a_gpu_and_some_on_a_cpu():
    assert 1 <= default_jobs("cpu") <= 4
    if choose_device("auto").type != "cpu":
        assert default_jobs("auto") == 1
    with pytest.raises(UserError, match="cannot be used here"):
        default_jobs("cuda:99")


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("2"), False),
    ],
)
def test_a_lack_of_memory_is_known_by_its_words(error, is_memory):
    assert is_out_of_memory(error) is is_memory
