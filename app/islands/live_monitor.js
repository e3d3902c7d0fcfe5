/* All runs and the chosen one, live. The page asks again and again, so a reload or a new server changes nothing. */
const part = (name) => import(new URL(`islands/${name}.js`, document.baseURI));

Promise.all([part("page"), part("run_list"), part("run_view")]).then(([page, { RunList }, { RunView }]) => {
  const BUSY_MS = 700;
  const CALM_MS = 4000;
  const say = page.speaker(props.words);
  const monitor = element.querySelector(".monitor");
  const known = new page.Runs();
  const failing = { list: false, run: false };
  let chosen = remembered();
  let offset = 0;
  page.translate(element, say);

  const list = new RunList(monitor.querySelector(".runs"), say, choose);
  const view = new RunView(monitor.querySelector(".run"), say, order);

  function remembered() {
    return sessionStorage.getItem("atelier.run");
  }

  function choose(key) {
    if (key === chosen) return;
    chosen = key;
    offset = 0;
    sessionStorage.setItem("atelier.run", key);
    list.mark(key);
    view.clear();
    const run = known.all.find((each) => each.key === key);
    if (run) view.expect(run);
    askRun();
  }

  async function order(name) {
    const problem = await server[name]({ run: chosen }).catch(() => say("lost"));
    if (problem) view.complain(problem);
    askRun();
  }

  async function listTurn() {
    const runs = await known.now();
    const current = runs.find((run) => run.key === chosen);
    const active = runs.find((run) => page.underWay(run.state));
    monitor.classList.toggle("nothing", !runs.length);
    monitor.querySelector(".empty").hidden = runs.length > 0;
    // First, so that its run is on its way while hundreds of others are listed.
    if (!current && runs.length) choose((active ?? runs[0]).key);
    const fresh = list.show(runs);
    if (current && fresh && !page.underWay(current.state)) choose(fresh.key);
    list.mark(chosen);
    return active ? 2500 : CALM_MS;
  }

  async function runTurn() {
    if (!chosen) return BUSY_MS;
    const key = chosen;
    const news = await page.ask(`live/${key}?since=${offset}`).catch(forgotten);
    if (!news || key !== chosen) return 0;
    if (news.reset) view.clear();
    offset = news.next;
    view.show(news);
    list.update(news.run);
    if (news.more) return 0;
    return view.active ? BUSY_MS : CALM_MS;
  }

  /** A run whose folder is gone is no lost connection: the list chooses another one. */
  function forgotten(error) {
    if (!error.message.startsWith("404")) throw error;
    chosen = null;
    view.clear();
    askList();
    return null;
  }

  function lost(which) {
    return (failed) => {
      failing[which] = failed;
      monitor.querySelector(".lost").hidden = !failing.list && !failing.run;
    };
  }

  window.addEventListener("atelier:started", (event) => {
    choose(event.detail.run);
    askList();
  });
  const askList = page.follow(element, listTurn, lost("list"));
  const askRun = page.follow(element, runTurn, lost("run"));
});
