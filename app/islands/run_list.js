/** The list of all runs, newest first. */

import { count, make, moment, span, underWay, write } from "./page.js";

const FILTER_FROM = 9;

export class RunList {
  constructor(root, say, choose) {
    Object.assign(this, { root, say, choose, items: new Map(), known: null });
    this.list = root.querySelector("ul");
    this.list.addEventListener("click", (event) => this.clicked(event));
    // Hundreds of rows are copied in a third of the time in which they are made.
    this.pattern = make("li", {}, make("button", { type: "button" }, make("i", { class: "dot" }), make("span", { class: "run-name" }), make("small"), make("span", { class: "track" }, make("i"))));
    this.filter = root.querySelector(".filter");
    this.filter.placeholder = say("filter");
    this.filter.addEventListener("input", () => this.sift());
  }

  /** Shows `runs` and returns the newest one that is under way and was not there before, if any. */
  show(runs) {
    const fresh = this.known && runs.find((run) => !this.known.has(run.key) && underWay(run.state));
    this.known = new Set(runs.map((run) => run.key));
    this.day = new Date().toDateString();
    for (const [key, item] of this.items) {
      if (this.known.has(key)) continue;
      item.row.remove();
      this.items.delete(key);
    }
    runs.forEach((run, place) => this.place(run, place));
    this.filter.hidden = runs.length < FILTER_FROM;
    this.sift();
    return fresh;
  }

  place(run, place) {
    if (!this.items.has(run.key)) this.items.set(run.key, this.item(run));
    const { row } = this.items.get(run.key);
    if (this.list.children[place] !== row) this.list.insertBefore(row, this.list.children[place] ?? null);
    // Most runs lie still; what is said of their time changes with the day.
    const item = this.items.get(run.key);
    if (item.run === run && item.day === this.day) return;
    this.update(run);
    Object.assign(item, { run, day: this.day });
  }

  item(run) {
    const row = this.pattern.cloneNode(true);
    const button = row.firstElementChild;
    const [dot, name, about, track] = button.children;
    Object.assign(name, { textContent: run.name, title: run.name });
    button.dataset.key = run.key;
    return { row, button, dot, about, bar: track.firstElementChild, name: run.name };
  }

  clicked(event) {
    const button = event.target.closest("button");
    if (button) this.choose(button.dataset.key);
  }

  update(run) {
    const item = this.items.get(run.key);
    if (!item) return;
    item.run = null;
    item.button.className = run.state;
    item.dot.title = this.say(`state_${run.state}`);
    write(item.about, this.about(run));
    item.bar.style.width = `${run.steps ? (100 * run.step) / run.steps : 0}%`;
  }

  about(run) {
    const say = this.say;
    const state = say(`state_${run.state}`);
    const at = say("step_of", { step: count(run.step), steps: count(run.steps) });
    if (run.state === "running" && run.steps) {
      const left = run.left_s === null ? "" : ` · ${say("left", { time: span(say, run.left_s) })}`;
      return `${say("epoch_of", { epoch: run.epoch, epochs: run.epochs })}${left}`;
    }
    if (run.state === "waiting" || run.state === "running") return run.stage?.text || state;
    if (run.state === "finished") return `${say("finished_in", { time: span(say, run.duration_s) })} · ${moment(run.seen_at ?? run.created)}`;
    return run.steps ? `${state} · ${at}` : `${state} · ${moment(run.created)}`;
  }

  mark(key) {
    for (const [other, { button }] of this.items) {
      if (other === key) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
  }

  sift() {
    const wanted = this.filter.hidden ? "" : this.filter.value.trim().toLowerCase();
    for (const { row, name } of this.items.values()) row.hidden = !name.toLowerCase().includes(wanted);
  }
}
