"""The network as it was published, to be timed beside ours by ``svam profile``. It never moves a robot.

Its parts are those of :mod:`svam_ros.networks.published_form`; so is the order in which they run, and that
nothing is remembered of an instruction from one prediction to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from svam_ros.artifacts.tokenizer import TokenizedInstruction
from svam_ros.engines.network_engine import EngineModel, NetworkEngine, PassInputs
from svam_ros.engines.random_model import seeded_weights
from svam_ros.engines.run_plan import PEAK_BESIDES_BYTES, PEAK_PER_WEIGHT_BYTE, require_memory
from svam_ros.networks.config import SvamConfig
from svam_ros.networks.presets import CALVIN
from svam_ros.networks.published_form import evaluation
from svam_ros.networks.published_form.denoiser import noise_levels, sample
from svam_ros.networks.published_form.groups import GROUPS, PublishedSizes, build_group, empty_group
from svam_ros.networks.published_form.resizing import show_to_references
from svam_ros.networks.published_form.text import policy_goal, unet_text_states
from svam_ros.profiling.stage_timer import StageTimer
from svam_ros.types import FloatArray

PUBLISHED_NORM_GROUPS = 32
"""In every normalisation of Stable Video Diffusion's image encoder; diffusers knows no other number."""

HALF_ON_GPU = ("unet", "vae")
"""Groups that the published evaluation runs in float16 on a GPU; all others stay in float32."""


class NoPublishedForm(ValueError):
    """The network has sizes that the published parts cannot take; the text says which have."""


def published_sizes(config: SvamConfig) -> PublishedSizes:
    """A network in the published form.

    Its references see the image as the published evaluation shows it, which costs the same as any other way.
    A network of other widths than the published ones has no blocks whose output nobody reads, and tables of
    positions of its own size.

    Raises:
        NoPublishedForm: diffusers' image encoder cannot have these sizes.
    """
    if config.image_encoder.norm_groups != PUBLISHED_NORM_GROUPS:
        raise NoPublishedForm(
            f"the published form normalises in {PUBLISHED_NORM_GROUPS} groups, this network in "
            f"{config.image_encoder.norm_groups}: take one of published widths, as in "
            f"'svam profile --model cobot --random-weights --against plain'"
        )
    references = replace(config.references, resize="bilinear", normalization="minus_one_to_one")
    sizes = PublishedSizes(replace(config, references=references))
    if references.geometric == CALVIN.references.geometric:
        return sizes
    return replace(
        sizes,
        geometric_depth=references.geometric.layers,
        semantic_position_grid=references.grid,
        geometric_position_grid=references.grid,
    )


class PlainEngine(NetworkEngine):
    """The published evaluation with weights from a seed, which cost as much as trained ones.

    Args:
        model: whose sizes, statistics and words it takes; not its weights, which have our form.
        threads: CPU threads, for the whole process.
        device: where the network runs.
        seed: of weights and noise.

    Raises:
        DeviceError: there is too little memory for it.
    """

    name = "plain"

    def __init__(
        self, model: EngineModel, *, threads: int = 1, device: torch.device | str = "cpu", seed: int = 0
    ) -> None:
        torch.set_num_threads(threads)
        self._device = torch.device(device)
        on_gpu = self._device.type == "cuda"
        timer = StageTimer(torch.cuda.synchronize if on_gpu else None)
        super().__init__(model, seed=seed, noise="fixed", timer=timer)
        sizes = published_sizes(model.manifest.config)
        half = HALF_ON_GPU if on_gpu else ()
        self._dtypes = {group: torch.float16 if group in half else torch.float32 for group in GROUPS}
        needed_bytes = PEAK_PER_WEIGHT_BYTE * _weights_bytes(sizes, self._dtypes) + PEAK_BESIDES_BYTES
        require_memory("the published form", needed_bytes, self._device, "profile without --against plain")
        self._modules: dict[str, Any] = {
            group: _random_module(group, sizes, dtype, self._device, seed)
            for group, dtype in self._dtypes.items()
        }
        self._config = sizes.network
        self._token_ids = self._mask = torch.zeros(1, 0, dtype=torch.int64)

    def close(self) -> None:
        """Drop the network."""
        self._instruction = None
        self._modules.clear()

    def _encode(self, tokens: TokenizedInstruction) -> None:
        """Only the tokens: the published evaluation runs its text model at every prediction."""
        self._token_ids = torch.from_numpy(tokens.token_ids).to(self._device)
        self._mask = torch.from_numpy(tokens.attention_mask).to(self._device)

    def _run(self, inputs: PassInputs) -> FloatArray:
        with torch.inference_mode():
            with self._timer.stage("preprocess"):
                image, latent_noise, action_noise = (
                    torch.from_numpy(array).to(self._device)
                    for array in (inputs.image, inputs.noise.latent, inputs.noise.action)
                )
            actions = self._predict(image, latent_noise, action_noise)
            return actions[0].double().cpu().numpy()

    def _predict(self, image: Tensor, latent_noise: Tensor, action_noise: Tensor) -> Tensor:
        """``(1, pred_horizon, action_dim)``, stage by stage."""
        with self._timer.stage("backbone"):
            features = self._features(image, latent_noise)
        with self._timer.stage("references"):
            references = self._config.references
            shown = show_to_references(image, references.image_size, references.normalization)
            semantic = evaluation.semantic_reference(self._modules["dinov2"], shown)
            geometric = evaluation.geometric_reference(self._modules["da3_backbone"], shown)
        with self._timer.stage("decouplers"):
            semantic = evaluation.foresight(self._modules["hidden2dino"], features, semantic)
            geometric = evaluation.foresight(self._modules["hidden2dpa"], features, geometric)
        with self._timer.stage("uni_perceiver"):
            context = evaluation.context_tokens(self._modules["Video_Former"], features, semantic, geometric)
        with self._timer.stage("action_expert"):
            return self._act(context, action_noise)

    def _features(self, image: Tensor, latent_noise: Tensor) -> Tensor:
        clip, unet, dtype = self._modules["text_encoder"], self._modules["unet"], self._dtypes["unet"]
        add_positions = self._config.text.add_positions
        text = unet_text_states(clip, self._token_ids, self._mask, add_positions=add_positions)
        latents = evaluation.encode_image(self._modules["vae"], image.to(self._dtypes["vae"]))
        features = evaluation.backbone_features(
            unet, latent_noise.to(dtype), latents.to(dtype), text.to(dtype)
        )
        return features.float()

    def _act(self, context: Tensor, noise: Tensor) -> Tensor:
        expert = self._config.action_expert
        unpadded = self._token_ids[:, : int(self._mask.sum())]
        goal = policy_goal(self._modules["text_encoder"], unpadded)
        levels = noise_levels(expert.sampler_steps, expert.sigma_min, expert.sigma_max)
        return sample(self._modules["model"], context, goal, noise, levels)


def _weights_bytes(sizes: PublishedSizes, dtypes: Mapping[str, torch.dtype]) -> int:
    with torch.device("meta"):
        modules = {group: build_group(group, sizes) for group in dtypes}
    return sum(
        dtypes[group].itemsize * tensor.numel()
        for group, module in modules.items()
        for tensor in module.state_dict().values()
    )


def _random_module(
    group: str, sizes: PublishedSizes, dtype: torch.dtype, device: torch.device, seed: int
) -> nn.Module:
    module = empty_group(group, sizes)
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    module.load_state_dict(dict(seeded_weights(shapes, seed, dtype, device)), assign=True)
    return module.to(device=device)
