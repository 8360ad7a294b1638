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
// Of all tabs that watch the same, one asks the server and tells the others: a browser keeps few connections.
const ASKED_AGAIN_AFTER = 2000, MISSED_AFTER = 4000;

// Asks until it is over or nobody wants to know; `tell` is told what comes, and when nobody answers.
const ask = (url, tell, unwanted) => new Promise((done) => {
  let source, missed, again;
  const end = () => { source.close(); clearTimeout(missed); clearTimeout(again); done(); };
  const begin = () => {
    source = new EventSource(url);
    source.addEventListener("open", () => { clearTimeout(missed); missed = undefined; tell({ name: "answered" }); });
    source.addEventListener("error", () => {
      missed ??= setTimeout(() => tell({ name: "missed" }), MISSED_AFTER);
      // A browser comes back by itself, but not after an answer that was none.
      if (source.readyState === EventSource.CLOSED) again = setTimeout(begin, ASKED_AGAIN_AFTER);
    });
    for (const name of ["progress", "over"]) source.addEventListener(name, (event) => {
      tell({ name, data: event.data });
      if (name === "over") end();
    });
  };
  unwanted.addEventListener("abort", end);
  begin();
});

const live = document.querySelector("[data-live]");
if (live) {
  const url = live.dataset.live, part = (name) => live.querySelector(name);
  const bar = part("progress"), words = part("[data-words]"), lost = part("[data-lost]"), pause = part("[data-pause]");
  const show = ({ name, data }) => {
    lost.hidden = name !== "missed";
    if (name === "over") {
      if (data === location.pathname) location.reload(); else location.assign(data);
    } else if (name === "progress" && bar) {
      const told = JSON.parse(data);
      bar.max = Math.max(told.read, 1);
      bar.value = told.done;
      words.textContent = told.words;
    }
  };
  // Returns what ends it.
  const watch = () => {
    const ending = new AbortController(), unwanted = ending.signal;
    if (navigator.locks) {
      const tabs = new BroadcastChannel(url);
      tabs.addEventListener("message", (event) => show(event.data));
      unwanted.addEventListener("abort", () => tabs.close());
      const tell = (told) => { tabs.postMessage(told); show(told); };
      navigator.locks.request(url, { signal: unwanted }, () => ask(url, tell, unwanted)).catch(() => {});
    } else ask(url, show, unwanted);
    return () => ending.abort();
  };
  let stop = watch();
  // A page that is left holds nothing that another tab waits for; one that is come back to watches again.
  addEventListener("pagehide", () => stop?.());
  addEventListener("pageshow", (event) => { if (event.persisted && stop) stop = watch(); });
  if (pause) {
    pause.hidden = false;
    pause.addEventListener("click", () => {
      if (stop) { stop(); stop = undefined; } else stop = watch();
      pause.textContent = stop ? "Pause updates" : "Go on";
    });
  }
}

// Single keys lead about; none does while somebody types, and they can be switched off.
const keys = document.querySelector("[data-keys]");
if (keys) {
  const rows = () => [...document.querySelectorAll("main tbody th a, main .waiting a")];
  const step = (by) => {
    const all = rows(), at = all.indexOf(document.activeElement);
    all[at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by]?.focus();
  };
  const acts = {
    "?": () => keys.showModal(),
    "/": () => document.querySelector("main input[type=search], main [data-search]")?.focus(),
    j: () => step(1),
    k: () => step(-1),
  };
  for (const link of document.querySelectorAll("[data-go]")) acts["g" + link.dataset.go] = () => link.click();
  let before = "", forget;
  addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, select, textarea, dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = acts[before + event.key];
    clearTimeout(forget);
    before = event.key === "g" && !before ? "g" : "";
    forget = setTimeout(() => { before = ""; }, 1500);
    if (act) { event.preventDefault(); act(); }
  });
}
