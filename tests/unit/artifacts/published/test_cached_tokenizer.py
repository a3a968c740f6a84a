"""An import without ``--clip``: the tokenizer that the published code left in the Hugging Face cache."""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants
from support.published_files import PUBLISHED, groups, write_tokenizer, write_without_pickles

from svam_ros.artifacts.model_directory import file_sha256, open_model
from svam_ros.artifacts.published import importing
from svam_ros.artifacts.published.clip_tokenizer import cached_clip_folder
from svam_ros.artifacts.published.conversion import PublishedCheckpointError
from svam_ros.artifacts.published.importing import PublishedFiles
from svam_ros.cli.main import main
from svam_ros.networks.presets import PRESETS

ROOT = Path(__file__).parents[4]
REVISION = "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268"
TOKENIZER_FILES = ("vocab.json", "merges.txt")


def write_cache(hub: Path) -> Path:
    """The tokenizer in the layout of a Hugging Face cache, files as links to blobs; gives the snapshot."""
    repository = hub / "models--openai--clip-vit-base-patch32"
    snapshot = repository / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)
    write_tokenizer(repository / "blobs")
    for name in TOKENIZER_FILES:
        (snapshot / name).symlink_to(Path("..", "..", "blobs", name))
    (snapshot / "pytorch_model.bin").write_bytes(b"weights that nobody asked for")
    return snapshot


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """Where the Hugging Face cache is for the test: a folder that is not there yet."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def calls(monkeypatch) -> list[object]:
    """Whatever asks for a connection or for the address of a name; nothing gets either."""
    asked: list[object] = []

    def refuse(*arguments: object, **_: object) -> None:
        asked.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return asked


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> PublishedFiles:
    files = write_without_pickles(tmp_path_factory.mktemp("published"), groups())
    return dataclasses.replace(files, clip=None)


def command(files: PublishedFiles, out: Path) -> list[str]:
    places = ["--unet", str(files.unet), "--action", str(files.action)]
    return ["import-published", *places, "--preset", "calvin", "--out", str(out)]


def test_the_cached_tokenizer_is_used_and_recorded_and_no_network_is_asked(
    published, hub, calls, tmp_path, monkeypatch
):
    monkeypatch.setitem(PRESETS, "calvin", PUBLISHED)
    snapshot = write_cache(hub)
    assert main(command(published, tmp_path / "m")) == 0
    assert calls == []
    sources = open_model(tmp_path / "m", any_robot=True).manifest.provenance.sources
    assert {name: digest for name, digest in sources.items() if name.startswith("clip/")} == {
        f"clip/{name}": file_sha256(snapshot / name) for name in TOKENIZER_FILES
    }


def test_without_a_cached_tokenizer_one_sentence_says_what_to_give_before_weights_are_read(
    published, hub, calls, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(importing, "read_tensors", None)
    assert main(command(published, tmp_path / "m")) == 2
    assert calls == []
    assert capsys.readouterr().err == (
        f"svam import-published: --clip is not given, and the Hugging Face cache {hub} has no tokenizer of "
        "openai/clip-vit-base-patch32, which the published code would have left there: give a folder with "
        "CLIP's tokenizer.json, or vocab.json and merges.txt, as --clip\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_tokenizer_beside_the_video_model_comes_before_the_cached_one(published, hub, tmp_path):
    write_cache(hub)
    unet = shutil.copytree(published.unet, tmp_path / "svd")
    files = dataclasses.replace(published, unet=unet)
    assert files.tokenizer_folder() == cached_clip_folder()
    write_tokenizer(unet / "tokenizer")
    assert files.tokenizer_folder() == unet / "tokenizer"
    assert dataclasses.replace(files, clip=tmp_path).tokenizer_folder() == tmp_path


def test_a_cache_without_a_tokenizer_of_the_main_revision_is_refused(hub):
    snapshot = write_cache(hub)
    (hub / "models--openai--clip-vit-base-patch32" / "refs" / "main").write_text("0" * 40)
    with pytest.raises(PublishedCheckpointError, match="has no tokenizer of openai/clip-vit-base-patch32"):
        cached_clip_folder()
    (hub / "models--openai--clip-vit-base-patch32" / "refs" / "main").write_text(REVISION)
    assert cached_clip_folder() == snapshot


def test_half_a_cached_tokenizer_is_refused_with_its_folder(published, hub, calls, tmp_path, capsys):
    snapshot = write_cache(hub)
    (snapshot / "merges.txt").unlink()
    assert main(command(published, tmp_path / "m")) == 2
    said = (
        f"{snapshot} has neither tokenizer.json nor vocab.json and merges.txt: give CLIP's folder with --clip"
    )
    assert said in capsys.readouterr().err
    assert calls == []


@pytest.mark.slow
def test_the_cache_is_where_hf_home_says(tmp_path):
    snapshot = write_cache(tmp_path / "hub")
    script = "from svam_ros.artifacts.published import clip_tokenizer as c; print(c.cached_clip_folder())"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGG"))}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment | {"HF_HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == str(snapshot), done.stderr
