"""Reranking 100,000 subjects × 50 candidates to lists of 12, by MMR and DPP, on one core.

The vectors are those of widgets, the same for all subjects, or of each subject's own candidates. Both sides
read the same .npy files, each in a process of its own that may use one core; a first round warms up and does
not count. Ours includes its checks of the input and, of shared vectors, their similarity. Lists are compared
one by one: where two differ, a candidate is only as good as the other to 1e-5, in the formula of its kind.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from ml.rank.dpp import DPP
from ml.rank.mmr import MMR
from tests.bench.bench_bandit import median
from tests.bench.measure import Row, scaled
from tests.bench.peers import ask

SUBJECTS, CANDIDATES, WIDTH, LENGTH, DIVERSITY = 100_000, 50, 32, 12, 0.5
OWN = 10_000
ROUNDS = 3
PEER = "pyversity 0.2.0"
KINDS = {"mmr": MMR, "dpp": DPP}
WHOSE = {"shared": "shared vectors", "own": "own vectors"}
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def run(subjects: int | None = None, rounds: int = ROUNDS) -> list[Row]:
    """Compare both rerankers with pyversity, on shared and on own vectors."""
    count = subjects or scaled(SUBJECTS)
    table = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, count)
        for kind in KINDS:
            for whose, about in WHOSE.items():
                mine = ours(folder, kind, whose, rounds)
                theirs = ask("pyversity_lists", folder, kind, whose, count, rounds + 1, LENGTH, DIVERSITY)
                seconds, peer = (median(side["seconds"]) for side in (mine, theirs))
                title, equal = f"{kind.upper()}, {about}", agree(folder, kind, whose)
                table.append(
                    Row(title, count, "s", seconds, peer, PEER, peer / seconds, equal, mine["peak_mib"])
                )
    return table


def write(folder: Path, subjects: int) -> None:
    """Draw scores and vectors into a folder."""
    rng = np.random.default_rng(2017)
    np.save(folder / "scores.npy", rng.random((subjects, CANDIDATES)).astype(np.float32))
    np.save(folder / "shared.npy", rng.normal(size=(CANDIDATES, WIDTH)).astype(np.float32))
    own = rng.normal(size=(min(OWN, subjects), CANDIDATES, WIDTH)).astype(np.float32)
    np.save(folder / "own.npy", own)


def ours(folder: Path, kind: str, whose: str, rounds: int) -> dict[str, Any]:
    """Run our side in a process of its own, on one core."""
    command = [sys.executable, "-m", "tests.bench.bench_rank", str(folder), kind, whose, str(rounds + 1)]
    environment = {**os.environ, **ONE_THREAD}
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    return answer


def measure(folder: Path, kind: str, whose: str, rounds: int) -> dict[str, Any]:
    """Time rounds of one kind over a folder's arrays, and leave the lists there."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    scores, vectors = np.load(folder / "scores.npy"), np.load(folder / f"{whose}.npy")
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        found = lists(kind, scores, vectors)
        seconds.append(time.perf_counter() - began)
    np.save(folder / f"ours-{kind}-{whose}.npy", found)
    return {"seconds": seconds, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def lists(kind: str, scores: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return (n, LENGTH) lists; own vectors come over and over, as many subjects at a time as there are."""
    reranker = KINDS[kind](DIVERSITY)
    if vectors.ndim == 2:
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return reranker.rerank(scores, unit @ unit.T, length=LENGTH)
    parts = (scores[start : start + len(vectors)] for start in range(0, len(scores), len(vectors)))
    return np.concatenate([reranker.rerank(part, vectors[: len(part)], length=LENGTH) for part in parts])


def agree(folder: Path, kind: str, whose: str) -> bool:
    """Whether lists are pyversity's, or differ first where the two candidates are as good."""
    mine, theirs = np.load(folder / f"ours-{kind}-{whose}.npy"), np.load(folder / f"{kind}-{whose}.npy")
    scores, vectors = np.load(folder / "scores.npy"), np.load(folder / f"{whose}.npy")
    for row in np.flatnonzero((mine != theirs).any(axis=1)):
        own = vectors if whose == "shared" else vectors[row % len(vectors)]
        place = int(np.argmax(mine[row] != theirs[row]))
        worth = values(kind, scores[row].astype(float), own.astype(float), mine[row, :place])
        if abs(worth[mine[row, place]] - worth[theirs[row, place]]) > 1e-5:
            return False
    return True


def values(kind: str, scores: np.ndarray, vectors: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return what each candidate is worth after some, by the plain formula of its kind."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = unit @ unit.T
    if kind == "mmr":
        worst = similarity[:, chosen].clip(0, 1).max(axis=1) if len(chosen) else 0.0
        return np.asarray((1 - DIVERSITY) * scores - DIVERSITY * worst)
    quality = np.exp((1 - DIVERSITY) * (scores - scores.mean()) / scores.std())
    kernel = quality[:, None] * similarity * quality
    inverse = np.linalg.pinv(kernel[np.ix_(chosen, chosen)])
    return np.asarray(
        np.diag(kernel) - np.einsum("ai,ij,aj->a", kernel[:, chosen], inverse, kernel[:, chosen])
    )


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))))
