/** The loss and the learning rate over the steps, on two canvases that share their horizontal axis. */

import { Sight } from "./curve_sight.js";
import { axisTicks, epochMarks, fitCanvas, logTicks, path, ranges, smoothed } from "./curve_paint.js";
import { figure } from "./page.js";

const MARGIN = { left: 56, right: 12, top: 20, bottom: 22 };

export class LossCurve {
  /** `root` holds a canvas.loss and a canvas.rate; `onRead` gets what is under the pointer, or the newest values. */
  constructor(root, onRead) {
    this.root = root;
    this.loss = root.querySelector("canvas.loss");
    this.rate = root.querySelector("canvas.rate");
    this.onRead = onRead;
    this.weight = 0.9;
    this.logarithmic = false;
    this.clear();
    this.sight = new Sight(this, root);
    new ResizeObserver(() => this.redraw()).observe(root);
    new MutationObserver(() => this.redraw()).observe(document.body, { attributeFilter: ["class"] });
  }

  clear() {
    this.rows = [];
    this.epochs = [];
    this.checks = [];
    this.smooth = [];
    this.window = null;
    this.hover = null;
    this.redraw();
  }

  /** Forgets everything from `step` on: a resumed run does it again. */
  backTo(step) {
    this.rows = this.rows.slice(0, this.firstAt(step));
    this.epochs = this.epochs.filter(([, at]) => at < step);
    this.checks = this.checks.filter(([at]) => at < step);
    this.smooth = this.smooth.slice(0, this.rows.length);
    this.hover = null;
    this.redraw();
  }

  /** Adds `[step, loss, rate, second rate]` rows, `[epoch, step, loss]` epochs and `[step, loss]` validations. */
  add(rows, epochs, checks) {
    for (const row of rows) this.rows.push(row);
    this.epochs.push(...epochs);
    this.checks.push(...checks);
    this.smooth = smoothed(this.rows, this.weight);
    this.redraw();
  }

  setSmoothing(weight) {
    this.weight = weight;
    this.smooth = smoothed(this.rows, weight);
    this.redraw();
  }

  setLogarithmic(on) {
    this.logarithmic = on;
    this.redraw();
  }

  /** Shows the steps from `low` to `high`; null shows all of them. */
  zoom(low, high) {
    const [first, last] = this.extent();
    const whole = low === null || (low <= first && high >= last);
    this.window = whole ? null : [Math.max(first, low), Math.min(last, high)];
    this.redraw();
  }

  extent() {
    const first = this.rows[0]?.[0] ?? 0;
    return [first, Math.max(first + 1, this.rows.at(-1)?.[0] ?? 1)];
  }

  /** The first and the last step in view. */
  view() {
    return this.window ?? this.extent();
  }

  /** The index of the first row at or after `step`. */
  firstAt(step) {
    let low = 0;
    let high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.rows[middle][0] < step) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  nearest(step) {
    const after = Math.min(this.firstAt(step), this.rows.length - 1);
    const nearer = after > 0 && step - this.rows[after - 1][0] < this.rows[after][0] - step;
    return nearer ? after - 1 : after;
  }

  x(step) {
    const [low, high] = this.view();
    return MARGIN.left + ((step - low) / (high - low)) * (this.width - MARGIN.left - MARGIN.right);
  }

  stepAt(x) {
    const [low, high] = this.view();
    const share = (x - MARGIN.left) / Math.max(1, this.width - MARGIN.left - MARGIN.right);
    return low + Math.min(1, Math.max(0, share)) * (high - low);
  }

  redraw() {
    if (this.scheduled) return;
    this.scheduled = requestAnimationFrame(() => {
      this.scheduled = 0;
      const begun = performance.now();
      this.draw();
      this.root.dataset.redrawMs = (performance.now() - begun).toFixed(2);
      this.root.dataset.points = String(this.rows.length);
    });
  }

  draw() {
    this.width = this.root.clientWidth;
    if (!this.width) return;
    this.style = getComputedStyle(this.root);
    const [low, high] = this.view();
    this.from = Math.max(0, this.firstAt(low) - 1);
    this.to = Math.min(this.rows.length, this.firstAt(high) + 1);
    this.drawLoss();
    this.drawRate();
    this.read();
  }

  /** Whether several steps share a pixel. */
  dense() {
    return this.to - this.from > 2 * this.width;
  }

  colour(name) {
    return this.style.getPropertyValue(`--curve-${name}`).trim();
  }

  drawLoss() {
    const { context, height } = fitCanvas(this.loss, this.width);
    const box = { top: MARGIN.top, bottom: height - MARGIN.bottom };
    const scale = ranges(this.rows, this.smooth, this.from, this.to, this.logarithmic);
    const y = (value) => box.bottom - scale.share(value) * (box.bottom - box.top);
    this.frame(context, box, (this.logarithmic ? logTicks : axisTicks)(scale.low, scale.high), y);
    this.drawEpochs(context, box);
    this.drawSteps(context, height);
    this.clip(context, box);
    path(context, this, (index) => this.rows[index][1], y, { stroke: this.colour(this.dense() ? "raw-dense" : "raw"), width: 1, spread: true });
    path(context, this, (index) => this.smooth[index], y, { stroke: this.colour("accent"), width: 2 });
    this.drawChecks(context, y);
    if (this.hover !== null) this.dot(context, this.hover, y(this.smooth[this.hover]));
    context.restore();
    this.sight.paint(context, box, this.colour("accent"));
    this.crosshair(context, box);
  }

  drawRate() {
    const { context, height } = fitCanvas(this.rate, this.width);
    const box = { top: 6, bottom: height - 4 };
    const top = Math.max(0, ...this.sampledRates()) || 1;
    const y = (value) => box.bottom - (value / (top * 1.08)) * (box.bottom - box.top);
    this.frame(context, box, [0, top], y);
    this.clip(context, box);
    path(context, this, (index) => this.rows[index][3], y, { stroke: this.colour("ink"), width: 1, dash: [3, 3] });
    path(context, this, (index) => this.rows[index][2], y, { stroke: this.colour("ink"), width: 1.5 });
    context.restore();
    this.crosshair(context, box);
  }

  /** Enough of the learning rates in view to know the highest. */
  sampledRates() {
    const stride = Math.max(1, Math.floor((this.to - this.from) / 500));
    const rates = [];
    for (let index = this.from; index < this.to; index += stride) rates.push(this.rows[index][2] ?? 0, this.rows[index][3] ?? 0);
    return rates;
  }

  /** Horizontal lines with their values at the left. */
  frame(context, box, ticks, y) {
    context.font = this.font();
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const tick of ticks) {
      const at = Math.round(y(tick)) + 0.5;
      if (at < box.top - 1 || at > box.bottom + 1) continue;
      context.fillStyle = this.colour("grid");
      context.fillRect(MARGIN.left, at, this.width - MARGIN.left - MARGIN.right, 1);
      context.fillStyle = this.colour("label");
      context.fillText(figureTick(tick), MARGIN.left - 8, at);
    }
  }

  drawEpochs(context, box) {
    context.font = this.font();
    context.textAlign = "center";
    context.textBaseline = "alphabetic";
    for (const { x, label } of epochMarks(this.epochs, this.view(), (step) => this.x(step))) {
      context.fillStyle = this.colour("grid");
      context.fillRect(Math.round(x), box.top, 1, box.bottom - box.top);
      context.fillStyle = this.colour("label");
      context.fillText(label, x, box.top - 7);
    }
  }

  drawSteps(context, height) {
    context.fillStyle = this.colour("label");
    context.textAlign = "center";
    context.textBaseline = "alphabetic";
    const [low, high] = this.view();
    for (const tick of axisTicks(low, high, Math.max(2, Math.floor(this.width / 110)))) {
      if (Number.isInteger(tick)) context.fillText(tick.toLocaleString(), Math.min(this.x(tick), this.width - 22), height - 5);
    }
  }

  drawChecks(context, y) {
    context.fillStyle = this.colour("ink");
    for (const [step, loss] of this.checks) {
      context.beginPath();
      context.arc(this.x(step), y(loss), 3.5, 0, 2 * Math.PI);
      context.fill();
    }
  }

  crosshair(context, box) {
    if (this.hover === null || !this.rows[this.hover]) return;
    context.fillStyle = this.colour("label");
    context.fillRect(Math.round(this.x(this.rows[this.hover][0])), box.top, 1, box.bottom - box.top);
  }

  dot(context, index, at) {
    context.fillStyle = this.colour("accent");
    context.beginPath();
    context.arc(this.x(this.rows[index][0]), at, 4, 0, 2 * Math.PI);
    context.fill();
  }

  clip(context, box) {
    context.save();
    context.beginPath();
    context.rect(MARGIN.left, box.top - 3, this.width - MARGIN.left - MARGIN.right, box.bottom - box.top + 6);
    context.clip();
  }

  font() {
    return `11px ${this.style.fontFamily}`;
  }

  read() {
    const index = this.hover ?? this.rows.length - 1;
    const row = this.rows[index];
    this.onRead(row ? { step: row[0], loss: row[1], smooth: this.smooth[index], rate: row[2], second: row[3] } : null);
  }
}

function figureTick(value) {
  if (value === 0) return "0";
  return Math.abs(value) < 0.001 ? figure(value) : String(Number(value.toPrecision(3)));
}
