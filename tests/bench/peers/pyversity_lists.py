"""MMR and DPP of pyversity 0.2, subject after subject. Runs among the peers.

    python pyversity_lists.py FOLDER mmr|dpp shared|own SUBJECTS ROUNDS LENGTH DIVERSITY

FOLDER holds scores (n, k) and vectors: shared (k, d), the same for all subjects, and own (m, k, d), of which
subject i has those of i modulo m. The lists of the first SUBJECTS are left there as KIND-WHOSE.npy.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from pyversity.strategies import dpp, mmr

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def main(folder: str, kind: str, whose: str, subjects: str, rounds: str, length: str, diversity: str) -> None:
    scores, vectors = (np.load(Path(folder) / f"{name}.npy") for name in ("scores", whose))
    rerank, count = {"mmr": mmr, "dpp": dpp}[kind], int(subjects)
    seconds = []
    for _ in range(int(rounds)):
        began = time.perf_counter()
        found = [
            rerank(
                vectors if whose == "shared" else vectors[row % len(vectors)],
                scores[row],
                int(length),
                float(diversity),
            ).indices
            for row in range(count)
        ]
        seconds.append(time.perf_counter() - began)
    np.save(Path(folder) / f"{kind}-{whose}.npy", np.array(found))
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
