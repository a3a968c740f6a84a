"""The engine that a demo takes when none is named."""

import io
import os
import sys

import pytest
from rich.console import Console

from svam_ros.artifacts.engine_files import WRITABLE_BY_OTHERS, EngineIdentity
from svam_ros.artifacts.model_directory import ModelDirectoryError, open_model
from svam_ros.artifacts.model_saving import copy_model
from svam_ros.cli import demo_engine
from svam_ros.cli.demo_engine import ChosenEngine, choose_engine
from svam_ros.cli.demo_options import DemoOptions
from svam_ros.engines.exported.work_folder import work_folder

IDENTITY = EngineIdentity("openvino", "openvino", "cpu", "float32", "net", "weights")


@pytest.fixture
def screen():
    return Console(file=io.StringIO(), width=1000)


@pytest.fixture
def own_model(tmp_path):
    return copy_model(open_model("tiny"), tmp_path / "mine").path


def test_an_engine_that_is_named_is_taken_without_a_look_at_the_model(screen):
    named = DemoOptions(engine="scripted", model="motion=sine")
    assert choose_engine(named, screen) == ChosenEngine("scripted", "motion=sine")
    assert screen.file.getvalue() == ""


def test_nothing_is_built_into_a_model_of_the_users_own_but_the_way_to_do_so_is_said(screen, own_model):
    chosen = choose_engine(DemoOptions(model=str(own_model)), screen)
    assert (chosen.name, chosen.model) == ("eager", str(own_model))
    assert f"a faster one is made by: svam build-engine --model {own_model}" in screen.file.getvalue()
    assert not (own_model / "engines").exists()


def test_without_the_library_the_demo_goes_on_and_says_what_would_help(screen, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    chosen = choose_engine(DemoOptions(), screen)
    assert (chosen.name, chosen.model) == ("eager", "tiny")
    assert "openvino cannot be had: engine 'openvino' needs OpenVINO" in screen.file.getvalue()
    assert "pip install 'svam_ros[openvino]'" in screen.file.getvalue()


def test_who_may_write_at_the_engine_of_a_demo(screen, monkeypatch, tmp_path):
    """Nobody but the owner, under a umask that lets a group write too."""
    made = []

    def build(model, request, report):
        with work_folder(model, IDENTITY, "float32", ""):
            made.append(model.path)
        raise RuntimeError("far enough")

    monkeypatch.setattr("svam_ros.engines.exported.building.build_engine", build)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = os.umask(0o002)
    try:
        assert choose_engine(DemoOptions(), screen).name == "eager"
    finally:
        os.umask(before)
    assert "cannot be had: far enough" in screen.file.getvalue()
    for folder in (tmp_path / "svam_ros", made[0], made[0] / "engines"):
        assert not folder.stat().st_mode & WRITABLE_BY_OTHERS, folder


def test_where_nothing_can_be_kept_the_demo_goes_on(screen, monkeypatch, tmp_path):
    (tmp_path / "svam_ros").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert choose_engine(DemoOptions(), screen).name == "eager"
    assert "openvino cannot be had" in screen.file.getvalue()


def test_a_model_with_an_engine_for_what_is_here_keeps_its_place(screen, own_model, monkeypatch):
    monkeypatch.setattr(demo_engine, "is_built", lambda model: model.path == own_model)
    chosen = choose_engine(DemoOptions(model=str(own_model)), screen)
    assert (chosen.name, chosen.model) == ("openvino", str(own_model))
    assert screen.file.getvalue() == ""


def test_a_model_that_is_not_there_is_no_reason_for_another_engine(screen, tmp_path):
    with pytest.raises(ModelDirectoryError):
        choose_engine(DemoOptions(model=str(tmp_path / "nothing")), screen)
