"""What keeps an image that a score is climbed with from being noise."""

from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["NAMED", "Name", "Parametrisation", "Regularisation", "find_regularisation"]

Parametrisation = Literal["pixels", "fourier", "phase"]
"""What the ascent changes: the pixels; the frequencies of decorrelated colours; their phases alone."""

Name = Literal["l2", "yosinski-1", "yosinski-2", "yosinski-3", "yosinski-4", "fourier", "maco"]


@dataclass(frozen=True)
class Regularisation:
    """What keeps a synthesised image from being noise, term by term; a term of 0 does nothing.

    Attributes:
        parametrisation: What the ascent changes. ``"pixels"``; ``"fourier"``: the frequencies of decorrelated colours,
            low ones first, and the image stays in the range of the data; ``"phase"``: the phases of the frequencies,
            while their magnitudes stay those of the data that excite the target most.
        steps: Of the ascent, when nobody says how many.
        step_size: Of pixels: the factor of the gradient, in the 0..255 units of its authors; None: as large as the
            objective still rises with, found anew for each image, with ``l2`` and ``rivals`` alone. Else Adam's
            learning rate.
        progress: Of pixels: a step at most so long that the score would rise by this much were it linear; 0: no limit.
        l2: Lambda: the objective is the score less lambda ||I||^2, in the units that the network is given.
        rivals: Of a class: the score less this share of the largest of the others' scores (log-sum-exp of them). With 1
            the objective is the log of the odds, and what the class has in common with others counts no longer.
        decay: The share that a pixel loses after a step.
        blur: Standard deviation in pixels of a Gaussian blur.
        blur_every: After every so many steps.
        small_norm: The percentage of pixels that become 0, those of smallest norm over the channels.
        small_contribution: Likewise, those that move the score least: |sum over channels of pixel times gradient|.
        jitter: The network sees the image shifted by up to this share of its shorter side, anew in each step.
        scale: And enlarged or shrunk by up to this share.

    Raises:
        ValueError: A number out of range, or a term of pixels without pixels.

    Example:
        >>> Regularisation(step_size=100, blur=1.0, blur_every=4).parametrisation
        'pixels'
    """

    parametrisation: Parametrisation = "pixels"
    steps: int = 128
    step_size: float | None = None
    progress: float = 0
    l2: float = 0
    rivals: float = 0
    decay: float = 0
    blur: float = 0
    blur_every: int = 1
    small_norm: float = 0
    small_contribution: float = 0
    jitter: float = 0
    scale: float = 0

    def __post_init__(self) -> None:
        """Check the terms."""
        if self.parametrisation not in get_args(Parametrisation):
            choices = ", ".join(map(repr, get_args(Parametrisation)))
            raise ValueError(f"Regularisation(parametrisation={self.parametrisation!r}): choices are {choices}.")
        limits = {"small_norm": 100, "small_contribution": 100, "decay": 1, "jitter": 1, "scale": 0.9}
        for name in ("progress", "l2", "rivals", "blur", *limits):
            value, most = getattr(self, name), limits.get(name, float("inf"))
            if not (0 <= value <= most and value < float("inf")):
                raise ValueError(f"Regularisation({name}={value!r}): must be finite, from 0 to {most}.")
        for name in ("steps", "blur_every"):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= 1):
                raise ValueError(f"Regularisation({name}={value!r}): must be a whole number of at least 1.")
        if self.step_size is not None and not 0 < self.step_size < float("inf"):
            raise ValueError(f"Regularisation(step_size={self.step_size!r}): must be more than 0, and finite.")
        of_pixels = ("progress", "decay", "blur", "small_norm", "small_contribution")
        used = [name for name in of_pixels if getattr(self, name)]
        if used and self.parametrisation != "pixels":
            raise ValueError(f'Regularisation({used[0]}=...): only with parametrisation="pixels".')
        if self.parametrisation != "pixels" and self.step_size is None:
            raise ValueError(f"Regularisation(parametrisation={self.parametrisation!r}): give a step_size.")
        of_rules = [name for name in (*of_pixels, "jitter", "scale") if getattr(self, name)]
        if of_rules and self.is_searched:
            raise ValueError(
                f"Regularisation({of_rules[0]}=...): give a step_size; one that is searched knows l2 and rivals only."
            )

    @property
    def is_searched(self) -> bool:
        """Whether the length of each step is found by trying."""
        return self.step_size is None and not self.progress


NAMED: dict[Name, Regularisation] = {
    "l2": Regularisation(steps=200, l2=0.03),
    # Table 1 of Yosinski et al., with the steps that their toolbox's documentation gives for each row.
    "yosinski-1": Regularisation(steps=500, step_size=100, progress=2, blur=0.5, blur_every=4, small_norm=50),
    "yosinski-2": Regularisation(steps=750, step_size=100, decay=0.3, small_norm=20),
    "yosinski-3": Regularisation(steps=1000, step_size=100, decay=1e-4, blur=1.0, blur_every=4),
    "yosinski-4": Regularisation(steps=1000, step_size=1e8, progress=2, blur=0.5, blur_every=4, small_contribution=90),
    "fourier": Regularisation("fourier", steps=256, step_size=0.1, rivals=1, jitter=1 / 16, scale=0.1),
    "maco": Regularisation("phase", steps=128, step_size=0.2, rivals=1, jitter=1 / 16, scale=0.1),
}


def find_regularisation(given: str | Regularisation, who: str) -> Regularisation:
    """Give the regularisation of a name.

    Raises:
        ValueError: There is none of this name; the message lists the choices.
    """
    if isinstance(given, Regularisation):
        return given
    if given not in NAMED:
        raise ValueError(
            f"{who}(regularisation={given!r}): choices are {', '.join(map(repr, NAMED))}, or a Regularisation."
        )
    return NAMED[given]
