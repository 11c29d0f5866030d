"""What models take, as others have measured it on one NVIDIA H100."""

from __future__ import annotations

from dataclasses import dataclass

#: Of the 33.7 GB of FLUX.1-dev in bfloat16, a fine-tune exchanges the transformer's 23.8 GB (12 billion
#: parameters; the T5 and CLIP encoders and the autoencoder stay).
FLUX_SWITCH = 23.8 / 33.7


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """Seconds of one run, of a load from nothing, and of the exchange for another model of the family."""

    deployment: str
    run_s: float
    load_s: float
    switch_s: float
    picture: bool = False


#: SGLang: python/sglang/multimodal_gen/test/server/perf_baselines/h100.json of August 2026:
#: flux_image_t2i 6.69 s (50 steps, 1024x1024) and load 29.6 s; Wan 2.1 T2V 14B load 49 s, I2V 14B 57 s;
#: LTX-2.3 one-stage 18.2 s and load 39 s.
#: Wan 2.1 14B, 81 frames at 480p, 40 steps: 9.77 s a step in diffusers (LightX2V, README.md).
#: SD 3.5 Large has no published figure for this card: assumed a little above FLUX.
MODELS = {
    "FLUX.1-dev": Model(deployment="Flux", run_s=6.7, load_s=29.6, switch_s=29.6 * FLUX_SWITCH, picture=True),
    "FLUX fine-tune": Model(
        deployment="Flux", run_s=6.7, load_s=29.6, switch_s=29.6 * FLUX_SWITCH, picture=True
    ),
    "SD 3.5 Large": Model(deployment="SD35", run_s=9.0, load_s=30.0, switch_s=30.0, picture=True),
    "Wan 2.1 T2V": Model(deployment="WanT2V", run_s=391.0, load_s=49.0, switch_s=49.0),
    "Wan 2.1 I2V": Model(deployment="I2V", run_s=391.0, load_s=57.0, switch_s=57.0),
    "LTX I2V": Model(deployment="I2V", run_s=18.2, load_s=39.0, switch_s=39.0),
    "LTX T2V": Model(deployment="LTXT2V", run_s=18.2, load_s=39.0, switch_s=39.0),
}
