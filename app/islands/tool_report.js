/** What has become of a tool: how far it is, what it wrote, what it found in a file, or why it refuses. */

import { Examination } from "./examination.js";
import { copied, count, figure, make, megabytes, write } from "./page.js";

const FOLDED_FROM = 60;
const PICTURE_PX = 1280;

export class Report {
  /** `cancel()` ends the tool, `inspect(path)` shows another file, `picture()` gives the address of a PNG. */
  constructor(say, cancel, inspect, picture) {
    Object.assign(this, { say, inspect, picture, version: "" });
    this.text = make("span");
    this.bar = make("i");
    this.progress = make("div", { class: "progress", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100", "aria-label": say("progress") }, this.bar);
    this.stop = make("button", { type: "button", class: "plain", text: say("cancel"), on: { click: cancel } });
    this.work = make("div", { class: "work card", hidden: true }, make("p", {}, this.text, this.stop), this.progress);
    this.result = make("div", { class: "result" });
    this.root = make("div", { class: "report" }, this.work, this.result);
    this.examination = new Examination(say);
  }

  /** A new call takes the place of what was shown. */
  begun() {
    this.version = "";
    this.result.replaceChildren();
    this.working({ state: "running", done: 0, total: 0 });
  }

  /** What was shown is over, though the call itself is still remembered. */
  dismiss() {
    this.result.replaceChildren();
  }

  /** A refusal is over as soon as something else is asked for. */
  dismissRefusal() {
    if (this.result.querySelector(":scope > .panel")) this.dismiss();
  }

  /** Takes in an answer about the call; whether something new has ended. */
  show(news) {
    if (news.state === "same") return false;
    const active = ["running", "cancelling"].includes(news.state);
    if (active) this.working(news);
    else this.work.hidden = true;
    if (active || news.state === "none") {
      const found = news.examined ? [this.examination.show(news.examined, true)] : [];
      if (found.length || this.result.childElementCount) this.result.replaceChildren(...found);
      this.version = "";
      return false;
    }
    this.version = news.version;
    this.result.replaceChildren(...this.ended(news));
    return true;
  }

  working({ state, done, total, unit, examined, said }) {
    this.work.hidden = false;
    const counted = total > 0 && state === "running";
    const words = state === "cancelling" ? this.say("cancelling") : said ? said : examined ? this.say("doctor_looking") : counted ? this.say("counted", { done: count(done), total: count(total), unit }) : this.say("starting");
    write(this.text, words);
    this.stop.disabled = state === "cancelling";
    this.progress.classList.toggle("waiting", !counted);
    this.bar.style.width = counted ? `${(100 * done) / total}%` : "";
    if (counted) this.progress.setAttribute("aria-valuenow", String(Math.round((100 * done) / total)));
    else this.progress.removeAttribute("aria-valuenow");
  }

  ended(news) {
    if (news.examined) return [this.examination.show(news.examined, false)];
    if (news.report) return this.contents(news.report);
    if (news.grid) return [this.drawn(news.grid)];
    if (news.state === "done") return [this.written(news)];
    const kind = news.state === "cancelled" ? "neutral" : "bad";
    const details = news.details ? make("pre", { text: news.details }) : null;
    return [make("div", { class: `panel ${kind}`, role: kind === "bad" ? "alert" : "status" }, make("p", { text: news.text }), details)];
  }

  /* ---- a new file ---- */

  written({ lines, path, size_bytes }) {
    const name = path.split(/[\\/]/).pop();
    const look = /checkpoint/i.test(lines.join()) && size_bytes > 1.2e9 ? null : make("button", { type: "button", class: "plain", text: this.say("look"), on: { click: () => this.inspect(path) } });
    return make(
      "article",
      { class: "card written" },
      make("header", {}, make("h3", { text: name, title: name }), make("small", { text: megabytes(this.say, size_bytes) }), look),
      ...lines.map((line) => make("p", { class: "said", text: line[0].toUpperCase() + line.slice(1) })),
      this.path(path),
    );
  }

  /** The picture of all that was drawn; the address is signed by the program (see thumbs.py). */
  drawn({ path, key, at }) {
    const picture = make("img", { src: `thumb?${new URLSearchParams({ path, key, at, px: PICTURE_PX })}`, alt: this.say("try_grid") });
    return make("article", { class: "card drawn" }, picture, this.path(path));
  }

  path(path) {
    const copy = make("button", { type: "button", class: "plain small", text: this.say("copy") });
    copy.addEventListener("click", async () => {
      write(copy, this.say((await copied(path)) ? "copied" : "not_copied"));
      setTimeout(() => write(copy, this.say("copy")), 1500);
    });
    return make("p", { class: "path" }, make("code", { text: path }), copy);
  }

  /* ---- what is in a file ---- */

  contents(found) {
    const name = found.file.split(/[\\/]/).pop();
    return [
      make("header", { class: "name" }, make("h2", { text: name, title: name }), this.path(found.file)),
      this.tiles(found),
      found.unknown_layers ? make("div", { class: "panel neutral" }, make("p", { text: this.say("unknown_layers", { count: count(found.unknown_layers) }) })) : null,
      make("div", { class: "pair" }, this.words(found), this.readers(found)),
      this.strength(found),
      this.metadata(found),
    ].filter(Boolean);
  }

  tiles(found) {
    const { say } = this;
    const spread = (rows, name) => rows.length === 1 ? String(rows[0][name] ?? "–")
      : rows.slice(0, 4).map((row) => `${row[name] ?? "–"} (${count(row.layers)})`).join(", ") + (rows.length > 4 ? " …" : "");
    const parts = Object.entries(found.parts).map(([part, layers]) => `${count(layers)} ${this.part(part)}`).join(" · ");
    const facts = [
      ["family", found.family_label], ["kind", found.kinds_label],
      ["rank", spread(found.ranks, "rank")], ["alpha", spread(found.alphas, "alpha")],
      ["precision", found.precision.replace("bfloat", "bf").replace("float", "fp")], ["names", say(found.format === "peft" ? "to_peft" : "to_kohya")],
      ["layers", count(found.layers), parts],
    ];
    return make("dl", { class: "tiles" }, ...facts.map(([word, text, more]) =>
      make("div", { class: word }, make("dt", { text: say(word) }), make("dd", { text, title: text }), more ? make("dd", { class: "more", text: more }) : null)));
  }

  part(name) {
    return { unet: this.say("unet"), text_encoder: this.say("text_encoder"), text_encoder_2: this.say("text_encoder_2") }[name] ?? name;
  }

  fact(key) {
    const { say } = this;
    return { title: say("title"), author: say("author"), license: say("license"), usage_hint: say("usage_hint"), words: say("keywords") }[key];
  }

  words(found) {
    const { say } = this;
    const tags = found.tags.map((row) => make("li", {}, make("span", { text: row.tag, title: row.tag }), make("small", { text: count(row.count) })));
    const facts = ["title", "author", "license", "usage_hint", "words"].filter((key) => found[key]).map((key) =>
      make("div", {}, make("dt", { text: this.fact(key) }), make("dd", { text: found[key] })));
    const picture = found.picture ? make("img", { src: found.picture, alt: say("thumbnail") }) : null;
    const empty = !found.trigger_words && !found.note && !tags.length && !facts.length && !picture;
    return make(
      "article",
      { class: "card words" },
      make("h3", { text: say("said") }),
      facts.length || picture ? make("div", { class: "about-file" }, picture, facts.length ? make("dl", {}, ...facts) : null) : null,
      found.trigger_words ? make("p", { class: "trigger" }, make("small", { text: say("trigger") }), make("b", { text: found.trigger_words })) : null,
      found.note ? make("p", { class: "note-of-file", text: found.note }) : null,
      tags.length ? make("small", { text: say("tags") }) : null,
      tags.length ? make("ul", { class: "chips" }, ...tags) : null,
      empty ? make("p", { class: "none", text: say("no_words") }) : null,
    );
  }

  readers(found) {
    const { say } = this;
    const verdicts = { yes: say("reads_yes"), partly: say("reads_partly"), no: say("reads_no") };
    const rows = found.readers.map((row) => make("tr", { class: row.reads },
      make("th", { scope: "row", text: row.program }), make("td", {}, make("span", { class: "verdict", text: verdicts[row.reads] })), make("td", { class: "why", text: row.reason })));
    const body = rows.length ? make("table", {}, make("tbody", {}, ...rows)) : make("p", { class: "none", text: say("no_readers") });
    return make("article", { class: "card readers" }, make("h3", { text: say("read_by") }), body);
  }

  strength(found) {
    const { say } = this;
    const largest = Math.max(...Object.values(found.norms)) || 1;
    const parts = Object.keys(found.parts);
    const groups = parts.map((part, number) => {
      const blocks = Object.entries(found.norms).filter(([block]) => block === part || block.startsWith(`${part}.`));
      const rows = blocks.map(([block, value]) => this.bar_of(block.slice(part.length + 1) || say("other_layers"), value, largest));
      return make("div", { class: `blocks part-${number % 3}` }, make("h4", { text: this.part(part) }), ...rows);
    });
    const save = make("button", { type: "button", class: "plain small", text: say("save_picture"), on: { click: () => this.save(found) } });
    return make("article", { class: "card strength" }, make("header", {}, make("h3", { text: say("strength") }), save),
      make("p", { class: "hint", text: say("strength_help") }), make("div", { class: "groups" }, ...groups));
  }

  bar_of(name, value, largest) {
    const bar = make("i");
    bar.style.width = `${(100 * value) / largest}%`;
    return make("p", { class: "block" }, make("span", { text: name, title: name }), make("span", { class: "track" }, bar), make("b", { text: figure(value) }));
  }

  async save(found) {
    const address = await this.picture();
    if (!address) return;
    const name = found.file.split(/[\\/]/).pop().replace(/\.safetensors$/i, "");
    make("a", { href: address, download: `${name}-strength.png` }).click();
  }

  metadata(found) {
    const { say } = this;
    const entries = Object.entries(found.metadata);
    if (!entries.length) return make("p", { class: "none", text: say("no_metadata") });
    const rows = entries.map(([key, value]) => make("tr", {}, make("th", { scope: "row", text: key }), make("td", {}, this.value(value))));
    const search = make("input", { type: "search", placeholder: say("search"), "aria-label": say("search") });
    const none = make("p", { class: "none", text: say("search_none"), hidden: true });
    search.addEventListener("input", () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
      none.hidden = rows.some((row) => !row.hidden);
    });
    const heading = say("metadata", { count: count(found.metadata_count) });
    return make("details", { class: "card metadata" }, make("summary", { text: heading }), search, make("div", { class: "scroll" }, make("table", {}, make("tbody", {}, ...rows))), none);
  }

  /** A long value is cut until it is clicked. */
  value(text) {
    const shown = make("div", { class: text.length > FOLDED_FROM * 4 ? "value folded" : "value", text });
    shown.addEventListener("click", () => shown.classList.remove("folded"));
    return shown;
  }
}
