// Scrubbing: while the slider moves, the folder below it follows. Without this the slider is a form with a button.
"use strict";

const WAIT_MS = 120; // until the slider rests

const form = document.getElementById("scrub");
if (form) {
  const slider = form.elements.place;
  const view = document.getElementById("view");
  const cursor = document.getElementById("cursor");
  let timer = 0;
  let asked = null;

  const show = async () => {
    if (asked) asked.abort();
    asked = new AbortController();
    const address = `${slider.dataset.address}&place=${slider.value}&part=1`;
    try {
      const answer = await fetch(address, { signal: asked.signal, credentials: "same-origin" });
      const text = await answer.text();
      if (!answer.ok) throw new Error(text);
      // Our own template's: the same that a whole page would hold.
      view.replaceChildren(...new DOMParser().parseFromString(text, "text/html").body.childNodes);
    } catch (error) {
      if (error.name === "AbortError") return;
      window.location.assign(`${slider.dataset.address}&place=${slider.value}`);
      return;
    }
    const moment = view.querySelector(".moment");
    cursor.setAttribute("x", moment.dataset.cursor);
    slider.setAttribute("aria-valuetext", moment.dataset.time);
    window.history.replaceState(null, "", moment.dataset.address);
  };

  slider.addEventListener("input", () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(show, WAIT_MS);
  });
}
