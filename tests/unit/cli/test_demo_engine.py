"""The engine that a demo takes when none is named."""

import io
import sys

import pytest
from rich.console import Console

from svam_ros.artifacts.model_directory import ModelDirectoryError, open_model
from svam_ros.artifacts.model_saving import copy_model
from svam_ros.cli import demo_engine
from svam_ros.cli.demo_engine import with_engine
from svam_ros.cli.demo_options import DemoOptions


@pytest.fixture
def screen():
    return Console(file=io.StringIO(), width=1000)


@pytest.fixture
def own_model(tmp_path):
    return copy_model(open_model("tiny"), tmp_path / "mine").path


def test_an_engine_that_is_named_is_taken_without_a_look_at_the_model(screen):
    named = DemoOptions(engine="scripted", model="motion=sine")
    assert with_engine(named, screen) is named
    assert screen.file.getvalue() == ""


def test_nothing_is_built_into_a_model_of_the_users_own_but_the_way_to_do_so_is_said(screen, own_model):
    chosen = with_engine(DemoOptions(model=str(own_model)), screen)
    assert (chosen.engine, chosen.model) == ("eager", str(own_model))
    assert f"'svam build-engine --model {own_model}' makes a faster one" in screen.file.getvalue()
    assert not (own_model / "engines").exists()


def test_without_the_library_the_demo_goes_on_and_says_what_would_help(screen, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    chosen = with_engine(DemoOptions(), screen)
    assert (chosen.engine, chosen.model) == ("eager", "tiny")
    assert "openvino cannot be had: engine 'openvino' needs OpenVINO" in screen.file.getvalue()
    assert "pip install 'svam_ros[openvino]'" in screen.file.getvalue()


def test_where_nothing_can_be_kept_the_demo_goes_on(screen, monkeypatch, tmp_path):
    (tmp_path / "svam_ros").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert with_engine(DemoOptions(), screen).engine == "eager"
    assert "openvino cannot be had" in screen.file.getvalue()


def test_a_model_with_an_engine_for_what_is_here_keeps_its_place(screen, own_model, monkeypatch):
    monkeypatch.setattr(demo_engine, "_is_built", lambda model: model.path == own_model)
    chosen = with_engine(DemoOptions(model=str(own_model)), screen)
    assert (chosen.engine, chosen.model) == ("openvino", str(own_model))
    assert screen.file.getvalue() == ""


def test_a_model_that_is_not_there_is_no_reason_for_another_engine(screen, tmp_path):
    with pytest.raises(ModelDirectoryError):
        with_engine(DemoOptions(model=str(tmp_path / "nothing")), screen)
