/** Two pictures over each other with a bar to drag, or beside each other. */

import { make } from "./page.js";

export class BeforeAfter {
  constructor(host, say) {
    this.images = [make("img", { alt: "" }), make("img", { alt: "" })];
    this.captions = [make("p"), make("p")];
    this.cut = make("input", { type: "range", min: 0, max: 100, step: 0.5, value: 50, "aria-label": say("cut"), on: { input: () => this.place() } });
    this.stage = make("div", { class: "ba-stage" }, ...this.images, make("i", { class: "ba-bar" }), this.cut);
    this.way = ["overlay", "beside"].map((name) =>
      make("button", { type: "button", text: say(name), "data-way": name, on: { click: () => this.lay(name) } }),
    );
    const close = make("button", { type: "button", class: "ba-close", text: "✕", "aria-label": say("close"), on: { click: () => this.dialog.close() } });
    this.dialog = make(
      "dialog",
      { class: "before-after", "aria-label": say("before_after") },
      make("div", { class: "ba-tools" }, ...this.way, close),
      make("div", { class: "ba-room" }, this.stage),
      make("div", { class: "ba-captions" }, ...this.captions),
    );
    host.append(this.dialog);
    this.connect();
    this.lay("overlay");
  }

  connect() {
    const drag = (event) => {
      if (this.dialog.dataset.way !== "overlay" || (event.type === "pointermove" && !event.buttons)) return;
      const box = this.stage.getBoundingClientRect();
      this.cut.value = String((100 * (event.clientX - box.left)) / box.width);
      this.place();
    };
    this.stage.addEventListener("pointerdown", (event) => {
      this.stage.setPointerCapture(event.pointerId);
      drag(event);
      event.preventDefault();
      this.cut.focus();
    });
    this.stage.addEventListener("pointermove", drag);
    for (const image of this.images) image.addEventListener("load", () => this.fit());
    new ResizeObserver(() => this.fit()).observe(this.dialog);
  }

  /** Shows two cells, each {src, title, text}. */
  open(...cells) {
    cells.forEach((cell, index) => {
      this.images[index].src = cell.src;
      this.images[index].alt = cell.text;
      this.captions[index].replaceChildren(make("strong", { text: `${index + 1} · ${cell.title}` }), make("span", { text: cell.text }));
    });
    this.cut.value = "50";
    this.place();
    if (!this.dialog.open) this.dialog.showModal();
    this.cut.focus();
    this.fit();
  }

  lay(way) {
    this.dialog.dataset.way = way;
    for (const button of this.way) button.setAttribute("aria-pressed", String(button.dataset.way === way));
    this.fit();
  }

  place() {
    this.stage.style.setProperty("--cut", `${this.cut.value}%`);
  }

  /** As large as there is room for, small pictures at most six times their size. */
  fit() {
    const [{ naturalWidth: width, naturalHeight: height }] = this.images;
    if (!width || !this.dialog.open) return;
    const room = this.stage.parentElement;
    const across = this.dialog.dataset.way === "beside" ? 2 : 1;
    const scale = Math.min((room.clientWidth - 12 * (across - 1)) / (across * width), room.clientHeight / height, 6);
    this.stage.style.setProperty("--width", `${Math.floor(width * scale)}px`);
    this.stage.style.setProperty("--height", `${Math.floor(height * scale)}px`);
  }
}
