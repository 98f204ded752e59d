"""The page of the conformance table shows what was measured, for today's cells."""

import json

from tests.conformance import table
from tests.conformance.cases import CELLS
from tests.conformance.roads import POLICIES
from tests.conformance.roads import ROADS


def test_the_page_shows_all_that_was_measured():
    found = json.loads(table.MEASURED.read_text())
    page = (table.DOCS / "conformance.md").read_text()
    assert page == table.ABOVE.read_text() + "".join(table.tables(found))
    assert page.count("✓") == sum(list(f.values()).count("✓") for f in found.values())


def test_every_cell_road_and_policy_was_measured_on_every_backend():
    found = json.loads(table.MEASURED.read_text())
    cells, rows = [*CELLS, "Keras LSTM"], [*ROADS, *POLICIES]
    expected = {f"{cell}|{row}" for cell in cells for row in rows}
    assert {backend: set(f) for backend, f in found.items()} == dict.fromkeys(
        table.BACKENDS, expected
    )
