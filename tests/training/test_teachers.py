"""Teachers: what they are shown, what they see, and that they say which weights they are."""

import dataclasses

import pytest
import torch
from support.networks import CONFIG, random_network
from torch import nn
from torch.nn import functional
from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

from svam_ros.networks.reference_encoders import IMAGENET_DEVIATION, IMAGENET_MEAN
from svam_train.teachers import depth_anything_3
from svam_train.teachers.depth_anything_3 import DepthAnything3Teacher, load_depth_anything_3
from svam_train.teachers.dinov2 import Dinov2Teacher, load_dinov2
from svam_train.teachers.reference_teachers import reference_teachers
from svam_train.teachers.teacher import TeacherError, as_published

REFERENCES = CONFIG.references


def frames(batch=2, count=3, size=32, seed=0):
    return torch.rand(batch, count, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def dinov2_folder(tmp_path_factory):
    torch.manual_seed(0)
    semantic = REFERENCES.semantic
    model = Dinov2WithRegistersModel(
        Dinov2WithRegistersConfig(
            hidden_size=semantic.width,
            num_hidden_layers=semantic.layers,
            num_attention_heads=semantic.heads,
            num_register_tokens=semantic.registers,
            image_size=126,  # positions of a finer grid, as published
            patch_size=REFERENCES.patch_size,
        )
    )
    folder = tmp_path_factory.mktemp("dinov2")
    model.save_pretrained(folder)
    return folder


class JointBackbone(nn.Module):
    """Stands in for the package's backbone: every token is the mean over all views of what it is given."""

    def __init__(self, layers=6):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(1, 1) for _ in range(layers))
        self.seen = []

    def get_intermediate_layers(self, views, taken):
        self.seen.append((views, taken))
        tokens = views.mean((1, 2, 3, 4))[:, None, None, None].expand(-1, views.shape[1], 16, 128)
        return ((tokens, tokens[:, :, 0]),), []


def test_the_networks_own_encoders_see_frames_as_on_the_robot():
    network = random_network()
    video = frames()
    for kind, teacher in reference_teachers(network).items():
        tokens = teacher.features(video)
        assert tokens.shape == (2, 3, teacher.grid**2, teacher.width)
        for frame in range(3):
            expected = getattr(network.references(2 * video[:, frame] - 1), kind)
            torch.testing.assert_close(tokens[:, frame], expected, atol=1e-5, rtol=1e-5)


def test_a_fingerprint_is_of_the_weights_and_of_the_view():
    first, again, other = (random_network(seed=seed) for seed in (0, 0, 1))
    prints = [reference_teachers(n)["geometric"].fingerprint for n in (first, again, other)]
    assert prints[0] == prints[1] != prints[2]
    shown = dataclasses.replace(CONFIG.references, resize="bicubic_antialias")
    wider = random_network(dataclasses.replace(CONFIG, references=shown))
    assert reference_teachers(wider)["geometric"].fingerprint != prints[0]
    assert reference_teachers(first)["semantic"].fingerprint != prints[0]


def test_dinov2_gets_bicubic_imagenet_frames_and_gives_patch_tokens(dinov2_folder):
    teacher = load_dinov2(str(dinov2_folder), REFERENCES)
    video = frames()
    model = Dinov2WithRegistersModel.from_pretrained(dinov2_folder).eval()
    resized = functional.interpolate(video.flatten(0, 1), (56, 56), mode="bicubic", antialias=True)
    mean, deviation = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    with torch.no_grad():
        expected = model((resized - mean) / deviation).last_hidden_state[:, 5:]
    torch.testing.assert_close(teacher.features(video).flatten(0, 1), expected, atol=2e-4, rtol=2e-4)
    assert (teacher.grid, teacher.width) == (4, 64)


def test_the_network_s_semantic_reference_is_made_of_dinov2(dinov2_folder):
    teacher = load_dinov2(str(dinov2_folder), REFERENCES)
    network = random_network(dataclasses.replace(CONFIG, references=as_published(REFERENCES)))
    handed_on = teacher.reference_tensors(CONFIG)
    wanted = {name for name in network.state_dict() if name.startswith("semantic_reference.")}
    assert set(handed_on) == wanted
    network.load_state_dict(handed_on, strict=False)
    first = frames()[:, :1]
    own = network.references(2 * first[:, 0] - 1).semantic
    torch.testing.assert_close(own, teacher.features(first)[:, 0], atol=1e-4, rtol=1e-4)


def test_dinov2_of_another_size_or_from_nowhere_is_refused(dinov2_folder, tmp_path):
    wider = dataclasses.replace(REFERENCES, semantic=dataclasses.replace(REFERENCES.semantic, width=128))
    with pytest.raises(TeacherError, match=r"\(64, 14\), the network's semantic reference has \(128, 14\)"):
        load_dinov2(str(dinov2_folder), wider)
    with pytest.raises(TeacherError, match="cannot be loaded"):
        load_dinov2(str(tmp_path), REFERENCES)


def test_dinov2_looks_at_each_frame_by_itself(dinov2_folder):
    teacher: Dinov2Teacher = load_dinov2(str(dinov2_folder), REFERENCES)
    video = frames()
    together = teacher.features(video)
    torch.testing.assert_close(teacher.features(video[:, 1:2])[:, 0], together[:, 1], atol=1e-5, rtol=1e-5)


def test_depth_anything_gets_all_frames_of_a_video_together_and_runs_no_later_blocks():
    backbone = JointBackbone()
    teacher = DepthAnything3Teacher(backbone, REFERENCES)
    video = frames()
    tokens = teacher.features(video)
    views, taken = backbone.seen[0]
    assert views.shape == (2, 3, 3, 56, 56)
    assert taken == [3]
    assert len(backbone.blocks) == 4
    assert tokens.shape == (2, 3, teacher.grid**2, teacher.width)
    changed = video.clone()
    changed[0, 2] = 0.0
    after = teacher.features(changed)
    assert not torch.equal(after[0, 0], tokens[0, 0])  # another frame of its video
    assert torch.equal(after[1], tokens[1])


def test_without_the_package_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(depth_anything_3, "_MODULE", "depth_anything_3_is_not_here.backbone")
    with pytest.raises(TeacherError, match="pip install --no-deps depth-anything-3"):
        load_depth_anything_3(str(tmp_path), REFERENCES)


@pytest.fixture(scope="module")
def small_published(tmp_path_factory):
    """The package's smallest backbone with random weights, as a published file has them."""
    package = pytest.importorskip("depth_anything_3.model.dinov2.dinov2")
    from safetensors.torch import save_file

    torch.manual_seed(0)
    backbone = package.DinoV2("vits", [3], alt_start=2, qknorm_start=2, rope_start=2).pretrained.eval()
    nn.init.normal_(backbone.pos_embed, std=0.02)
    folder = tmp_path_factory.mktemp("da3")
    tensors = {f"model.backbone.pretrained.{n}": v for n, v in backbone.state_dict().items()}
    save_file({**tensors, "model.head.other": torch.zeros(1)}, folder / "model.safetensors")
    geometric = dataclasses.replace(REFERENCES.geometric, width=384, heads=6)
    return folder, backbone, dataclasses.replace(REFERENCES, geometric=geometric)


def test_the_real_package_gives_its_own_first_stage(small_published):
    folder, backbone, references = small_published
    teacher = load_depth_anything_3(str(folder), references)
    video = frames(count=4, size=56)
    mean, deviation = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    with torch.no_grad():
        stages, _ = backbone.get_intermediate_layers((video - mean) / deviation, [3])
    torch.testing.assert_close(teacher.features(video), stages[0][0], atol=1e-3, rtol=1e-3)
    wrong = dataclasses.replace(references, geometric=dataclasses.replace(references.geometric, width=768))
    with pytest.raises(TeacherError, match="not the published model of width 768"):
        load_depth_anything_3(str(folder), wrong)
    handed_on = teacher.reference_tensors(dataclasses.replace(CONFIG, references=references))
    network = random_network(dataclasses.replace(CONFIG, references=as_published(references)))
    assert not network.load_state_dict(handed_on, strict=False).unexpected_keys
    own = network.references(2 * video[:, 0] - 1).geometric
    torch.testing.assert_close(own, teacher.features(video[:, :1])[:, 0], atol=1e-3, rtol=1e-3)
