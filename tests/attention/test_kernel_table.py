"""The table of kernels: what the pack brings, and which row is taken."""

import json

import pytest

pytestmark = pytest.mark.engine


def test_the_packs_own_table_reads():
    """Every row names a generation, a shape and a tile, and what was measured is said."""
    from pack.ipadapter_core.attention import kernel_table

    data = json.loads(kernel_table.FILE.read_text())
    assert {str(row.generation) for row in kernel_table.rows()} == set(data["measured"])
    assert [kernel_table.as_data(row) for row in kernel_table.rows()] == data["rows"]


def test_the_nearest_row_is_taken(monkeypatch):
    """The longest measured length that the layer has, and no fewer tokens, text and adapters than it has."""
    from pack.ipadapter_core.attention import kernel_table
    from pack.ipadapter_core.attention.kernel_table import KernelRow, Tile

    short, long, slow = Tile(32, 32, 4, 2), Tile(128, 32, 8, 3), None
    table = (
        KernelRow(9, 64, 1024, 77, 16, 1, short),
        KernelRow(9, 64, 4096, 77, 16, 1, long),
        KernelRow(9, 64, 4096, 77, 257, 1, slow),
    )
    monkeypatch.setattr(kernel_table, "rows", lambda: table)
    kernel_table.tile_for.cache_clear()
    given = {"length": 4096, "text": 77, "tokens": 4, "adapters": 1}
    asked = [{}, {"length": 2000}, {"length": 9000}, {"tokens": 100}, {"text": 256}, {"adapters": 2}, {"length": 100}]
    found = [kernel_table.tile_for(9, 64, **(given | change)) for change in asked]
    kernel_table.tile_for.cache_clear()
    assert found == [long, short, long, slow, None, None, None]
    assert kernel_table.tile_for(8, 64, **given) is None
    kernel_table.tile_for.cache_clear()
