"""What torch was built for, which device it sees, and whether that computes rightly in each precision."""

from typing import Any

import torch

from trainer.doctor.probes.tell import tell
from trainer.job.trouble import first_line

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_SIZE = 96


def main() -> None:
    """Tells facts in the order of how likely they are to end this process."""
    tell(torch=torch.__version__, cuda=torch.version.cuda, hip=getattr(torch.version, "hip", None))
    kind = _kind()
    tell(kind=kind, **(_cards() if kind == "cuda" else _why_no_card()))
    for name, dtype in PRECISIONS.items():
        try:
            tell(**{name: error_of(kind, dtype)})
        except (RuntimeError, TypeError) as error:
            tell(**{name: first_line(error)})


def _kind() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _cards() -> dict[str, Any]:
    # An AMD card has an architecture (gfx…) in place of a capability that could be compared.
    names = [] if torch.version.hip else torch.cuda.get_arch_list()
    return {"arch": names, "cards": [_card(number) for number in range(torch.cuda.device_count())]}


def _card(number: int) -> dict[str, Any]:
    about = torch.cuda.get_device_properties(number)
    facts = {"name": about.name, "capability": [about.major, about.minor], "total": about.total_memory}
    try:
        return {**facts, "free": torch.cuda.mem_get_info(number)[0]}
    except RuntimeError as error:
        return {**facts, "problem": first_line(error)}


def _why_no_card() -> dict[str, Any]:
    """Why a build for graphics cards sees none."""
    if not torch.version.cuda and not getattr(torch.version, "hip", None):
        return {}
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return {"no_card": first_line(error)}
    return {}


def error_of(kind: str, dtype: torch.dtype) -> float:
    """How far a product and its gradients are from those of the processor in 64 bits: the largest relative error."""
    made = torch.Generator().manual_seed(0)
    given = [torch.randn(_SIZE, _SIZE, generator=made).to(dtype) for _ in range(2)]
    exact = _computed([each.double() for each in given])
    found = _computed([each.to(kind) for each in given])
    return max(
        float((one.cpu().double() - two).abs().max() / two.abs().max()) for one, two in zip(found, exact, strict=True)
    )


def _computed(given: list[torch.Tensor]) -> list[torch.Tensor]:
    left, right = (each.detach().requires_grad_() for each in given)
    product = left @ right
    product.square().sum(dtype=torch.float64 if product.dtype == torch.float64 else torch.float32).backward()
    return [product.detach(), *(each.grad for each in (left, right) if each.grad is not None)]


if __name__ == "__main__":
    main()
