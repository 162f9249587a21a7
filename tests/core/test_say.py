"""How far a job is."""

import pytest

from nanonas.core import say


def test_a_long_job_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(say.time, "monotonic", lambda: now[0])
    said: list[str] = []
    progress = say.paced(said.append, "decoding {:,} of {:,} images")
    for done in range(0, 20_001, 1000):
        progress(done, 20_000)
        now[0] += 0.5
    assert said == ["decoding 4,000 of 20,000 images", "decoding 14,000 of 20,000 images"]
