"""The quarantine: tensors come through, code does not, whatever the file says."""

from __future__ import annotations

import builtins
import functools
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.collect_env
from safetensors.torch import load_file
from support.published_files import fake_omegaconf

from svam_ros.artifacts.published.conversion import PublishedCheckpointError
from svam_ros.artifacts.published.unpickling import unpickle

ROOT = Path(__file__).parents[4]
TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b.weight": torch.ones(4, dtype=torch.float16)}


def read(path: Path, tmp_path: Path) -> tuple[dict[str, torch.Tensor], list[str]]:
    folder = tmp_path / "out"
    folder.mkdir()
    dropped = unpickle(path, folder / "tensors.safetensors", lambda _: None)
    return load_file(folder / "tensors.safetensors"), dropped


def refusal(path: Path, tmp_path: Path) -> str:
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(PublishedCheckpointError) as caught:
        unpickle(path, folder / "tensors.safetensors", lambda _: None)
    assert list(folder.iterdir()) == []
    return str(caught.value)


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[n], expected[n]) for n in expected)


class Calling:
    """An object that pickles as a call: what is unpickled naively runs it."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_the_state_dict_comes_through_and_the_rest_is_left_behind(tmp_path, zipped):
    content = {
        "model": TENSORS | {"p": torch.nn.Parameter(torch.zeros(2))},
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "groups": [{"lr": 1e-4}]},
        "epoch": 3,
    }
    torch.save(content, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    found, dropped = read(tmp_path / "x.pt", tmp_path)
    assert same(found, {name: t.detach() for name, t in content["model"].items()})
    assert dropped == ["epoch", "optimizer"]


def test_a_bare_state_dict_with_views_and_shared_storage_comes_through(tmp_path):
    whole = torch.arange(24.0).reshape(4, 6)
    content = {"whole": whole, "again": whole, "turned": whole.T, "rows": whole[1:3]}
    torch.save(content, tmp_path / "x.pth")
    assert same(read(tmp_path / "x.pth", tmp_path)[0], content)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_settings_objects_are_dropped_without_being_built(tmp_path, zipped):
    with fake_omegaconf() as settings:
        content = {"model": TENSORS, "args": settings({"lr": 1e-4, "betas": [0.9, 0.9]})}
        torch.save(content, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    found, dropped = read(tmp_path / "x.pt", tmp_path)
    assert same(found, TENSORS)
    assert dropped == ["args"]


@pytest.mark.parametrize(
    ("zipped", "module"),
    # inside a zip archive bytes cannot be exchanged without breaking its checksum
    [(True, b"numpy._core."), (False, b"numpy._core."), (False, b"numpy.core.")],
    ids=["zip", "legacy", "legacy of numpy 1"],
)
def test_numpy_numbers_beside_the_tensors_are_dropped_without_being_built(tmp_path, zipped, module):
    content = {"model": TENSORS, "best_loss": np.float64(0.5), "step": np.int64(3)}
    torch.save(content, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    written = (tmp_path / "x.pt").read_bytes()
    assert b"numpy._core.multiarray" in written
    (tmp_path / "x.pt").write_bytes(written.replace(b"numpy._core.", module))
    found, dropped = read(tmp_path / "x.pt", tmp_path)
    assert same(found, TENSORS)
    assert dropped == ["best_loss", "step"]


def test_a_numpy_number_in_place_of_a_tensor_is_refused(tmp_path):
    torch.save({"model": TENSORS | {"c": np.float64(0.5)}}, tmp_path / "x.pt")
    assert "entry 'c' of the state dict is a Placeholder, not a tensor" in refusal(
        tmp_path / "x.pt", tmp_path
    )


def attacks(marker: Path) -> dict[str, tuple[Any, str]]:
    """Objects that would leave a mark if they were unpickled, and the name that must be in the refusal."""
    python = f"open({str(marker)!r}, 'w')"
    inner = pickle.dumps(Calling(os.system, f"touch {marker}"))
    return {
        "system": (Calling(os.system, f"touch {marker}"), "posix.system"),
        "eval": (Calling(builtins.eval, python), "builtins.eval"),
        "exec": (Calling(builtins.exec, python), "builtins.exec"),
        "popen": (Calling(subprocess.Popen, ["touch", str(marker)]), "Popen"),
        "getattr": (Calling(getattr, "text", "format"), "builtins.getattr"),
        "partial": (functools.partial(os.system, f"touch {marker}"), "functools.partial"),
        "open": (Calling(open, str(marker), "w"), "io.open"),
        "storage": (Calling(torch.storage._load_from_bytes, inner), "torch.storage._load_from_bytes"),
        "torch.load": (Calling(torch.load, str(marker)), "torch.serialization.load"),
        "collect_env": (
            Calling(torch.utils.collect_env.run, f"touch {marker}"),
            "torch.utils.collect_env.run",
        ),
        "hub": (Calling(torch.hub.load, "owner/name", "model"), "torch.hub.load"),
        "type": (
            Calling(torch._tensor._rebuild_from_type_v2, os.system, str, (f"touch {marker}",), {}),
            "torch._tensor._rebuild_from_type_v2",
        ),
        "module": (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
    }


@pytest.mark.parametrize(
    ("name", "zipped"),
    [(name, True) for name in attacks(Path("x"))] + [("system", False), ("storage", False)],
)
def test_anything_but_tensors_and_containers_is_refused_by_name_and_not_run(tmp_path, name, zipped):
    marker = tmp_path / "marker"
    attack, words = attacks(marker)[name]
    path = tmp_path / "x.pt"
    torch.save({"model": TENSORS, "extra": [attack]}, path, _use_new_zipfile_serialization=zipped)
    said = refusal(path, tmp_path)
    assert said.startswith(f"{path} is refused: it asks for '")
    assert words in said
    assert not marker.exists()


def test_an_attack_inside_a_settings_object_is_refused_too(tmp_path):
    marker = tmp_path / "marker"
    with fake_omegaconf() as settings:
        torch.save(
            {"model": TENSORS, "args": settings({"x": Calling(os.system, f"touch {marker}")})},
            tmp_path / "x.pt",
        )
    assert "posix.system" in refusal(tmp_path / "x.pt", tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_files_that_are_cut_off_or_empty_are_refused(tmp_path, zipped):
    torch.save({"model": TENSORS}, tmp_path / "whole.pt", _use_new_zipfile_serialization=zipped)
    content = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "x.pt").write_bytes(content[: len(content) // 2])
    assert "x.pt is refused: it cannot be read" in refusal(tmp_path / "x.pt", tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([torch.zeros(1)], "it holds a list, not a state dict"),
        ({"model": {"a": torch.zeros(1), "b": "text"}}, "entry 'b' of the state dict is a str, not a tensor"),
        ({"model": {"a": {"b": torch.zeros(1)}}}, "entry 'a' of the state dict is a dict, not a tensor"),
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path, content, words):
    torch.save(content, tmp_path / "x.pt")
    assert words in refusal(tmp_path / "x.pt", tmp_path)


@pytest.mark.parametrize(
    ("attempt", "event"),
    [
        ("os.system('true')", "os.system"),
        ("os.fork()", "os.fork"),
        ("os.posix_spawn('/bin/true', ['true'], {})", "os.posix_spawn"),
        ("__import__('subprocess').Popen(['true'])", "subprocess.Popen"),
        ("__import__('socket').socket()", "socket.__new__"),
        ("open(OTHER, 'w')", "open"),
        ("open(OTHER, 'r')", "open"),
        ("os.remove(SOURCE)", "os.remove"),
        ("open(SOURCE, 'r+')", "open"),
        ("__import__('telnetlib')", "import"),
        ("eval('1')", "compile"),
    ],
)
def test_a_confined_process_can_do_nothing_but_read_and_write_its_two_files(tmp_path, attempt, event):
    source, output, other = tmp_path / "in", tmp_path / "out", tmp_path / "other"
    source.write_text("x")
    other.write_text("x")
    script = (
        "import os, subprocess, socket, sys\nfrom pathlib import Path\n"
        "from svam_ros.quarantine.confinement import ForbiddenEvent, confine\n"
        f"SOURCE, OUTPUT, OTHER = {str(source)!r}, {str(output)!r}, {str(other)!r}\n"
        "confine(Path(SOURCE), Path(OUTPUT))\n"
        "open(SOURCE).read()\nopen(OUTPUT, 'w').close()\n"
        f"try:\n    {attempt}\nexcept ForbiddenEvent as error:\n    print('refused:', error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith(f"refused: it tried '{event}'"), done.stderr
    assert source.read_text() == other.read_text() == "x"


def test_a_pickle_that_asks_for_more_memory_than_its_size_allows_is_refused(tmp_path):
    huge = torch.zeros(1).expand(2**36)  # four bytes in the file, 256 GiB when it is made contiguous
    torch.save({"model": {"a": huge}}, tmp_path / "x.pt")
    assert "it cannot be read (RuntimeError" in refusal(tmp_path / "x.pt", tmp_path)


def test_an_interrupted_reading_leaves_no_process_behind(tmp_path, monkeypatch):
    started: list[subprocess.Popen[str]] = []
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(start(*a, **k)) or started[-1])
    monkeypatch.setattr(time, "sleep", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    torch.save({"model": TENSORS}, tmp_path / "x.pt")
    with pytest.raises(KeyboardInterrupt):
        unpickle(tmp_path / "x.pt", tmp_path / "y", lambda _: None)
    assert started[0].poll() is not None
