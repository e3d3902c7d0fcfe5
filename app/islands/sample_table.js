/**
 * The table of epochs × prompts of one run or two. Rows and cells that stay are kept, so nothing flickers. Of thousands
 * of samples only those in sight hold their pictures, and some around them.
 */

import { count, make, sampleAddress } from "./page.js";

const FIRST_ROWS = 6;
const ROW_PADDING_PX = 12;
const BEYOND_PX = 400;
const CELL_PADDING_PX = 6;
const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

export class SampleTable {
  /** `on.open(cellAt, rows, columns, at)` enlarges a cell; `on.pinned(cells)` tells which ones are chosen. */
  constructor(table, say, on) {
    Object.assign(this, { table, say, on });
    [this.head, this.body] = table.children;
    table.addEventListener("keydown", (event) => this.move(event));
    this.frame = table.parentElement;
    this.sight = new IntersectionObserver((seen) => this.look(seen), { root: this.frame, rootMargin: `${BEYOND_PX}px 0px` });
    this.frame.addEventListener("scroll", () => this.glance(), { passive: true });
    new ResizeObserver(() => this.glance()).observe(this.frame);
    this.clear();
  }

  clear() {
    Object.assign(this, { columns: [], shape: "", rows: [], pins: [], first: 0, last: 0 });
    this.sight.disconnect();
    this.head.replaceChildren();
    this.body.replaceChildren();
  }

  /** Shows these tables of /samples side by side, pictures `zoom` CSS pixels wide. */
  show(tables, zoom) {
    this.zoom = zoom;
    const columns = columnsOf(tables);
    const shape = JSON.stringify(columns.map(({ side, text }) => [tables[side].key, text]));
    if (shape !== this.shape) {
      this.clear();
      Object.assign(this, { columns, shape });
      this.drawHead(tables);
      this.near(0, window.innerWidth);
    }
    this.table.classList.toggle("pairs", tables.length > 1);
    const epochs = [...new Set(tables.flatMap((table) => table.rows.map((row) => row.epoch)))].sort((a, b) => a - b);
    for (const row of this.rows.filter((row) => !epochs.includes(row.epoch))) this.remove(row);
    const before = new Map(this.rows.map((row) => [row.epoch, row]));
    this.rows = epochs.map((epoch) => before.get(epoch) ?? this.newRow(epoch, tables));
    const given = tables.map((table) => new Map(table.rows.map((row) => [row.epoch, row])));
    this.rows.forEach((row, place) => {
      this.fill(row, tables, given);
      if (this.body.children[place] === row.line) return;
      this.body.insertBefore(row.line, this.body.children[place] ?? null);
      if (place < FIRST_ROWS) this.dress(row);
      this.sight.observe(row.line);
    });
    this.keepStop();
    this.markPins();
  }

  remove(row) {
    this.sight.unobserve(row.line);
    row.line.remove();
  }

  look(seen) {
    const at = new Map(this.rows.map((row) => [row.line, row]));
    for (const { target, isIntersecting } of seen) {
      const row = at.get(target);
      if (!row || !target.isConnected) continue;
      if (isIntersecting) this.dress(row);
      else if (!target.contains(document.activeElement)) this.undress(row);
    }
    this.keepStop();
    this.markPins();
  }

  /** Sees which columns are in sight, or nearly; they get their pictures, and the others lose them. */
  glance() {
    const { scrollLeft, clientWidth } = this.frame;
    if (!clientWidth || !this.near(scrollLeft, clientWidth)) return;
    for (const row of this.rows) {
      row.cells.forEach((cell, index) => {
        if (cell.place && cell.drawn !== this.isNear(index) && !cell.place.contains(document.activeElement)) this.draw(row, index);
      });
    }
    this.keepStop();
    this.markPins();
  }

  /** Whether other columns than before are in sight, of a frame so wide, scrolled so far. */
  near(left, width) {
    const column = this.zoom + CELL_PADDING_PX;
    const [first, last] = [Math.floor((left - BEYOND_PX) / column), Math.ceil((left + width + BEYOND_PX) / column)];
    const changed = first !== this.first || last !== this.last;
    Object.assign(this, { first, last });
    return changed;
  }

  isNear(column) {
    return column >= this.first && column <= this.last;
  }

  /** Gives a row its pictures. */
  dress(row) {
    if (row.dressed) return;
    row.dressed = true;
    row.later.remove();
    row.cells.forEach((cell, index) => {
      cell.place = make("td", { class: this.columns[index].starts ? "new-prompt" : null });
      this.draw(row, index);
    });
    row.line.append(...row.cells.map((cell) => cell.place));
  }

  /** Leaves empty room of the same height in their place. */
  undress(row) {
    if (!row.dressed || !row.line.offsetHeight) return;
    row.dressed = false;
    row.later.firstElementChild.style.height = `${row.line.offsetHeight - ROW_PADDING_PX}px`;
    for (const cell of row.cells) cell.place.remove();
    for (const cell of row.cells) cell.place = null;
    row.line.append(row.later);
  }

  drawHead(tables) {
    const { say } = this;
    const sides = tables.length;
    const starts = this.columns.filter((column) => column.starts);
    const prompts = starts.map((column) =>
      make("th", { scope: "col", colspan: sides, class: "new-prompt", title: column.text }, make("span", { class: "prompt", text: column.text })),
    );
    this.head.append(make("tr", {}, make("th", { class: "corner", text: say("epoch"), rowspan: sides > 1 ? 2 : null }), ...prompts));
    if (sides < 2) return;
    const names = this.columns.map(({ side, starts: first }) =>
      make("th", { scope: "col", class: first ? "new-prompt" : null, title: tables[side].name },
        make("span", { class: side ? "side two" : "side" }, make("b", { text: side + 1 }), tables[side].name)),
    );
    this.head.append(make("tr", {}, ...names));
  }

  /** When samples were made: after an epoch, or after a step within one. */
  moment(epoch, step) {
    if (!epoch) return this.say("base");
    return Number.isInteger(epoch) ? this.say("epoch_n", { epoch }) : this.say("step_n", { step: count(step) });
  }

  newRow(epoch, tables) {
    const step = tables.flatMap((table) => table.rows).find((row) => row.epoch === epoch).step;
    const name = this.moment(epoch, step);
    const label = make("th", { scope: "row", text: name }, Number.isInteger(epoch) && epoch ? make("small", { text: this.say("step_n", { step: count(step) }) }) : null);
    const cells = this.columns.map(() => ({ place: null, told: null, sample: null, drawn: false }));
    const later = make("td", { colspan: this.columns.length }, make("div", { class: "later" }));
    return { epoch, cells, later, dressed: false, line: make("tr", { class: epoch ? null : "base" }, label, later) };
  }

  fill(row, tables, given) {
    this.columns.forEach((column, index) => {
      const table = tables[column.side];
      const sample = column.place === null ? null : given[column.side].get(row.epoch)?.cells[column.place] ?? null;
      const told = sample ? `${sample.file} ${sample.version}` : "";
      const cell = row.cells[index];
      if (cell.told === told) return;
      const about = sample && { key: table.key, run: tables.length > 1 ? table.name : "" };
      Object.assign(cell, { told, sample, ...about });
      if (cell.place) this.draw(row, index);
    });
    const tall = row.cells.find((cell) => cell.sample?.width)?.sample;
    if (tall) row.line.style.setProperty("--tall", String(tall.height / tall.width));
  }

  draw(row, index) {
    const cell = row.cells[index];
    cell.drawn = this.isNear(index);
    const room = () => [make("div", { class: cell.sample ? "later" : "none" })];
    cell.place.replaceChildren(...(cell.sample && cell.drawn ? this.picture(row, index, cell) : room()));
  }

  picture(row, column, cell) {
    const { sample, key } = cell;
    cell.zoom = this.zoom;
    const image = make("img", {
      src: sampleAddress(key, sample, this.zoom),
      alt: sample.text,
      loading: "lazy",
      decoding: "async",
      width: sample.width || null,
      height: sample.height || null,
    });
    const enlarge = (event) => (event.shiftKey ? this.pin(row, column) : this.open(row, column));
    const label = { "aria-label": `${this.title(row, cell)} · ${sample.text}`, title: sample.text };
    return [
      make("button", { type: "button", class: "cell", tabindex: "-1", ...label, on: { click: enlarge } }, image),
      make("button", { type: "button", class: "pin", tabindex: "-1", text: "⇆", title: this.say("pin"), "aria-label": this.say("pin"), on: { click: () => this.pin(row, column) } }),
    ];
  }

  /** One picture is a stop of the tab key, also after the one that was has gone or was drawn anew. */
  keepStop() {
    if (this.body.querySelector('.cell[tabindex="0"]')) return;
    this.body.querySelector(".cell")?.setAttribute("tabindex", "0");
  }

  title(row, cell) {
    return [cell.run, this.moment(row.epoch, cell.sample.step), this.say("seed", { seed: cell.sample.seed })].filter(Boolean).join(" · ");
  }

  /** What the lightbox and the comparison show of a cell, null where there is no picture. */
  cellAt(row, column) {
    const cell = this.rows[row]?.cells[column];
    if (!cell?.sample) return null;
    return { src: sampleAddress(cell.key, cell.sample), title: this.title(this.rows[row], cell), text: cell.sample.text };
  }

  open(row, column) {
    this.on.open((r, c) => this.cellAt(r, c), this.rows.length, this.columns.length, [this.rows.indexOf(row), column]);
  }

  pin(row, column) {
    const at = this.pins.findIndex((pin) => pin.row === row && pin.column === column);
    if (at >= 0) this.pins.splice(at, 1);
    else this.pins = [...this.pins, { row, column }].slice(-2);
    this.markPins();
    this.on.pinned(this.pinned());
  }

  forget() {
    this.pins = [];
    this.markPins();
    this.on.pinned([]);
  }

  pinned() {
    return this.pins.map(({ row, column }) => this.cellAt(this.rows.indexOf(row), column)).filter(Boolean);
  }

  markPins() {
    for (const old of this.body.querySelectorAll("td.pinned")) {
      old.classList.remove("pinned");
      for (const pin of old.querySelectorAll(".pin")) pin.textContent = "⇆";
    }
    this.pins.forEach(({ row, column }, index) => {
      const { place, sample, drawn } = row.cells[column];
      if (!sample || !place || !drawn) return;
      place.classList.add("pinned");
      place.querySelector(".pin").textContent = String(index + 1);
    });
  }

  /** New pictures where the zoom asks for finer ones; the browser fetches only those in sight. */
  resize(zoom) {
    this.zoom = zoom;
    for (const { later } of this.rows) later.firstElementChild.style.height = "";
    this.glance();
    for (const cell of this.rows.flatMap((row) => row.cells)) {
      const image = cell.sample && cell.zoom < zoom && cell.place?.querySelector("img");
      if (!image) continue;
      cell.zoom = zoom;
      const address = sampleAddress(cell.key, cell.sample, zoom);
      if (image.getAttribute("src") !== address) image.src = address;
    }
  }

  /** The arrow keys go from picture to picture; only one of them is a stop of the tab key. */
  move(event) {
    const way = MOVES[event.key];
    const from = event.target.closest("td");
    if (!way || !from) return;
    event.preventDefault();
    let row = this.rows.findIndex(({ line }) => line === from.parentElement);
    let column = this.rows[row].cells.findIndex(({ place }) => place === from);
    do {
      row += way[0];
      column += way[1];
    } while (this.rows[row]?.cells[column] && !this.rows[row].cells[column].sample);
    if (!this.rows[row]?.cells[column]) return;
    this.dress(this.rows[row]);
    // It comes into sight by being chosen.
    if (!this.isNear(column)) Object.assign(this, way[1] < 0 ? { first: column } : { last: column });
    if (!this.rows[row].cells[column].drawn) this.draw(this.rows[row], column);
    const next = this.rows[row].cells[column].place.querySelector(".cell");
    for (const cell of this.body.querySelectorAll('.cell[tabindex="0"]')) cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}

/** One column for each prompt and run; prompts of the same words stand together. */
function columnsOf(tables) {
  const [first, second] = tables;
  const columns = [];
  const used = new Set();
  first.prompts.forEach(({ text }, place) => {
    columns.push({ side: 0, place, text, starts: true });
    if (!second) return;
    const twin = second.prompts.findIndex((prompt, index) => prompt.text === text && !used.has(index));
    used.add(twin);
    columns.push({ side: 1, place: twin < 0 ? null : twin, text, starts: false });
  });
  second?.prompts.forEach(({ text }, place) => {
    if (used.has(place)) return;
    columns.push({ side: 0, place: null, text, starts: true }, { side: 1, place, text, starts: false });
  });
  return columns;
}
