// Scrubbing: while the slider moves, the folder below it follows. It goes by time and rests where there are versions: a
// key goes to the next of these, however far that is. Without this the slider is a form with a button.
"use strict";

const WAIT_MS = 120; // until the slider rests
const PAGE = 10; // stops

const form = document.getElementById("scrub");
if (form) {
  const slider = form.elements.cell;
  const stops = slider.dataset.stops.split(" ").map(Number);
  const view = document.getElementById("view");
  const cursor = document.getElementById("cursor");
  let timer = 0;
  let asked = null;

  const show = async () => {
    if (asked) asked.abort();
    asked = new AbortController();
    const address = `${slider.dataset.address}&cell=${slider.value}&part=1`;
    try {
      const answer = await fetch(address, { signal: asked.signal, credentials: "same-origin" });
      const text = await answer.text();
      if (!answer.ok) throw new Error(text);
      // Our own template's: the same that a whole page would hold.
      view.replaceChildren(...new DOMParser().parseFromString(text, "text/html").body.childNodes);
    } catch (error) {
      if (error.name === "AbortError") return;
      window.location.assign(`${slider.dataset.address}&cell=${slider.value}`);
      return;
    }
    const moment = view.querySelector(".moment");
    cursor.setAttribute("x", moment.dataset.cursor);
    slider.setAttribute("aria-valuetext", moment.dataset.time);
    window.history.replaceState(null, "", moment.dataset.address);
  };

  const soon = () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(show, WAIT_MS);
  };

  // The last stop up to a cell, which is what is shown there.
  const stopAt = (cell) => Math.max(0, stops.findLastIndex((stop) => stop <= cell));

  slider.addEventListener("input", () => {
    slider.value = stops[stopAt(Number(slider.value))];
    soon();
  });

  const last = stops.length - 1;
  const moves = {
    ArrowLeft: (at) => at - 1,
    ArrowDown: (at) => at - 1,
    ArrowRight: (at) => at + 1,
    ArrowUp: (at) => at + 1,
    PageDown: (at) => at - PAGE,
    PageUp: (at) => at + PAGE,
    Home: () => 0,
    End: () => last,
  };

  slider.addEventListener("keydown", (event) => {
    const move = moves[event.key];
    if (!move || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const to = Math.min(last, Math.max(0, move(stopAt(Number(slider.value)))));
    if (Number(slider.value) === stops[to]) return;
    slider.value = stops[to];
    soon();
  });
}
