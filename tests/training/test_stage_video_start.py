"""Stage 1 starts from published weights: folders of diffusers and transformers at small sizes."""

import dataclasses
from copy import deepcopy

import pytest
import torch
from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
from safetensors.torch import load_file, save_file
from support.made_up_video import RECIPE
from support.networks import CONFIG
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from svam_ros.artifacts.published.conversion import PublishedCheckpointError
from svam_train.stages.latent_cache import load_image_encoder
from svam_train.stages.public_video_model import name_in_backbone, published_start
from svam_train.stages.video_decoder import VideoDecoder
from svam_train.stages.video_model import build_video_model
from svam_train.training.run_folder import RunError

NETWORK = dataclasses.replace(
    CONFIG,
    image_encoder=dataclasses.replace(CONFIG.image_encoder, block_widths=(32, 32, 32, 32), norm_groups=32),
)
RECIPE = dataclasses.replace(RECIPE, train_text=False)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Folders as diffusers and transformers write them, and the modules in them."""
    folder = tmp_path_factory.mktemp("published")
    torch.manual_seed(0)
    backbone, text, sizes = NETWORK.backbone, NETWORK.text, NETWORK.image_encoder
    unet = UNetSpatioTemporalConditionModel(
        in_channels=2 * sizes.latent_channels,
        out_channels=sizes.latent_channels,
        down_block_types=("CrossAttnDownBlockSpatioTemporal",) * 2 + ("DownBlockSpatioTemporal",),
        up_block_types=("UpBlockSpatioTemporal",) + ("CrossAttnUpBlockSpatioTemporal",) * 2,
        block_out_channels=backbone.block_widths,
        addition_time_embed_dim=backbone.time_id_width,
        projection_class_embeddings_input_dim=3 * backbone.time_id_width,
        layers_per_block=1,
        cross_attention_dim=2 * text.width,
        num_attention_heads=backbone.heads,
        num_frames=backbone.frames,
    )
    autoencoder = AutoencoderKLTemporalDecoder(
        down_block_types=("DownEncoderBlock2D",) * 4,
        block_out_channels=sizes.block_widths,
        layers_per_block=1,
        latent_channels=sizes.latent_channels,
    )
    clip = CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=text.vocabulary_size,
            hidden_size=text.width,
            intermediate_size=text.mlp_width,
            projection_dim=text.goal_width,
            num_hidden_layers=text.layers,
            num_attention_heads=text.heads,
            max_position_embeddings=text.max_positions,
            bos_token_id=text.bos_id,
            eos_token_id=text.eos_id,
            pad_token_id=text.pad_id,
        )
    )
    unet.save_pretrained(folder / "svd" / "unet")
    autoencoder.half().save_pretrained(folder / "svd" / "vae")
    clip.save_pretrained(folder / "clip")
    return folder, unet.eval(), autoencoder.float().eval(), clip.eval()


def test_the_model_is_the_published_one(published):
    folder, unet, _, clip = published
    start = published_start(folder / "svd", folder / "clip", NETWORK)
    model = build_video_model(NETWORK, RECIPE, start).eval().double()
    unet, clip = deepcopy(unet).double(), deepcopy(clip).double()
    torch.manual_seed(1)
    frames, channels, size, _ = NETWORK.latent_noise_shape
    noise = torch.randn(2, frames, channels, size, size).double()
    first = torch.randn(2, channels, size, size).double()
    ids = torch.tensor([[0, 5, 6, 1] + [2] * 16, [0, 7, 1, 2] + [2] * 16])
    mask = (ids != 2).long()
    with torch.no_grad():
        states = clip(input_ids=ids, attention_mask=mask).last_hidden_state
        text = model.encode_text(ids, mask)
        torch.testing.assert_close(text, torch.cat([states, states], -1))
        backbone, constants = model.video_backbone, model.video_backbone.constants(torch.tensor([3.0]))
        passed = backbone(noise, first, backbone.project_text(text), constants)
        velocity = backbone.predict_velocity(passed, text, constants)
        repeated = first[:, None].expand(-1, frames, -1, -1, -1)
        ids_of_time = torch.tensor([[4.0, 127.0, 0.0]] * 2).double()
        timestep = 0.25 * torch.tensor(3.0).log()
        expected = unet(torch.cat([noise, repeated], 2), timestep, text, ids_of_time).sample
    torch.testing.assert_close(velocity, expected, rtol=1e-6, atol=1e-6)


def test_the_autoencoder_is_the_published_one(published):
    folder, _, autoencoder, _ = published
    start = published_start(folder / "svd", folder / "clip", NETWORK)
    assert {tensor.dtype for tensor in start.values()} == {torch.float32}
    encoder = load_image_encoder(NETWORK, start)
    decoder = VideoDecoder(NETWORK.image_encoder).eval()
    decoder.load_state_dict(
        {k.removeprefix("video_decoder."): v for k, v in start.items() if k.startswith("video_decoder.")}
    )
    images = torch.rand(3, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        latents = encoder(images)
        torch.testing.assert_close(latents, autoencoder.encode(images).latent_dist.mode())
        decoded = autoencoder.decode(latents, num_frames=3).sample
        torch.testing.assert_close(decoder(latents[None])[0], decoded)


def test_tensors_after_the_features_are_the_video_heads():
    assert name_in_backbone("up_blocks.1.resnets.0.x") == "up_blocks.1.resnets.0.x"
    assert name_in_backbone("up_blocks.3.resnets.0.x") == "video_head.up_blocks.1.resnets.0.x"
    assert name_in_backbone("conv_out.bias") == "video_head.conv_out.bias"
    assert name_in_backbone("mid_block.resnets.0.x") == "mid_block.resnets.0.x"


def test_a_video_model_of_other_sizes_is_refused(published):
    folder, *_ = published
    start = published_start(folder / "svd", folder / "clip", NETWORK)
    wider = dataclasses.replace(NETWORK.backbone, block_widths=(64, 64, 128))
    with pytest.raises(RunError, match="another network"):
        build_video_model(dataclasses.replace(NETWORK, backbone=wider), RECIPE, start)


def test_what_is_missing_is_named(published, tmp_path):
    folder, *_ = published
    with pytest.raises(PublishedCheckpointError, match="unet"):
        published_start(tmp_path, folder / "clip", NETWORK)
    (tmp_path / "svd").mkdir()
    (tmp_path / "svd" / "unet").symlink_to(folder / "svd" / "unet")
    (tmp_path / "svd" / "vae").mkdir()
    name = "diffusion_pytorch_model.safetensors"
    tensors = load_file(folder / "svd" / "vae" / name)
    encoder_only = {k: v for k, v in tensors.items() if not k.startswith("decoder.")}
    save_file(encoder_only, tmp_path / "svd" / "vae" / name)
    with pytest.raises(PublishedCheckpointError, match="no decoder"):
        published_start(tmp_path / "svd", folder / "clip", NETWORK)
