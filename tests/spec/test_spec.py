"""Specs: checked as a whole, and every mistake has its line, column and the nearest name."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nanonas.core.errors import NanonasError, SpecError, UnknownName
from nanonas.spec.load import load_spec, override_spec, preset_names
from nanonas.spec.schema import Spec, differences

GOOD = """name: mine
data: {name: digits}
strategy:
  name: evolution
  population_size: 10
budget: {trials: 5}
"""


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "my.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def message(path: Path | str, *overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        load_spec(path, overrides)
    return str(caught.value)


def test_a_spec_round_trips_through_its_text(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path, GOOD))
    assert load_spec(write(tmp_path, spec.text())) == spec


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_round_trips(name: str, tmp_path: Path) -> None:
    spec = load_spec(name)
    assert spec.name == name
    assert load_spec(write(tmp_path, spec.text())) == spec


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  population_size: 10", "  populaton_size: 10", "my.yaml:5:3: strategy.populaton_size: unknown key; did you mean 'population_size'?"),
        ("strategy:", "stratgy:", "my.yaml:3:1: stratgy: unknown key; did you mean 'strategy'?"),
        ("name: evolution", "name: evolutoin", "my.yaml:4:3: strategy.name: unknown strategy 'evolutoin'; did you mean 'evolution'?"),
        ("{name: digits}", "{name: digit}", "my.yaml:2:8: data.name: unknown data set 'digit'; did you mean 'digits'?"),
        ("population_size: 10", "population_size: 0", "my.yaml:5:3: strategy.population_size: Input should be greater than or equal to 2, not 0"),
        ("population_size: 10", "population_size: many", "my.yaml:5:3: strategy.population_size: "),
        ("population_size: 10", "population_size: 3", "my.yaml:3:1: strategy: sample_size 6 is larger than population_size 3"),
        ("{trials: 5}", "{}", "my.yaml:6:1: budget: needs trials, minutes or both"),
        ("{trials: 5}", "{trials: 0}", "my.yaml:6:10: budget.trials: "),
        ("{trials: 5}", "{minutes: .nan}", "my.yaml:6:10: budget.minutes: "),
        ("name: mine", "name: ../../etc", "my.yaml:1:1: name: "),
        ("name: mine\n", "", "name: is missing"),
        ("data: {name: digits}", "data: {name: digits, validation_fraction: 0.9}", "my.yaml:2:22: data.validation_fraction: "),
        ("data: {name: digits}", "space: {name: nano, operations: [conv_3x3, conv_9x9, none]}", "unknown operation 'conv_9x9'; did you mean"),
        ("data: {name: digits}", "space: {name: nano, operations: [none, none]}", "an option is listed twice"),
        ("data: {name: digits}", "objectives: {val_acuracy: maximize}", "my.yaml:2:14: objectives.val_acuracy: unknown metric; did you mean 'val_accuracy'?"),
        ("data: {name: digits}", "objectives: {train_seconds: minimize}", "objectives.train_seconds: unknown metric"),
        ("data: {name: digits}", "objectives: {}", "my.yaml:2:1: objectives: "),
        ("data: {name: digits}", "constraints: {param: 100}", "my.yaml:2:15: constraints.param: unknown measure; did you mean 'params'?"),
        ("data: {name: digits}", "constraints: {params: -1}", "my.yaml:2:15: constraints.params: "),
        ("data: {name: digits}", "executor: {name: proceses}", "unknown executor 'proceses'; did you mean 'processes'?"),
        ("data: {name: digits}", "executor: 3", "my.yaml:2:1: executor: "),
        ("data: {name: digits}", "device: gpu", "my.yaml:2:1: device: "),
        ("data: {name: digits}", "evaluator: {name: training, epochs: 1.5}", "my.yaml:2:29: evaluator.epochs: "),
        ("budget: {trials: 5}", "budget: {trials: 5}\nbudget: {trials: 6}", "my.yaml:7:1: key 'budget' stands twice"),
        ("budget: {trials: 5}", "budget: {trials: 5", "my.yaml:7:1: "),
        ("budget: {trials: 5}", "budget: !!python/object/apply:os.system [ls]", "my.yaml:6:9: "),
    ],
)  # fmt: skip
def test_a_mistake_has_its_place_and_a_hint(old: str, new: str, said: str, tmp_path: Path) -> None:
    assert old in GOOD
    text = message(write(tmp_path, GOOD.replace(old, new)))
    assert said in text
    assert "Traceback" not in text


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    text = message(write(tmp_path, GOOD.replace("10", "0").replace("{trials: 5}", "{trials: -1}")))
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty, not a mapping"),
        (b"- a\n- b\n", "is a list, not a mapping"),
        (b"just text\n", "is a str, not a mapping"),
        (b"\x7fELF\x02\x01\xff\xfe\x80", "not text in UTF-8"),
        (b"\x00\x01\x02", "perhaps in UTF-16"),
        (b"\x01\x02", "not YAML"),
        ("name: a".encode("utf-16-le"), "perhaps in UTF-16 (it holds NUL bytes); save it as UTF-8"),
        ("name: a".encode("utf-16")[:-1], "not text in UTF-16"),
        ("a: b\nname: \xe4".encode("latin-1"), "not text in UTF-8 (byte 0xe4 in line 2); save it as UTF-8"),
        (b"seed: !!bool maybe", "my.yaml:1:7: 'maybe' is no bool"),
        (b"seed: !!timestamp x", "my.yaml:1:7: 'x' is no timestamp"),
        (b"seed: !!float ''", "my.yaml:1:7: '' is no float"),
        (b"a" * 2_000_000, "larger than"),
        (b"[" * 100_000, "my.yaml"),
        (b"&a [*a]", "not a mapping"),
        (b"name: *nothing", "my.yaml:1:7: "),
        (b"? {a: b}\n: c\n", "my.yaml"),
    ],
)
def test_what_is_no_spec_is_one_line(content: bytes, said: str, tmp_path: Path) -> None:
    text = message(write(tmp_path, content))
    assert said in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_spec_may_be_in_any_utf_with_any_line_ends(encoding: str, end: str, tmp_path: Path) -> None:
    text = GOOD + "evaluator: {name: table, path: bäume}\n"
    spec = load_spec(write(tmp_path, text.replace("\n", end).encode(encoding)))
    assert spec == load_spec(write(tmp_path, text))
    big = b"\xfe\xff" + text.replace("\n", end).encode("utf-16-be")
    assert load_spec(write(tmp_path, big)) == spec


def test_a_missing_file_says_how_to_begin(tmp_path: Path) -> None:
    assert "nanonas presets cifar10-evo > " in message(tmp_path / "no.yaml")


def test_a_folder_is_no_spec(tmp_path: Path) -> None:
    folder = tmp_path / "folder.yaml"
    folder.mkdir()
    assert "cannot be read" in message(folder)


def test_an_unknown_preset_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"unknown preset 'digits-evp'; did you mean 'digits-evo'\?"):
        load_spec("digits-evp")


# ---- overrides


def test_an_override_is_yaml(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    spec = load_spec(path, ["strategy.population_size=12", "train.learning_rate=1e-2", "budget={minutes: 3}"])
    assert spec.strategy.population_size == 12
    assert spec.train.learning_rate == 0.01
    assert (spec.budget.trials, spec.budget.minutes) == (None, 3)


def test_another_component_drops_the_keys_of_the_one_before(tmp_path: Path) -> None:
    assert load_spec(write(tmp_path, GOOD), ["strategy.name=random"]).strategy.name == "random"


def test_another_component_keeps_what_all_have_and_what_was_set_before(tmp_path: Path) -> None:
    path = write(tmp_path, "name: a\nstrategy: {name: evolution, sample_size: 5, repeats: true}\nbudget: {trials: 3}\n")
    strategy = load_spec(path, ["strategy.population_size=30", "strategy.name=nsga2"]).strategy
    assert (strategy.repeats, strategy.population_size) == (True, 30)
    nested = ["strategy.sampler.name=evolution", "strategy.name=zero_cost", "budget.trials=200"]
    assert load_spec(path, nested).strategy.sampler.name == "evolution"
    nested[0] = "strategy.sampler.name=random"
    assert load_spec(path, nested).strategy.sampler.name == "random"
    assert "strategy.population_size: unknown key" in message(
        path, "strategy.population_size=30", "strategy.name=random"
    )


def test_a_whole_spec_moves_to_another_executor(tmp_path: Path) -> None:
    text = load_spec(write(tmp_path, GOOD), ["executor.workers=2", "executor.timeout_seconds=9"]).text()
    assert "recycle_after" in text
    executor = load_spec(write(tmp_path, text), ["executor.name=inline"]).executor
    assert (executor.name, executor.workers, executor.timeout_seconds) == ("inline", 2, 9)


@pytest.mark.parametrize("name_first", [True, False])
def test_what_was_set_before_of_a_component_inside_another_stays(name_first: bool, tmp_path: Path) -> None:
    sets = ["strategy.sampler.candidates=50", "strategy.sampler.name=predictor"]
    sets = ["strategy.name=zero_cost", "budget.trials=140", *(sets[::-1] if name_first else sets)]
    sampler = load_spec(write(tmp_path, GOOD), sets).strategy.sampler
    assert (sampler.name, sampler.candidates) == ("predictor", 50)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("strategy.population_size=0", "--set strategy.population_size: Input should be greater"),
        ("strategy.sice=3", "--set strategy.sice: unknown key"),
        ("constraints.param=3", "--set constraints.param: unknown measure"),
        ("constraints={param: 3}", "--set constraints.param: unknown measure"),
        ('constraints={"a\\nb: c": 3}', "--set constraints.a b: c: unknown measure"),
        ('budget={"a\\nb": 3}', "--set budget.a b: unknown key"),
        ("nonsense", "is not KEY=VALUE"),
        ("=3", "is not KEY=VALUE"),
        ("a..b=3", "is not KEY=VALUE"),
        ("name.deeper=3", "name is not a section"),
        ("budget.trials=[", "the value is not YAML"),
        ("seed=!!int ''", "the value is not YAML"),
        ("name=", "--set name: "),
    ],
)  # fmt: skip
def test_a_wrong_override_names_itself(override: str, said: str, tmp_path: Path) -> None:
    text = message(write(tmp_path, GOOD), override)
    assert said in text
    assert len(text.splitlines()) == 1


def test_naming_the_default_component_keeps_the_section(tmp_path: Path) -> None:
    path = write(tmp_path, "name: a\nstrategy: {population_size: 9}\nbudget: {trials: 3}\n")
    assert load_spec(path, ["strategy.name=evolution"]).strategy.population_size == 9


def test_workers_are_a_number_or_auto(tmp_path: Path) -> None:
    for value in ("many", "0", "1.5", "true"):
        said = message(write(tmp_path, GOOD), f"executor.workers={value}")
        assert said.startswith("--set executor.workers: is 'auto' or a number from 1 to 1024")
        assert len(said.splitlines()) == 1


def test_a_section_without_a_name_means_the_default_component(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path, GOOD), ["executor.workers=2", "space.widths=[8]"])
    assert (spec.executor.name, spec.executor.workers, spec.space.name) == ("processes", 2, "nano")


def test_a_relative_root_is_made_absolute(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path, GOOD), ["data.name=folder", "data.root=photos"])
    assert spec.data.root == str(Path("photos").absolute())


def test_differences_name_what_forbids_to_continue(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path, GOOD))
    assert differences(spec, override_spec(spec, ["budget.trials=9", "executor.workers=3"])) == []
    changed = differences(spec, override_spec(spec, ["seed=4", "executor.lookahead=9"]))
    assert [line.split(":")[0] for line in changed] == ["seed", "executor.lookahead"]


def test_the_schema_describes_every_component() -> None:
    text = yaml.safe_dump(Spec.model_json_schema())
    for word in ("population_size", "crossover_probability", "sep_conv_5x5", "lookahead", "image_size"):
        assert word in text


@given(st.text(max_size=300))
def test_no_text_makes_a_traceback(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), text.encode("utf-8", "surrogatepass"))
        with pytest.raises(NanonasError):
            load_spec(path)


@pytest.mark.parametrize("key", ["strategy: {name: *a40}", "executor: {workers: *a40}", "train: {<<: *a40}"])
def test_aliases_that_stand_for_millions_are_refused(key: str, tmp_path: Path) -> None:
    bomb = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 41))]
    assert "its aliases stand for more than" in message(write(tmp_path, "\n".join([*bomb, GOOD, key])))


def test_a_few_aliases_are_as_good_as_any_text(tmp_path: Path) -> None:
    text = GOOD.replace("{trials: 5}", "&b {trials: 5}").replace("name: mine", "name: &n mine") + "train: {<<: *c}\n"
    assert (
        load_spec(write(tmp_path, text.replace("strategy:\n", "evaluator: &c {epochs: 3}\nstrategy:\n"))).train.epochs
        == 3
    )


def test_an_override_changes_one_section_where_an_alias_is_two(tmp_path: Path) -> None:
    text = GOOD + "train: &r {epochs: 3}\nevaluator: *r\n"
    spec = load_spec(write(tmp_path, text), ["train.epochs=40"])
    assert (spec.train.epochs, spec.evaluator.epochs) == (40, 3)


@pytest.mark.parametrize(
    "override",
    ["budget.trials=yes", "budget.minutes=on", "seed=yes", "train.learning_rate=yes", "constraints={params: yes}",
     "space.cells=[yes]", "space={name: mobile, widths: [[yes], [48], [48]]}"],
)  # fmt: skip
def test_a_truth_is_no_number(override: str, tmp_path: Path) -> None:
    said = message(write(tmp_path, GOOD), override, "train.epochs=-1")
    assert f"--set {override.partition('=')[0]}" in said
    assert "not 'true'" in said
    assert "train.epochs: " in said  # all problems at once


@pytest.mark.parametrize("value", ["1:30", "1:30.5"])
def test_a_number_to_the_base_60_is_refused(value: str, tmp_path: Path) -> None:
    text = GOOD.replace("{trials: 5}", f"{{minutes: {value}}}")
    assert message(write(tmp_path, text)).startswith(f"{tmp_path / 'my.yaml'}:6:19: {value} would be a number to the")
    said = message(write(tmp_path, GOOD), f"budget.minutes={value}")
    assert f"the value is not YAML ({value} would be a number to the base 60" in said


@pytest.mark.parametrize("value", ["0x" + "f" * 5_000, "1" + ":59" * 100_000, "9" * 5_000, "0b" + "1_" * 50_000])
@pytest.mark.parametrize("key", ["seed: {}", "constraints: {{params: {}}}", "executor: {{workers: {}}}"])
def test_an_integer_of_absurd_length_is_one_line(key: str, value: str, tmp_path: Path) -> None:
    said = message(write(tmp_path, GOOD + key.format(value) + "\n"))
    assert f"an integer of {len(value):,} characters" in said
    assert len(said) < 300


@pytest.mark.parametrize(
    ("key", "typed", "value"),
    [("seed", "010", 10), ("seed", "08", 8), ("seed", "-0", 0), ("seed", "+5", 5), ("seed", "0x10", 16),
     ("seed", "1_000", 1000), ("budget.trials", "0100", 100), ("executor.workers", "08", 8), ("budget.minutes", "08", 8),
     ("budget.minutes", "00.5", 0.5), ("budget.minutes", "5.", 5), ("train.learning_rate", "1e-3", 0.001)],
)  # fmt: skip
def test_a_number_with_leading_zeros_is_decimal(key: str, typed: str, value: float, tmp_path: Path) -> None:
    assert value_of(load_spec(write(tmp_path, GOOD), [f"{key}={typed}"]), key) == value
    assert value_of(load_spec(write(tmp_path, in_a_file(key, typed))), key) == value


@pytest.mark.parametrize("typed", ["0o10", "1:30", "01:30", "2024-01-01", "1,000"])
def test_what_may_be_another_number_is_refused(typed: str, tmp_path: Path) -> None:
    assert typed in message(write(tmp_path, GOOD), f"budget.trials={typed}")
    assert typed in message(write(tmp_path, GOOD.replace("{trials: 5}", f"{{trials: '{typed}'}}")))


@pytest.mark.parametrize(
    "typed", ["on", "No", "2024-01-01", "2020-13-13", "007", "089", "0x10", "1.50", "1_000", "1e5"]
)
def test_text_is_what_was_typed(typed: str, tmp_path: Path) -> None:
    keys = [f"evaluator={{name: table, path: {typed}, report: [{typed}]}}", f"objectives={{{typed}: maximize}}"]
    keys.append(f"name={typed}")
    in_file = GOOD.replace("name: mine\n", "") + "".join(key.replace("=", ": ", 1) + "\n" for key in keys)
    for spec in (load_spec(write(tmp_path, GOOD), keys), load_spec(write(tmp_path, in_file))):
        assert (spec.name, Path(spec.evaluator.path).name, spec.evaluator.report) == (typed, typed, (typed,))
        assert list(spec.objectives) == [typed]
        assert load_spec(write(tmp_path, spec.text())) == spec


@pytest.mark.parametrize(
    "typed",
    ["photos #2", "#2", "a: b", "x:", "@x", "*x", "&x y", "&x", "!x", "!x y", "%x", "`x", "[x", "{x: 1} #2", "'x", "it's",
     '"a" #b', "C:\\photos", "a, b", "- x", "? x", "| x", "> x", "---", "--- x", "...", "a\tb", "<<", "3 #2", "1:30"],
)  # fmt: skip
def test_a_path_in_an_override_may_be_anything(typed: str, tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    spec = load_spec(path, [f"data.root={typed}", "evaluator.name=table", f"evaluator.path = {typed} "])
    assert spec.data.root == spec.evaluator.path == str(Path(typed).absolute())
    assert load_spec(write(tmp_path, spec.text())) == spec


def test_a_path_in_quotes_is_what_stands_in_them(tmp_path: Path) -> None:
    for quoted in ("'a #b'", '"a #b"', "!!str 'a #b'"):
        assert load_spec(write(tmp_path, GOOD), [f"data.root={quoted}"]).data.root == str(Path("a #b").absolute())


def test_nothing_is_no_text(tmp_path: Path) -> None:
    for typed in ("null", "~"):
        assert load_spec(write(tmp_path, GOOD), [f"data.root={typed}"]).data.root is None
        assert "Input should be a valid string, not None" in message(write(tmp_path, GOOD), f"name={typed}")


def value_of(spec: Spec, key: str) -> object:
    found: object = spec
    for part in key.split("."):
        found = getattr(found, part)
    return found


def in_a_file(key: str, typed: str) -> str:
    """A spec in which this stands as it is."""
    section, _, last = key.partition(".")
    content = {"name": "mine", "budget": "{trials: 5}"}
    content[section] = (
        f"{{{'' if last == 'trials' else 'trials: 5, '}{last}: {typed}}}"
        if section == "budget"
        else (f"{{{last}: {typed}}}" if last else typed)
    )
    return "".join(f"{name}: {value}\n" for name, value in content.items())
