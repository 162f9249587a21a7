"""Writes docs/spec.md, the keys of a spec: python docs/spec.py > docs/spec.md (a test compares)."""

import json
import sys
from typing import Any

from nanonas.core.problem import measures
from nanonas.data.dataset import DATASETS, DataConfig
from nanonas.spec.schema import DEFAULTS, SECTIONS, Budget, Spec, TrainConfig
from nanonas.training.recipe import Recipe

HEAD = """\
# The keys of a spec

A spec is YAML; `--set KEY=VALUE` changes one key, and the value is YAML too: `--set strategy.population_size=12`,
`--set 'space.widths=[16, 24]'`. A number with leading zeros is decimal: `010` is ten. Where text is wanted, such as a
name or a path, it is what was typed; in a file, ` #` begins a comment. Naming another component
(`--set strategy.name=random`) drops the keys that were the other's. `nanonas presets NAME` prints an
example, `nanonas presets --schema` the same as below as JSON Schema.
"""


def rows(model: Any, prefix: str = "", leave_out: tuple[str, ...] = ()) -> list[str]:
    described = model.model_json_schema()["properties"]
    lines = ["", "| key | default | what it is |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        if name in leave_out:
            continue
        default = "required" if field.is_required() else f"`{json.dumps(described[name].get('default'))}`"
        said = field.description or ""
        if choices := described[name].get("enum"):
            said += f" ({', '.join(map(str, choices))})"
        lines.append(f"| `{prefix}{name}` | {default} | {said} |")
    return lines if len(lines) > 3 else []


def text() -> str:
    sections = (*SECTIONS, "data", "budget", "train")
    recipe = tuple(Recipe.model_fields)
    lines = [HEAD, "## At the top", *rows(Spec, leave_out=sections)]
    lines += ["", "## data", "", f"`name` is one of {', '.join(DATASETS)}.", *rows(DataConfig, "data.")]
    lines += ["", "## budget", "", "Whichever ends first.", *rows(Budget, "budget.")]
    lines += ["", "## train", "", "The last training, by a recipe.", *rows(TrainConfig, "train.", recipe)]
    lines += ["", "## A recipe", "", "Keys of `train`, and of the evaluators `training` and `supernet`."]
    lines += rows(Recipe)
    for section, registry in SECTIONS.items():
        shared: Any = Spec.model_fields[section].annotation
        lines += ["", f"## {section}", "", f"One of {', '.join(registry)}; without a name {DEFAULTS[section]}."]
        lines += rows(shared, f"{section}.", ("name",))
        for name in registry:
            model = registry[name].Config
            others = [shared] + [Recipe] * issubclass(model, Recipe)
            told = {(key, what(field)) for other in others for key, field in other.model_fields.items()}
            same = tuple(key for key, field in model.model_fields.items() if (key, what(field)) in told)
            lines += ["", f"### {section}: {name}", "", *about(section, registry[name])]
            lines += rows(model, f"{section}.", ("name", *same))
    return "\n".join(lines) + "\n"


def what(field: Any) -> str:
    return f"{field.default!r} {field.description}"


def about(section: str, component: Any) -> list[str]:
    """The first paragraph of its docstring, and what it measures."""
    said = [" ".join((component.__doc__ or "").split("\n\n")[0].split())]
    if section == "space":
        said.append(f"Measures: {', '.join(measures(component))}.")
    if section == "evaluator":
        said.append(
            "Metrics: " + (", ".join(component.metrics) if component.metrics else "whatever is asked for") + "."
        )
    return [" ".join(said)]


if __name__ == "__main__":
    sys.stdout.write(text())
