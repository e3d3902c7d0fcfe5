/* Above all tabs: what trains now or has ended meanwhile, whether the program is still there, and its own errors. */
import(new URL("islands/page.js", document.baseURI)).then(({ ask, copied, count, follow, make, span, speaker, translate, underWay, write }) => {
  const BUSY_MS = 2500;
  const CALM_MS = 5000;
  const FAILURES = 2;
  const MOST_MISHAPS = 3;
  const SEEN = "atelier.seen";
  const say = speaker(props.words);
  const find = (name) => element.querySelector(name);
  let failures = 0;
  let shown = null;
  let clock = 0;
  translate(element, say);

  const since = () => Number(localStorage.getItem(SEEN)) || 0;
  const isOnRunTab = () => Boolean(document.getElementById("live-monitor")?.checkVisibility());

  function seen() {
    if (clock) localStorage.setItem(SEEN, String(clock));
  }

  async function turn() {
    const news = await ask(`news?since=${since()}`);
    clock = news.time;
    find(".older").hidden = news.version === window.ATELIER.version;
    const here = isOnRunTab();
    if (here) seen();
    // What went wrong meanwhile is not to be missed because something else trains.
    const wrong = news.ended.find((run) => ["failed", "interrupted"].includes(run.state));
    const first = wrong ?? news.going[0] ?? news.ended[0];
    show(here ? null : first, [news.going, news.ended].map((runs) => runs.filter((run) => run !== first).length));
    return news.going.length ? BUSY_MS : CALM_MS;
  }

  function show(run, others) {
    const row = find(".row.run");
    shown = run ?? null;
    row.hidden = !run;
    if (!run) return;
    const going = underWay(run.state);
    row.className = `row run ${run.state}`;
    write(find(".name"), run.name);
    write(find(".about"), about(run, others));
    find(".track").hidden = !going;
    find(".track i").style.width = `${run.steps ? (100 * run.step) / run.steps : 0}%`;
    find(".row.run .close").hidden = going;
  }

  function about(run, others) {
    const parts = [say(`state_${run.state}`)];
    if (run.steps && run.state !== "finished") parts.push(say("step_of", { step: count(run.step), steps: count(run.steps) }));
    if (run.left_s !== null) parts.push(say("left", { time: span(say, run.left_s) }));
    const [going, ended] = others;
    if (going) parts.push(say("more_going", { count: going }));
    if (ended) parts.push(say("more_ended", { count: ended }));
    return parts.join(" · ");
  }

  function lost(failed) {
    failures = failed ? failures + 1 : 0;
    const gone = failures >= FAILURES;
    document.body.classList.toggle("unreachable", gone);
    find(".away").hidden = !gone;
    write(find(".away p"), gone ? say("gone", { command: command() }) : "");
    if (gone) find(".row.run").hidden = true;
  }

  function command() {
    const shared = document.getElementById("way-out") ? " --listen" : "";
    return `./gui.sh${shared}${location.port === "7860" ? "" : ` --port ${location.port}`}`;
  }

  /** Shows an error of the program that serves the page. */
  function tell({ reason, advice, details }) {
    if ([...find(".mishaps").children].some((each) => each.dataset.reason === reason)) return;
    const page = make("pre", { tabindex: "0", text: details });
    const close = make("button", { type: "button", class: "close", text: "×", "aria-label": say("close"), on: { click: () => box.remove() } });
    const copy = make("button", { type: "button", text: say("copy"), on: { click: async () => write(copy, say((await copied(`${reason}\n${details}`)) ? "copied" : "not_copied")) } });
    const box = make("div", { class: "mishap", role: "alert", "data-reason": reason },
      make("strong", { text: reason }), make("p", { text: advice }), make("details", {}, make("summary", { text: say("details") }), page, copy), close);
    find(".mishaps").append(box);
    if (find(".mishaps").children.length > MOST_MISHAPS) find(".mishaps").firstElementChild.remove();
  }

  /** Takes what Gradio shows of an error over here: there it would hide the bar, and could not be copied. */
  function takeOver() {
    for (const toast of document.querySelectorAll(".toast-body:has(details > pre)")) {
      const [reason, advice, details] = ["strong", "p", "pre"].map((part) => toast.querySelector(part)?.textContent ?? "");
      tell({ reason, advice, details });
      toast.querySelector("button.toast-close")?.click();
    }
  }

  find(".show").addEventListener("click", () => {
    seen();
    window.atelier.showRun(shown.key);
    show(null);
  });
  find(".row.run .close").addEventListener("click", () => {
    seen();
    show(null);
  });
  find(".reload").addEventListener("click", () => location.reload());
  window.addEventListener("atelier:mishap", (event) => tell(event.detail));
  window.addEventListener("atelier:started", () => show(null));
  new MutationObserver(takeOver).observe(document.body, { childList: true, subtree: true });
  const look = follow(element.parentElement ?? element, turn, lost);
  document.addEventListener("click", (event) => event.target.closest?.('[role="tab"]') && setTimeout(look, 100));
});
