"""Which device and number format to compute with."""

import torch

from .errors import UserError


def choose_device(name: str = "auto") -> torch.device:
    """CUDA, else Apple's MPS, else the CPU for 'auto'; a named device otherwise. Raises UserError if it is not here."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(
            f"The device '{name}' cannot be used here; choose cpu, or auto to take the best one there is."
        ) from error
    return device


def choose_dtype(device: torch.device, name: str = "auto") -> torch.dtype:
    """bfloat16 where the hardware multiplies it (recent GPUs, AMX or AVX512-BF16 CPUs), else float32."""
    if name != "auto":
        if name not in ("float32", "float64", "bfloat16"):
            raise UserError(f"The number format '{name}' is unknown; choose float32, bfloat16 or auto.")
        return getattr(torch, name)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"):
            return torch.bfloat16
    return torch.float32
