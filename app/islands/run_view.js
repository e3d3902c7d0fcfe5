/** One run: what it does now, its curve, its newest samples, its files, its log. */

import { Lightbox } from "./lightbox.js";
import { LossCurve } from "./loss_curve.js";
import { Failure } from "./failure.js";
import { copied, count, figure, make, megabytes, moment, sampleAddress, span, underWay, write } from "./page.js";

const EPOCHS_SHOWN = 3;
const THUMBNAIL_PX = 136;
const LOG_MS = 2000;
const PATIENCE_MS = 20000;
const NOTE_MS = 5000;
const CLICKED_MS = 3000;
const BESIDE = ["save", "sample"];
const ENDING = { stop: "stopping", pause: "pausing", stop_after_epoch: "stopping_after_epoch" };

export class RunView {
  /** `order(name)` asks for "stop", "pause", "resume", "resume_slower", "save", "sample" or "stop_after_epoch". */
  constructor(root, say, order) {
    Object.assign(this, { root, say, order });
    this.find = (name) => root.querySelector(name);
    this.curve = new LossCurve(this.find(".curves"), (reading) => this.read(reading));
    this.failure = new Failure(this.find(".failure"), say, (name) => this.ask(name));
    this.lightbox = new Lightbox(root.parentElement, say);
    this.connect();
    this.clear();
  }

  connect() {
    const on = (name, event, run) => this.find(name).addEventListener(event, run);
    for (const name of ["stop", "resume", "pause", "save", "sample", "stop_after_epoch"]) {
      on(`.${name.replaceAll("_", "-")}`, "click", () => this.ask(name));
    }
    on(".smoothing", "input", (event) => this.curve.setSmoothing(Number(event.target.value)));
    on(".logarithmic", "change", (event) => this.curve.setLogarithmic(event.target.checked));
    on(".whole", "click", () => this.curve.zoom(null));
    on(".log-card", "toggle", () => this.showLog());
    on(".copy", "click", () => this.copy());
  }

  clear() {
    Object.assign(this, { run: null, active: false, clicked: {}, heard: {}, resumed: null, problem: "", logAt: 0 });
    this.failure.clear();
    this.note("");
    this.samples = new Map();
    this.files = new Map();
    this.warnings = new Map();
    this.curve.clear();
    this.root.hidden = true;
    this.root.classList.remove("expected");
    // A run without samples or files of its own must not show those of the run before.
    this.find(".samples-card").hidden = true;
    this.find(".files").replaceChildren();
    this.find(".grid-picture").hidden = true;
    this.find(".log-card").open = false;
    this.find(".log-card pre").textContent = "";
  }

  /** Shows what the list says of a run, until its own answer comes. */
  expect(run) {
    this.run = run;
    this.root.classList.add("expected");
    this.tell(run);
  }

  tell(run) {
    this.active = underWay(run.state) || this.waitsForResume();
    this.root.hidden = false;
    this.root.dataset.key = run.key;
    this.root.dataset.state = run.state;
    this.head(run);
    this.now(run);
  }

  /** Takes in an answer of /live. */
  show(news) {
    const { run } = news;
    this.run = run;
    this.hear(news.asked);
    this.root.classList.remove("expected");
    this.tell(run);
    if (news.back_to !== null) this.curve.backTo(news.back_to);
    if (news.rows.length || news.epochs.length || news.validated.length) this.curve.add(news.rows, news.epochs, news.validated);
    this.warn(news.warnings);
    this.addSamples(news.samples);
    this.offerGrid(news.grid);
    this.addFiles(news.saved);
    this.showLog();
  }

  head(run) {
    const name = this.find("h2");
    write(name, run.name);
    name.title = run.name;
    const going = underWay(run.state);
    const starting = run.state === "waiting" || this.waitsForResume();
    const ending = going && (starting ? ["stop"] : Object.keys(ENDING)).find((what) => this.isPending(what));
    const state = ending === "stop" && (starting || run.stage) ? "stopping_soon" : ENDING[ending] ?? `state_${starting ? "waiting" : run.state}`;
    write(this.find(".state span"), this.say(run.state === "paused" && ending !== "stop" ? this.paused() : state));
    this.find(".state").className = `state ${starting ? "waiting" : run.state}`;
    this.find(".stop").hidden = !going;
    this.find(".stop").disabled = ending === "stop";
    this.find(".pause").hidden = run.state !== "running";
    this.find(".pause").disabled = Boolean(ending);
    this.find(".asks").hidden = !["running", "paused"].includes(run.state);
    this.find(".stop-after-epoch").disabled = ["stop", "stop_after_epoch"].some((what) => this.isPending(what));
    for (const what of BESIDE) this.find(`.${what}`).disabled = this.isPending(what) || ending === "stop";
    this.find(".sample").disabled ||= !run.draws;
    this.find(".sample").title = run.draws ? "" : this.say("no_prompts");
    this.find(".resume").hidden = !["paused", "stopped", "interrupted", "failed"].includes(run.state) || this.waitsForResume();
    this.find(".resume").disabled = Boolean(this.clicked.resume) || ending === "stop";
    this.failure.show(run, this.waitsForResume(), this.problem);
  }

  now(run) {
    const { say } = this;
    const of = (done, all) => (all ? `${count(done)} / ${count(all)}` : "–");
    write(this.find(".epoch"), of(run.epoch, run.epochs));
    write(this.find(".step"), of(run.step, run.steps));
    write(this.find(".loss-now"), figure(run.loss));
    const running = underWay(run.state);
    const [word, time] = running ? ["time_left", span(say, this.leftS(run))] : run.state === "finished" ? ["time_taken", span(say, run.duration_s)] : ["ended", run.seen_at ? moment(run.seen_at) : "–"];
    write(this.find(".time-word"), say(word));
    write(this.find(".time"), time);
    const share = run.steps ? run.step / run.steps : 0;
    const progress = this.find(".progress");
    progress.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    progress.firstElementChild.style.width = `${100 * share}%`;
    progress.style.setProperty("--epochs", String(run.epochs > 1 && run.epochs <= 24 ? run.epochs : 1));
    this.stage(running ? run.stage : null);
  }

  /** Seconds to the end, or to that of the epoch after which it is to stop. */
  leftS(run) {
    if (run.left_s === null || !this.isPending("stop_after_epoch")) return run.left_s;
    const last = Math.min(run.steps, Math.ceil(run.steps / run.epochs) * run.epoch);
    return (run.left_s * (last - run.step)) / Math.max(1, run.steps - run.step);
  }

  stage(stage) {
    const bar = this.find(".stage progress");
    const counted = stage && stage.total > 0;
    write(this.find(".stage span"), !stage ? "" : counted ? `${stage.text} ${count(stage.done)} / ${count(stage.total)}` : stage.text);
    bar.hidden = !counted;
    if (counted) Object.assign(bar, { max: stage.total, value: stage.done });
  }

  read(reading) {
    const line = this.find(".reading");
    this.find(".whole").disabled = !this.curve?.window;
    if (!reading) {
      write(line, this.say("no_steps"));
      return;
    }
    const { say } = this;
    const parts = [["step", count(reading.step)], ["loss", figure(reading.loss)], ["smoothed", figure(reading.smooth)], ["rate", figure(reading.rate)]];
    if (reading.second !== null) parts.push(["second_rate", figure(reading.second)]);
    line.replaceChildren(...parts.map(([word, value]) => make("span", { class: word }, `${say(word)} `, make("b", { text: value }))));
  }

  warn(warnings) {
    for (const { text } of warnings) this.warnings.set(text, text);
    const panel = this.find(".warning");
    panel.hidden = !this.warnings.size;
    if (warnings.length) panel.firstElementChild.replaceChildren(...[...this.warnings.values()].map((text) => make("li", { text })));
  }

  addSamples(samples) {
    if (!samples.length) return;
    for (const sample of samples) {
      if (!this.samples.has(sample.epoch)) this.samples.set(sample.epoch, new Map());
      this.samples.get(sample.epoch).set(sample.prompt, sample);
    }
    this.drawSamples();
  }

  offerGrid(file) {
    if (!file) return;
    const link = this.find(".grid-picture");
    link.hidden = false;
    link.href = sampleAddress(this.run.key, { file, version: Math.round(this.run.seen_at) });
  }

  drawSamples() {
    this.epochs = [...this.samples.keys()].sort((a, b) => b - a);
    const shown = this.epochs.slice(0, EPOCHS_SHOWN);
    this.prompts = [...new Set([...this.samples.values()].flatMap((row) => [...row.keys()]))].sort((a, b) => a - b);
    this.find(".samples-card").hidden = !shown.length;
    this.find(".epochs").replaceChildren(...shown.map((epoch, row) => this.sampleRow(epoch, row)));
    this.find(".older").hidden = this.epochs.length <= EPOCHS_SHOWN;
    write(this.find(".older"), this.say("older"));
  }

  sampleRow(epoch, row) {
    const label = this.moment(epoch, [...this.samples.get(epoch).values()][0].step);
    const pictures = this.prompts.map((prompt, column) => this.thumbnail(this.samples.get(epoch).get(prompt), row, column));
    return make("div", { class: "sample-row" }, make("h4", { text: label }), make("div", { class: "thumbs" }, ...pictures));
  }

  /** When a sample was made: after an epoch, or after a step within one. */
  moment(epoch, step) {
    if (!epoch) return this.say("base");
    return Number.isInteger(epoch) ? this.say("epoch_n", { epoch }) : this.say("step_n", { step: count(step) });
  }

  thumbnail(sample, row, column) {
    if (!sample) return null;
    const picture = make("img", {
      src: sampleAddress(this.run.key, sample, THUMBNAIL_PX),
      alt: sample.text,
      loading: "lazy",
      width: sample.width || null,
      height: sample.height || null,
      on: { error: (event) => event.target.closest(".thumb")?.remove() },
    });
    const open = () => this.lightbox.open((r, c) => this.cell(r, c), this.epochs.length, this.prompts.length, [row, column]);
    return make("button", { type: "button", class: "thumb", title: sample.text, on: { click: open } }, picture, make("small", { text: sample.text }));
  }

  cell(row, column) {
    const sample = this.samples.get(this.epochs[row])?.get(this.prompts[column]);
    if (!sample) return null;
    const when = this.moment(sample.epoch, sample.step);
    return { src: sampleAddress(this.run.key, sample), title: `${when} · ${this.say("seed", { seed: sample.seed })}`, text: sample.text };
  }

  addFiles(files) {
    for (const file of files) this.files.set(file.file, file);
    this.find(".no-files").hidden = this.files.size > 0;
    write(this.find(".folder code"), this.run.folder);
    if (!files.length) return;
    const newest = [...this.files.values()].sort((a, b) => b.step - a.step || a.file.length - b.file.length);
    this.find(".files").replaceChildren(...newest.map((file) => this.fileRow(file)));
  }

  fileRow(file) {
    const address = `weights/${this.run.key}/${encodeURIComponent(file.file)}`;
    return make(
      "li",
      {},
      make("span", { class: "file-name", text: file.file, title: file.file }),
      make("small", { text: this.say("step_n", { step: count(file.step) }) }),
      make("small", { text: megabytes(this.say, file.size_bytes) }),
      make("a", { href: address, download: file.file, text: this.say("download"), "aria-label": `${this.say("download")} ${file.file}` }),
    );
  }

  async showLog() {
    const card = this.find(".log-card");
    if (!card.open || !this.run || performance.now() - this.logAt < LOG_MS) return;
    this.logAt = performance.now();
    const key = this.run.key;
    const answer = await fetch(`log/${key}?lines=300`).catch(() => null);
    if (!answer?.ok || key !== this.run?.key) return;
    const page = card.querySelector("pre");
    const atEnd = page.scrollHeight - page.scrollTop - page.clientHeight < 24;
    write(page, (await answer.text()) || this.say("no_log"));
    if (atEnd) page.scrollTop = page.scrollHeight;
  }

  /** Asks for something; that it was asked for can be seen at once, and again on every page until it is done. */
  async ask(name) {
    this.problem = "";
    this.clicked[name] = performance.now();
    if (name.startsWith("resume")) this.heard = {};
    if (name.startsWith("resume")) this.resumed = { at: performance.now(), seen: this.run.seen_at };
    if (BESIDE.includes(name)) this.note(`asked_${name}`);
    this.head(this.run);
    await this.order(name);
  }

  paused() {
    return this.clicked.resume || !this.run.asked.includes("pause") ? "resuming" : "state_paused";
  }

  /** What the trainer says of requests: whether those that it has heard of are still to be carried out. */
  hear(asked) {
    for (const what of BESIDE) {
      // A step, or an answer, may take longer than a click is remembered, and saving be done before the next answer.
      if (this.run.asked.includes(what)) this.heard[what] = true;
      if (asked[what]) this.note(`asked_${what}`);
      else if (asked[what] === false && (this.heard[what] || this.noted === `asked_${what}`)) this.note(`done_${what}`, NOTE_MS);
      if (what in asked) delete this.clicked[what];
    }
    Object.assign(this.heard, asked);
    for (const [what, at] of Object.entries(this.clicked)) if (performance.now() - at > CLICKED_MS) delete this.clicked[what];
    if (this.resumed && underWay(this.run.state)) this.resumed = null;
    if (this.resumed && performance.now() - this.resumed.at > PATIENCE_MS) this.complain(this.say("silent"));
  }

  /** Whether something was asked for, here or on another page, and is still to be done. */
  isPending(what) {
    return what in this.clicked || this.run.asked.includes(what) || Boolean(this.heard[what]);
  }

  note(word, lasting = 0) {
    clearTimeout(this.noteEnd);
    this.noted = word;
    write(this.find(".asks span"), word && this.say(word));
    if (lasting) this.noteEnd = setTimeout(() => this.note(""), lasting);
  }

  complain(problem) {
    Object.assign(this, { problem, clicked: {}, resumed: null });
    this.note("");
    if (this.run) this.head(this.run);
  }

  /** A trainer needs a moment to start; until its lock is held or it says something the run still has its old state. */
  waitsForResume() {
    return Boolean(this.resumed) && this.run.state !== "paused" && this.resumed.seen === this.run.seen_at;
  }

  async copy() {
    write(this.find(".copy"), this.say((await copied(this.run.folder)) ? "copied" : "not_copied"));
    setTimeout(() => write(this.find(".copy"), this.say("copy")), 1500);
  }
}
