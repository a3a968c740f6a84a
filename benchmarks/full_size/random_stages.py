"""The stages as ``svam-train`` makes them, with random weights and a made-up episode in place of real ones.

What a step costs depends on shapes alone. Here is a stage's objective, ready for the training loop, and the
same stage's module with a batch of the same shapes, to be counted without memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

from benchmarks.full_size.step_plan import StepPlan
from svam_ros.artifacts.tokenizer import build_word_tokenizer
from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.networks.config import ReferenceConfig, SvamConfig
from svam_ros.networks.image_encoder import ImageEncoder
from svam_ros.networks.reference_encoders import GeometricReference
from svam_ros.networks.svam import Svam
from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.episodes.batches import EpisodeRows
from svam_train.episodes.episodes import Episode, EpisodeSet, RobotFacts
from svam_train.episodes.statistics import fit_statistics
from svam_train.recipes.actions import ActionRecipe
from svam_train.recipes.decouplers import DecouplersRecipe
from svam_train.recipes.video import VideoRecipe
from svam_train.stages.actions import ActionModel, ActionObjective, ActionRows
from svam_train.stages.decouplers import DecouplersData, DecouplersObjective
from svam_train.stages.distillation import FrozenPass
from svam_train.stages.foresight_module import ForesightModule
from svam_train.stages.instruction_texts import InstructionTexts
from svam_train.stages.latent_cache import encode_rows
from svam_train.stages.video import VideoData, VideoObjective
from svam_train.stages.video_decoder import VideoDecoder
from svam_train.stages.video_model import build_video_model
from svam_train.stages.video_source import GeneratedVideo
from svam_train.teachers.depth_anything_3 import DepthAnything3Teacher, untrained_backbone
from svam_train.teachers.dinov2 import Dinov2Teacher
from svam_train.teachers.reference_teachers import ReferenceTeacher
from svam_train.teachers.teacher import Kind, Teacher, TeacherError, as_published
from svam_train.training.objective import Objective

INSTRUCTION = "lift the pot with both hands"
_PICTURES = 4
"""Of the episode; a clip that goes on behind its end repeats the last one."""
_DINOV2_IMAGE_SIZE = 518
"""At which DINOv2 was published: its position table is resized in every pass."""
_SEED = 0

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class RandomStage:
    """A stage without its data."""

    module: nn.Module
    """What the loop trains."""
    frozen: tuple[nn.Module, ...]
    """What the stage keeps beside it."""
    teachers: dict[Kind, Teacher]


@dataclass(frozen=True)
class _Frozen:
    """The frozen half of stage 2."""

    examples: FrozenPass
    modules: tuple[nn.Module, ...]


def random_objective(plan: StepPlan, device: torch.device) -> tuple[Objective, RandomStage]:
    """What the loop trains, and the same taken apart. The weights of all stages are drawn from one seed."""
    torch.manual_seed(_SEED)
    recipe, config = plan.recipe, plan.config
    episodes = made_up_episode(config, recipe.frame_spacing)
    rows, tokenizer = EpisodeRows(episodes), build_word_tokenizer([INSTRUCTION], config.text)
    if isinstance(recipe, VideoRecipe):
        encoder, decoder = _autoencoder(config)
        start = {
            **{f"image_encoder.{name}": value for name, value in encoder.state_dict().items()},
            **{f"video_decoder.{name}": value for name, value in decoder.state_dict().items()},
        }
        encoded = encode_rows(rows, encoder)
        video = VideoObjective(recipe, config, VideoData(encoded, encoded, tokenizer), start)
        return video, RandomStage(video.module, (encoder, decoder), {})
    if isinstance(recipe, DecouplersRecipe):
        frozen = _frozen(recipe, config, _geometric_teacher(config.references))
        data = DecouplersData(rows, rows, tokenizer)
        decouplers = DecouplersObjective(recipe, config, data, frozen.examples, device=device)
        return decouplers, RandomStage(decouplers.module, frozen.modules, dict(frozen.examples.teachers))
    network = Svam(config).to(device).eval()
    statistics = fit_statistics(episodes, method=recipe.statistics).statistics
    side = ActionRows(rows, InstructionTexts(rows.instructions, tokenizer, network))
    actions = ActionObjective(recipe, network, statistics, side, side)
    return actions, RandomStage(actions.module, (), {})


def random_stage(recipe: VideoRecipe | DecouplersRecipe | ActionRecipe, config: SvamConfig) -> RandomStage:
    """The stage alone: within ``FakeTensorMode`` it takes no memory.

    Depth Anything 3 looks at values, which do not exist there: its stand-in is counted.
    """
    if isinstance(recipe, VideoRecipe):
        return RandomStage(build_video_model(config, recipe, {}), _autoencoder(config), {})
    if isinstance(recipe, DecouplersRecipe):
        frozen = _frozen(recipe, config, _stand_in(config.references))
        module = ForesightModule(config, recipe.kinds, frozen.examples, recipe.cosine_weight)
        if recipe.training.gradient_checkpointing:
            module.recompute_activations()
        return RandomStage(module, frozen.modules, dict(frozen.examples.teachers))
    return RandomStage(ActionModel(Svam(config).eval(), recipe), (), {})


def batch_of_shapes(recipe: VideoRecipe | DecouplersRecipe | ActionRecipe, config: SvamConfig) -> Batch:
    """A batch as the stage's objective gives it, all ones."""
    rows, text, latents = recipe.training.batch_size, config.text, config.latent_noise_shape
    size = config.image_encoder.image_size
    instructions = {
        "token_ids": torch.ones(rows, text.length, dtype=torch.int64),
        "attention_mask": torch.ones(rows, text.length, dtype=torch.int64),
    }
    if isinstance(recipe, VideoRecipe):
        return {
            "latents": torch.ones(rows, *latents),
            "noise": torch.ones(rows, *latents),
            "sigma": torch.ones(rows),
            "text_kept": torch.ones(rows),
            **instructions,
        }
    if isinstance(recipe, DecouplersRecipe):
        clips = torch.ones(rows, config.backbone.frames, 3, size, size)
        return {"clips": clips, "noise": torch.ones(rows, *latents), **instructions}
    prefix = {"prefix_lengths": torch.ones(rows, recipe.noise_draws, dtype=torch.int64)}
    return {
        **(prefix if recipe.prefix.longest else {}),
        "images": torch.ones(rows, 3, size, size),
        "text_states": torch.ones(rows, text.length, 2 * text.width),
        "goals": torch.ones(rows, 1, text.goal_width),
        "joints": torch.ones(rows, config.action_expert.action_dim),
        "actions": torch.ones(rows, *config.action_noise_shape),
        "action_noise": torch.ones(rows, recipe.noise_draws, *config.action_noise_shape),
        "sigma": torch.ones(rows, recipe.noise_draws),
        "latent_noise": torch.ones(rows, *latents),
    }


def made_up_episode(config: SvamConfig, stride: int) -> EpisodeSet:
    """One episode of noise."""
    random = np.random.default_rng(_SEED)
    size, cobot = config.image_encoder.image_size, load_cobot()
    joints = len(cobot.joint_names)
    episode = Episode(
        identity="noise",
        task="none",
        instruction=INSTRUCTION,
        stride=stride,
        images=random.integers(0, 256, (_PICTURES, size, size, 3), dtype=np.uint8),
        joints=random.uniform(-0.5, 0.5, (_PICTURES, joints)).astype(np.float32),
        targets=random.uniform(-0.5, 0.5, (_PICTURES * stride, joints)).astype(np.float32),
    )
    robot = RobotFacts.of(cobot, load_robot_profile("cobot_magic"))
    return EpisodeSet("made up", robot, ImagePreparation("centre_square", size, "area"), (episode,))


def _autoencoder(config: SvamConfig) -> tuple[ImageEncoder, VideoDecoder]:
    encoder, decoder = ImageEncoder(config.image_encoder), VideoDecoder(config.image_encoder)
    for part in (encoder, decoder):
        part.eval().requires_grad_(requires_grad=False)
    return encoder, decoder


def _frozen(recipe: DecouplersRecipe, config: SvamConfig, geometric: tuple[Teacher, nn.Module]) -> _Frozen:
    network = Svam(config, with_video_head=True).eval().requires_grad_(requires_grad=False)
    decoder = VideoDecoder(config.image_encoder).eval().requires_grad_(requires_grad=False)
    dinov2 = _random_dinov2(config.references)
    teachers: dict[Kind, Teacher] = {
        "semantic": Dinov2Teacher(dinov2, config.references),
        "geometric": geometric[0],
    }
    wanted = {kind: teachers[kind] for kind in recipe.kinds}
    source = GeneratedVideo(network, decoder, recipe.sampling)
    return _Frozen(FrozenPass(network, source, wanted), (network, decoder, dinov2, geometric[1]))


def _random_dinov2(references: ReferenceConfig) -> Dinov2WithRegistersModel:
    semantic = references.semantic
    return Dinov2WithRegistersModel(
        Dinov2WithRegistersConfig(
            hidden_size=semantic.width,
            num_hidden_layers=semantic.layers,
            num_attention_heads=semantic.heads,
            num_register_tokens=semantic.registers,
            image_size=_DINOV2_IMAGE_SIZE,
            patch_size=references.patch_size,
        )
    )


def _geometric_teacher(references: ReferenceConfig) -> tuple[Teacher, nn.Module]:
    """Depth Anything 3, or its stand-in where the package has none of these sizes or is not installed."""
    try:
        backbone = untrained_backbone(references)
    except TeacherError:
        return _stand_in(references)
    return DepthAnything3Teacher(backbone, references), backbone


def _stand_in(references: ReferenceConfig) -> tuple[Teacher, nn.Module]:
    """The network's encoder of the same sizes; it sees each frame by itself, not a video's together."""
    encoder = GeometricReference(references)
    return ReferenceTeacher(encoder, as_published(references)), encoder
