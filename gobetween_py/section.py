"""What all sections of the config have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""A whole number from 0 on."""
Positive = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""A whole number from 1 on."""


class Section(BaseModel):
    """A table of the config: immutable; its fields are the keys.

    Types are strict, as in Go: no number where text is due. A rule over several keys is a `model_validator` of mode
    "after" that raises RuleError. It runs on what is valid of the section even when other keys are not, so that all
    errors show at once (see validate.py).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class RuleError(ValueError):
    """Keys that are right by themselves, but not together."""

    def __init__(self, reason: str, *key: str) -> None:
        """The key is where to look, seen from the section whose rule it is; none = the section as such."""
        super().__init__(reason)
        self.key = key


def require_together(section: BaseModel, *keys: str) -> None:
    """Raises RuleError for the first of the keys that is not set while another is."""
    for key in keys:
        if not getattr(section, key) and any(getattr(section, other) for other in keys):
            given = " and ".join(other for other in keys if other != key)
            raise RuleError(f"is required together with {given}", key)
