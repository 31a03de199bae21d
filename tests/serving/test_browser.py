"""The page in a real browser: fill the form, press the button, read the prediction."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait
from tests.serving.doubles import LinearBundle, mixed, price, served

from winnow.serving import create_app

BROWSER = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (BROWSER and DRIVER), reason="needs chromium and chromedriver on the PATH"
    ),
]

FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update "
    "--disable-sync --disable-dev-shm-usage --window-size=1200,900"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


class Visit:
    """A page that is open in the browser."""

    def __init__(self, browser: webdriver.Chrome, url: str) -> None:
        self.browser, self.url = browser, url
        browser.get(url)

    def find(self, name: str) -> WebElement:
        return self.browser.find_element(By.ID, name)

    def field(self, name: str) -> WebElement:
        """The control with this label."""
        label = next(
            e for e in self.browser.find_elements(By.CSS_SELECTOR, ".field label") if e.text == name
        )
        return self.find(str(label.get_attribute("for")))

    def type(self, name: str, text: str) -> None:
        control = self.field(name)
        control.send_keys(Keys.CONTROL, "a")
        control.send_keys(Keys.BACKSPACE, text)

    def predict(self) -> str:
        """The prediction's large text, once it is there."""
        self.find("predict").click()
        self.wait(
            lambda: self.find("answer").is_displayed() and not self.find("stale").is_displayed()
        )
        return self.find("label").text

    def wait(self, happened: Any) -> None:
        WebDriverWait(self.browser, 10, poll_frequency=0.02).until(lambda _: happened())

    def complaints(self) -> list[str]:
        """What the console says, but for refused requests, which it always reports."""
        return [e["message"] for e in self.browser.get_log("browser") if "422" not in e["message"]]


@contextlib.contextmanager
def visiting(browser: webdriver.Chrome, app: FastAPI) -> Iterator[Visit]:
    with served(app) as url:
        visit = Visit(browser, url)
        yield visit
        # Nothing failed to load, no script broke, the content policy was kept
        assert visit.complaints() == []


@pytest.fixture
def form(browser: webdriver.Chrome) -> Iterator[Visit]:
    with visiting(browser, create_app(mixed())) as visit:
        yield visit


def test_fill_the_form_and_read_the_prediction(form: Visit) -> None:
    form.type("age", "70")
    form.type("net (EUR)", "")
    Select(form.field("color")).select_by_visible_text("it's <b>blue</b>")
    form.field("member").click()
    row = {
        "age": 70,
        "net (EUR)": None,
        "color": "it's <b>blue</b>",
        "member": False,
        "model_config": False,
    }
    expected = httpx.post(f"{form.url}/predict", json={"rows": [row]}).json()

    assert form.predict() == expected["predictions"][0]

    bars = [
        (b.find_element(By.CLASS_NAME, "name").text, b.find_element(By.CLASS_NAME, "share").text)
        for b in bars_of(form)
    ]
    ranked = sorted(expected["probabilities"][0].items(), key=lambda item: -item[1])
    assert bars == [(name, f"{100 * share:.1f} %") for name, share in ranked]
    assert form.find("sure").text == f"{bars[0][1]} probability"


def bars_of(visit: Visit) -> list[WebElement]:
    return visit.browser.find_elements(By.CLASS_NAME, "bar")


def test_the_form_starts_with_typical_values(form: Visit) -> None:
    assert form.field("age").get_attribute("value") == "37"
    assert form.field("net (EUR)").get_attribute("value") == "1200.5"
    assert form.field("member").is_selected()
    assert "17 to 90" in form.find("field-0-hint").text

    form.browser.find_element(By.CSS_SELECTOR, "[data-fill=example]").click()

    assert form.field("age").get_attribute("value") == "42"
    assert not form.field("member").is_selected()
    assert Select(form.field("model_config")).first_selected_option.text == "no"


def test_mistakes_stand_beside_their_field(form: Visit) -> None:
    form.type("age", "old")
    Select(form.field("color")).select_by_visible_text("another value ...")
    form.find("field-2-other").send_keys("x" * 1001)
    form.find("predict").click()
    form.wait(lambda: form.find("alert").is_displayed())

    assert form.find("field-0-error").text == "expected a number, got 'old'"
    assert form.find("field-2-error").text == "expected at most 1,000 characters, got 1,001"
    assert form.field("age").get_attribute("aria-invalid") == "true"
    assert form.browser.switch_to.active_element == form.field("age")
    assert form.find("alert").text == "2 fields need another value."
    assert not form.find("answer").is_displayed()

    form.type("age", "")
    assert not form.find("field-0-error").is_displayed()
    form.find("predict").click()
    form.wait(lambda: form.find("field-0-error").text == "missing; expected a number")

    form.type("age", "42")
    Select(form.field("color")).select_by_visible_text("red")
    assert form.predict() in ("low", "middle", "high")
    assert not form.find("alert").is_displayed()


def test_what_lies_outside_the_training_turns_amber(form: Visit) -> None:
    box = form.browser.find_element(By.CSS_SELECTOR, "[data-index='0']")
    assert form.predict()
    assert not form.find("caution").is_displayed()

    form.type("age", "91")

    assert form.find("field-0-unusual").text == "outside what training saw"
    assert "amber" in str(box.get_attribute("class"))
    assert form.predict()
    assert form.find("field-0-unusual").text == "91 lies outside 17 to 90"
    assert form.find("caution").text.startswith("One value is unlike any in the training rows")

    form.type("age", "50")
    Select(form.field("color")).select_by_visible_text("another value ...")
    form.find("field-2-other").send_keys("mauve")
    assert form.predict()

    assert "amber" not in str(box.get_attribute("class"))
    assert form.find("field-2-unusual").text == "'mauve' was not in the training rows"


def test_an_old_prediction_says_so(form: Visit) -> None:
    form.predict()
    form.field("age").send_keys("1")

    assert form.find("stale").is_displayed()

    form.field("age").send_keys(Keys.ENTER)  # the keyboard alone will do
    form.wait(lambda: not form.find("stale").is_displayed())


def test_the_client_code_works(form: Visit) -> None:
    Select(form.field("color")).select_by_visible_text("it's <b>blue</b>")
    form.type("net (EUR)", "")
    prediction = form.predict()

    python = subprocess.run(
        [sys.executable, "-c", form.find("python").text], capture_output=True, text=True, check=True
    )
    assert f"'predictions': ['{prediction}']" in python.stdout
    assert len(form.find("python").text.splitlines()) == 2
    if shutil.which("curl"):
        curl = subprocess.run(
            ["bash", "-c", form.find("curl").text], capture_output=True, text=True, check=True
        )
        assert f'"predictions":["{prediction}"]' in curl.stdout


def test_a_number_comes_with_its_unit(browser: webdriver.Chrome) -> None:
    with visiting(browser, create_app(price())) as visit:
        visit.type("area", "100")

        assert visit.predict() == "1,350.3"
        assert visit.find("unit").text == "EUR"
        assert visit.find("sure").text == "predicted price"
        assert bars_of(visit) == []


def test_a_server_that_is_gone_is_said(browser: webdriver.Chrome) -> None:
    with served(create_app(price())) as url:
        visit = Visit(browser, url)
    visit.find("predict").click()
    visit.wait(lambda: visit.find("alert").is_displayed())

    assert visit.find("alert").text == "The server does not answer. Is it still running?"
    # which network error the browser logs, and when, depends on what became of the connection it
    # kept open
    assert all("net::ERR_" in message for message in visit.complaints())


# -- drawing ---------------------------------------------------------------------------------------


def halves() -> LinearBundle:
    """Where the ink is on an image of 6 x 8 pixels: left or right."""
    names = [f"pixel_{r}_{c}" for r in range(6) for c in range(8)]
    schema = [
        {
            "name": n,
            "kind": "number",
            "minimum": 0.0,
            "maximum": 16.0,
            "typical": 8.0,
            "example": 0.0,
        }
        for n in names
    ]
    side = np.tile(np.repeat([1.0, -1.0], 4), 6)[:, None]
    blank = dict.fromkeys(names, 0.0)
    examples = [{**blank, "pixel_2_1": 16.0}, {**blank, "pixel_2_6": 16.0}]
    return LinearBundle(
        schema, classes=["left", "right"], weights=np.hstack([side, -side]), examples=examples
    )


def draw(visit: Visit, *places: tuple[float, float]) -> None:
    """A stroke through (x, y), as fractions of the canvas."""
    canvas = visit.find("canvas")
    points = [
        (int((x - 0.5) * canvas.size["width"]), int((y - 0.5) * canvas.size["height"]))
        for x, y in places
    ]
    actions = (
        ActionChains(visit.browser, duration=10)
        .move_to_element_with_offset(canvas, *points[0])
        .click_and_hold()
    )
    for point in points[1:]:
        actions.move_to_element_with_offset(canvas, *point)
    actions.release().perform()


def test_draw_and_be_told(browser: webdriver.Chrome) -> None:
    with visiting(browser, create_app(halves())) as visit:
        assert visit.predict() == "left"  # the first example

        visit.find("clear").click()
        draw(visit, (0.8, 0.2), (0.8, 0.8))  # predicted again as soon as the stroke ends
        visit.wait(lambda: visit.find("label").text == "right")

        visit.browser.find_element(By.CSS_SELECTOR, "input[value=erase]").click()
        draw(visit, (0.8, 0.1), (0.8, 0.9))
        visit.browser.find_element(By.CSS_SELECTOR, "input[value=draw]").click()
        visit.find("canvas").send_keys(Keys.LEFT * 3, Keys.SPACE)
        visit.wait(lambda: visit.find("label").text == "left")

        visit.browser.find_elements(By.CSS_SELECTOR, "button.thumbnail")[1].click()
        visit.wait(lambda: visit.find("label").text == "right")
        visit.browser.find_element(By.TAG_NAME, "summary").click()
        assert visit.field("pixel_2_6").get_attribute("value") == "16"


def test_draw_an_image_that_is_one_field(browser: webdriver.Chrome) -> None:
    class Ink(LinearBundle):
        @staticmethod
        def _code(column: Any, value: Any) -> float:
            return float(np.sum(value))

    schema = [
        {"name": "image", "kind": "array", "shape": [1, 5, 7], "minimum": 0.0, "maximum": 1.0}
    ]
    app = create_app(Ink(schema, weights=np.ones((1, 1)), target="ink"))
    with visiting(browser, app) as visit:
        assert visit.predict() == "0"
        draw(visit, (0.5, 0.5))
        visit.wait(lambda: float(visit.find("label").text) >= 1)


@pytest.mark.parametrize("path", ["/", "/docs"])
@pytest.mark.parametrize("name", ["form", "image"])
def test_it_fits_a_phone(browser: webdriver.Chrome, name: str, path: str) -> None:
    bundle = {"form": mixed, "image": halves}[name]()
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    with served(create_app(bundle)) as url:
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        try:
            visit = Visit(browser, url + path)
            assert browser.execute_script("return document.documentElement.scrollWidth") == 360
            if path == "/":
                assert visit.predict()
        finally:
            browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
