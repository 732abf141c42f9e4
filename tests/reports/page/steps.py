"""What a reader does on the page, each step done when the page shows it."""

from __future__ import annotations


def choose(page, label, option):
    page.get_by_label(label, exact=True).select_option(label=option)


def open_row(page, number):
    """Open a row of the list. Its address tells the page which one, after the click: wait until it is shown."""
    line = page.locator("table.rows tbody tr").nth(number)
    wanted = line.get_attribute("data-id")
    line.locator("a").click()
    page.locator(f'table.rows tr.open[data-id="{wanted}"]').wait_for()
