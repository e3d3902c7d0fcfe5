/** Arithmetic and strokes of the curves; nothing here knows the page. */

/** The running mean of the losses that forgets with `weight`, corrected for its start; NaN where there is no loss. */
export function smoothed(rows, weight) {
  const result = new Array(rows.length);
  let sum = 0;
  let share = 0;
  for (let index = 0; index < rows.length; index += 1) {
    const loss = rows[index][1];
    if (loss === null) {
      result[index] = NaN;
      continue;
    }
    sum = weight * sum + (1 - weight) * loss;
    share = weight * share + (1 - weight);
    result[index] = sum / share;
  }
  return result;
}

/** The canvas at the screen's own resolution, cleared, with its context in CSS pixels. */
export function fitCanvas(canvas, width) {
  const ratio = window.devicePixelRatio || 1;
  const height = canvas.clientHeight;
  const size = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, height };
}

/**
 * The vertical range of what is in view: all of the smoothed curve and nearly all raw points, so that one outlier does
 * not press the curve flat. `share(value)` is its height from 0 to 1.
 */
export function ranges(rows, smooth, from, to, logarithmic) {
  const stride = Math.max(1, Math.floor((to - from) / 2000));
  const raw = [];
  let low = Infinity;
  let high = -Infinity;
  for (let index = from; index < to; index += stride) {
    if (rows[index][1] !== null) raw.push(rows[index][1]);
    if (smooth[index] < low) low = smooth[index];
    if (smooth[index] > high) high = smooth[index];
  }
  raw.sort((a, b) => a - b);
  low = Math.min(low, raw[Math.floor(raw.length * 0.005)] ?? low);
  high = Math.max(high, raw[Math.ceil(raw.length * 0.985) - 1] ?? high);
  if (!(high > low)) [low, high] = Number.isFinite(low) ? [low * 0.9, low * 1.1 || 1] : [0, 1];
  return logarithmic ? logScale(low, high) : linearScale(low, high);
}

function linearScale(low, high) {
  const pad = 0.06 * (high - low);
  const bottom = low >= 0 ? Math.max(0, low - pad) : low - pad;
  return { low: bottom, high: high + pad, share: (value) => (value - bottom) / (high + pad - bottom) };
}

function logScale(low, high) {
  const bottom = Math.max(low, high / 1e5, 1e-12);
  const decades = Math.log10(Math.max(high, bottom * 1.1) / bottom);
  const share = (value) => Math.log10(Math.max(value, bottom / 10) / bottom) / decades;
  return { low: bottom, high: Math.max(high, bottom * 1.1), share: (value) => 0.03 + 0.94 * share(value) };
}

/** Round numbers that divide a range into about `wanted` parts. */
export function axisTicks(low, high, wanted = 5) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-9; tick += step) ticks.push(Number(tick.toPrecision(12)));
  return ticks;
}

/** 1, 2 and 5 of every power of ten in a range, fewer where there are many. */
export function logTicks(low, high) {
  const decades = Math.log10(high / low);
  const factors = decades > 3 ? [1] : decades > 1.2 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    for (const factor of factors) {
      const tick = factor * 10 ** power;
      if (tick >= low && tick <= high) ticks.push(tick);
    }
  }
  return ticks;
}

/** The ends of epochs in view as {x, label}, as many as have room. */
export function epochMarks(epochs, [low, high], x) {
  const seen = epochs.filter(([, step]) => step >= low && step <= high);
  const gap = seen.length > 1 ? Math.abs(x(seen[1][1]) - x(seen[0][1])) : Infinity;
  const every = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find((number) => number * gap >= 30) ?? 5000;
  return seen.filter(([epoch]) => epoch % every === 0).map(([epoch, step]) => ({ x: x(step), label: String(epoch) }));
}

/**
 * Strokes `value(index)` over the steps in view. Where several steps share a pixel it draws one upright line from their
 * least to their greatest value (`spread`) or their last value: what the eye would see of all of them anyway.
 */
export function path(context, curve, value, y, { stroke, width, dash = [], spread = false }) {
  context.strokeStyle = stroke;
  context.lineWidth = width;
  context.lineJoin = "round";
  context.setLineDash(dash);
  context.beginPath();
  if (curve.dense()) densePath(context, curve, value, y, spread);
  else sparsePath(context, curve, value, y);
  context.stroke();
  context.setLineDash([]);
}

const missing = (number) => number === null || number === undefined || Number.isNaN(number);

function sparsePath(context, curve, value, y) {
  let pen = false;
  for (let index = curve.from; index < curve.to; index += 1) {
    const number = value(index);
    if (missing(number)) {
      pen = false;
      continue;
    }
    const x = curve.x(curve.rows[index][0]);
    if (pen) context.lineTo(x, y(number));
    else context.moveTo(x, y(number));
    pen = true;
  }
}

function densePath(context, curve, value, y, spread) {
  const pen = { x: null, low: Infinity, high: -Infinity, last: 0 };
  for (let index = curve.from; index < curve.to; index += 1) {
    const number = value(index);
    if (missing(number)) continue;
    const x = Math.round(curve.x(curve.rows[index][0]));
    if (pen.x !== null && x !== pen.x) strokeColumn(context, pen, y, spread);
    if (x !== pen.x) Object.assign(pen, { x, low: number, high: number });
    pen.low = Math.min(pen.low, number);
    pen.high = Math.max(pen.high, number);
    pen.last = number;
  }
  if (pen.x !== null) strokeColumn(context, pen, y, spread);
}

function strokeColumn(context, pen, y, spread) {
  if (!spread) {
    context.lineTo(pen.x, y(pen.last));
    return;
  }
  context.lineTo(pen.x, y(pen.low));
  context.lineTo(pen.x, y(pen.high));
}
