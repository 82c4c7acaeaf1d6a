"""docs/threat-model.md has a table of all attacks that were thought of: a test that bears its number tries each."""

import re
from pathlib import Path

ALL = [
    *(f"{kind}{number:02}" for kind, last in (("M", 14), ("N", 8), ("D", 5), ("L", 3)) for number in range(1, last + 1))
]
"""Malicious peer, network, lost or compromised device, this computer."""
LATER = "comes with merging"
HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "threat-model.md"


def tried() -> dict[str, set[str]]:
    """Files that try an attack, by its number."""
    found: dict[str, set[str]] = {}
    for path in HERE.rglob("test_*.py"):
        for number in re.findall(r"def test_attack_([a-z]\d\d)_", path.read_text()):
            found.setdefault(number.upper(), set()).add(f"tests/{path.relative_to(HERE)}")
    return found


def table() -> dict[str, str]:
    """What the page says of where an attack is tried, by its number."""
    rows = re.findall(r"^\| ([A-Z]\d\d) \| .* \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    numbers = [number for number, _ in rows]
    assert numbers == sorted(numbers, key=ALL.index), "in order, each once"
    assert len(set(numbers)) == len(numbers)
    return dict(rows)


def test_every_number_is_in_the_table_and_has_a_test_or_says_when_it_comes() -> None:
    rows, tests = table(), tried()
    assert list(rows) == ALL
    assert [number for number, where in rows.items() if LATER not in where and number not in tests] == []


def test_every_test_of_an_attack_stands_in_its_row_and_every_file_there_has_one() -> None:
    rows, tests = table(), tried()
    assert set(tests) <= set(ALL)
    for number, where in rows.items():
        assert set(re.findall(r"`(tests/[^`]*)`", where)) == tests.get(number, set()), number
