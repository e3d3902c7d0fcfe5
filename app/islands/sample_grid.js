/* The samples of one run, or of two, as epochs × prompts; new epochs appear while a training goes on. */
const part = (name) => import(new URL(`islands/${name}.js`, document.baseURI));

Promise.all(["page", "lightbox", "before_after", "sample_table"].map(part)).then(([page, { Lightbox }, { BeforeAfter }, { SampleTable }]) => {
  const say = page.speaker(props.words);
  const root = element.querySelector(".compare");
  const find = (name) => root.querySelector(name);
  const failing = { list: false, table: false };
  const kept = JSON.parse(sessionStorage.getItem("atelier.compare") ?? "null") ?? {};
  const chosen = [kept.first ?? sessionStorage.getItem("atelier.run"), kept.second ?? null];
  const all = new page.Runs();
  let tables = [null, null];
  let runs = [];
  let refining = 0;
  page.translate(element, say);

  const lightbox = new Lightbox(root, say);
  const pair = new BeforeAfter(root, say);
  const grid = new SampleTable(find("table"), say, {
    open: (cellAt, rows, columns, at) => lightbox.open(cellAt, rows, columns, at),
    pinned: showPinned,
  });

  function choose(side, key) {
    if (chosen[side] === key) return;
    chosen[side] = key;
    tables = tables.map((table, index) => (index === side ? null : table));
    sessionStorage.setItem("atelier.compare", JSON.stringify({ first: chosen[0], second: chosen[1] }));
    grid.clear();
    showPinned([]);
    askTables();
  }

  async function listTurn() {
    runs = await all.now();
    const keys = new Set(runs.map((run) => run.key));
    if (runs.length && !keys.has(chosen[0])) choose(0, runs[0].key);
    if (chosen[1] && !keys.has(chosen[1])) choose(1, null);
    offer(find(".first"), runs, chosen[0]);
    offer(find(".second"), [{ key: "", name: say("second_none") }, ...runs.filter((run) => run.key !== chosen[0])], chosen[1] ?? "");
    root.classList.toggle("no-runs", !runs.length);
    if (!runs.length) draw();
    return 5000;
  }

  function offer(select, entries, key) {
    if (document.activeElement !== select) {
      const options = entries.map((run) => [run.key, run.created ? `${run.name} · ${say(`state_${run.state}`)} · ${page.moment(run.created)}` : run.name]);
      const told = JSON.stringify(options);
      if (select.dataset.told !== told) {
        select.replaceChildren(...options.map(([value, text]) => page.make("option", { value, text })));
        select.dataset.told = told;
      }
    }
    if (select.value !== key) select.value = key;
  }

  async function tablesTurn() {
    if (!chosen[0]) return 700;
    const asked = [...chosen];
    const answers = await Promise.all(asked.map((key, side) => key && page.ask(`samples/${key}?known=${tables[side]?.version ?? ""}`).catch(gone)));
    if (asked.some((key, side) => key !== chosen[side])) return 0;
    const changed = answers.some((answer) => answer?.table);
    tables = answers.map((answer, side) => (answer ? { ...(answer.table ?? tables[side]), key: asked[side], name: answer.run.name } : null));
    if (changed || !answers[0]) draw();
    return answers.some((answer) => page.underWay(answer?.run.state)) ? 2000 : 5000;
  }

  function gone(error) {
    if (!error.message.startsWith("404")) throw error;
    return null;
  }

  function draw() {
    const shown = tables.filter((table) => table?.rows);
    const nothing = !shown.some((table) => table.rows.length);
    root.classList.toggle("nothing", nothing);
    page.write(find(".empty strong"), say(runs.length ? "no_samples" : "empty"));
    page.write(find(".empty span"), say("empty_help"));
    root.style.setProperty("--sides", String(shown.length));
    if (!nothing) grid.show(shown, zoomed());
  }

  const zoomed = () => Number(find(".zoom").value);

  function showPinned(cells) {
    find(".chosen").hidden = !cells.length;
    find(".open").hidden = cells.length < 2;
    page.write(find(".chosen span"), cells.length === 1 ? say("chosen_one") : cells.map((cell) => cell.title).join("  ↔  "));
    if (cells.length === 2) pair.open(...cells);
  }

  function lost(which) {
    return (failed) => {
      failing[which] = failed;
      find(".lost").hidden = !failing.list && !failing.table;
    };
  }

  find(".first").addEventListener("change", (event) => {
    choose(0, event.target.value);
    if (chosen[1] === chosen[0]) choose(1, null);
    askList();
  });
  find(".second").addEventListener("change", (event) => choose(1, event.target.value || null));
  find(".zoom").addEventListener("input", () => {
    root.style.setProperty("--zoom", `${zoomed()}px`);
    clearTimeout(refining);
    refining = setTimeout(() => grid.resize(zoomed()), 200);
  });
  find(".open").addEventListener("click", () => showPinned(grid.pinned()));
  find(".forget").addEventListener("click", () => grid.forget());
  window.addEventListener("atelier:started", (event) => choose(0, event.detail.run));
  if (window.innerWidth < 760) find(".zoom").value = "104";
  root.style.setProperty("--zoom", `${zoomed()}px`);
  const askList = page.follow(element, listTurn, lost("list"));
  const askTables = page.follow(element, tablesTurn, lost("table"));
});
