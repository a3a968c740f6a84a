"""What is kept there is code: nobody else may have a hand in it."""

import pytest

from svam_ros.user_cache import user_cache


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "svam_ros"


def test_every_folder_is_its_owners_alone_and_made_where_it_is_not_there(cache):
    assert user_cache("kernels") == cache / "kernels" == user_cache("kernels")
    assert cache.stat().st_mode & 0o777 == (cache / "kernels").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_write_in_is_refused_with_the_way_out(cache):
    user_cache("kernels").chmod(0o770)
    with pytest.raises(PermissionError, match=f"others may write there: chmod go-w {cache}/kernels"):
        user_cache("kernels")
    assert user_cache() == cache


def test_a_relative_cache_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache() == tmp_path / ".cache" / "svam_ros"
