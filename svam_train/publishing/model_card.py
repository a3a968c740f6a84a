"""A model's card: what it is, how it was made, what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from svam_ros.cobot import load_cobot
from svam_train.evaluation.evaluation_report import EvaluationReport
from svam_train.recipes.actions import ActionRecipe

BASELINES = {
    "blind": "`blind` is this model with a black image.",
    "wrong_instruction": "`wrong_instruction` is this model told another of the tasks.",
    "replay": "`replay` plays a random demonstration back, begun at the engage.",
    "random": "`random` moves both arms to joints drawn anew for every chunk.",
}


@dataclass(frozen=True)
class RunFacts:
    """One run of the line that led to the model."""

    name: str
    """Of its folder."""
    config: Mapping[str, Any]
    """Resolved, with the recipe."""
    steps: int
    trained_s: float
    machine: str


@dataclass(frozen=True)
class CardFacts:
    """All that the card says."""

    name: str
    parameters: int
    """At run time."""
    recipe: ActionRecipe
    """Of the last stage."""
    data: Mapping[str, Any]
    """Of the last run's config."""
    runs: tuple[RunFacts, ...]
    """The last one first."""
    reports: tuple[EvaluationReport, ...]
    hardware: str
    begun_from: tuple[str, ...] = ()
    """Published models at the end of the line."""


def model_card(facts: CardFacts) -> str:
    """The card as Markdown."""
    config = facts.recipe.config
    joints = ", the measured joints" if config.action_expert.proprioception else ""
    instructions = "\n".join(f"- {text}" for text in facts.data["instructions"])
    minutes = sum(run.trained_s for run in facts.runs) / 60.0
    return f"""# {facts.name}

An S-VAM ({facts.parameters / 1e6:.1f} M parameters) for the dual-arm Cobot: one image of the front
camera{joints} and an instruction give {facts.recipe.pred_horizon} absolute joint targets at
{1.0 / load_cobot().control_period_s:g} Hz, of which {config.exec_horizon} are sent.
It was trained on these instructions:

{instructions}

A model that was trained in simulation has never seen a real camera: do not run it on a robot.

## How it was made

- Data: {data_sentence(facts.data)}.
{_begun_from(facts)}- Training: the runs below, each on the one before, {minutes:.0f} minutes in all on
  {facts.hardware}. Their complete configurations lie in `training/`.
- Stored: moving average of the weights, float16.

{_runs_table(facts.runs)}
{_prefix(facts.recipe)}
## Measured in closed loop, on scenes never trained on

{_results(facts.reports)}"""


def data_sentence(data: Mapping[str, Any]) -> str:
    """What it was trained on."""
    counts = ", ".join(f"{count} of {task}" for task, count in data["episodes"].items())
    return (
        f"'{data['name']}': {sum(data['episodes'].values())} episodes ({counts}) with {data['pictures']} "
        f"pictures, {data['held_out_episodes']} more held out"
    )


def _begun_from(facts: CardFacts) -> str:
    names = ", ".join(f"'{name}'" for name in facts.begun_from)
    return (
        f"- Begun from the published model {names}; its runs, as far as they are known, come first below.\n"
        if names
        else ""
    )


def _runs_table(runs: Sequence[RunFacts]) -> str:
    lines = ["| run | steps | batch | learning rate | minutes | machine |", "|---|---|---|---|---|---|"]
    for run in reversed(runs):
        training = run.config.get("recipe", {}).get("training", {})
        lines.append(
            f"| {run.name} | {run.steps} | {training.get('batch_size', '')} "
            f"| {training.get('learning_rate', '')} | {run.trained_s / 60.0:.0f} | {run.machine} |"
        )
    return "\n".join(lines) + "\n"


def _prefix(recipe: ActionRecipe) -> str:
    if not recipe.prefix.longest:
        return ""
    return (
        f"\nIt was trained with committed prefixes of up to {recipe.prefix.longest} actions, for delayed "
        f"execution. Without one it is used like any other.\n"
    )


def _results(reports: Sequence[EvaluationReport]) -> str:
    if not reports:
        return "Not evaluated in closed loop.\n"
    lines = [
        "| task | policy | loop | scenes | success, 95 % interval | mean share done |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_result_row(report) for report in reports]
    policies = {report.subject.policy for report in reports}
    told = [text for policy, text in BASELINES.items() if policy in policies]
    explained = [
        "The loop is that of the nodes on simulated time, with the guard, its ramp and its limits in front "
        "of the arms; `nodes` is through the real nodes in real time. Latency is the time from the frame to "
        "the arrival of its chunk at the guard; how long the network really takes does not count. `older` is "
        "the weight of older predictions of the same moments (parameter `older_weight`).",
        *(told or ["No baseline was measured."]),
    ]
    return "\n".join(lines) + "\n\n" + "\n".join(explained) + "\n"


def _result_row(report: EvaluationReport) -> str:
    loop, share = report.subject.loop, report.mean_fraction
    how, scenes = "nodes", "of the task"
    if loop is not None:
        how = (
            f"mode {loop.mode}, latency {loop.latency_ms:g} ms, every {loop.replan_steps} steps, older "
            f"{loop.older_weight:g}, ramp "
            f"{loop.ramp_speed_fraction:g}, {loop.episode_s:g} s"
        )
        scenes = ("shared" if loop.shared_scenes else "of the task") + (
            ", varied" if loop.varied_looks else ""
        )
    done = "" if share is None else f"{100 * share:.0f} %"
    return f"| {report.task} | {report.subject.policy} | {how} | {scenes} | {report.rate} | {done} |"
