"""Which jobs may run as one call of the pipeline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from configs.models import ModelSpec

#: What jobs of one call may differ in, beside their prompts. A setting that nobody thought of parts them.
OWN = frozenset({"seed", "num_images"})
#: Made once: json.dumps would make an encoder for each of the hundreds of jobs that a plan looks at.
_encode = json.JSONEncoder(sort_keys=True).encode


def batch_key(model: str, settings: Mapping[str, Any]) -> str:
    """Equal for jobs that one call can make: of one model, and alike in every setting but their own.

    Image-to-video jobs share the source picture, whose shape decides the clip's.
    """
    shared = {name: value for name, value in settings.items() if name not in OWN}
    return _encode([model, shared])


def max_batch(spec: ModelSpec, settings: Mapping[str, Any]) -> int:
    """The most outputs that a call with these settings may make."""
    return spec.batch_size(settings["width"], settings["height"], settings.get("num_frames"))
