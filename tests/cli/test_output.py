"""What commands print of long lists: the same as of short ones."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from hyperfs.cli import output


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_list_that_is_printed_one_by_one_reads_as_one_that_is_printed_whole(
    capsys: pytest.CaptureFixture[str], count: int
) -> None:
    facts: list[dict[str, Any]] = [{"path": "a\nb\udcff", "size": number, "more": {"x": []}} for number in range(count)]
    output.print_json_list(iter(facts))
    one_by_one = capsys.readouterr().out
    assert json.loads(one_by_one) == facts
    output.print_json(facts)
    assert capsys.readouterr().out == one_by_one


def test_of_a_long_table_only_a_part_is_asked_for_before_the_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []

    def rows() -> Iterator[list[str]]:
        for number in range(3 * output.TABLE_BLOCK):
            if number == output.TABLE_BLOCK:
                seen.append(capsys.readouterr().out)
            yield [str(number), "x" * (number // output.TABLE_BLOCK), "end"]

    output.table(rows(), right={0})
    assert seen[0].count("\n") == output.TABLE_BLOCK
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [str(n) for n in range(output.TABLE_BLOCK, 3 * output.TABLE_BLOCK)]
    assert {line.rindex("end") for line in lines[-output.TABLE_BLOCK :]} == {len("2999") + 2 + 2 + 2}
