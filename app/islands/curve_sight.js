/** Pointer, wheel and keys on the curves: read a step, zoom to a part, go back to the whole. */

const LEAST_DRAG_PX = 6;

export class Sight {
  constructor(curve, root) {
    this.curve = curve;
    this.root = root;
    this.drag = null;
    const on = (name, run, options) => root.addEventListener(name, run.bind(this), options);
    on("pointerdown", this.down);
    on("pointermove", this.move);
    on("pointerup", this.up);
    on("pointercancel", this.cancel);
    on("pointerleave", this.leave);
    on("dblclick", () => curve.zoom(null));
    on("wheel", this.wheel, { passive: false });
    on("keydown", this.key);
    on("blur", this.leave);
  }

  at(event) {
    return event.clientX - this.root.getBoundingClientRect().left;
  }

  down(event) {
    if (event.button !== 0 || !this.curve.rows.length) return;
    this.root.setPointerCapture(event.pointerId);
    this.drag = { from: this.at(event), to: this.at(event) };
  }

  move(event) {
    if (this.drag) this.drag.to = this.at(event);
    this.look(this.curve.stepAt(this.at(event)));
  }

  up() {
    const drag = this.drag;
    this.drag = null;
    if (drag && Math.abs(drag.to - drag.from) >= LEAST_DRAG_PX) {
      const ends = [this.curve.stepAt(drag.from), this.curve.stepAt(drag.to)].sort((a, b) => a - b);
      if (ends[1] - ends[0] >= 1) this.curve.zoom(...ends);
    }
    this.curve.redraw();
  }

  cancel() {
    this.drag = null;
    this.leave();
  }

  leave() {
    if (this.drag) return;
    this.curve.hover = null;
    this.curve.redraw();
  }

  /** The wheel zooms once the curve has been clicked, or with Ctrl; otherwise the page scrolls on as always. */
  wheel(event) {
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== this.root) return;
    event.preventDefault();
    this.zoomAt(this.curve.stepAt(this.at(event)), event.deltaY > 0 ? 1.25 : 0.8);
  }

  zoomAt(step, factor) {
    const [low, high] = this.curve.view();
    if (factor < 1 && high - low <= 10) return;
    this.curve.zoom(step - (step - low) * factor, step + (high - step) * factor);
  }

  key(event) {
    const curve = this.curve;
    if (!curve.rows.length) return;
    const index = curve.hover ?? curve.rows.length - 1;
    const stride = Math.max(1, Math.round((curve.to - curve.from) / 100));
    const moves = { ArrowLeft: -stride, ArrowRight: stride, Home: -index, End: curve.rows.length };
    const zooms = { "+": 0.8, "=": 0.8, "-": 1.25 };
    if (event.key in moves) this.look(curve.rows[Math.min(curve.rows.length - 1, Math.max(0, index + moves[event.key]))][0]);
    else if (event.key in zooms) this.zoomAt(curve.rows[index][0], zooms[event.key]);
    else if (event.key === "Escape") curve.zoom(null);
    else return;
    event.preventDefault();
  }

  look(step) {
    this.curve.hover = this.curve.rows.length ? this.curve.nearest(step) : null;
    this.curve.redraw();
  }

  /** The part that is being chosen. */
  paint(context, box, colour) {
    if (!this.drag || Math.abs(this.drag.to - this.drag.from) < LEAST_DRAG_PX) return;
    context.globalAlpha = 0.15;
    context.fillStyle = colour;
    context.fillRect(Math.min(this.drag.from, this.drag.to), box.top, Math.abs(this.drag.to - this.drag.from), box.bottom - box.top);
    context.globalAlpha = 1;
  }
}
