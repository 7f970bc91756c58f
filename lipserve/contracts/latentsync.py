"""The quality tier: LatentSync's networks, whose shapes follow from the resolution and the width.

A grid is the resolution over 8: 32 x 32 latents at 256 pixels, 64 x 64 at 512. A window is 16 frames, what
UNet3D sees at once: its residual blocks take their statistics over all of them, so no axis of frames is free.
"""

from __future__ import annotations

from lipserve.contracts import clip
from lipserve.contracts.faces import MESH_SIZE
from lipserve.contracts.form import Form
from lipserve.contracts.spec import MEL_BINS, Model, Tensor

RESOLUTIONS = (256, 512)  # pixels, side of a face crop: LatentSync 1.5 and 1.6
WINDOW = 16  # frames
LATENT_CHANNELS = 4
WHISPER_COLUMNS = 3000  # mel columns of one call of the encoder: 30 s
WHISPER_ROWS = 1500  # rows that it gives for them: 50 a second
WHISPER_STATES = 5
AUDIO_WIDTH = 384
AUDIO_ROWS = 50  # of one frame: 10 rows of the encoder, 5 states each
COEFFICIENTS = 5
REFERENCE_POINTS = 106  # the landmarks that LatentSync itself aligns by

# Opt-in: a network that a user supplies. It has the size of the mesh's input by chance.
FACE_LANDMARKS_106 = Model(
    name="face_landmarks_106",
    kind="leaf",
    inputs=(Tensor("IMAGES", "UINT8", (MESH_SIZE, MESH_SIZE, 3)),),  # RGB, a face upright to a quarter turn
    outputs=(Tensor("LANDMARKS", "FP32", (REFERENCE_POINTS, 2)),),  # x, y in input pixels
    max_batch_size=32,
    max_queue_delay_us=500,
)


def leaves(form: Form) -> tuple[Model, ...]:
    """Return the contracts of whisper_encoder, vae_encoder, vae_decoder and both denoising steps.

    Where faces are aligned by 106 points, the network that finds them is one more.
    """
    side, grid = form.resolution, form.grid
    pixels = (3, side, side)  # RGB planes, -1..1
    latent = (LATENT_CHANNELS, grid, grid)  # scaled by 0.18215
    features = Tensor("FEATURES", "FP32", (2, form.channels, WINDOW, grid, grid))
    whisper = Model(
        name="whisper_encoder",
        kind="leaf",
        inputs=(Tensor("MEL", "FP32", (MEL_BINS, WHISPER_COLUMNS)),),
        outputs=(Tensor("STATES", "FP32", (WHISPER_ROWS, WHISPER_STATES, AUDIO_WIDTH)),),
        max_batch_size=8,
        max_queue_delay_us=1000,
    )
    encoder = Model(
        name="vae_encoder",
        kind="leaf",
        inputs=(
            Tensor("IMAGES", "FP32", pixels),
            Tensor("NOISE", "FP32", latent),  # standard normal; zeros give the mode
        ),
        outputs=(
            Tensor("LATENTS", "FP32", latent),  # mean + deviation * NOISE, scaled
            Tensor("MOMENTS", "FP32", (2 * LATENT_CHANNELS, grid, grid)),  # mean, log variance, unscaled
        ),
        max_batch_size=32,
        max_queue_delay_us=1000,
    )
    decoder = Model(
        name="vae_decoder",
        kind="leaf",
        inputs=(Tensor("LATENTS", "FP32", latent),),
        outputs=(Tensor("IMAGES", "FP32", pixels),),  # not clamped
        max_batch_size=16,
        max_queue_delay_us=1000,
    )
    return (
        whisper,
        encoder,
        decoder,
        _step("denoise_step", grid, outputs=(features,)),
        _step("denoise_step_shallow", grid, inputs=(features,)),
        *((FACE_LANDMARKS_106,) if form.landmarks == "106" else ()),
    )


def _step(name: str, grid: int, inputs: tuple[Tensor, ...] = (), outputs: tuple[Tensor, ...] = ()) -> Model:
    """Return one denoising step: guidance, UNet3D and the solver's update in one graph.

    FEATURES are the cached activations of DeepCache, of the unconditional half first.
    """
    latents = (LATENT_CHANNELS, WINDOW, grid, grid)
    return Model(
        name=name,
        kind="leaf",
        inputs=(
            Tensor("LATENTS", "FP32", latents),
            Tensor("PREVIOUS_X0", "FP32", latents),  # X0 of the step before; zeros at the first
            Tensor("MASK", "FP32", (1, WINDOW, grid, grid)),  # 1 keeps, 0 is generated
            Tensor("MASKED", "FP32", latents),
            Tensor("REFERENCE", "FP32", latents),
            Tensor("AUDIO", "FP32", (WINDOW, AUDIO_ROWS, AUDIO_WIDTH)),
            Tensor("TIMESTEP", "FP32", (1,)),  # 0..999
            Tensor("GUIDANCE", "FP32", (1,)),  # 1 is none
            Tensor("COEFFICIENTS", "FP32", (COEFFICIENTS,)),  # lipserve.latentsync.schedulers.Step
            *inputs,
        ),
        outputs=(Tensor("NEXT_LATENTS", "FP32", latents), Tensor("X0", "FP32", latents), *outputs),
        max_batch_size=2,
        max_queue_delay_us=1000,
    )


LATENTSYNC = clip.painting("latentsync", leaves, tracks=True)
