"""Two finished runs of the decouplers that differ in their targets, and evaluations that were never made."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load_file, save_file

from support.action_runs import decouplers_run
from svam_ros.artifacts.tokenizer import build_word_tokenizer
from svam_ros.networks.presets import TINY
from svam_ros.simulation.tasks import TASKS
from svam_train.evaluation.evaluation_report import EvaluationReport, Subject
from svam_train.evaluation.loop_settings import LoopSettings
from svam_train.training.run_folder import weights_hash

COSINES = {"cosine_semantic_future": 0.75, "cosine_geometric_future": 0.5, "depth_error_m_foreseen": 0.25}


def parent_run(base: Path, targets: str = "generated", **training) -> Path:
    """A run as 'svam-train decouplers' leaves it; equal but for the decouplers and what is named."""
    run = decouplers_run(base)
    if targets == "true_future":
        changed = {name: tensor + 0.01 for name, tensor in load_file(run / "weights.safetensors").items()}
        save_file(changed, run / "weights.safetensors")
    sentences = [task.instruction for task in TASKS.values()]
    (base / "video" / "tokenizer.json").write_text(build_word_tokenizer(sentences, TINY.text).to_json())
    video = {"run": str(base / "video"), "sha256": weights_hash(base / "video")}
    (run / "parent.json").write_text(json.dumps({"video": video}))
    recipe = {"targets": targets, "training": {"steps": 5, "batch_size": 2, "learning_rate": 1.0, **training}}
    config = {"stage": "decouplers", "recipe": recipe, "data": {"fingerprint": "same"}}
    (run / "config.json").write_text(json.dumps(config))
    lines = [{"step": 1, "held_out": {}}, {"step": 5, "held_out": COSINES}]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


def made_up_report(task: str, outcomes: str, loop: LoopSettings | None = None) -> EvaluationReport:
    """``outcomes`` has a letter for every scene, ``y`` where it was done."""
    done = tuple(letter == "y" for letter in outcomes)
    seeds = tuple(range(1_000_000, 1_000_000 + len(done)))
    subject = Subject("made up", "eager", "model", loop or LoopSettings())
    return EvaluationReport(task, subject, seeds, done, (10,) * len(done), ())
