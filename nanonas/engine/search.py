"""The only search loop."""

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..core.errors import RunError, SpecError
from ..core.files import write_json
from ..core.genotype import Genotype
from ..core.problem import LATENCY, Problem
from ..core.program import MEASURES, Program
from ..core.say import Say
from ..core.trial import Fidelity, Line, Proposal, Trial, fidelity_key, training_seed, trial_of
from ..devices.latency import Latency
from ..evaluators import Evaluator
from ..executors import EXECUTORS, Executor, Job, Outcome, Pending
from ..runs.directory import Log, begin, check_target, default_run, locked
from ..runs.journal import Journal
from ..spec.schema import Spec
from ..strategies import STRATEGIES, Strategy
from .failures import Failures
from .results import is_finished, summary

KNOWN, INFEASIBLE = "were known already", "could not be scored"
MANY_REPEATS = 200  # proposals in a row that are known already, before the strategy is asked for a stranger
MAX_REPEATS = 2_000  # proposals in a row that are known already, before a space counts as exhausted
VERIFIED = 200  # trials at the end of a journal that are proposed again, to see that this version would propose them
MAX_INFEASIBLE = 30_000  # proposals in a row that break a constraint, or cannot be scored, before a search gives up


def search(spec: Spec, run: Path | str | None = None, say: Say = lambda text: None) -> Iterator[Trial]:
    """The generator of trials: those in the run directory first, then new ones until the budget ends.

    A trial is on disk before it is yielded, so a caller may stop at any time and call again. When the budget ends,
    search.json is written.

    Args:
        run: the run directory; `runs/<name>-seed<seed>` when None.
        say: gets warnings and hints, a line each; they also go to log.txt.

    Raises:
        RunError: the directory holds the run of another spec, or is in use; or of the last 20 trials more than half
            failed, and search.json tells of the rest.
        SpecError: no architecture that can be scored meets the constraints.
        DataError: the data set cannot be read.
    """
    run = Path(run) if run else default_run(spec)
    log = Log(run, say)
    check_target(run)
    evaluator = spec.assignment.make_evaluator(log.say, run)
    latency = Latency(run / "latency.json", log.say)
    problem = problem_of(spec, evaluator, latency)
    problem.check(spec.space.name)
    strategy: Strategy = STRATEGIES[spec.strategy.name](spec.strategy, problem)
    run.mkdir(parents=True, exist_ok=True)
    with locked(run, log.say):
        journal = Journal(run / "trials.jsonl")
        begin(run, spec, evaluator.source, journal.lines, log.say)
        latency.keep()
        log.note(f"search starts at trial {len(journal.lines)}")
        make_executor = EXECUTORS[spec.executor.name]
        with closing(journal), closing(make_executor(spec.executor, spec.assignment, run, evaluator.data)) as executor:
            wanted, lookahead = spec.executor.workers, spec.executor.lookahead
            if wanted != "auto" and wanted > lookahead:
                log.say(f"warning: executor.lookahead is {lookahead}: of {wanted} workers no more can be busy")
            loop = _Loop(spec, problem, strategy, executor, journal)
            loop.over = is_finished(run, spec, len(journal.lines))
            for trial in loop:
                if not trial.replayed:
                    (run / "search.json").unlink(missing_ok=True)  # of a smaller budget: it does not know this trial
                    log.note(f"trial {trial.trial} {trial.status}: {trial.reason or dict(trial.metrics)}")
                yield trial
            if loop.stopped:
                log.say(f"warning: the search stops after {len(loop.trials)} trials: {loop.stopped}")
        end = "failures" if loop.failures.verdict else "space" if loop.stopped else "minutes" if loop.over else "trials"
        result = summary(run, spec, loop.trials, loop.repeats, end, problem, evaluator, latency)
        write_json(run / "search.json", result)
        log.note(f"search ends after {len(loop.trials)} trials")
    if loop.failures.verdict:
        raise RunError(
            f"the search stops: {loop.failures.verdict}. Nothing is lost; the whole errors are in {journal.path}. Once "
            "the cause is gone, the same command goes on"
        )
    if not loop.trials and loop.stopped:
        raise SpecError(f"no architecture was found: {loop.stopped}; loosen the constraints")


def problem_of(spec: Spec, evaluator: Evaluator, latency: Callable[[Program], float]) -> Problem:
    """What a spec is to solve, for a strategy."""
    return Problem(
        spec.assignment.make_space(),
        evaluator.task,
        spec.objectives,
        spec.constraints,
        evaluator.fidelity,
        evaluator.can_score,
        {**MEASURES, LATENCY: latency},
    )


Identity = tuple[int | float | str, ...]


@dataclass(frozen=True)
class _Asked:
    """A trial under way: what was proposed, after how many repeats, and its evaluation or its old line."""

    proposal: Proposal
    repeats: int
    seed: int
    work: Line | Pending


class _Loop:
    """Asks, runs, records and tells, in an order that does not depend on who finishes first.

    Trial i is proposed once exactly the trials 0 … i − lookahead were told, with random numbers from (seed, i).
    Lines of the journal take the place of evaluations, so that resuming is replaying. All that a strategy knows, it
    was told, and all that the engine knows is in the lines: only the last of them are proposed again.
    """

    def __init__(self, spec: Spec, problem: Problem, strategy: Strategy, executor: Executor, journal: Journal) -> None:
        self.spec, self.problem, self.strategy = spec, problem, strategy
        self.executor, self.journal = executor, journal
        self.trials: list[Trial] = []
        self.repeats = 0
        self.stopped = ""  # why, when it was not the budget
        self.over = False  # whether the minutes are
        self.failures = Failures(problem.space)
        self._known: set[Identity] = set()  # what was proposed
        self._failed: set[Identity] = set()  # of those, what is not proposed again, even where repeats count
        self._took = 0.0  # seconds from asking to telling, of all but the first trials, which wait for workers
        self._began = time.monotonic() - (journal.lines[-1].elapsed if journal.lines else 0.0)

    def __iter__(self) -> Iterator[Trial]:
        pending: deque[_Asked] = deque()
        for line in self.journal.lines[:-VERIFIED]:
            pending.append(self._believed(line))
            if len(pending) == self.spec.executor.lookahead:
                yield self._told(pending.popleft())
        while True:
            while len(pending) < self.spec.executor.lookahead and self._may_ask(len(self.trials) + len(pending)):
                asked = self._ask(len(self.trials) + len(pending))
                if asked is None:
                    break
                pending.append(asked)
            if not pending:
                return
            yield self._told(pending.popleft())

    def _may_ask(self, trial: int) -> bool:
        budget, timed = self.spec.budget, len(self.trials) - self.spec.executor.lookahead
        if self.stopped or self.failures.verdict:
            return False
        if trial < len(self.journal.lines):
            return True
        if budget.minutes is not None and self._elapsed() + self._took / max(1, timed) >= budget.minutes * 60:
            self.over = True  # and stays so, or a trial could be asked for later than its turn
        return not self.over and (budget.trials is None or trial < budget.trials)

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _believed(self, line: Line) -> _Asked:
        try:
            genotype = self.problem.space.parse(line.genotype)
        except SpecError as error:
            raise RunError(f"{self.journal.path}:{line.trial + 1}: {error}") from None
        proposal = Proposal(genotype, line.fidelity, line.parent)
        self._known.add(self._identity(proposal, line.seed))
        self.repeats += line.repeats
        return _Asked(proposal, line.repeats, line.seed, line)

    def _ask(self, trial: int) -> _Asked | None:
        """Starts on a proposal that is new, can be scored and meets the constraints; None when there is none left."""
        rng = random.Random(f"{self.spec.seed}/{trial}")
        refused = Counter[str]()
        while refused[KNOWN] < MAX_REPEATS and refused[INFEASIBLE] < MAX_INFEASIBLE:
            propose = self.strategy.ask if refused[KNOWN] < MANY_REPEATS else self.strategy.stranger
            proposal = propose(trial, rng, lambda proposal: not self._refusal(proposal))
            if proposal is None:
                self.stopped = (
                    f"strategy {self.spec.strategy.name} finds nothing new to propose: the space, or what it set out "
                    "to do, is exhausted"
                )
                return None
            reason = self._refusal(proposal)
            again = self.strategy.config.repeats and self._identity(proposal) not in self._failed
            if reason == INFEASIBLE or (reason == KNOWN and not again):
                refused[reason] += 1
                continue
            seed = self._seed(proposal)
            self._known.add(self._identity(proposal, seed))
            self.repeats += refused[KNOWN]
            proposal = Proposal(proposal.genotype, self._fidelity(proposal), proposal.parent)
            return _Asked(proposal, refused[KNOWN], seed, self._start(trial, proposal, seed))
        self.repeats += refused[KNOWN]
        scarce = refused[INFEASIBLE] >= MAX_INFEASIBLE
        why = "hardly anything can be scored, or meets the constraints" if scarce else "the space is exhausted"
        counts = f"{refused[KNOWN]:,} {KNOWN}, {refused[INFEASIBLE]:,} {INFEASIBLE}"
        self.stopped = f"{why} (of the last proposals {counts})"
        return None

    def _refusal(self, proposal: Proposal) -> str:
        """Why a proposal is nothing new that can be evaluated; nothing when it is."""
        if not self.problem.is_feasible(proposal.genotype):
            return INFEASIBLE
        return KNOWN if self._identity(proposal) in self._known else ""

    def _identity(self, proposal: Proposal | Trial, seed: int | None = None) -> Identity:
        """What a proposal is known by: its seed, which stands for key and fidelity, or its text where repeats count."""
        if self.strategy.config.repeats:
            return str(proposal.genotype), fidelity_key(self._fidelity(proposal))
        return self._seed(proposal) if seed is None else seed, *self.problem.told_apart(proposal.genotype)

    def _seed(self, proposal: Proposal | Trial) -> int:
        key = self.problem.space.canonical(proposal.genotype)
        return training_seed(self.spec.seed, key, fidelity_key(self._fidelity(proposal)))

    def _fidelity(self, proposal: Proposal | Trial) -> Fidelity:
        return dict(self.problem.fidelity) | dict(proposal.fidelity)

    def _start(self, trial: int, proposal: Proposal, seed: int) -> Line | Pending:
        if trial >= len(self.journal.lines):
            return self.executor.submit(Job(str(proposal.genotype), proposal.fidelity, seed))
        line = self.journal.lines[trial]
        if line.genotype != str(proposal.genotype) or dict(line.fidelity) != dict(proposal.fidelity):
            raise RunError(
                f"{self.journal.path}:{trial + 1}: holds {line.genotype}, where this version of nanonas proposes "
                f"{proposal.genotype}; go on with the version that wrote it (environment.json), or choose another --out"
            )
        return line

    def _told(self, asked: _Asked) -> Trial:
        trial = self._finish(len(self.trials), asked)
        if trial.trial >= self.spec.executor.lookahead:  # it was asked for when the one so many before it was told
            self._took += trial.elapsed - self.trials[-self.spec.executor.lookahead].elapsed
        self.trials.append(trial)
        self.strategy.tell(trial)
        if not trial.ok:
            self._failed.add(self._identity(trial, trial.seed))
        if not trial.replayed:
            self.failures.tell(trial)
        return trial

    def _finish(self, number: int, asked: _Asked) -> Trial:
        proposal = asked.proposal
        if isinstance(asked.work, Line):
            return self._replayed(asked.work, proposal.genotype)
        outcome: Outcome = asked.work.result()
        status: Literal["ok", "failed"] = "ok" if outcome.error is None else "failed"
        metrics = {} if status == "failed" else self.problem.completed(proposal.genotype, outcome.metrics)
        told = (status, metrics, outcome.error, asked.seed, round(self._elapsed(), 3))
        trial = Trial(number, proposal.genotype, proposal.fidelity, proposal.parent, *told, repeats=asked.repeats)
        self.journal.append(trial)  # before anyone learns of it
        return trial

    def _replayed(self, line: Line, genotype: Genotype) -> Trial:
        missing = [name for name in self.spec.objectives if name not in line.metrics]
        if line.status == "ok" and missing and line.trial >= self.spec.strategy.trials_before_the_first_score:
            raise RunError(f"{self.journal.path}:{line.trial + 1}: its metrics lack {missing[0]}")
        return trial_of(line, genotype)
