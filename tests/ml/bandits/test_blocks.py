"""Products of blocks: a row's bits are the same wherever it stands, by BLAS and by the compiled loop."""

import numpy as np
import pytest

from ml.bandits import blocks
from ml.bandits.blocks import BLOCK, each_block, product


@pytest.mark.parametrize("keeps", [None, False])
def test_a_row_has_the_same_bits_in_any_place_of_a_block(
    monkeypatch: pytest.MonkeyPatch, keeps: bool | None
) -> None:
    if keeps is not None:
        monkeypatch.setattr(blocks, "_blas_keeps_rows", lambda: keeps)
    rng = np.random.default_rng(1)
    found = []

    def work(_: slice) -> None:
        for width, columns in ((1, 1), (3, 5), (8, 8), (12, 26), (31, 1), (40, 130), (0, 4)):
            rows = rng.normal(size=(BLOCK, width)).astype(np.float32)
            matrix = rng.normal(size=(width, columns)).astype(np.float32)
            order = rng.permutation(BLOCK)
            whole = product(rows, matrix)
            assert np.array_equal(product(rows[order], matrix), whole[order])
            exact = rows.astype(np.float64) @ matrix.astype(np.float64)
            assert np.allclose(whole, exact, atol=1e-4)
            found.append(whole.shape)

    each_block(1, work)
    assert len(found) == 7
