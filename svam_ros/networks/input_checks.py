"""What goes into the network, checked where it comes in: the error says what was expected.

Shapes and types cost nothing to look at. Values are looked at on a CPU only: on a GPU the check would make
the host wait for the device in every pass, so an engine checks them before they are sent there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from svam_ros.networks.config import ActionExpertConfig, SvamConfig

if TYPE_CHECKING:
    from svam_ros.networks.action_expert import GivenActions


class InputError(ValueError):
    """An input that the network cannot take; the text names it, what came and what was expected."""


def check_image(image: Tensor, config: SvamConfig, dtype: torch.dtype) -> None:
    """Refuse anything but finite ``(batch >= 1, 3, image_size, image_size)`` of the network's type."""
    size = config.image_encoder.image_size
    _check_shape("image", image, (3, size, size))
    _check_values("image", image, dtype)


def check_instruction(token_ids: Tensor, attention_mask: Tensor, config: SvamConfig) -> None:
    """Refuse anything but int64 ``(batch >= 1, text length)``, and ids of another vocabulary."""
    for name, tensor in (("token_ids", token_ids), ("attention_mask", attention_mask)):
        _check_shape(name, tensor, (config.text.length,))
        if tensor.dtype != torch.int64:
            raise InputError(f"{name}: expected int64, got {_name(tensor.dtype)}")
    known = config.text.vocabulary_size
    if _values_are_at_hand(token_ids) and not ((token_ids >= 0) & (token_ids < known)).all():
        raise InputError(
            f"token_ids: expected 0 to {known - 1}, got {int(token_ids.min())} to {int(token_ids.max())}: "
            f"they are of another tokenizer than the network's"
        )


def check_noise(latent_noise: Tensor, action_noise: Tensor, config: SvamConfig, dtype: torch.dtype) -> None:
    """Refuse noise of other frames, sizes or horizons than the network was made for."""
    _check_shape("latent_noise", latent_noise, config.latent_noise_shape)
    horizon, action_dim = config.action_noise_shape
    if action_noise.dim() == 3 and action_noise.shape[1] > horizon:
        raise InputError(
            f"action_noise: a horizon of {action_noise.shape[1]} was asked for, "
            f"the network was trained to predict {horizon} actions"
        )
    _check_shape("action_noise", action_noise, (horizon, action_dim))
    for name, noise in (("latent_noise", latent_noise), ("action_noise", action_noise)):
        _check_values(name, noise, dtype)


def check_joints(joints: Tensor | None, config: ActionExpertConfig, dtype: torch.dtype) -> None:
    """Refuse joints where the network takes none, their absence where it needs them, and wrong ones."""
    if (joints is not None) != config.proprioception:
        wanted = "needs" if config.proprioception else "does not take"
        raise InputError(f"this network {wanted} the joints (action_expert.proprioception)")
    if joints is not None:
        _check_shape("joints", joints, (config.action_dim,))
        _check_values("joints", joints, dtype)


def check_prefix(prefix: GivenActions | None, noise: Tensor, config: ActionExpertConfig) -> None:
    """Refuse given actions that the network was not trained for, and wrong ones."""
    if prefix is None:
        return
    if prefix.actions.shape != noise.shape or prefix.given.shape != noise.shape[:2]:
        raise InputError(
            f"prefix: expected actions {tuple(noise.shape)} and as many marks, got "
            f"{tuple(prefix.actions.shape)} and {tuple(prefix.given.shape)}"
        )
    _check_values("prefix", prefix.actions, noise.dtype)
    longest = config.longest_prefix
    if longest == 0 or (_values_are_at_hand(prefix.given) and bool(prefix.given[:, longest:].any())):
        raise InputError(
            f"prefix: the network was trained with at most {longest} given actions "
            f"(action_expert.longest_prefix)"
        )


def _check_shape(name: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
    if tensor.dim() != len(expected) + 1 or tuple(tensor.shape[1:]) != expected or len(tensor) < 1:
        wanted = ", ".join(map(str, ("batch >= 1", *expected)))
        raise InputError(f"{name}: expected the shape ({wanted}), got {tuple(tensor.shape)}")


def _check_values(name: str, tensor: Tensor, dtype: torch.dtype) -> None:
    if tensor.dtype != dtype:
        raise InputError(f"{name}: expected {_name(dtype)} as the network, got {_name(tensor.dtype)}")
    if _values_are_at_hand(tensor) and not tensor.isfinite().all():
        raise InputError(f"{name}: has values that are not finite (NaN or infinite)")


def _values_are_at_hand(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
