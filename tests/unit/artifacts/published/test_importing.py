"""Whole imports of files in their published formats."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from support.networks import with_expert
from support.published_files import (
    PUBLISHED,
    groups,
    under,
    write_published,
    write_without_pickles,
)
from transformers import CLIPTokenizer

from svam_ros.artifacts.model_directory import ModelDirectoryError, file_sha256, open_model
from svam_ros.artifacts.published import importing, workspace
from svam_ros.artifacts.published.clip_tokenizer import read_clip_tokenizer
from svam_ros.artifacts.published.conversion import PublishedCheckpointError, convert_group
from svam_ros.artifacts.published.importing import PublishedFiles, PublishedImport, import_published
from svam_ros.artifacts.published.trained_settings import Horizons
from svam_ros.networks.normalization import AffineNormalization, Statistics
from svam_ros.types import Horizon

WEIGHTS = groups()


class Stages:
    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []
        self.done = 0

    def begin(self, what: str, total_bytes: int) -> None:
        self.begun.append((what, total_bytes))

    def advance(self, done_bytes: int) -> None:
        self.done += done_bytes


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> PublishedFiles:
    """Everything as files of its own; only the geometric decoupler is taken from the action checkpoint."""
    return write_published(tmp_path_factory.mktemp("published"), WEIGHTS)


@pytest.fixture(scope="module")
def quick(tmp_path_factory) -> PublishedFiles:
    """The fewest files, and none of them pickled."""
    return write_without_pickles(tmp_path_factory.mktemp("quick"), WEIGHTS)


def wanted(files: PublishedFiles, out: Path, **changes) -> PublishedImport:
    values = PublishedImport(files, "calvin", PUBLISHED, out, "as_stored", None, "svam import-published")
    return dataclasses.replace(values, **changes)


def refusal(request: PublishedImport) -> str:
    before = sorted(request.out.parent.iterdir())
    with pytest.raises((PublishedCheckpointError, ModelDirectoryError)) as caught:
        import_published(request, Stages())
    assert sorted(request.out.parent.iterdir()) == before, "something was written"
    return str(caught.value)


def replaced(files: PublishedFiles, changes: dict[str, torch.Tensor | None]) -> PublishedFiles:
    """The action checkpoint with tensors changed, added, or (``None``) left out."""
    tensors = load_file(files.action) | changes
    path = files.action.with_name(f"changed_{'_'.join(changes)[:60]}.safetensors")
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path)
    return dataclasses.replace(files, action=path)


@pytest.mark.slow
def test_files_in_every_published_format_become_a_model_that_opens_and_runs(published, tmp_path):
    stages = Stages()
    model, warnings = import_published(wanted(published, tmp_path / "models" / "small"), stages)
    assert warnings == []
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["small"]
    stored = load_file(model.path / "weights.safetensors")
    for group, tensors in WEIGHTS.items():
        for name, tensor in convert_group(group, tensors, PUBLISHED).items():
            assert torch.equal(stored[name], tensor), name
    opened = open_model(model.path, any_robot=True)
    assert opened.manifest.name == "small"
    assert opened.manifest.joint_units == ("1",) * 7
    assert opened.manifest.image.interpolation == "linear_antialias"
    assert opened.manifest.step_s == pytest.approx(1 / 30)
    tokens = opened.tokenizer.encode("open the it")
    network = opened.load_network()
    with torch.no_grad():
        condition = network.encode_instruction(
            *map(torch.from_numpy, (tokens.token_ids, tokens.attention_mask))
        )
        noise = torch.randn(1, *PUBLISHED.latent_noise_shape), torch.randn(1, *PUBLISHED.action_noise_shape)
        actions = network(torch.zeros(1, 3, 32, 32), condition, None, *noise)
    assert actions.shape == (1, 5, 7)
    assert torch.isfinite(actions).all()
    sources = opened.manifest.provenance.sources
    assert sources["action/action.pt"] == file_sha256(published.action)
    assert {name.partition("/")[0] for name in sources} == {
        "unet", "vae", "action", "clip", "semantic", "dinov2", "da3",
    }  # fmt: skip
    assert len([name for name in sources if name.startswith("unet/")]) > 1, "it was sharded"
    assert stages.begun[0][0] == "unpickling in quarantine"
    assert stages.done > sum(path.stat().st_size for path in published.unet.rglob("*.safetensors"))


@pytest.mark.parametrize(("precision", "dtype"), [("float16", torch.float16), ("float32", torch.float32)])
def test_weights_are_stored_in_the_precision_asked_for(quick, tmp_path, precision, dtype):
    model, _ = import_published(wanted(quick, tmp_path / "m", precision=precision), Stages())
    assert {t.dtype for t in load_file(model.path / "weights.safetensors").values()} == {dtype}


def test_an_imported_model_is_refused_for_the_cobot_in_one_sentence(quick, tmp_path):
    model, _ = import_published(wanted(quick, tmp_path / "m"), Stages())
    with pytest.raises(ModelDirectoryError, match=r"the model's joints are not this robot's: .*'step_x'"):
        open_model(model.path)


def test_a_model_is_replaced_and_another_folder_is_not(quick, tmp_path):
    (tmp_path / "thesis").mkdir()
    assert "is no model directory: choose another place" in refusal(wanted(quick, tmp_path / "thesis"))
    for precision in ("float16", "float32"):
        model, _ = import_published(wanted(quick, tmp_path / "m", precision=precision), Stages())
    assert load_file(model.path / "weights.safetensors")["uni_perceiver.latents"].dtype == torch.float32


def test_everything_that_is_wrong_in_any_part_is_said_and_nothing_is_written(quick, tmp_path):
    files = replaced(
        quick,
        {
            "hidden2dino.adapter.bias": None,
            "Video_Former.extra": torch.zeros(1),
            "model.inner_model.tok_emb.bias": torch.full((128,), torch.inf),
        },
    )
    said = refusal(wanted(files, tmp_path / "m"))
    assert said.splitlines()[0] == "these files do not fit preset 'calvin', nothing was written:"
    assert "--action: hidden2dino (semantic decoupler): 1 missing: adapter.bias" in said
    assert "--action: Video_Former (Uni-Perceiver): 1 unexpected: extra" in said
    assert "--action: model (action expert): 1 not finite: inner_model.tok_emb.bias" in said


def test_an_action_head_for_another_robot_is_refused_with_both_numbers(quick, tmp_path):
    config = with_expert(PUBLISHED, action_dim=14)
    affine = AffineNormalization((0.0,) * 14, (1.0,) * 14)
    request = wanted(
        quick, tmp_path / "m", preset="cobot", config=config,
        statistics=Statistics(affine, affine, (False,) * 14),
    )  # fmt: skip
    assert "number of values in an action is 7 in the file, 14 in the preset" in refusal(request)
    assert "preset 'cobot' needs --statistics" in refusal(dataclasses.replace(request, statistics=None))
    assert "of 14 values, an action of preset 'cobot' has 7" in refusal(
        dataclasses.replace(request, config=PUBLISHED)
    )


POSITIONS = "model.inner_model.pos_emb"
BEFORE_ACTIONS = 1 + PUBLISHED.backbone.frames * PUBLISHED.uni_perceiver.latents_per_frame


@pytest.mark.parametrize(("trained", "executed"), [(3, 3), (5, 5), (9, 5)])
def test_the_expert_s_own_chunk_length_is_taken_from_its_position_table(quick, tmp_path, trained, executed):
    files = replaced(quick, {POSITIONS: torch.zeros(1, BEFORE_ACTIONS + trained, 128)})
    manifest = import_published(wanted(files, tmp_path / "m"), Stages())[0].manifest
    assert manifest.horizon == Horizon(trained, executed)
    asked = Horizons(trained, executed=2)
    manifest = import_published(wanted(files, tmp_path / "m", horizons=asked), Stages())[0].manifest
    assert manifest.horizon == Horizon(trained, 2)


def test_without_a_position_table_the_chunk_length_has_to_be_given(quick, tmp_path):
    files = replaced(quick, {POSITIONS: None})
    assert "give --pred-horizon" in refusal(wanted(files, tmp_path / "m"))
    request = wanted(files, tmp_path / "m", horizons=Horizons(predicted=8))
    assert import_published(request, Stages())[0].manifest.horizon.pred == 8


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            Horizons(predicted=8),
            "--pred-horizon is 8, the expert in --action was trained to predict 5 actions",
        ),
        (Horizons(executed=6), "--exec-horizon: exec_horizon is 6, allowed is 1 to pred_horizon 5"),
    ],
)
def test_chunk_lengths_that_contradict_the_expert_are_refused(quick, tmp_path, asked, words):
    assert words in refusal(wanted(quick, tmp_path / "m", horizons=asked))


def test_a_position_table_too_short_for_the_preset_s_context_is_refused(quick, tmp_path):
    files = replaced(quick, {POSITIONS: torch.zeros(1, BEFORE_ACTIONS, 128)})
    assert "no position is left for an action" in refusal(wanted(files, tmp_path / "m"))


def test_what_the_network_is_shown_stands_in_the_manifest_and_on_the_card(quick, tmp_path):
    shown = dataclasses.replace(PUBLISHED.references, normalization="imagenet", resize="bicubic_antialias")
    config = dataclasses.replace(PUBLISHED, references=shown)
    model, _ = import_published(wanted(quick, tmp_path / "m", config=config), Stages())
    assert open_model(model.path, any_robot=True).manifest.config == config
    card = (model.path / "README.md").read_text()
    for row in (
        "| `--reference-normalization` | imagenet |",
        "| `--reference-resize` | bicubic_antialias |",
        "| `--sigma-min` | 1 |",
        "| `--text-positions` | off |",
        "| `--frames-per-second-id` | 4 |",
    ):
        assert row in card
    assert "predicts 5 actions at once, of which 5 are executed" in card


def test_tensors_of_no_known_part_are_refused(quick, tmp_path):
    files = replaced(quick, {"optimizer_ema.weight": torch.zeros(1)})
    assert "1 tensors belong to no known part, such as optimizer_ema.weight" in refusal(
        wanted(files, tmp_path / "m")
    )


def test_a_part_that_is_nowhere_is_named_with_its_option(quick, tmp_path):
    tensors = {name: None for name in load_file(quick.action) if name.startswith("_dino_encoder.")}
    said = refusal(wanted(replaced(quick, tensors), tmp_path / "m"))
    assert said == (
        "no weights for the semantic reference (DINOv2): neither --dinov2 nor the action checkpoint has them"
    )


def test_a_file_of_its_own_wins_and_a_difference_is_said(quick, tmp_path):
    other = {name: tensor + 1 for name, tensor in WEIGHTS["dinov2"].items()}
    save_file(other, tmp_path / "dino.safetensors")
    files = dataclasses.replace(quick, dinov2=tmp_path / "dino.safetensors")
    model, warnings = import_published(wanted(files, tmp_path / "m"), Stages())
    (warning,) = warnings
    assert warning.startswith("the semantic reference (DINOv2) of --dinov2 is used; the action checkpoint")
    assert warning in (model.path / "README.md").read_text()
    stored = load_file(model.path / "weights.safetensors")
    assert torch.equal(stored["semantic_reference.dino.embeddings.cls_token"], other["cls_token"])


def test_two_text_encoders_that_differ_are_refused(quick, tmp_path):
    name = "TVP_encoder.text_encoder.text_model.final_layer_norm.bias"
    files = replaced(quick, {name: torch.ones(64)})
    assert f"the copies differ, first in '{name}'" in refusal(wanted(files, tmp_path / "m"))


def test_heads_and_towers_that_are_not_used_are_left_behind_and_strangers_are_not(quick, tmp_path):
    whole = under("model.backbone.pretrained.", WEIGHTS["da3_backbone"]) | {
        "model.head.x.weight": torch.ones(2)
    }
    save_file(whole, tmp_path / "da3.safetensors")
    clip = shutil.copytree(quick.clip, tmp_path / "clip")
    vision = {
        "vision_model.x": torch.ones(2),
        "visual_projection.weight": torch.ones(2),
        "logit_scale": torch.ones(1),
    }
    save_file(WEIGHTS["text_encoder"] | vision, clip / "model.safetensors")
    files = dataclasses.replace(quick, da3=tmp_path / "da3.safetensors", clip=clip)
    assert import_published(wanted(files, tmp_path / "m"), Stages())[1] == []
    save_file(whole | {"stranger": torch.ones(1)}, tmp_path / "da3.safetensors")
    assert "1 unexpected: stranger" in refusal(wanted(files, tmp_path / "m"))


def test_heads_that_no_tensor_shows_are_compared_with_the_settings_beside_the_weights(quick, tmp_path):
    unet = shutil.copytree(quick.unet, tmp_path / "svd")
    settings = json.loads((unet / "unet" / "config.json").read_text())
    (unet / "unet" / "config.json").write_text(json.dumps(settings | {"num_attention_heads": [1, 1, 1]}))
    save_file(WEIGHTS["hidden2dino"], tmp_path / "semantic.safetensors")
    (tmp_path / "model_config_resolved.yaml").write_text(yaml.safe_dump({"hidden_dim": 64, "num_heads": 4}))
    files = dataclasses.replace(quick, unet=unet, semantic=tmp_path / "semantic.safetensors")
    said = refusal(wanted(files, tmp_path / "m"))
    assert "--unet: num_attention_heads is (1, 1, 1) in " in said
    assert "--semantic: num_heads is 4 in " in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"unet": Path("nowhere")}, "--unet nowhere: there is no such file or folder"),
        ({"semantic": Path(__file__)}, "unknown ending; known are .safetensors, .bin"),
        ({"clip": Path(__file__).parent}, "has neither tokenizer.json nor vocab.json and merges.txt"),
    ],
)
def test_files_that_are_not_there_are_named(quick, tmp_path, change, words):
    assert words in refusal(wanted(dataclasses.replace(quick, **change), tmp_path / "m"))


def test_broken_shards_and_files_are_refused(quick, published, tmp_path):
    unet = shutil.copytree(published.unet, tmp_path / "svd")
    files = dataclasses.replace(quick, unet=unet)
    index = unet / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    content = json.loads(index.read_text())
    first = next(iter(content["weight_map"]))
    index.write_text(json.dumps({"weight_map": content["weight_map"] | {first: "../../vae/x.safetensors"}}))
    assert "shard 'x.safetensors' is not beside it" in refusal(wanted(files, tmp_path / "m"))
    index.write_text("[]")
    assert "no index of shards" in refusal(wanted(files, tmp_path / "m"))
    (unet / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"no")
    index.write_text(json.dumps(content))
    assert "no readable safetensors file" in refusal(wanted(files, tmp_path / "m"))


def test_a_pickle_with_code_stops_the_whole_import(quick, tmp_path):
    class Evil:
        def __reduce__(self):
            return eval, (f"open({str(tmp_path / 'marker')!r}, 'w')",)

    torch.save({"model": WEIGHTS["hidden2dino"], "epoch": Evil()}, tmp_path / "semantic.pt")
    files = dataclasses.replace(quick, semantic=tmp_path / "semantic.pt")
    assert "semantic.pt is refused: it asks for 'builtins.eval'" in refusal(wanted(files, tmp_path / "m"))
    assert not (tmp_path / "marker").exists()


def test_too_little_room_is_said_before_anything_is_read(quick, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10**6)
    monkeypatch.setattr(workspace.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(importing, "read_tensors", None)
    assert "has 0.0 GB free, the import needs 0.1 GB" in refusal(wanted(quick, tmp_path / "m"))


def test_weights_too_large_for_half_precision_are_refused_by_name(quick, tmp_path):
    files = replaced(quick, {"Video_Former.norm.weight": torch.full((96,), 1e6)})
    said = refusal(wanted(files, tmp_path / "m", precision="float16"))
    assert "'uni_perceiver.output_norm.weight' has values that are not finite" in said


def test_the_tokenizer_reads_both_of_clip_s_forms_alike(quick, tmp_path):
    vocabulary, merges = quick.clip / "vocab.json", (quick.clip / "merges.txt").read_text().splitlines()[1:]
    pairs = [tuple(line.split()) for line in merges]
    tokenizer = CLIPTokenizer(vocab=json.loads(vocabulary.read_text()), merges=pairs)
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "tokenizer.json").write_text(tokenizer.backend_tokenizer.to_str())
    texts = ["open the it", "Open  THE it!", "übung 12"]
    ids = []
    for clip in (quick.clip, tmp_path / "clip"):
        encode = read_clip_tokenizer(clip, PUBLISHED.text).encode
        ids.append([encode(text).token_ids.tolist() for text in texts])
    assert ids[0] == ids[1]
    assert ids[0][0][0][:5] == [518, 516, 513, 517, 519]
    assert ids[0][1] != ids[0][0]
    assert tokenizer(texts[2])["input_ids"] == [i for i in ids[0][2][0] if i != 519] + [519]


def test_a_tokenizer_with_other_marks_is_refused(quick, tmp_path):
    text = dataclasses.replace(PUBLISHED.text, bos_id=517)
    config = dataclasses.replace(PUBLISHED, text=text)
    assert "'<|startoftext|>' has id 518 in the tokenizer, 517 in the preset" in refusal(
        wanted(quick, tmp_path / "m", config=config)
    )
