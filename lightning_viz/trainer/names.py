"""What the records of each callback are called: two callbacks of one Trainer never share a name."""

import logging
import re
from collections.abc import Iterator, Sequence
from inspect import signature
from itertools import chain, count
from typing import ClassVar, Protocol

__all__ = ["check_name", "record_names", "say_made_up"]

log = logging.getLogger("lightning_viz")

LONGEST = 64


class Named(Protocol):
    """What is read of a callback, beside its arguments."""

    method: ClassVar[str]
    name: str | None


def check_name(name: object, who: str) -> None:
    """Check a name that somebody chose. It becomes part of tags, of file names, and of the keys of other loggers.

    Raises:
        ValueError: It would not fit there.
    """
    if not isinstance(name, str) or not _fits(name):
        raise ValueError(
            f"{who}(name={name!r}): must be a text of 1 to {LONGEST} letters, digits, spaces and . _ : -, "
            "beginning and ending with none but the first two or _."
        )


def record_names(callbacks: Sequence[Named]) -> list[str]:
    """Name the records of each callback: as chosen, else after its method.

    Where several have one method, what differs in their arguments follows (``reconstruction guided``); where that
    can't be said in a few words, a number by their order. The same callbacks get the same names: a resumed run goes on.

    Raises:
        ValueError: Two were given the same name.
    """
    taken: dict[str, Named] = {}
    for one in callbacks:
        if one.name is not None and taken.setdefault(one.name, one) is not one:
            both = " and ".join(type(other).__name__ for other in (taken[one.name], one))
            raise ValueError(f"{both} in one Trainer have the same name={one.name!r}: give each its own.")
    return [one.name if one.name is not None else _free_name(one, callbacks, taken) for one in callbacks]


def say_made_up(callbacks: Sequence[Named], names: Sequence[str]) -> None:
    """Say what was named so that it is told apart, and how to choose."""
    made_up = [name for one, name in zip(callbacks, names, strict=True) if name not in (one.name, one.method)]
    if made_up:
        log.warning(
            "lightning_viz: several callbacks of this Trainer have one method; so that both can be seen, records are "
            "called %s, after what differs or by order. To choose, give each callback a name=...",
            ", ".join(f'"{name}"' for name in made_up),
        )


def _free_name(one: Named, callbacks: Sequence[Named], taken: dict[str, Named]) -> str:
    alike = [other for other in callbacks if other.name is None and other.method == one.method]
    wish = " ".join([one.method, *_differences(one, alike)])
    wish = wish if _fits(wish) else one.method
    name = next(name for name in chain([wish], (f"{wish} {number}" for number in count(2))) if name not in taken)
    taken[name] = one
    return name


def _differences(one: Named, others: Sequence[Named]) -> Iterator[str]:
    said = [_arguments(other) for other in others]
    for name, words in _arguments(one).items():
        if words and any(other.get(name) != words for other in said):
            yield words


def _arguments(one: Named) -> dict[str, str]:
    """What can be said in a few words of what a callback was given, by name; nothing of what it has by default."""
    usual = {name: argument.default for name, argument in signature(type(one)).parameters.items()}
    return {
        name: re.sub(r"[^\w.: -]", "", words).strip(" .:-")
        for name, value in vars(one).items()
        # When a failure ends the run, and where pictures go to, is no matter of what is drawn.
        if not name.startswith("_")
        and name not in ("on_error", "mirror")
        and (words := _words(name, value)) is not None
        and words != _words(name, usual.get(name))
    }


def _words(name: str, value: object) -> str | None:
    if value is None:
        return ""
    values = value if isinstance(value, list | tuple) else [value]
    texts = [part for part in values if isinstance(part, str)]
    if len(texts) == len(values):
        return " ".join(texts)
    if all(isinstance(part, int | float) for part in values):
        return " ".join([name, *map(str, values)])
    return None


def _fits(name: str) -> bool:
    return len(name) <= LONGEST and re.fullmatch(r"\w([\w.: -]*\w)?", name) is not None
