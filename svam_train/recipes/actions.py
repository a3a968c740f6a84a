"""How the action expert and its Uni-Perceiver are trained: data only."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from svam_ros.networks.config import SvamConfig
from svam_ros.networks.presets import PRESETS as NETWORKS
from svam_ros.networks.presets import PresetName
from svam_train.recipes.training_settings import TrainingSettings

LatentNoise = Literal["fixed", "fresh"]
FeatureCaching = Literal["none", "memory", "disk"]


@dataclass(frozen=True)
class ActionNoise:
    """Log-logistic noise levels of chunks, truncated (Reuss et al. 2023, arXiv 2304.02532); as published.

    Raises:
        ValueError: a number is out of its range.
    """

    median: float = 0.5
    """Half of the levels drawn lie below, but for the truncation."""
    spread: float = 0.5
    """Scale of the logistic distribution of the logarithm."""
    lowest: float = 0.001
    highest: float = 80.0

    def __post_init__(self) -> None:
        if not (0.0 < self.lowest < self.highest and self.median > 0.0 and self.spread > 0.0):
            raise ValueError(f"need 0 < lowest < highest, median > 0 and spread > 0, got {self}")


@dataclass(frozen=True)
class Augmentation:
    """Random changes of the pictures, where their features are computed anew at every step."""

    brightness: float = 0.0
    """Largest change, as a share of the whole range from black to white."""
    contrast: float = 0.0
    """Largest change of the factor on the distance from the picture's mean."""
    colour: float = 0.0
    """Largest change of the factor on each of the three colours."""
    shift_px: int = 0
    """Largest way by which the picture is moved. A moved camera means other joint targets: keep it small."""

    @property
    def changes_anything(self) -> bool:
        """Whether pictures differ from how they were recorded."""
        return any((self.brightness, self.contrast, self.colour, self.shift_px))


@dataclass(frozen=True)
class CommittedPrefix:
    """Training for delayed execution (arXiv 2512.05964): the first actions are given, clean, because they
    are being executed while the network runs; the loss is of the actions behind them alone.
    """

    longest: int = 0
    """Control steps; 0 trains without."""
    share_without: float = 0.2
    """Of the draws, without any prefix: how an episode begins, and how other engines ask."""


@dataclass(frozen=True)
class ReadOutWeights:
    """Weights of losses that ground the Uni-Perceiver's latents in what simulation knows.

    For networks that start from nothing: most of a motion follows from where the arms are, and without
    these the latents take long to look at the objects.
    """

    places: float = 0.0
    """Where the movable things are in every frame's picture; needs data from simulation."""
    rests: float = 0.0
    """At which joint targets the arms come to rest next: sharp where chunks are mostly about timing."""


@dataclass(frozen=True)
class ActionRecipe:
    """Stage 3: chunks of actions from the frozen foresight.

    Raises:
        ValueError: numbers that contradict each other or the network; the text names them.
    """

    network: PresetName
    """Its sizes, by name."""
    training: TrainingSettings
    frame_spacing: int
    """Control steps between two frames of the video model; the same in all stages."""
    pred_horizon: int = 16
    """Actions predicted at once."""
    noise: ActionNoise = field(default_factory=ActionNoise)
    noise_draws: int = 1
    """Noise levels drawn for the chunk of each picture."""
    joint_weights: tuple[float, ...] = ()
    """Of each action dimension's squared error; none are all 1."""
    roughness_weight: float = 0.0
    """Of the loss of the error's second differences along the chunk; 0 trains as published. Networks that are
    not trained for long let the sampler's noise through without it, and the arms shake."""
    latent_noise: LatentNoise = "fresh"
    """Noise of the video model: drawn for every row and step, as published; or that of the engine with seed
    0 for all, so that a picture has one set of features."""
    features: FeatureCaching = "none"
    """Where the frozen part's outputs are kept: needs 'fixed' noise and pictures as they are."""
    decoupler_dropout: bool = False
    """Leave the frozen decouplers' dropout on, as the published training did."""
    joint_dropout: float = 0.0
    """Share of rows without measured joints (zeros), for a network that is given them."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    prefix: CommittedPrefix = field(default_factory=CommittedPrefix)
    read_outs: ReadOutWeights = field(default_factory=ReadOutWeights)
    statistics: Literal["range", "moments"] = "range"
    """How actions and joints are normalised; both over all training episodes. What goes on from an earlier
    run of this stage keeps that run's."""
    held_out_share: float = 0.05
    """Of the episodes, for looking only."""
    held_out_rows: int = 256
    """Pictures of held-out episodes that a line of metrics is about."""
    pictured_rows: int = 4

    def __post_init__(self) -> None:
        for name in ("pred_horizon", "noise_draws", "held_out_rows", "pictured_rows", "frame_spacing"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be at least 1")
        if self.roughness_weight < 0.0 or (self.roughness_weight and self.pred_horizon < 3):
            raise ValueError(
                f"roughness_weight {self.roughness_weight} with pred_horizon {self.pred_horizon}: must be at "
                f"least 0, and 0 where a chunk is too short for second differences"
            )
        config = self.config
        dimensions = config.action_expert.action_dim
        if self.joint_weights and len(self.joint_weights) != dimensions:
            raise ValueError(f"joint_weights are {len(self.joint_weights)}, actions have {dimensions}")
        if self.features != "none":
            self._refuse_changing_features()
        if self.training.gradient_checkpointing:
            raise ValueError("what stage 3 trains is small: it has no gradient_checkpointing")

    @property
    def config(self) -> SvamConfig:
        """Sizes of the network, with this recipe's horizon."""
        config = NETWORKS[self.network]
        expert = replace(
            config.action_expert, pred_horizon=self.pred_horizon, longest_prefix=self.prefix.longest
        )
        return replace(config, action_expert=expert)

    def _refuse_changing_features(self) -> None:
        config = self.config
        dropout = max(config.semantic_decoupler.dropout, config.geometric_decoupler.dropout)
        changing = {
            "latent_noise fresh": self.latent_noise == "fresh",
            "augmentation": self.augmentation.changes_anything,
            "decoupler_dropout": self.decoupler_dropout and dropout > 0.0,
        }
        named = [name for name, changes in changing.items() if changes]
        if named:
            raise ValueError(
                f"features cannot be kept ({self.features}): {', '.join(named)} makes them other ones at "
                f"every step"
            )


_PUBLISHED = TrainingSettings(
    steps=40_000,
    batch_size=192,
    learning_rate=1e-4,
    schedule="constant",
    betas=(0.9, 0.9),
    weight_decay=0.05,
    average_decay=0.9999,
    precision="bf16",
    checkpoint_every_s=1800.0,
    log_every=50,
    evaluate_every=2000,
    pictures_every=4000,
)
"""As the paper's public code trains: batch 48 on each of four GPUs, a constant rate. But what counts
here is the average of the weights."""

_FULL = ActionRecipe(
    network="cobot",
    training=_PUBLISHED,
    frame_spacing=5,
    pred_horizon=24,
)

PRESETS: dict[str, ActionRecipe] = {
    "tiny": ActionRecipe(
        network="tiny",
        training=TrainingSettings(
            steps=6000,
            batch_size=256,
            learning_rate=3e-3,
            warm_up_steps=100,
            optimizer="muon",
            weight_decay=0.02,
            average_decay=0.998,
            precision="auto",
            checkpoint_every_s=120.0,
        ),
        frame_spacing=8,
        noise=ActionNoise(median=1.0, spread=1.2, lowest=0.01),
        roughness_weight=5.0,
        latent_noise="fixed",
        features="disk",
        prefix=CommittedPrefix(longest=6, share_without=0.25),
        read_outs=ReadOutWeights(places=1.0, rests=3.0),
    ),
    "calvin": replace(
        _FULL,
        network="calvin",
        training=replace(_PUBLISHED, steps=60_000),
        pred_horizon=10,
        frame_spacing=2,
        decoupler_dropout=True,
    ),
    "metaworld": replace(_FULL, network="calvin", pred_horizon=10, frame_spacing=2, decoupler_dropout=True),
    "cobot": _FULL,
}
"""Complete recipes by name. ``calvin`` and ``metaworld`` train as published. The tiny network learns with
Muon from 256 pictures a step: given the true places of things, its chunks led 5 mm past them after 500 such
steps, and 10 mm after 1000 steps of AdamW on 64 pictures with four noise levels each."""
