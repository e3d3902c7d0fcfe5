/** One picture over the whole page; the arrow keys go to its neighbours in both directions, Esc closes. */

import { make } from "./page.js";

const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

export class Lightbox {
  /** `host` gets the dialog; it must be inside the island so that the island's words and colours hold. */
  constructor(host, say) {
    // Before all the small ones that may still be on their way.
    this.picture = make("img", { class: "lb-picture", alt: "", fetchpriority: "high" });
    this.title = make("strong", { class: "lb-title" });
    this.text = make("span", { class: "lb-text" });
    this.dialog = make(
      "dialog",
      { class: "lightbox", tabindex: "-1", "aria-label": say("lightbox"), on: { keydown: (e) => this.key(e), click: (e) => this.away(e) } },
      make("div", { class: "lb-stage" }, this.picture),
      make("p", { class: "lb-caption" }, this.title, this.text),
      ...this.buttons(say),
    );
    host.append(this.dialog);
    this.picture.addEventListener("load", () => this.fit());
    new ResizeObserver(() => this.fit()).observe(this.dialog);
  }

  buttons(say) {
    const places = { ArrowLeft: "lb-left", ArrowRight: "lb-right", ArrowUp: "lb-up", ArrowDown: "lb-down" };
    const signs = { ArrowLeft: "‹", ArrowRight: "›", ArrowUp: "︿", ArrowDown: "﹀" };
    this.arrows = Object.keys(ARROWS).map((name) =>
      make("button", {
        class: `lb-button ${places[name]}`,
        type: "button",
        text: signs[name],
        "aria-label": say(places[name].replace("-", "_")),
        on: { click: () => this.go(...ARROWS[name]) },
      }),
    );
    const close = { class: "lb-button lb-close", type: "button", text: "✕", "aria-label": say("close"), on: { click: () => this.dialog.close() } };
    return [...this.arrows, make("button", close)];
  }

  /** `cellAt(row, column)` returns {src, title, text}, or null where there is no picture. */
  open(cellAt, rows, columns, at) {
    Object.assign(this, { cellAt, rows, columns, at });
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.focus();
    this.show();
  }

  show() {
    const cell = this.cellAt(...this.at);
    this.picture.src = cell.src;
    this.picture.alt = cell.text;
    this.title.textContent = cell.title;
    this.text.textContent = cell.text;
    Object.values(ARROWS).forEach((way, index) => {
      this.arrows[index].disabled = !this.next(...way);
    });
  }

  /** The next place in a direction that has a picture, or null. */
  next(down, right) {
    let [row, column] = this.at;
    do {
      row += down;
      column += right;
      if (row < 0 || column < 0 || row >= this.rows || column >= this.columns) return null;
    } while (!this.cellAt(row, column));
    return [row, column];
  }

  go(down, right) {
    const to = this.next(down, right);
    if (!to) return;
    this.at = to;
    this.show();
  }

  key(event) {
    const way = ARROWS[event.key];
    if (!way) return;
    event.preventDefault();
    this.go(...way);
  }

  away(event) {
    if (event.target === this.dialog || event.target.classList.contains("lb-stage")) this.dialog.close();
  }

  /** As large as there is room for, small pictures at most six times their size. */
  fit() {
    const { naturalWidth: width, naturalHeight: height } = this.picture;
    if (!width || !this.dialog.open) return;
    const stage = this.picture.parentElement;
    const scale = Math.min(stage.clientWidth / width, stage.clientHeight / height, 6);
    this.picture.style.width = `${Math.floor(width * scale)}px`;
  }
}
