// What a page gains from a script; without it everything works all the same.

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) event.preventDefault();
  if (form.method === "post") form.dataset.sent = "1";
});
// A page out of the browser's memory is as it was when it was left.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// A run, or a request, is watched: figures come as they change, and another page once it is over.
const live = document.querySelector("[data-live]");
if (live) {
  const bar = live.querySelector("progress"), words = live.querySelector("[data-words]"), pause = live.querySelector("[data-pause]");
  let source;
  const watch = () => {
    source = new EventSource(live.dataset.live);
    source.addEventListener("progress", (event) => {
      const told = JSON.parse(event.data);
      if (!bar) return;
      bar.max = Math.max(told.read, 1);
      bar.value = told.done;
      words.textContent = told.words;
    });
    source.addEventListener("over", (event) => {
      source.close();
      if (event.data === location.pathname) location.reload(); else location.assign(event.data);
    });
  };
  watch();
  if (pause) {
    pause.hidden = false;
    pause.addEventListener("click", () => {
      const paused = pause.dataset.paused === "1";
      pause.dataset.paused = paused ? "0" : "1";
      pause.textContent = paused ? "Pause updates" : "Go on";
      if (paused) watch(); else source.close();
    });
  }
}
