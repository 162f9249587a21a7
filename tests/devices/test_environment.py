"""What is recorded of the machine."""

from pathlib import Path

import pytest

from nanonas.devices.environment import cpu

ONE = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu sse2 {}\nbugs\t\t: none\n\n"


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("avx2 avx512f avx512_bf16", "AMD EPYC, AVX-512 BF16"),
        ("avx2 avx512f avx512_bf16 amx_bf16", "AMD EPYC, AMX"),
        ("avx2 avx512f", "AMD EPYC, AVX-512"),
        ("avx avx2", "AMD EPYC, AVX2"),
        ("avx", "AMD EPYC"),
    ],
)
def test_a_processor_is_told_with_its_widest_instructions(
    flags: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda path: 2 * ONE.format(flags))
    assert cpu() == name


def test_a_machine_without_such_a_list_has_a_name_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: Path) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", missing)
    assert cpu()
