"""The page in a real Chromium, as a person uses it: with the mouse and by keyboard, wide and narrow, light and dark.

Nothing may be written to the browser's console: it says there what the page's policy forbade, too.
"""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, StorageState, expect, sync_playwright

from tests.cli.machine import Machine

from .conftest import ODD, start

WAIT_MS = 20_000
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
LONG = os.environ.get("HYPERFS_ALL") == "1"
SIZES = {"wide": (1280, 800), "narrow": (360, 740)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("NOT RUN: there is no Chromium here: packaging/suites installs it")
    with sync_playwright() as play:
        # Root has no sandbox, and some containers have a small /dev/shm.
        running = play.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        expect.set_options(timeout=WAIT_MS)  # nothing is timed: a busy machine may take long
        yield running
        running.close()


@pytest.fixture(scope="module")
def entered(browser: Browser, drive: Machine) -> Iterator[tuple[str, StorageState]]:
    """Where the printed address has led, and what the browser keeps of it."""
    server = start(drive, drive.point, enter=False)
    context = browser.new_context()
    try:
        visitor = context.new_page()
        visitor.goto(server.url)
        expect(visitor.get_by_role("heading", level=1)).to_have_text("Drive")
        yield visitor.url, context.storage_state()
    finally:
        context.close()
        server.end()


LOOKS = ["wide light", "narrow dark"] + (["wide dark", "narrow light"] if LONG else [])


@pytest.fixture(params=LOOKS)
def visitor(request: pytest.FixtureRequest, browser: Browser, entered: tuple[str, StorageState]) -> Iterator[Page]:
    """One who has entered, and stands at the first page."""
    size, scheme = request.param.split()
    width, height = SIZES[size]
    url, state = entered
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, storage_state=state)
    said: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        said.append(message.text)

    try:
        visitor = context.new_page()
        visitor.set_default_timeout(WAIT_MS)
        visitor.on("console", hear)
        visitor.on("pageerror", lambda error: said.append(str(error)))
        visitor.goto(url)
        yield visitor
        assert said == []
    finally:
        context.close()


def fits(visitor: Page) -> bool:
    """Whether nothing sticks out to the right."""
    wider = visitor.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return bool(wider <= 0)


def follow(visitor: Page, link: Locator) -> None:
    """Click, and wait until the page that it leads to is there to its end: its scripts, too.

    A click alone comes back when the way begins: what is looked at then may be the former page, or half of the next.
    """
    with visitor.expect_navigation(wait_until="load"):
        link.click()


def go(visitor: Page, name: str) -> None:
    follow(visitor, visitor.get_by_role("navigation").get_by_role("link", name=name))


def address(visitor: Page) -> str:
    return visitor.url.rpartition("/")[2]


def test_a_person_finds_what_was_deleted_puts_it_back_and_undoes_that(visitor: Page, drive: Machine) -> None:
    gone = drive.point / "notes" / "gone.txt"
    go(visitor, "Deleted")
    visitor.get_by_role("button", name="Put back notes/gone.txt").first.click()
    expect(visitor.get_by_role("status")).to_contain_text("Put back notes/gone.txt")
    assert gone.read_text() == "it was here\n"
    assert fits(visitor)
    visitor.get_by_role("button", name="Undo").click()
    expect(visitor.get_by_role("status")).to_contain_text("Took back")
    assert not gone.exists()
    expect(visitor.get_by_role("link", name="notes/gone.txt").first).to_be_visible()


def press_and_wait(visitor: Page, key: str) -> None:
    """A key that moves the slider, and the folder that follows it."""
    before = visitor.locator(".moment").get_attribute("data-address")
    visitor.keyboard.press(key)
    expect(visitor.locator(".moment")).not_to_have_attribute("data-address", before or "")


def test_scrubbing_with_the_arrow_keys_shows_the_folder_at_each_version(visitor: Page) -> None:
    follow(visitor, visitor.get_by_role("link", name="notes"))
    slider = visitor.get_by_role("slider", name="Version")
    slider.focus()
    press_and_wait(visitor, "Home")
    expect(slider).to_have_attribute("aria-valuetext", visitor.locator(".when strong").inner_text())
    seen = set()
    for _ in range(len((slider.get_attribute("data-stops") or "").split()) - 1):
        press_and_wait(visitor, "ArrowRight")
        seen.add("gone.txt" in visitor.locator("#view").inner_text())
        assert slider.evaluate("element => element === document.activeElement")
        assert fits(visitor)
    assert seen == {True, False}
    assert "at=" in address(visitor)
    there = visitor.locator(".when strong").inner_text()
    visitor.reload()
    expect(visitor.locator(".when strong")).to_have_text(there)


def test_all_is_reached_and_done_by_keyboard(visitor: Page, drive: Machine) -> None:
    file = drive.point / "notes" / "letter.txt"
    now = file.read_text()

    def press(role: str, name: str) -> None:
        """Tab until the thing has the focus, then Enter."""
        for _ in range(80):
            visitor.keyboard.press("Tab")
            focused = visitor.evaluate(
                "() => [document.activeElement.tagName,"
                " document.activeElement.getAttribute('aria-label') || document.activeElement.innerText]"
            )
            if focused == [role, name]:
                outline = visitor.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", f"{name} has the focus and does not show it"
                visitor.keyboard.press("Enter")
                return
        raise AssertionError(f"no way to {name} by Tab")

    visitor.keyboard.press("Tab")
    assert visitor.evaluate("() => document.activeElement.innerText") == "Skip to the contents"
    press("A", "notes")
    expect(visitor.get_by_role("heading", level=1)).to_contain_text("notes")
    press("A", "letter.txt")
    expect(visitor.get_by_role("heading", name="Versions of this file")).to_be_visible()
    press("BUTTON", "Compare the two")
    expect(visitor.get_by_role("table")).to_be_visible()
    press("BUTTON", "Put this one back")
    expect(visitor.get_by_role("status")).to_contain_text("Put back notes/letter.txt")
    assert file.read_text() == "one\n2\nthree\n"
    press("BUTTON", "Undo")
    expect(visitor.get_by_role("status")).to_contain_text("Took back")
    assert file.read_text() == now


def test_nothing_in_a_name_or_a_file_runs(visitor: Page) -> None:
    follow(visitor, visitor.get_by_role("link", name="odd"))
    for number in range(len(ODD) + 4):
        follow(visitor, visitor.locator(".rows .name").nth(number))
        assert visitor.title() != "ran"
        assert visitor.evaluate("() => document.scripts.length") == 1
        expect(visitor.get_by_role("heading", level=1)).to_contain_text("odd")
        assert fits(visitor)
        visitor.go_back()


def test_a_picture_is_seen(visitor: Page) -> None:
    follow(visitor, visitor.get_by_role("link", name="odd"))
    follow(visitor, visitor.get_by_role("link", name="picture.png"))
    picture = visitor.get_by_role("img", name="The picture as it was")
    expect(picture).to_be_visible()
    expect(picture).to_have_js_property("naturalWidth", 8)


def test_every_page_fits_and_follows_light_and_dark(visitor: Page) -> None:
    grounds = set()
    for name in ("Deleted", "Space", "Status", "Files"):
        go(visitor, name)
        expect(visitor.locator("nav [aria-current]")).to_have_text(name)
        assert fits(visitor), name
        grounds.add(visitor.evaluate("() => getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 1
    light = sum(map(int, grounds.pop().removeprefix("rgb(").removesuffix(")").split(","))) > 384
    assert light == visitor.evaluate("() => matchMedia('(prefers-color-scheme: light)').matches")


def test_one_can_go_to_a_moment_in_words(visitor: Page) -> None:
    visitor.get_by_label("Go to").fill("2")
    visitor.keyboard.press("Enter")
    expect(visitor.locator(".when")).to_contain_text("version 2")
    visitor.get_by_role("link", name="Now").click()
    expect(visitor.locator(".when")).to_contain_text("now")
    visitor.get_by_role("link", name="Earlier").click()
    expect(visitor.locator(".when")).not_to_contain_text("now")


def test_without_a_script_the_slider_is_a_form(browser: Browser, drive: Machine) -> None:
    server = start(drive, drive.point, enter=False)
    context = browser.new_context(java_script_enabled=False)
    try:
        visitor = context.new_page()
        visitor.goto(server.url)
        slider = visitor.get_by_role("slider", name="Version")
        slider.focus()
        visitor.keyboard.press("Home")
        visitor.get_by_role("button", name="Show").click()
        expect(visitor.locator(".when")).to_contain_text("version 1")
    finally:
        context.close()
        server.end()
