"""Tables without lines, for the terminal."""

from rich.table import Table


def plain_table(*headers: str, texts: int) -> Table:
    """Makes a table: the first `texts` columns to the left, the numbers after them to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, header in enumerate(headers):
        table.add_column(header, justify="left" if index < texts else "right")
    return table
