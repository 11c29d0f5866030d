"""The bundled demo models: tiny weights of the real pipeline classes, and what makes and judges them."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""One `from_pretrained` folder a demo model, named as in the registry."""

__all__ = ["WEIGHTS"]
