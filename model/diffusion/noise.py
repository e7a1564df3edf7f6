"""The verbs that every field's noise process knows, in the two forms the fields come in."""

from abc import ABC, abstractmethod

from torch import Tensor

from model.shapes import Float, Int

Time = Float[Tensor, " batch"]
Counts = Int[Tensor, " batch"]


class Noise(ABC):
    """A continuous noise process whose marginals are normal: x_t = α(t) x_0 + offset + std(t) ε.

    Scores are always met as `answer` = std(t) · score = −ε, the quantity the network gives. Noise (`z`) is an
    argument: processes draw nothing themselves.
    """

    @abstractmethod
    def alpha(self, t: Time) -> Time:
        """Coefficient of the clean value."""

    @abstractmethod
    def std(self, t: Time, n_atoms: Counts) -> Time:
        """Standard deviation of the noise."""

    @abstractmethod
    def corrupt(self, clean: Tensor, z: Tensor, t: Time, n_atoms: Counts) -> Tensor:
        """The noisy value at time t."""

    @abstractmethod
    def prior(self, z: Tensor, n_atoms: Counts) -> Tensor:
        """Where sampling begins."""

    @abstractmethod
    def target(self, clean: Tensor, noisy: Tensor, t: Time, n_atoms: Counts) -> Tensor:
        """What the network should answer."""

    @abstractmethod
    def loss(self, answer: Tensor, target: Tensor, n_atoms: Counts) -> Time:
        """Squared error of an answer, one number a crystal."""

    @abstractmethod
    def step(self, noisy: Tensor, answer: Tensor, t: Time, s: Time, z: Tensor, n_atoms: Counts, eta: float) -> Tensor:
        """From time t to an earlier s. `eta` 1 is the ancestral step, 0 the deterministic one."""

    @abstractmethod
    def correct(self, noisy: Tensor, answer: Tensor, size: Time, t: Time, z: Tensor, n_atoms: Counts) -> Tensor:
        """One Langevin step of the given size at time t."""


def ancestral_split(ratio: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """Share of the old noise that is kept, and of fresh noise that is added, in units of the noise at s.

    `ratio` is κ_s/κ_t, κ = std/α. With η = 1 the fresh share is √(1 − ratio²), the posterior's (section 6.3);
    what is kept is what remains of one: √(1 − fresh²).
    """
    fresh = eta * (1 - ratio**2).clamp(min=0).sqrt()
    return (1 - fresh**2).clamp(min=0).sqrt(), fresh
