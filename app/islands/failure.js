/** Why a run has failed or was interrupted, what to do, with buttons for that, and its last words one click away. */

import { ask, copied, count, make, moment, write } from "./page.js";

const LOG_LINES = 80;
const COPIED_MS = 1500;
const NOTED_MS = 3000;

export class Failure {
  /** `order(name)` asks the program for "resume_slower". */
  constructor(root, say, order) {
    Object.assign(this, { root, say, order });
    this.find = (name) => root.querySelector(name);
    this.find(".details").addEventListener("toggle", () => this.showLog());
    this.find(".copy-details").addEventListener("click", () => this.copy());
    this.clear();
  }

  clear() {
    Object.assign(this, { run: null, shown: "", told: null });
    this.root.hidden = true;
    this.find(".details").open = false;
    this.find("pre").textContent = "";
  }

  /** Shows what is wrong with `run`, or the `problem` with what was asked of it; nothing while it is `starting`. */
  show(run, starting, problem) {
    this.run = run;
    const wrong = ["failed", "interrupted"].includes(run.state) && !starting;
    this.root.hidden = !wrong && !problem;
    if (this.root.hidden) {
      this.shown = "";
      return;
    }
    const shown = [run.key, run.state, run.seen_at, problem].join();
    if (shown === this.shown) return;
    this.shown = shown;
    this.find(".details").open = false;
    this.root.classList.toggle("quiet", run.state === "interrupted" && !problem);
    this.tell(problem ? { reason: problem } : wrong && run.state === "failed" ? run : {});
    if (run.state !== "interrupted" || problem) return;
    this.tellInterruption(shown);
    // How the trainer has ended is noted a moment after it has.
    setTimeout(() => this.shown === shown && this.tellInterruption(shown), NOTED_MS);
  }

  tell({ reason = "", advice = "", action = "", target = "" }) {
    write(this.find("strong"), reason);
    write(this.find(".advice"), advice);
    write(this.find(".again"), "");
    this.find(".remedies").replaceChildren(...(reason ? this.remedies(action, target) : []));
  }

  async tellInterruption(shown) {
    const told = await ask(`interrupted/${this.run.key}`).catch(() => null);
    if (!told || shown !== this.shown) return;
    this.tell(told);
    write(this.find(".again"), [this.since(told), this.again(told)].filter(Boolean).join(" "));
  }

  since({ since }) {
    return since ? this.say("since", { when: moment(since) }) : "";
  }

  again({ kept_step: step, again }) {
    const words = !step ? "again_start" : again ? "again" : "again_none";
    return this.say(words, { step: count(step), steps: count(again) });
  }

  /** The buttons that help: what the trouble asks for first, then the settings. */
  remedies(action, target) {
    const setting = window.ATELIER.titles[target] ? target : "";
    const change = setting ? this.say("change_setting", { title: window.ATELIER.titles[setting] }) : this.say("change_settings");
    const settings = this.button(change, () => window.atelier.openRun(this.run.key, setting || "model.base"));
    if (action === "resume_slower") return [this.button(this.say("resume_slower"), () => this.order("resume_slower"), "first"), settings];
    if (action === "show_dataset") return [this.button(this.say("show_dataset"), () => window.atelier.openRun(this.run.key, "dataset.folder", target))];
    if (action === "open_doctor") return [this.button(this.say("open_doctor"), () => window.atelier.doctor({ network: target === "network" })), settings];
    return this.run.state === "failed" ? [settings] : [];
  }

  button(text, click, kind = null) {
    return make("button", { type: "button", class: kind, text, on: { click } });
  }

  async showLog() {
    if (!this.find(".details").open || !this.run) return;
    const answer = await fetch(`log/${this.run.key}?lines=${LOG_LINES}`).catch(() => null);
    const page = this.find("pre");
    write(page, (answer?.ok && (await answer.text())) || this.say("no_log"));
    page.scrollTop = page.scrollHeight;
  }

  async copy() {
    const button = this.find(".copy-details");
    const text = [this.find("strong"), this.find(".advice"), this.find("pre")].map((each) => each.textContent).join("\n");
    write(button, this.say((await copied(text)) ? "copied" : "not_copied"));
    setTimeout(() => write(button, this.say("copy_details")), COPIED_MS);
  }
}
