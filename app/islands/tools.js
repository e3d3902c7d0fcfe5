/* The tools for LoRA files. A tool goes on when the page is loaded again, and shows its progress or its result there. */
const part = (name) => import(new URL(`islands/${name}.js`, document.baseURI));

Promise.all([part("page"), part("tool_form"), part("tool_report")]).then(([page, { ToolForm }, { Report }]) => {
  const BUSY_MS = 350;
  const CALM_MS = 2500;
  const RUNS_MS = 8000;
  const PROPOSE_MS = 250;
  const MEMORY = "atelier.tools";
  const say = page.speaker(props.words);
  const tools = new Map();
  let chosen = "inspect";
  let runFiles = [];
  let runFilesAt = -RUNS_MS;
  let timer = 0;
  page.translate(element, say);

  for (const section of element.querySelectorAll(".tool")) {
    const tool = section.dataset.tool;
    const form = new ToolForm(section, say, () => runFiles, edited);
    const report = new Report(say, () => server.cancel({ tool }).then(follow), inspect, () => server.picture({}));
    const run = page.make("button", { type: "submit", class: "run", text: say(tool === "doctor" ? "doctor_begin" : tool) });
    form.form.append(page.make("div", { class: "go whole" }, run));
    form.form.addEventListener("submit", (event) => {
      event.preventDefault();
      begin(tool);
    });
    section.append(report.root);
    tools.set(tool, { form, report, run, button: element.querySelector(`[role="tab"][data-tool="${tool}"]`) });
  }

  /* ---- which tool ---- */

  function choose(tool) {
    chosen = tool;
    for (const [name, { form, button }] of tools) {
      form.section.hidden = name !== tool;
      button.setAttribute("aria-selected", String(name === tool));
      button.tabIndex = name === tool ? 0 : -1;
    }
    remember();
    follow();
  }

  /** Shows what is in a file that another tool has written. */
  function inspect(path) {
    tools.get("inspect").form.fill({ file: path });
    choose("inspect");
    begin("inspect");
    element.scrollIntoView({ block: "start" });
  }

  /** The doctor was called from elsewhere on the page: it looks at once, unless it does so already. */
  async function called() {
    const wanted = window.ATELIER.doctor;
    if (!wanted) return;
    window.ATELIER.doctor = null;
    if (wanted.network) tools.get("doctor").form.fill({ network: "on" });
    choose("doctor");
    element.scrollIntoView({ block: "start" });
    const { state } = await server.state({ tool: "doctor", known: "" });
    if (!["running", "cancelling"].includes(state)) begin("doctor");
  }

  /* ---- what is asked ---- */

  function edited(form) {
    remember();
    tools.get(form.tool).report.dismissRefusal();
    clearTimeout(timer);
    timer = setTimeout(() => propose(form), PROPOSE_MS);
  }

  async function propose(form) {
    if (!form.out) return;
    form.propose(await server.propose({ tool: form.tool, values: form.values() }));
    remember();
  }

  async function begin(tool) {
    const { form, report, run } = tools.get(tool);
    if (run.disabled) return;
    run.disabled = true;
    clearTimeout(timer);
    if (form.out && !form.out.value) await propose(form);
    const answer = await server.begin({ tool, values: form.values() }).catch(() => ({ problem: say("lost"), field: "" }));
    run.disabled = false;
    form.complain(answer);
    if (answer.problem) report.dismiss();
    else report.begun();
    follow();
  }

  function remember() {
    const values = Object.fromEntries([...tools].map(([tool, { form }]) => [tool, { values: form.values(), own: form.own }]));
    try { sessionStorage.setItem(MEMORY, JSON.stringify({ chosen, values })); } catch { /* only a convenience */ }
  }

  function recall() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(MEMORY)) ?? {};
      for (const [tool, { values, own }] of Object.entries(kept.values ?? {})) {
        tools.get(tool).form.own = own;
        tools.get(tool).form.fill(values);
      }
      return tools.has(kept.chosen) ? kept.chosen : "inspect";
    } catch {
      return "inspect";
    }
  }

  /* ---- what becomes of it ---- */

  async function findRunFiles() {
    const found = await server.run_files({});
    if (JSON.stringify(found) === JSON.stringify(runFiles)) return;
    runFiles = found;
    for (const { form } of tools.values()) form.offerRuns();
  }

  async function turn() {
    const tool = chosen;
    const { form, report, run } = tools.get(tool);
    if (performance.now() - runFilesAt > RUNS_MS) {
      runFilesAt = performance.now();
      await findRunFiles();
    }
    const news = await server.state({ tool, known: report.version });
    const active = ["running", "cancelling"].includes(news.state);
    run.hidden = active;
    if (report.show(news) && news.state === "done") propose(form);
    return active ? BUSY_MS : CALM_MS;
  }

  for (const { form, button } of tools.values()) button.addEventListener("click", () => choose(form.tool));
  const follow = page.follow(element.querySelector(".bench"), turn, (lost) => {
    element.querySelector(".lost").hidden = !lost;
  });
  window.addEventListener("atelier:doctor", called);
  // A click before this would be lost, and the tool chosen below be shown instead.
  element.querySelector(".bench").inert = false;
  choose(recall());
  called();
});
