"""The one denoising step of the video model: sigma 700, whatever length the schedule has.

The evaluation asks diffusers' scheduler for a schedule at every call and uses its first entry only. The
noise is multiplied by ``sqrt(sigma^2 + 1)`` to start the schedule and divided by it again to enter the
UNet, so the UNet sees the plain standard normal noise.
"""

from __future__ import annotations

from diffusers import EulerDiscreteScheduler
from torch import Tensor

SCHEDULE_LENGTH = 20
"""Entries asked for; the first one is the same for any length."""


def svd_scheduler() -> EulerDiscreteScheduler:
    """The scheduler that comes with Stable Video Diffusion."""
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        interpolation_type="linear",
        use_karras_sigmas=True,
        sigma_min=0.002,
        sigma_max=700.0,
        timestep_spacing="leading",
        timestep_type="continuous",
        steps_offset=1,
    )


def first_step(scheduler: EulerDiscreteScheduler, noise: Tensor) -> tuple[Tensor, Tensor]:
    """What the UNet gets for its noise channels, and when.

    Args:
        scheduler: from :func:`svd_scheduler`; its schedule is made anew.
        noise: ``(batch, frames, channels, h, w)`` standard normal.

    Returns:
        The noise, multiplied and divided, in its shape; and the timestep 0.25 ln 700 = 1.6377701 ``()``.
    """
    scheduler.set_timesteps(SCHEDULE_LENGTH, device=noise.device)
    timestep = scheduler.timesteps[0]
    noised_video = noise * scheduler.init_noise_sigma
    return scheduler.scale_model_input(noised_video, timestep), timestep
