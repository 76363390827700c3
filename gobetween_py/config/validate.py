"""From plain data (tables, lists, text, numbers) to a Config, or to everything that is wrong with it.

pydantic alone does not tell everything at once: it skips a section's rules when one of its keys, or anything below it,
is wrong, and stops at the first rule that fails. So sections are validated from the inside out, and where one fails,
its rules run on what is valid of it. It also cannot let unknown keys pass as warnings.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from discovery import registry as kinds
from discovery.contract import Options
from gobetween_py.config.access_log import AccessLog
from gobetween_py.config.checks import clashes, not_available, worth_a_warning
from gobetween_py.config.errors import ConfigErrors, Path, Problem, path_text
from gobetween_py.config.models import Config, Defaults
from gobetween_py.config.server import Server
from gobetween_py.config.wording import not_a_table, not_allowed, problems_of, unknown_key
from gobetween_py.healthcheck import registry as health_kinds
from gobetween_py.healthcheck.contract import Options as HealthcheckOptions
from gobetween_py.section import RuleError

Table = Mapping[str, object]
Model = TypeVar("Model", bound=BaseModel)

KINDS_OF: dict[type[BaseModel], Any] = {Options: kinds, HealthcheckOptions: health_kinds}
"""Sections whose keys depend on their kind, and the registry of the kinds."""

LIKE_GO = (Server, Defaults, Options, HealthcheckOptions)
"""Sections in which gobetween takes an empty text for a key that is not there, and ZEROS likewise: what clients that
are written in Go send for all that they leave open.
"""
ZEROS = ("fails", "passes")


def build(data: object, *, lenient: bool = False) -> tuple[Config, list[Problem]]:
    """The config, and what deserves a warning. Raises ConfigErrors with everything that is wrong."""
    run = Validation(lenient=lenient)
    config = run.section(Config, inherit(data))
    problems = [*run.problems, *clashes(run.built), *not_available(run.built)]
    if problems or config is None:
        raise ConfigErrors(problems)
    return config, [*run.warnings, *worth_a_warning(run.built)]


class Validation:
    """One run over one config."""

    def __init__(self, *, lenient: bool = False) -> None:
        """lenient: unknown keys are warnings, and are left out."""
        self.lenient = lenient
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.built: list[tuple[Path, object]] = []
        """Every section with its path; of one that is wrong, what is valid of it."""

    def section(self, model: type[Model], data: object, path: Path = ()) -> Model | None:
        """The section at a path; None when something in it is wrong, which is then noted."""
        if not isinstance(data, Mapping):
            self.problems.append(not_a_table(path))
            return None
        given = self._known(model, data, path)
        here = len(self.problems)
        broken = self._replace_sections(given, model, path)
        errors: list[Any] = []
        try:
            section = model.model_validate(given)
            if not broken:
                self.built.append((path, section))
                return section
        except ValidationError as error:
            errors = error.errors(include_url=False)
        wrong = [e for e in errors if e["loc"] and not (e["type"] == "missing" and e["loc"][0] in broken)]
        places = {key: place for place, key in enumerate(data)}
        wrong.sort(key=lambda error: places.get(error["loc"][0], len(places)))
        found = problems_of(wrong, path, model, given)
        valid = _valid_part(model, given, broken | {str(error["loc"][0]) for error in wrong})
        self.built.append((path, valid))
        found += _broken_rules(valid, path)
        if not found and not broken:
            found = problems_of(errors, path, model, given)
        self.problems[here:here] = dict.fromkeys(found)
        return None

    def sections(self, model: type[Model], data: object, path: Path) -> dict[str, Model] | None:
        """The sections of a table of them; None when one of them is wrong."""
        if not isinstance(data, Mapping):
            self.problems.append(not_a_table(path))
            return None
        built = {str(name): self.section(model, table, (*path, str(name))) for name, table in data.items()}
        valid = {name: section for name, section in built.items() if section is not None}
        return valid if len(valid) == len(built) else None

    def _known(self, model: type[BaseModel], data: Table, path: Path) -> dict[str, object]:
        """The given keys that the model has; of the others it is noted that they are unknown."""
        for key in data:
            if key not in model.model_fields:
                problem = unknown_key((*path, str(key)), str(key), list(model.model_fields))
                (self.warnings if self.lenient else self.problems).append(problem)
        return {key: value for key, value in _given(model, data).items() if key in model.model_fields}

    def _replace_sections(self, given: dict[str, object], model: type[BaseModel], path: Path) -> set[str]:
        """Puts built sections in the place of their tables, and returns the keys of those that are wrong."""
        broken = set()
        for name in list(given):
            inner, many = _section_in(model.model_fields[name])
            if inner is None or given[name] is None:
                continue
            make = self.sections if many else self._by_kind if inner in KINDS_OF else self.section
            built = make(inner, given.pop(name), (*path, name))
            if built is None:
                broken.add(name)
            else:
                given[name] = built
        return broken

    def _by_kind(self, base: type[BaseModel], data: object, path: Path) -> BaseModel | None:
        """A section whose kind says which keys there are."""
        if not isinstance(data, Mapping):
            return self.section(base, data, path)
        registry, data = KINDS_OF[base], _given(base, data)
        where, kind = path_text((*path, "kind")), data.get("kind", base.model_fields["kind"].default)
        try:
            if isinstance(kind, str):
                return self.section(registry.options_of(kind), self._without_idle_keys(base, kind, data, path), path)
            reason = "must be text in quotes" if "kind" in data else "is required"
            problem = Problem(where, reason, allowed=", ".join(registry.kinds()))
        except (kinds.UnknownKindError, health_kinds.UnknownKindError) as error:
            problem = not_allowed(where, kind, error.known)
        except (kinds.BrokenPluginError, health_kinds.BrokenPluginError) as error:
            problem = Problem(where, str(error))
        self.problems.append(problem)
        return None

    def _without_idle_keys(self, base: type[BaseModel], kind: str, data: Table, path: Path) -> Table:
        """Of a health check, without keys of other kinds: gobetween lets them stand there, so they are a warning."""
        idle = health_kinds.keys_of_others(kind) & data.keys() if base is HealthcheckOptions else ()
        for key in sorted(key for key in idle if data[key] != ""):
            self.warnings.append(Problem(path_text((*path, key)), f"has no effect when kind is '{kind}'"))
        return {key: value for key, value in data.items() if key not in idle}


def inherit(data: object) -> object:
    """A copy of a config in which each server has the keys of [defaults] and [access_log] that it does not set itself.

    Only valid ones: a bad default is told of once, where it stands.
    """
    if not isinstance(data, Mapping) or not isinstance(servers := data.get("servers"), Mapping):
        return data
    defaults, access_log = _valid_keys(Defaults, data.get("defaults")), _valid_keys(AccessLog, data.get("access_log"))
    return {**data, "servers": {name: _inherit(server, defaults, access_log) for name, server in servers.items()}}


def _inherit(server: object, defaults: Table | None, access_log: Table | None) -> object:
    if not isinstance(server, Mapping):
        return server
    whole = {**(defaults or {}), **_given(Server, server)}
    own = server.get("access_log", {})
    if access_log is not None and isinstance(own, Mapping):
        whole["access_log"] = {**access_log, **own}
    return whole


def _given(model: type[BaseModel], data: Table) -> Table:
    """A section without what counts as not there; see LIKE_GO. A required key that is empty is wrong, not missing."""
    if not issubclass(model, LIKE_GO):
        return data
    optional = {name for name, field in model.model_fields.items() if not field.is_required()}
    return {
        key: value
        for key, value in data.items()
        if key not in optional or not (value == "" or (key in ZEROS and type(value) is int and value == 0))
    }


def _valid_keys(model: type[BaseModel], section: object) -> Table | None:
    """What is valid of a section; None when there is none."""
    if not isinstance(section, Mapping):
        return None
    return {name: value for name, value in section.items() if _validates(model, {name: value})}


def _section_in(field: FieldInfo) -> tuple[type[BaseModel] | None, bool]:
    """The model of a field that holds a section, or one or None, and whether it holds a table of them."""
    many = get_origin(field.annotation) is dict
    parts = get_args(field.annotation)[1:] if many else get_args(field.annotation) or (field.annotation,)
    models = [part for part in parts if part is not NoneType]
    if len(models) == 1 and isinstance(models[0], type) and issubclass(models[0], BaseModel):
        return models[0], many
    return None, False


def _validates(model: type[BaseModel], data: Table) -> bool:
    try:
        model.model_validate(data)
    except ValidationError:
        return False
    return True


def _valid_part(model: type[Model], given: Table, wrong: set[str]) -> Model:
    """A section that has only its valid fields; reading another one of it is an AttributeError."""
    values: dict[str, Any] = {
        name: value if isinstance(value, BaseModel) else _adapter(model, name).validate_python(value)
        for name, value in given.items()
        if name not in wrong
    }
    part = model.model_construct(**values)
    for name in wrong:
        part.__dict__.pop(name, None)
    return part


@cache
def _adapter(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    return TypeAdapter(model.model_fields[name].rebuild_annotation())


def _broken_rules(section: BaseModel, path: Path) -> Iterator[Problem]:
    """What the rules of a section say that do not need what is missing in it."""
    for name, rule in type(section).__pydantic_decorators__.model_validators.items():
        if rule.info.mode != "after":
            continue
        try:
            getattr(section, name)()
        except RuleError as error:
            yield Problem(path_text((*path, *error.key)), str(error))
        except ValueError as error:
            yield Problem(path_text(path), str(error))
        except (AttributeError, TypeError):
            continue
