"""What a page shows of prompts, where it is given them."""

from __future__ import annotations

from ropepp_eval.reports.page.document import page_of
from ropepp_eval.reports.page.prompts import AROUND, END, excerpt
from ropepp_eval.reports.page.render import render_page
from tests.reports.page.steps import open_row
from tests.reports.results_folders import FakeCell, write_run


def test_an_excerpt_keeps_both_ends_and_what_stands_around_references():
    prompt = "h" * 2000 + " before Magic 7 after " + "m" * 3000 + "t" * 500
    found = excerpt(prompt, ["magic 7", " "])
    head, needle, tail = found.split(" [... ")
    assert head == "h" * END
    assert needle.startswith("1,358 characters left out ...] ")  # 2000 + 8 - 500 - 150
    assert needle.split("...] ")[1] == "h" * (AROUND - 8) + " before Magic 7 after " + "m" * (AROUND - 7)
    assert tail == "2,857 characters left out ...] " + "t" * END
    assert sum(map(len, (head, needle.split("...] ")[1], tail.split("...] ")[1]))) + 1358 + 2857 == len(prompt)


def test_a_short_prompt_is_whole_and_acts_on_nothing():
    assert excerpt("ask\x1b[31m\n</script> 7", ["7"]) == "ask\\u001b[31m\n</script> 7"
    assert excerpt("x" * 900, []) == "x" * 900


def test_prompts_are_in_the_page_only_where_they_are_given(opened, tmp_path):
    run = write_run(tmp_path / "run", [FakeCell(checkpoint=name) for name in "ab"])
    asked = []

    def prompt_of(view):
        asked.append(view.record["row"])
        return f"owned text {view.record['row']} </script> the answer is 7" if view.record["row"] else ""

    for name, given in (("with", prompt_of), ("without", None)):
        file = tmp_path / f"{name}.html"
        file.write_bytes(render_page(page_of([run], rows="all", prompt_of=given)))
        page = opened(file).page
        open_row(page, 2)
        assert page.locator(".prompt-text").count() == (given is not None)
    assert asked == [0, 1, 2, 3]  # once a question, not once an answer
    assert "owned text" not in (tmp_path / "without.html").read_text()
    page = opened(tmp_path / "with.html").page
    open_row(page, 2)
    assert page.locator(".prompt-text").text_content() == "owned text 2 </script> the answer is 7"
    assert page.locator(".prompt-text mark").all_text_contents() == ["7"]
