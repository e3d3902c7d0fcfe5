"""What the processor computes is right in every precision, and what would be wrong shows."""

import pytest
import torch

from trainer.doctor.probes import computation


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_the_error_is_that_of_the_precision(dtype: torch.dtype, limit: float) -> None:
    assert 0 < computation.error_of("cpu", dtype) < limit


def test_a_device_that_computes_wrongly_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    matmul = torch.Tensor.__matmul__

    def broken(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return matmul(left, right) * (1.05 if left.dtype == torch.float32 else 1)

    monkeypatch.setattr(torch.Tensor, "__matmul__", broken)
    assert computation.error_of("cpu", torch.float32) > 0.01
