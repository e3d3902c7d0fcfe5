/* What waits for its turn: in order, with all that can be done to it. Without an entry there is nothing to see. */
const part = (name) => import(new URL(`islands/${name}.js`, document.baseURI));

part("page").then((page) => {
  const BUSY_MS = 1500;
  const CALM_MS = 4000;
  const { make, write } = page;
  const say = page.speaker(props.words);
  const box = element.querySelector(".queue");
  const find = (name) => box.querySelector(name);
  const rows = new Map();
  let shown = { entries: [], held: false };
  page.translate(element, say);

  /* ---- one entry ---- */

  function row(entry) {
    const actions = make("span", { class: "actions" });
    const name = make("button", { type: "button", class: "entry-name", on: { click: () => openRun(entry.id) } });
    const about = make("small");
    const item = make("li", { "data-id": entry.id }, make("i", { class: "dot" }), name, about, actions);
    const buttons = {};
    for (const [what, sign] of [["again", "↻"], ["up", "↑"], ["down", "↓"], ["edit", "✎"], ["duplicate", ""], ["remove", "×"]]) {
      const press = (event) => act(what, entry.id, event.currentTarget);
      buttons[what] = make("button", { type: "button", class: what, text: sign, on: { click: press } });
      actions.append(buttons[what]);
    }
    item.addEventListener("dragstart", (event) => drag(event, entry.id));
    item.addEventListener("dragend", () => item.classList.remove("dragged"));
    item.addEventListener("dragover", (event) => event.dataTransfer.types.includes("atelier/entry") && event.preventDefault());
    item.addEventListener("drop", (event) => drop(event, entry.id));
    return { item, name, about, buttons };
  }

  function update(entry, place) {
    if (!rows.has(entry.id)) rows.set(entry.id, row(entry));
    const { item, name, about, buttons } = rows.get(entry.id);
    const list = find("ol");
    if (list.children[place] !== item) list.insertBefore(item, list.children[place] ?? null);
    item.className = entry.state;
    const waiting = waits();
    item.draggable = waiting.includes(entry);
    write(name, entry.name);
    name.title = entry.name;
    name.disabled = !entry.run;
    write(about, `${told(entry)} · ${entry.facts}`);
    const ended = ["failed", "stopped"].includes(entry.state);
    buttons.again.hidden = !ended;
    for (const what of ["edit", "remove"]) buttons[what].hidden = entry.state === "running";
    for (const what of ["up", "down"]) buttons[what].hidden = !waiting.includes(entry);
    buttons.up.disabled = entry === waiting[0];
    buttons.down.disabled = entry === waiting.at(-1);
    for (const [what, button] of Object.entries(buttons)) label(button, say(what, { name: entry.name }));
  }

  function label(button, text) {
    if (button.dataset.sure) return;
    button.title = text;
    button.setAttribute("aria-label", text);
  }

  function told(entry) {
    if (entry.state === "failed") return `${say("failed")}: ${entry.reason} ${entry.advice}`.trim();
    if (entry.state === "waiting" && entry.step) return say("goes_on", { step: page.count(entry.step) });
    return say(entry.state);
  }

  function openRun(id) {
    const entry = shown.entries.find((one) => one.id === id);
    if (entry?.run) window.dispatchEvent(new CustomEvent("atelier:started", { detail: { run: entry.run } }));
  }

  /* ---- what can be done ---- */

  /** Only what waits has a place that can be changed. */
  const waits = () => shown.entries.filter((one) => one.state === "waiting");
  const placeOf = (id) => waits().findIndex((one) => one.id === id) + 1;

  function act(what, id, button) {
    if (what === "edit") return window.atelier.editEntry(id);
    if (what === "up" || what === "down") return ask("move", { id, number: placeOf(id) + (what === "up" ? -1 : 1) }, button);
    if (what === "remove" && !button.dataset.sure) return makeSure(button);
    return ask(what, { id }, button);
  }

  /** What is taken out cannot be brought back, so it is asked for twice, until something else is touched. */
  function makeSure(button) {
    button.dataset.sure = "1";
    button.textContent = say("sure");
    button.setAttribute("aria-label", `${say("sure")} ${button.title}`);
    const asked = new AbortController();
    const undo = () => {
      delete button.dataset.sure;
      button.textContent = "×";
    };
    const calm = (event) => {
      const pressed = event.type === "pointerdown";
      if (pressed && event.composedPath().includes(button)) return;
      asked.abort();
      if (!pressed) return undo();
      // Only once it is let go, and has clicked: the row must not move away under the pointer.
      const released = new AbortController();
      const after = () => {
        released.abort();
        setTimeout(undo, 50);
      };
      for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, after, released);
    };
    document.addEventListener("pointerdown", calm, asked);
    button.addEventListener("blur", calm, asked);
  }

  async function ask(what, asked, button) {
    if (button) button.disabled = true;
    const problem = await server[what](asked).catch(() => say("lost"));
    write(find(".problem"), problem || "");
    find(".problem").hidden = !problem;
    if (button) button.disabled = false;
    look();
  }

  function drag(event, id) {
    event.dataTransfer.setData("atelier/entry", id);
    event.dataTransfer.effectAllowed = "move";
    rows.get(id).item.classList.add("dragged");
  }

  function drop(event, onto) {
    const id = event.dataTransfer.getData("atelier/entry");
    if (!id || id === onto) return;
    event.preventDefault();
    // On what runs, or has ended, is before, or behind, all that wait.
    const before = shown.entries.find((one) => one.id === onto)?.state === "running";
    ask("move", { id, number: placeOf(onto) || (before ? 1 : waits().length) });
  }

  /* ---- all of it ---- */

  function about() {
    if (shown.held) return say("held");
    if (shown.others.length) return say("waits_for", { names: shown.others.join(", ") });
    const count = shown.entries.filter((one) => ["waiting", "running"].includes(one.state)).length;
    return say(["count_none", "count_one"][count] ?? "count", { count });
  }

  async function turn() {
    shown = await page.ask("queue");
    box.hidden = !shown.entries.length && !shown.unreadable.length;
    for (const [id, { item }] of rows) {
      if (shown.entries.some((one) => one.id === id)) continue;
      item.remove();
      rows.delete(id);
    }
    shown.entries.forEach(update);
    write(find(".about"), about());
    write(find(".hold"), say(shown.held ? "go" : "hold"));
    find(".hold").hidden = !shown.held && !shown.entries.some((one) => one.state === "waiting");
    find(".unreadable").replaceChildren(...shown.unreadable.map((name) => make("li", { text: say("unreadable", { name }) })));
    return shown.entries.length ? BUSY_MS : CALM_MS;
  }

  find(".hold").addEventListener("click", (event) => ask(shown.held ? "go" : "hold", {}, event.currentTarget));
  window.addEventListener("atelier:queued", () => look());
  // Of the tab, for the island itself cannot be seen while it is empty. That the page is lost, the runs say below it.
  const look = page.follow(element.closest('[role="tabpanel"]') ?? document.body, turn, () => {});
});
