/** What the doctor has found: a line for each look with its verdict, what to do about it, and all of it as text. */

import { copied, make, write } from "./page.js";

const MARKS = { yes: "✓", note: "!", no: "✗" };
const ORDER = ["no", "note", "yes"];

export class Examination {
  constructor(say) {
    this.say = say;
    this.lines = [];
    this.list = make("ul", { class: "lines" });
    this.sum = make("p", { class: "sum", role: "status" });
    this.copy = make("button", { type: "button", class: "plain small", text: say("doctor_copy"), on: { click: () => this.give(this.copy, this.text(), "doctor_copy") } });
    this.root = make("article", { class: "card examination" }, make("header", {}, this.sum, this.copy), this.list);
  }

  /** The element that shows the lines; once nothing more comes, what needs attention stands first. */
  show(lines, more) {
    const ordered = more ? lines : ORDER.flatMap((ok) => lines.filter((line) => line.ok === ok));
    const same = JSON.stringify(ordered) === JSON.stringify(this.lines);
    this.lines = ordered;
    if (!same) this.list.replaceChildren(...ordered.map((line) => this.row(line)));
    const [no, note, yes] = ORDER.map((ok) => lines.filter((line) => line.ok === ok).length);
    write(this.sum, this.say("doctor_sum", { yes, note, no }));
    this.root.hidden = !lines.length;
    this.copy.hidden = more;
    return this.root;
  }

  row({ ok, title, text, advice, command }) {
    const verdict = { yes: this.say("doctor_yes"), note: this.say("doctor_note"), no: this.say("doctor_no") }[ok];
    const mark = make("i", { class: "mark", role: "img", text: MARKS[ok], "aria-label": verdict, title: verdict });
    const copy = make("button", { type: "button", class: "plain small", text: this.say("copy") });
    copy.addEventListener("click", () => this.give(copy, command, "copy"));
    return make(
      "li",
      { class: ok },
      mark,
      make("h3", { text: title }),
      make(
        "div",
        {},
        make("p", { text }),
        advice ? make("p", { class: "advice", text: advice }) : null,
        command ? make("p", { class: "command" }, make("code", { text: command }), copy) : null,
      ),
    );
  }

  /** All lines as a report of a fault can hold them; names of users are not in them. */
  text() {
    const lines = this.lines.map(({ ok, title, text, advice, command }) =>
      [`${MARKS[ok]} ${title}: ${text}`, ...[advice, command].filter(Boolean).map((more) => `    ${more}`)].join("\n"));
    return [this.say("doctor_report"), ...lines].join("\n");
  }

  async give(button, text, word) {
    write(button, this.say((await copied(text)) ? "copied" : "not_copied"));
    setTimeout(() => write(button, this.say(word)), 1500);
  }
}
