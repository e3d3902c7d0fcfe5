/* What the page does by itself, without asking the program: marks changes, keeps what was typed for the next visit,
   hides what does not apply, searches, and moves between tabs. `ATELIER` (facts of the form) stands before it. */
window.atelier = (() => {
  "use strict";
  const facts = window.ATELIER;
  const DRAFT = "atelier.draft";
  const DELAY_MS = 50;
  const READING_MS = 150;
  let base = null;
  let last = {};
  let typing = false;
  let timer = 0;
  let entry = "";
  let wanted = "";
  let before = null;

  const same = (one, other) => String(one ?? "") === String(other ?? "");
  const isNumber = value => value !== null && value !== undefined && value !== "" && !Number.isNaN(Number(value));
  const equal = (path, one, other) => same(one, other) ||
    (facts.numbers.includes(path) && isNumber(one) && isNumber(other) && Number(one) === Number(other));
  const byPath = values => Object.fromEntries(facts.paths.map((path, i) => [path, values[i]]));
  const idOf = path => "f-" + path.replace(".", "-");
  const pathOf = id => id.slice(2).replace("-", ".");
  const press = id => document.getElementById(id)?.click();
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

  function style(name, text) {
    let element = document.getElementById("atelier-" + name);
    if (!element) {
      element = document.createElement("style");
      element.id = "atelier-" + name;
      document.head.append(element);
    }
    // Even the same text anew would have the browser look at every element of the page again.
    if (element.textContent !== text) element.textContent = text;
  }

  /* ---- what has changed ---- */

  function stored() {
    try { return JSON.parse(localStorage.getItem(DRAFT)); } catch { return null; }
  }

  function store(draft) {
    try { localStorage.setItem(DRAFT, JSON.stringify(draft)); } catch { /* private browsing: nothing is kept */ }
  }

  function opened(...values) {
    const draft = stored();
    const now = byPath(values);
    if (draft) facts.preset = draft.preset;
    // A draft of an older version lacks the settings that are new.
    base = {...now, ...draft?.base};
    last = {};
    show(now, false);
    document.body.dataset.ready = "1";
    addressed();
  }

  function loaded(values) {
    base = byPath(values);
    show(base, true);
  }

  function edited(...values) {
    if (base) show(byPath(values), true);
  }

  /* The program has changed a setting by itself. */
  function changed() { if (base) press("edited"); }

  function show(now, keep) {
    const different = facts.paths.filter(path => !equal(path, now[path], base[path]));
    const touched = facts.paths.filter(path => !same(now[path], last[path]) || !(path in last));
    last = now;
    typing = false;
    if (keep) store({preset: facts.preset, base, values: now});
    style("changed", different.length ? different.map(path =>
      `#${idOf(path)} [data-testid="block-info"]::before,#${idOf(path)} .label-text::before`).join() +
      '{content:"";display:inline-block;width:6px;height:6px;border-radius:3px;margin:0 7px 2px 0;vertical-align:middle;background:var(--accent)}' : "");
    mark(different);
    applyCapabilities(now);
    mended(touched);
    follow(touched);
  }

  function follow(touched) {
    for (const [id, paths] of Object.entries(facts.watchers))
      if (paths.some(path => touched.includes(path))) press(id);
  }

  /* A data set that is being read for the first time is asked for again until it is whole. */
  setInterval(() => document.querySelector(".being-read") && follow(["dataset.folder"]), READING_MS);

  function mark(different) {
    const element = document.querySelector("#changes .count");
    if (!element) return;
    const words = facts.words[different.length === 1 ? "changes_one" : "changes_many"];
    element.textContent = different.length ? fill(words, {count: different.length}) : "";
    element.title = different.map(path => facts.titles[path]).join(", ");
  }

  /* A fault that was told is told no longer once its setting has been changed: Start looks again. */
  function mended(touched) {
    const lines = [...document.querySelectorAll("#notice .error li:has([data-go])")];
    const left = lines.filter(line => !touched.includes(line.querySelector("[data-go]").dataset.go));
    if (left.length === lines.length) return;
    const notice = lines[0].closest(".notice");
    if (!left.length) return notice.remove();
    lines.filter(line => !left.includes(line)).forEach(line => line.remove());
    notice.querySelector("strong").textContent = fill(facts.words[left.length === 1 ? "faults_one" : "faults_many"], {count: left.length});
  }

  function applyCapabilities(now) {
    const can = [...(facts.capabilities[now["model.family"]] ?? []), ...(facts.capabilities[now["adapter.type"]] ?? [])];
    if (document.body.dataset.can !== can.join(" ")) document.body.dataset.can = can.join(" ");
  }

  function soon(event) {
    if (!event.target.closest?.(".field")) return;
    clearTimeout(timer);
    typing = true;
    timer = setTimeout(() => press("edited"), event.type === "focusout" ? 30 : DELAY_MS);
  }

  /* ---- what the program says ---- */

  function obey(said, ...values) {
    const order = said ? JSON.parse(said) : {};
    if (order.preset !== undefined) facts.preset = order.preset;
    if (order.do === "loaded" || order.do === "saved") loaded(values);
    if (order.go) go(order.go);
    if (order.do === "saved") closing("saving");
    if (order.do === "loaded") closing("pasting");
    if (order.row) opening(order.row, "#put-back");
    if (order.do === "put_back") leaveEntry();
    if (order.do === "download") download(order.name, order.text);
    if (order.do === "started") {
      try { sessionStorage.setItem("atelier.run", order.run); } catch { /* only a convenience */ }
      window.dispatchEvent(new CustomEvent("atelier:started", {detail: {run: order.run}}));
      window.scrollTo({top: 0});
    }
  }

  /* The settings of a run into the form, and there to `path`; of the data set to `picture`. */
  function openRun(key, path, picture) {
    wanted = JSON.stringify({run: key, path});
    window.atelier.picture = picture ?? "";
    window.dispatchEvent(new CustomEvent("atelier:picture"));
    press("open-run");
  }

  /* To a run on the Run tab, whether or not that was open before. */
  function showRun(key) {
    try { sessionStorage.setItem("atelier.run", key); } catch { /* only a convenience */ }
    openTab("run");
    window.dispatchEvent(new CustomEvent("atelier:started", {detail: {run: key}}));
    window.scrollTo({top: 0});
  }

  /* What fails inside of the program is told by its answers, whoever has asked. */
  const plainFetch = window.fetch;
  window.fetch = async (...given) => {
    const answer = await plainFetch.apply(window, given);
    if (answer.status === 500) answer.clone().json().then(told => {
      if (told.detail?.reason) window.dispatchEvent(new CustomEvent("atelier:mishap", {detail: told.detail}));
    }, () => {});
    return answer;
  };

  function download(name, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], {type: "application/json"}));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  /* A row under the bar that is only there while it is needed. */
  function opening(row, focused) {
    // What is being changed in the queue stays so, whatever else is opened.
    for (const other of ["saving", "pasting"]) document.body.classList.toggle(other, other === row);
    document.body.classList.add(row);
    document.querySelector(focused)?.focus();
  }

  function closing(row) { document.body.classList.remove(row); }

  /* An entry of the queue comes into the form; what was there comes back when that is done. */
  function editEntry(id) {
    if (!document.body.classList.contains("editing")) before = {preset: facts.preset, base, values: last};
    entry = id;
    press("begin-editing");
    window.scrollTo({top: 0});
  }

  function leaveEntry() {
    closing("editing");
    store(before);
    press("bring-back");
  }

  /* ---- moving about ---- */

  function openTab(name) {
    document.querySelector(`[role="tab"][data-tab-id="${name}"]`)?.click();
  }

  async function go(path) {
    openTab(facts.tabs[path]);
    const name = "advanced-" + path.split(".")[0];
    await appears(name, idOf(path));
    // What stands in a closed part is made only when that is opened.
    const there = document.getElementById(idOf(path));
    const part = there ? there.closest(".advanced-part") : document.getElementById(name);
    const content = part?.querySelector('[data-testid="accordion-content"]');
    if (content && getComputedStyle(content).display === "none") part.querySelector("button.label-wrap").click();
    const field = await appears(idOf(path));
    if (!field) return;
    requestAnimationFrame(() => {
      field.scrollIntoView({block: "center"});
      field.querySelector("input, textarea")?.focus({preventScroll: true});
    });
  }

  /* The doctor is asked in its tool, which may not have been shown yet: what is wanted is kept until it is there. */
  function doctor({network = false} = {}) {
    facts.doctor = {network};
    openTab("tools");
    window.dispatchEvent(new CustomEvent("atelier:doctor"));
  }

  async function appears(...ids) {
    for (let tries = 0; tries < 120; tries++) {
      const element = ids.map(id => document.getElementById(id)).find(Boolean);
      if (element) return element;
      await new Promise(requestAnimationFrame);
    }
    return null;
  }

  function arrows(event) {
    const tab = event.target.closest?.('[role="tab"]');
    const move = {ArrowLeft: -1, ArrowRight: 1, Home: -99, End: 99}[event.key];
    if (!tab || !move) return;
    const tabs = [...tab.parentElement.querySelectorAll('[role="tab"]')];
    const at = tabs.indexOf(tab) + move;
    const next = tabs[Math.abs(move) === 1 ? (at + tabs.length) % tabs.length : move < 0 ? 0 : tabs.length - 1];
    event.preventDefault();
    next.focus();
    next.click();
  }

  function search(input) {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const part = input.closest(".advanced-part");
    const here = [...part.querySelectorAll(".field")].map(field => pathOf(field.id));
    const hidden = here.filter(path => !words.every(word => facts.find[path].includes(word)));
    style("search-" + input.dataset.section, hidden.map(path => "#" + idOf(path)).join() + (hidden.length ? "{display:none!important}" : ""));
    part.querySelector(".none").hidden = hidden.length < here.length;
  }

  /** Puts a value into the field of a setting, as if it had been typed. */
  function type(path, value) {
    const input = document.getElementById(idOf(path))?.querySelector("input, textarea");
    if (!input) return;
    input.value = value;
    input.dispatchEvent(new Event("input", {bubbles: true}));
    go(path);
  }

  function clicked(event) {
    const jump = event.target.closest?.("[data-go]");
    if (jump) go(jump.dataset.go);
    const other = event.target.closest?.("[data-press]");
    if (other) press(other.dataset.press);
    const tab = event.target.closest?.("[data-tab]");
    if (tab) openTab(tab.dataset.tab);
    const ill = event.target.closest?.("[data-doctor]");
    if (ill) doctor({network: ill.dataset.doctor === "network"});
    if (event.target.closest?.("[data-close-notice]")) event.target.closest(".notice")?.remove();
  }

  function addressed() {
    if (location.hash !== "#doctor") return;
    // Taken out again, so that the same link works twice.
    history.replaceState(null, "", location.pathname + location.search);
    doctor();
  }

  /* Gradio puts a field's own button into its label, which would then name that button, and press it, not the field. */
  function named() {
    for (const button of document.querySelectorAll(".field .custom-button")) {
      const label = button.closest("label");
      const input = label?.querySelector("input, textarea");
      if (input && !input.id) label.htmlFor = input.id = `${label.closest(".field").id}-input`;
    }
  }

  new MutationObserver(named).observe(document.body, {childList: true, subtree: true});
  window.addEventListener("hashchange", addressed);
  for (const kind of ["input", "change", "focusout"]) document.addEventListener(kind, soon, true);
  document.addEventListener("keydown", arrows);
  document.addEventListener("click", clicked);
  document.addEventListener("input", event => event.target.matches?.("input.find") && search(event.target));

  return {
    opened, edited, changed, doctor, obey, opening, closing, openRun, showRun, editEntry, leaveEntry,
    entryToEdit: () => entry,
    wanted: () => [wanted],
    /* What the fields of a watcher hold; of all fields only where nothing has just been typed. */
    known(id) {
      const paths = id ? facts.watchers[id] : typing ? [] : facts.paths;
      return JSON.stringify(Object.fromEntries(paths.map(path => [path, last[path]])));
    },
    draft: () => [JSON.stringify(stored())],
    before: () => [JSON.stringify(before)],
    type,
    browse: (path, kind) => window.dispatchEvent(new CustomEvent("atelier:browse", {detail: {id: idOf(path), kind}})),
  };
})();
