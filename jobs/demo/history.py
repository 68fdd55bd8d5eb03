"""What is known before a day: shares, own purchases, best sellers; the lists that actions show.

Reads   the cleaned baskets
Writes  nothing
"""

import numpy as np
import numpy.typing as npt

from jobs.demo.source import DAYS, Baskets, Ints, distinct

Floats = npt.NDArray[np.float64]

LIST_LENGTH, OWN_LENGTH = 12, 6
NONE = -1


class History:
    """All that is known before a day: shares, own purchases and best sellers, brought on day by day."""

    def __init__(self, baskets: Baskets) -> None:
        self.baskets = baskets
        self.day = 0
        households, products = len(baskets.households), len(baskets.products)
        self.row_starts = np.searchsorted(baskets.visit_day[baskets.row_visit], np.arange(DAYS + 1))
        self.visit_starts = np.searchsorted(baskets.visit_day, np.arange(DAYS + 1))
        self.visits = np.zeros(households, np.int64)
        self.category_visits = np.zeros((households, len(baskets.categories)), np.int64)
        # Own purchases: one slot per household and product, sorted by household, then product code.
        owner = baskets.visit_household[baskets.row_visit]
        pairs, self.row_pair = np.unique(owner * products + baskets.row_product, return_inverse=True)
        self.pair_product = pairs % products
        self.pair_starts = np.searchsorted(pairs // products, np.arange(households + 1))
        self.pair_visits = np.zeros(len(pairs), np.int64)
        self.pair_last = np.zeros(len(pairs), np.int64)
        self.w28, self.w7, self.p28 = (np.zeros(products, np.int64) for _ in range(3))

    def rows(self, day: int) -> slice:
        """The rows of Baskets of a day; none before day 0."""
        return slice(self.row_starts[max(day, 0)], self.row_starts[max(day + 1, 0)])

    def advance(self, day: int) -> None:
        """Learn the days before `day`."""
        while self.day < day:
            self._learn(self.day)
            self.day += 1

    def _learn(self, day: int) -> None:
        baskets, rows = self.baskets, self.rows(day)
        visits = slice(self.visit_starts[day], self.visit_starts[day + 1])
        self.visits[baskets.visit_household[visits]] += 1
        owner = baskets.visit_household[baskets.row_visit[rows]]
        category = baskets.product_category[baskets.row_product[rows]]
        k = len(baskets.categories)
        keys = distinct(owner * k + category)
        self.category_visits.reshape(-1)[keys] += 1
        self.pair_visits[self.row_pair[rows]] += 1
        self.pair_last[self.row_pair[rows]] = day
        # Tomorrow's windows: the last 28 days, the last 7, and the 28 before those 7.
        for window, enters, leaves in (
            (self.w28, day, day - 28),
            (self.w7, day, day - 7),
            (self.p28, day - 7, day - 35),
        ):
            np.add.at(window, baskets.row_product[self.rows(enters)], 1)
            np.subtract.at(window, baskets.row_product[self.rows(leaves)], 1)

    def shares(self, households: Ints) -> Floats:
        """share(u, c) = (visits of u with c + 2·pop_c) / (visits of u + 2): (n, categories)."""
        population = self.category_visits.sum(axis=0) / max(self.visits.sum(), 1)
        own, visits = self.category_visits[households], self.visits[households]
        return np.asarray((own + 2 * population) / (visits + 2)[:, None])

    def bestsellers(self) -> Ints:
        """The 12 products with most visits in the last 28 days; ties to the lower id."""
        return np.argsort(-self.w28, kind="stable")[:LIST_LENGTH]

    def trending(self) -> Ints:
        """The 12 products that grew most: (w7 + 5) / (p28/4 + 5) among those with w7 >= 5."""
        growth = np.where(self.w7 >= 5, (self.w7 + 5) / (self.p28 / 4 + 5), -1.0)
        return np.argsort(-growth, kind="stable")[:LIST_LENGTH]

    def category_bestsellers(self) -> Ints:
        """(categories, 12) product codes, best first, -1 where a category sold fewer."""
        sold = np.flatnonzero(self.w28)
        category = self.baskets.product_category[sold]
        order = np.lexsort((sold, -self.w28[sold], category))
        sold, category = sold[order], category[order]
        rank = np.arange(len(sold)) - np.searchsorted(category, category)
        table = np.full((len(self.baskets.categories), LIST_LENGTH), NONE)
        top = rank < LIST_LENGTH
        table[category[top], rank[top]] = sold[top]
        return table

    def own_products(self, households: Ints, slots: Ints, width: int) -> Ints:
        """(n, width, 6) what each household bought most in each slot's category.

        slots: (n, categories), a category's slot in 0..width-1, or -1 when it is not wanted.
        """
        lengths = self.pair_starts[households + 1] - self.pair_starts[households]
        row = np.repeat(np.arange(len(households)), lengths)
        first = np.repeat(self.pair_starts[households] - np.cumsum(lengths) + lengths, lengths)
        pair = np.arange(len(row)) + first
        slot = slots[row, self.baskets.product_category[self.pair_product[pair]]]
        keep = (self.pair_visits[pair] > 0) & (slot != NONE)
        row, pair, slot = row[keep], pair[keep], slot[keep]
        group = row * width + slot
        # By group, then most visits, then latest day; stable, so that ties go to the lower id.
        key = (group * 512 + 511 - self.pair_visits[pair]) * 512 + 511 - self.pair_last[pair]
        order = np.argsort(key, kind="stable")
        group, product = group[order], self.pair_product[pair[order]]
        rank = np.arange(len(group)) - np.searchsorted(group, group)
        top = rank < OWN_LENGTH
        table = np.full((len(households) * width, OWN_LENGTH), NONE)
        table[group[top], rank[top]] = product[top]
        return table.reshape(len(households), width, OWN_LENGTH)
