"""Failures: when most candidates fail, something other than the candidates is wrong."""

from collections import Counter, deque
from collections.abc import Sequence

from ..core.space import SearchSpace
from ..core.trial import Trial

WINDOW = 20  # trials
SHOWN = 3  # choices that the failed ones share


class Failures:
    """Watches the latest trials of this process; those of an earlier start do not count.

    Attributes:
        verdict: why the search should stop, in words; empty while at most half of the last 20 trials have failed.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.verdict = ""
        self._latest: deque[Trial] = deque(maxlen=WINDOW)

    def tell(self, trial: Trial) -> None:
        self._latest.append(trial)
        failed = [told for told in self._latest if not told.ok]
        if len(failed) > WINDOW // 2 and not self.verdict:
            self.verdict = f"{len(failed)} of the last {len(self._latest)} trials failed: {self._common(failed)}"

    def _common(self, failed: Sequence[Trial]) -> str:
        """The most frequent reason, and the options that all failed trials chose and no other trial."""
        (reason, count), *_ = Counter(trial.reason for trial in failed).most_common()
        many = "all" if count == len(failed) else f"{count} of them" if count > 1 else "for example"
        told = f"{many} with {reason!r}"
        spared = [set(self._chosen(trial)) for trial in self._latest if trial.ok]
        shared = [
            option
            for option in self._chosen(failed[0])
            if all(option in self._chosen(trial) for trial in failed) and not any(option in one for one in spared)
        ]
        return f"{told}; all have {', '.join(shared[:SHOWN])}" if shared and spared else told

    def _chosen(self, trial: Trial) -> list[str]:
        """Options, as they may stand in any place, and then each choice."""
        choices = [
            f"{choice.name}={value}" for choice, value in zip(self.space.choices, trial.genotype.values, strict=True)
        ]
        return [*dict.fromkeys(str(value) for value in trial.genotype.values), *choices]
