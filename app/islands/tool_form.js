/** The form of one tool: its fields as plain values, and what belongs beside them. */

import { make } from "./page.js";

const PRECISIONS = ["fp32", "fp16", "bf16"];
let numbers = 0;

export class ToolForm {
  /** `runFiles()` gives the LoRA files of runs; `changed(form)` is told of every change. */
  constructor(section, say, runFiles, changed) {
    Object.assign(this, { section, say, runFiles, changed, tool: section.dataset.tool });
    this.form = section.querySelector("form");
    this.problem = make("p", { class: "problem", role: "alert", hidden: true });
    for (const slot of section.querySelectorAll("[data-file]")) this.layFile(slot);
    for (const slot of section.querySelectorAll("[data-precision]")) this.layPrecision(slot);
    for (const slot of section.querySelectorAll("[data-out]")) this.layOut(slot);
    section.querySelector(".more")?.addEventListener("click", () => this.addRow().querySelector("input").focus());
    if (this.rows) this.fillRows([{}, {}]);
    this.form.addEventListener("input", (event) => this.edited(event.target));
    this.applyChoices();
  }

  get rows() {
    return this.section.querySelector(".rows");
  }

  get out() {
    return this.form.elements.namedItem("out");
  }

  /* ---- laying out ---- */

  layFile(slot) {
    const { say } = this;
    const name = slot.dataset.file;
    slot.dataset.name = name;
    const id = `tool-${this.tool}-${name}`;
    const title = make("label", { class: "title", for: `${id}-input`, text: say(slot.dataset.title) });
    const input = make("input", { type: "text", name, id: `${id}-input`, spellcheck: "false", autocomplete: "off" });
    slot.append(title, this.fileLine(id, input, slot.dataset.kind));
    if (slot.dataset.help) slot.append(make("p", { class: "hint", text: say(slot.dataset.help) }));
  }

  /** A text field for a path with a button that browses and, for LoRAs, the files of runs. */
  fileLine(id, input, kind) {
    const browse = () => window.dispatchEvent(new CustomEvent("atelier:browse", { detail: { id, kind } }));
    return make(
      "div",
      { class: "line", id },
      input,
      make("button", { type: "button", class: "plain", text: this.say("browse"), on: { click: browse } }),
      kind === "lora" ? this.runChoice(input) : null,
    );
  }

  runChoice(input) {
    const choice = make("select", { class: "plain runs", "aria-label": this.say("from_run"), title: this.say("from_run") });
    choice.offer = () => {
      if (choice.matches(":focus")) return;
      const groups = this.runFiles().map(({ run, files }) =>
        make("optgroup", { label: run }, ...files.map((file) => make("option", { value: file.path, text: file.name }))));
      const none = groups.length ? null : make("option", { disabled: true, text: this.say("no_runs") });
      choice.replaceChildren(...[make("option", { value: "", text: this.say("from_run") }), none, ...groups].filter(Boolean));
    };
    choice.offer();
    choice.addEventListener("change", (event) => {
      event.stopPropagation();
      if (!choice.value) return;
      input.value = choice.value;
      choice.value = "";
      input.dispatchEvent(new Event("input", { bubbles: true }));
    });
    choice.addEventListener("input", (event) => event.stopPropagation());
    return choice;
  }

  layPrecision(slot) {
    const first = slot.dataset.precision === "fp16" ? null : ["", this.say("as_it_is")];
    const options = [first, ...PRECISIONS.map((name) => [name, name])].filter(Boolean);
    const checked = first ? "" : "fp16";
    const segments = options.map(([value, text]) =>
      make("label", {}, make("input", { type: "radio", name: "precision", value, checked: value === checked }), make("span", { text })));
    slot.dataset.name = "precision";
    slot.setAttribute("role", "group");
    slot.append(
      make("span", { class: "title", text: this.say("precision") }),
      make("div", { class: "segments" }, ...segments),
      make("p", { class: "hint", text: this.say(slot.dataset.precision === "widest" ? "widest_help" : "precision_help") }),
    );
  }

  layOut(slot) {
    slot.dataset.name = "out";
    const id = `tool-${this.tool}-out`;
    slot.append(
      make("label", { class: "title", for: id, text: this.say("out") }),
      make("input", { type: "text", name: "out", id, placeholder: this.say("out_later"), spellcheck: "false", autocomplete: "off" }),
      make("p", { class: "hint", text: this.say("out_help") }),
    );
  }

  addRow({ path = "", weight = "1" } = {}) {
    const input = make("input", { type: "text", class: "path", "aria-label": this.say("lora_file"), spellcheck: "false", autocomplete: "off" });
    const amount = make("input", { type: "text", class: "weight", inputmode: "decimal", "aria-label": this.say("weight") });
    input.value = path;
    amount.value = weight;
    const remove = make("button", { type: "button", class: "remove", text: "×", "aria-label": this.say("remove"), title: this.say("remove") });
    const row = make("li", {}, this.fileLine(`tool-row-${++numbers}`, input, "lora"), amount, remove);
    remove.addEventListener("click", () => {
      row.remove();
      if (!this.rows.children.length) this.addRow();
      this.edited(this.form);
    });
    this.rows.append(row);
    return row;
  }

  fillRows(rows) {
    this.rows.replaceChildren();
    for (const row of rows) this.addRow(row);
  }

  /* ---- values ---- */

  values() {
    const found = Object.fromEntries([...new FormData(this.form)].map(([name, value]) => [name, String(value)]));
    if (!this.rows) return found;
    const files = [...this.rows.children].map((row) => ({ path: row.querySelector(".path").value, weight: row.querySelector(".weight").value }));
    return { ...found, files };
  }

  fill(values) {
    for (const [name, value] of Object.entries(values)) {
      const field = this.form.elements.namedItem(name);
      if (field?.type === "checkbox") field.checked = value === "on";
      else if (field && typeof value === "string") field.value = value;
    }
    if (this.rows && Array.isArray(values.files) && values.files.length) this.fillRows(values.files);
    this.applyChoices();
  }

  edited(target) {
    // A name that the user gave stays; an emptied one is proposed anew.
    if (target === this.out) this.own = this.out.value !== "";
    this.complain({ problem: "" });
    this.applyChoices();
    this.changed(this);
  }

  /** Shows the fields that the chosen way asks for. */
  applyChoices() {
    const { how, ...values } = this.values();
    for (const slot of this.form.querySelectorAll("[data-when], [data-unless]")) {
      const other = slot.dataset.when && slot.dataset.when !== how;
      slot.hidden = Boolean(other || (slot.dataset.unless && values[slot.dataset.unless]?.trim()));
    }
  }

  /** Offers the files of runs that have come since. */
  offerRuns() {
    for (const choice of this.form.querySelectorAll("select.runs")) choice.offer();
  }

  propose(path) {
    if (this.out && !this.own) this.out.value = path;
  }

  /** Says what is wrong, at the field where it is one field's fault. */
  complain({ problem, field = "" }) {
    for (const slot of this.form.querySelectorAll(".wrong")) slot.classList.remove("wrong");
    const slot = this.form.querySelector(`[data-name="${CSS.escape(field)}"]`);
    this.problem.hidden = !problem;
    this.problem.textContent = problem;
    (problem && slot && !slot.hidden ? slot : this.form).append(this.problem);
    if (!problem || !slot) return;
    slot.classList.add("wrong");
    slot.querySelector("input, textarea")?.focus();
  }
}
