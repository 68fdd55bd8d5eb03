"""search: never worse than where it began, seeded, and it goes on where it stopped."""

from pathlib import Path

import optuna
import pytest

from ml.classify.search import search
from tests.ml.classify.given import planted

BASE = {"trees": 12, "depth": 2, "learning_rate": 0.02, "l2": 3.0, "patience": 10, "max_ctr_complexity": 1}


def test_a_search_is_seeded_resumed_and_keeps_its_budget(tmp_path: Path) -> None:
    train, validate = planted(500), planted(500, seed=4)

    def found(file: str, trials: int) -> tuple[dict[str, object], optuna.Study]:
        storage = f"sqlite:///{tmp_path / file}"
        best = search(train, validate, name="s", storage=storage, trials=trials, seed=1, base=BASE)
        return best, optuna.load_study(study_name="s", storage=storage)

    one, study = found("a", 4)
    values = [trial.value for trial in study.trials]
    assert study.trials[0].params == {"depth": 2, "learning_rate": 0.02, "l2": 3.0}
    assert study.best_value == min(values) < values[0]
    assert one == {**BASE, **study.best_params}
    again, other = found("b", 4)
    assert (again, [trial.value for trial in other.trials]) == (one, pytest.approx(values))
    found("a", 6)
    found("a", 6)
    assert len(optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path / 'a'}").trials) == 6
