from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cache_of_the_session(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's own cache; data sets are decoded once a session."""
    monkeypatch.setenv("NANONAS_CACHE", str(session_cache))
