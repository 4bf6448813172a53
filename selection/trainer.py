"""The one thing the selection loop needs of fine-tuning: real training and replayed curves fit the same loop."""

from pathlib import Path
from typing import Protocol

from selection.records import Progress, Trial


class Trainer(Protocol):
    """Trains trials piece by piece, each in a folder of its own.

    A trial's folder holds all it needs to go on after kill -9 at any moment: whatever `train` has
    returned is on disk before it returns, and calling it again for a step already reached returns
    the recorded progress without training. Trials never share state, so any order of calls gives the
    same numbers.
    """

    def train(self, trial: Trial, until_step: int, folder: Path) -> Progress:
        """Continues the trial to `until_step`, evaluating on the validation part at its `eval_steps`.

        A discarded trial is trained from the start, to a step it had reached before too.

        Raises:
            TrialError: this candidate cannot be trained (the message says why); others are unharmed.
        """
        ...

    def test(self, trial: Trial, folder: Path) -> float:
        """Scores the trained model on the test part. Called once, for the winner, at the end.

        Raises:
            TrialError: the trial has not been trained, or its checkpoint does not load.
        """
        ...

    def save(self, trial: Trial, folder: Path, target: Path) -> None:
        """Writes the trained model and its tokenizer or processor to `target`, loadable by `transformers`.

        Raises:
            TrialError: the trial has not been trained, or its checkpoint does not load.
        """
        ...

    def discard(self, folder: Path) -> None:
        """Frees the disk space of a dropped trial; its recorded progress stays readable."""
        ...

    def features_bytes(self, trial: Trial) -> int:
        """At most how large the features are that a trial keeps beside its states; they are written once."""
        ...

    def kept_features_bytes(self, folder: Path) -> int:
        """How large those are that a trial's folder keeps now."""
        ...
