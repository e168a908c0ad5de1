"""The page in headless Chromium, as people use it. `make test-page` installs what this needs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip(
    "playwright.sync_api", reason="the page is not driven: `make test-page` installs playwright"
)
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("the page is not driven: there is no chromium", allow_module_level=True)

AXE = Path(__file__).parents[3] / "page" / "node_modules" / "axe-core" / "axe.min.js"
SOURCE = "int triple(int x) { return x + x + x; }"
RESULT_MS = 100_000
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def page(browser: Any, service: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield from opened(context, service)


def opened(context: Any, service: Any) -> Iterator[Any]:
    """Yield the page; it may ask no other host, and report no error of its own."""
    found = context.new_page()
    troubles: list[str] = []
    found.on("pageerror", lambda error: troubles.append(str(error)))
    found.on(
        "request",
        lambda asked: None if asked.url.startswith(service.url) else troubles.append(asked.url),
    )
    found.goto(service.url)
    yield found
    context.close()
    assert [trouble for trouble in troubles if not trouble.startswith(("data:", "blob:"))] == []


def write(page: Any, text: str) -> None:
    page.locator("#editor .cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)


def run(page: Any) -> None:
    page.locator("#run").click()
    wait_until_done(page)


def wait_until_done(page: Any) -> None:
    page.wait_for_selector("#status:has-text('Done'), .refusal", timeout=RESULT_MS)
    assert page.locator(".refusal").count() == 0, page.get_by_role("alert").inner_text()


def shown(page: Any) -> str:
    return str(page.locator("#answer").inner_text())


def test_the_first_paint_is_quick_and_the_page_says_what_it_does(page: Any) -> None:
    paint = page.evaluate("performance.getEntriesByType('paint').map(one => one.startTime)")
    assert paint
    assert max(paint) < 5000  # under 1 s where nothing else runs; test machines are busy
    assert "smallest object" in shown(page)
    assert "each job in a sandbox" in page.locator("#about").inner_text()


def test_code_is_optimised_and_everything_of_it_shown(page: Any) -> None:
    page.get_by_role("button", name="Try it: Optimise").click()
    page.wait_for_selector("figure .dot", state="attached", timeout=RESULT_MS)
    wait_until_done(page)
    text = shown(page)
    assert re.search(r"^(−\d+\.\d %|±0)$", text, re.MULTILINE)
    for words in ("Candidates", "Sections", ".text", "What each element saves", "clang -Oz"):
        assert words in text
    assert page.locator("figure svg").get_attribute("aria-label").startswith("32 of 32 recipes")
    page.wait_for_selector(".cm-mergeView .cm-changedLine", timeout=RESULT_MS)
    # Tabs by the keyboard.
    page.get_by_role("tab", name="Assembly").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", name="IR", exact=True).get_attribute("aria-selected") == "true"
    page.keyboard.press("End")
    assert "Commands that make it again" in shown(page)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save output.o").click()
    assert Path(saved.value.path()).read_bytes().startswith(b"\x7fELF")


def test_assembly_is_lifted_with_verdicts(page: Any) -> None:
    page.get_by_role("radio", name="Lift").check(force=True)
    page.get_by_label("Example").select_option(label="assembly to lift (x86-64)")
    run(page)
    text = shown(page)
    assert "gcd" in text
    assert "count_bits" in text
    assert "tests passed" in text or "exact" in text
    page.wait_for_selector(".function .two .cm-content", timeout=RESULT_MS)


def test_predictions_are_compared_with_the_compiler(page: Any) -> None:
    page.get_by_role("radio", name="Predict").check(force=True)
    page.get_by_label("Example").select_option(label="a function to predict (IR)")
    run(page)
    assert "The model's prediction" in shown(page)
    assert "IR instructions" in shown(page)


def test_recipes_are_compared(page: Any) -> None:
    page.get_by_role("radio", name="Compare").check(force=True)
    write(page, SOURCE)
    page.get_by_label("Recipes").fill("default<Oz>\nmem2reg")
    run(page)
    assert "Sizes under your recipes" in shown(page)
    assert page.locator("#answer tbody tr").count() == 3


def test_a_link_holds_code_and_result_and_needs_no_service(page: Any, browser: Any) -> None:
    write(page, SOURCE)
    run(page)
    headline = page.locator(".headline").inner_text()
    page.get_by_role("button", name="Share").click()
    page.wait_for_selector("#status:has-text('holds')")
    link = page.evaluate("location.href")
    assert "#v1." in link
    context = browser.new_context()
    other = context.new_page()
    # No request but those for the page itself: the service may be gone.
    other.route("**/v1/**", lambda route: route.abort())
    other.goto(link)
    other.wait_for_selector(".headline")
    assert other.locator(".headline").inner_text() == headline
    assert SOURCE in other.locator("#editor .cm-content").inner_text()
    assert "was not computed here" in other.locator("#status").inner_text()
    context.close()


def test_a_damaged_link_is_a_clear_message(page: Any, service: Any) -> None:
    page.goto(service.url + "/#v1.abcdefg")
    page.wait_for_selector(".refusal:has-text('This link is damaged')")


@pytest.mark.parametrize(
    ("source", "flags", "words", "line"),
    [
        ("int f(void) {\n  return y;\n}", "", "undeclared identifier 'y'", 2),
        (SOURCE, "-I/etc", "The flag '-I/etc' is not allowed here", 0),
        ("   ", "", "There is no code to work on", 0),
        ('#include "/etc/passwd"', "", "'/etc/passwd' file not found", 1),
    ],
)
def test_every_refusal_is_a_clear_message_at_its_line(
    page: Any, source: str, flags: str, words: str, line: int
) -> None:
    write(page, source)
    page.get_by_label("Clang flags").fill(flags)
    page.locator("#run").click()
    page.wait_for_selector(".refusal", timeout=RESULT_MS)
    assert words in page.get_by_role("alert").inner_text()
    assert page.locator(".error-line").count() == (1 if line else 0)
    if line:
        assert (
            page.locator("#editor .cm-line")
            .nth(line - 1)
            .get_attribute("class")
            .endswith("error-line")
        )
    assert page.locator("#run").is_enabled()


def test_a_service_that_is_gone_is_a_clear_message(page: Any) -> None:
    page.route("**/v1/optimize", lambda route: route.abort())
    write(page, SOURCE)
    page.locator("#run").click()
    page.wait_for_selector(".refusal:has-text('The service does not answer')")
    assert SOURCE in page.locator("#editor .cm-content").inner_text()


def test_it_works_by_keyboard_alone(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#editor .cm-content").focus()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(SOURCE)
    page.keyboard.press("Control+Enter")
    wait_until_done(page)
    page.locator("#editor .cm-content").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "run"


@pytest.mark.parametrize("width", [320, 390, 768])
def test_narrow_screens_scroll_in_one_direction_only(
    browser: Any, service: Any, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800})
    for page in opened(context, service):
        write(page, SOURCE)
        run(page)
        page.wait_for_selector("[role=tabpanel] .cm-content")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: npm ci in page/")
@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 1400), ("light", 390)])
@pytest.mark.parametrize("verb", ["", "Optimise", "Lift", "Predict", "Compare"])
def test_axe_finds_nothing(browser: Any, service: Any, scheme: str, width: int, verb: str) -> None:
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=True
    )
    for page in opened(context, service):
        if verb:
            page.get_by_role("button", name=f"Try it: {verb}").click()
            wait_until_done(page)
        if verb in ("Optimise", "Lift"):
            page.wait_for_selector("[role=tabpanel] .cm-content")
        assert findings(page) == []


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: npm ci in page/")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_a_refusal(browser: Any, service: Any, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)
    for page in opened(context, service):
        write(page, "int f(void) {\n  return y;\n}")
        page.locator("#run").click()
        page.wait_for_selector(".refusal", timeout=RESULT_MS)
        assert findings(page) == []


def findings(page: Any) -> list[str]:
    """Return what axe has against the page as it is."""
    page.add_script_tag(path=AXE)
    found = page.evaluate(
        "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})"
    )
    return [
        f"{item['id']} ({item['impact']}): {item['nodes'][0]['html'][:150]}"
        for item in found["violations"]
    ]
