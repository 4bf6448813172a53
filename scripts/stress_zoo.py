"""`zoo` as it is, that also notes where a piece of training begins: a line in the file that $ZOO_STRESS_NOTES names.

Run as a script, so that workers, which import the main script again, note theirs too.
"""

import os

from selection import finetune
from selection.records import Trial
from selection.training import Training
from zoo_graph.cli import main


class NotedTraining(Training):
    """Says model, first and last step of each piece before it trains it, in one write."""

    def __init__(self, trial: Trial, *others: object) -> None:
        super().__init__(trial, *others)
        self._model = trial.candidate.model

    def advance(self, step: int, until_step: int) -> list[tuple[int, float]]:
        note = f"{self._model}\t{step}\t{until_step}\n".encode()
        file = os.open(os.environ["ZOO_STRESS_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, note)
        os.close(file)
        return super().advance(step, until_step)


finetune.Training = NotedTraining

if __name__ == "__main__":
    main()
