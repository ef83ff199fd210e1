"""Read a training config: YAML with `extends` and `--set`, and errors that say which key, where, and what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

import yaml
from pydantic import BaseModel, ValidationError

from bracket.errors import SettingsError
from bracket.reading import Unreadable, bounded, from_yaml, read_text, why
from bracket.training.config.schema import Section, TrainingConfig, TrialSection

Tree = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)


def read_trials(path: Path, overrides: Sequence[str] = ()) -> list[TrainingConfig]:
    """The trials a config file asks for: one, or as many as its `trials:` lists.

    Args:
        path: YAML; its `extends` is looked up beside it, and so on up.
        overrides: `key=value` with a dotted key and a YAML value, applied last.

    Raises:
        SettingsError: a file is missing or isn't a map, a key is unknown or a value doesn't fit.
    """
    tree, places = read_tree(path)
    for override in overrides:
        key, value = _parse_override(override)
        _set(tree, key, value)
        places[key] = f"--set {override}"
    rows = tree.pop("trials", None)
    if rows is None:
        return [validate(TrainingConfig, tree, places)]
    if not isinstance(rows, list) or not rows:
        raise SettingsError("trials must be a list with at least one trial", path=places.get("trials"))
    return _check_shared([_trial(tree, row, number, places) for number, row in enumerate(rows)], path)


def _trial(tree: Tree, row: object, number: int, places: Mapping[str, str]) -> TrainingConfig:
    prefix = f"trials.{number}"
    trial = validate(TrialSection, row, {k.removeprefix(prefix + "."): v for k, v in places.items()}, prefix=prefix)
    merged, merged_places = merge(tree, {}), dict(places)
    for key, value in trial.set.items():
        _set(merged, key, value)
        merged_places[key] = places.get(f"{prefix}.set.{key}", prefix)
    merged["output_dir"] = str(trial.output_dir)
    if trial.seed is not None:
        merged["seed"] = trial.seed
    return validate(TrainingConfig, merged, merged_places)


def _check_shared(trials: list[TrainingConfig], path: Path) -> list[TrainingConfig]:
    """Trials of one launch share the loaded base, so they must agree on it; and each needs a folder of its own."""
    first = trials[0]
    for trial in trials[1:]:
        for key in ("model", "device", "dtype"):
            if getattr(trial, key) != getattr(first, key):
                raise SettingsError(
                    f"Trials of one launch share the loaded base, but {trial.output_dir} sets another {key}",
                    path=path,
                    remedy="Start it as a launch of its own.",
                )
    if len({trial.output_dir for trial in trials}) < len(trials):
        raise SettingsError("Two trials have the same output_dir", path=path, remedy="Give each a folder of its own.")
    return trials


def read_tree(path: Path, seen: tuple[Path, ...] = ()) -> tuple[Tree, dict[str, str]]:
    """One file merged over what it extends, and where each dotted key was set ("file:line")."""
    path = Path(path)
    if path.resolve() in seen:
        raise SettingsError("A config extends itself", path=path, remedy="Break the circle of `extends`.")
    tree, places = _load(path)
    base = tree.pop("extends", None)
    if base is None:
        return tree, places
    if not isinstance(base, str):
        raise SettingsError("extends must be the name of one file", path=places.get("extends", path))
    parent = path.parent / base
    if not parent.is_file():
        raise SettingsError(f"The config it extends doesn't exist: {parent}", path=places["extends"])
    below, below_places = read_tree(parent, (*seen, path.resolve()))
    return merge(below, tree), {**below_places, **places}


def _load(path: Path) -> tuple[Tree, dict[str, str]]:
    try:
        text = read_text(path)
        loader = yaml.SafeLoader(text)
    except (OSError, Unreadable, yaml.YAMLError) as error:
        reason = str(error) if isinstance(error, yaml.YAMLError) else why(error)
        raise SettingsError(f"The config can't be read: {reason}", path=path, remedy="Check its name.") from error
    try:
        node = loader.get_single_node()
        tree = bounded(loader.construct_document(node)) if node else {}
        places = dict(_places(node, path)) if node else {}
    except (RecursionError, Unreadable) as error:
        raise SettingsError("The config is nested too deep or repeats itself too often", path=path) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or "it can't be parsed"
        raise SettingsError(f"The config is not valid YAML: {problem}", path=where) from error
    finally:
        loader.dispose()
    if not isinstance(tree, dict):
        raise SettingsError("The config must be a map of keys to values", path=path)
    return tree, places


def _places(node: yaml.Node, path: Path, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, "file:line") of every key below a YAML node; a key given twice is an error."""
    children: list[tuple[str, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        children = [(str(key.value), key, value) for key, value in node.value]
        names = [name for name, _, _ in children]
        for name, key, _ in children:
            if names.count(name) > 1:
                raise SettingsError(f"The key {prefix}{name} is given twice", path=f"{path}:{key.start_mark.line + 1}")
    elif isinstance(node, yaml.SequenceNode):
        children = [(str(number), value, value) for number, value in enumerate(node.value)]
    for name, at, value in children:
        yield prefix + name, f"{path}:{at.start_mark.line + 1}"
        yield from _places(value, path, f"{prefix}{name}.")


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> Tree:
    """Maps are merged key by key; everything else, lists too, is replaced by the one above. Neither is changed."""
    out: Tree = {key: merge(value, {}) if isinstance(value, Mapping) else value for key, value in below.items()}
    for key, value in above.items():
        if isinstance(value, Mapping):
            old = out.get(key)
            out[key] = merge(old if isinstance(old, Mapping) else {}, value)
        else:
            out[key] = value
    return out


def _parse_override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise SettingsError(f"--set needs key=value, not {text!r}")
    try:
        return key, from_yaml(value)
    except Unreadable as error:
        raise SettingsError(f"The value of --set {text!r} is not valid YAML") from error


def _set(tree: Tree, key: str, value: object) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        below = tree.get(parent)
        if not isinstance(below, dict):
            below = tree[parent] = {}
        tree = below
    tree[last] = value


def validate(model: type[Model], tree: object, places: Mapping[str, str], prefix: str = "") -> Model:
    """Build the model, or say in one sentence what the first thing wrong is.

    Raises:
        SettingsError: with the key, its place and, for an unknown key, the nearest known one.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        problems = error.errors(include_url=False)
    # An unknown key often explains the missing one beside it, so it is told first.
    problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    key = ".".join(str(part) for part in problem["loc"])
    name = ".".join(part for part in (prefix, key) if part) or "the config"
    place = next((places[k] for k in _upwards(key) if k in places), None)
    if problem["type"] == "extra_forbidden":
        near = _nearest(key, list(known_keys(model)))
        raise SettingsError(f"Unknown key {name}", path=place, remedy=f"Did you mean {near}?" if near else "")
    if problem["type"] == "missing":
        raise SettingsError(f"The key {name} is missing", path=place)
    what = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    given = "" if isinstance(problem["input"], dict | list | Section) else f", not {problem['input']!r}"
    raise SettingsError(f"{name} {what}{given}", path=place)


def _upwards(key: str) -> Iterator[str]:
    while key:
        yield key
        key = key.rpartition(".")[0]


def known_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every dotted key a config of this model may hold (list items without their number)."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for inner in _sections(field.annotation):
            yield from known_keys(inner, f"{prefix}{name}.")


def _sections(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _sections(part)


def _nearest(key: str, known: list[str]) -> str | None:
    """The known key most like this one: a sibling first, then the same name anywhere, then any."""
    plain = ".".join(part for part in key.split(".") if not part.isdigit())
    parent, _, last = plain.rpartition(".")
    siblings = [k for k in known if k.rpartition(".")[0] == parent]
    by_name = {k.rpartition(".")[2]: k for k in reversed(known)}
    return next(
        iter(
            difflib.get_close_matches(plain, siblings, 1, 0.7)
            or [by_name[m] for m in difflib.get_close_matches(last, list(by_name), 1, 0.8)]
            or difflib.get_close_matches(plain, known, 1, 0.5)
        ),
        None,
    )


def dump(config: BaseModel) -> str:
    """The whole resolved config as YAML: what `read_trials` would read back as the same."""
    return cast(str, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
