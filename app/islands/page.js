/** What the islands share: elements, words, numbers for people, and asking the server again and again. */

/** Whether a run has a trainer, be it that it starts, trains or waits. */
export const underWay = (state) => ["waiting", "running", "paused"].includes(state);

/** A new element. `attributes` may hold `text`, `class`, `on` (listeners by name) and any attribute; null ones are left out. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name === "on") for (const [event, run] of Object.entries(value)) element.addEventListener(event, run);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter(Boolean));
  return element;
}

/** Sets a text only when it is another one, so that nothing flickers and a selection stays. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// What begins a new line or turns round the way in which all that follows is written; see trainer/job/words.
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

/** Looks words up in `table` and fills their placeholders: say("step_of", {step: 3}). */
export function speaker(table) {
  return (key, values = {}) =>
    (table[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]).replace(CONTROLS, "\ufffd") : whole));
}

/** Fills in every element that names its words: data-word for the text, data-label for the accessible name. */
export function translate(root, say) {
  for (const element of root.querySelectorAll("[data-word]")) element.textContent = say(element.dataset.word);
  for (const element of root.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", say(element.dataset.label));
    element.title = say(element.dataset.label);
  }
}

// Made once: to make one takes longer than to write hundreds of numbers or times with it.
const NUMBER = new Intl.NumberFormat();
const TENTHS = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const WHOLES = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const DAY = { month: "short", day: "numeric", hour: "numeric", minute: "2-digit" };
const THIS_YEAR = new Intl.DateTimeFormat(undefined, DAY);
const ANY_YEAR = new Intl.DateTimeFormat(undefined, { ...DAY, year: "numeric" });

export const count = (number) => NUMBER.format(Number(number));

/** A loss or a rate with as many digits as are worth reading; a dash for none. */
export function figure(number) {
  if (number === null || number === undefined || !Number.isFinite(number)) return "–";
  if (number === 0) return "0";
  return Math.abs(number) < 0.001 || Math.abs(number) >= 1e5 ? number.toExponential(2) : number.toPrecision(3);
}

/** A length of time in its two largest units. */
export function span(say, seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return say("seconds", { s: whole });
  const minutes = Math.round(whole / 60);
  if (minutes < 60) return whole < 600 ? say("minutes_seconds", { m: Math.floor(whole / 60), s: whole % 60 }) : say("minutes", { m: minutes });
  return say("hours_minutes", { h: Math.floor(minutes / 60), m: minutes % 60 });
}

/** When something was: the time of day, before today with the date, before this year with the year. */
export function moment(seconds) {
  const then = new Date(1000 * seconds);
  const now = new Date();
  if (then.toDateString() === now.toDateString()) return CLOCK.format(then);
  return (then.getFullYear() === now.getFullYear() ? THIS_YEAR : ANY_YEAR).format(then);
}

export function megabytes(say, bytes) {
  return say("megabytes", { n: (bytes < 1e7 ? TENTHS : WHOLES).format(bytes / 1e6) });
}

/** Copies `text`; whether that was possible. Without a secure address the browser only does so from a selection. */
export async function copied(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text).then(() => true, () => false);
  const area = make("textarea", { style: "position: fixed; opacity: 0" });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

const WIDTHS_PX = [96, 192, 384, 768, 1536];

/** The address of a sample of run `key`; with `width` of a picture wide enough for that on this screen. */
export function sampleAddress(key, sample, width = 0) {
  const wanted = width * Math.min(2, window.devicePixelRatio || 1);
  const px = width ? WIDTHS_PX.find((each) => each >= wanted) : 0;
  return `sample/${key}/${encodeURIComponent(sample.file)}?v=${sample.version}${px ? `&w=${px}` : ""}`;
}

export async function ask(address) {
  const answer = await fetch(address, { signal: AbortSignal.timeout(15000) });
  // The program was started anew, or its door is shut again: there the password is asked for, and the draft is kept.
  if (answer.status === 401) location.reload();
  if (!answer.ok) throw new Error(`${answer.status} ${address}`);
  return answer.json();
}

/** All runs, newest first. Of those that lie still, the server tells only when that has changed. */
export class Runs {
  constructor() {
    Object.assign(this, { version: "", all: [], going: "" });
  }

  /** The runs as they are now; the same array as before where nothing has changed. */
  async now() {
    const { version, whole, runs } = await ask(`runs?known=${this.version}`);
    const going = JSON.stringify(runs);
    if (!whole && going === this.going) return this.all;
    const all = whole ? runs : [...this.all.filter((run) => run.still), ...runs].sort((a, b) => b.created - a.created || (a.name < b.name ? 1 : -1));
    Object.assign(this, { version, all, going: whole ? "" : going });
    return all;
  }
}

const SLEEP_MS = 700;

/**
 * Calls `turn` again and again while `element` can be seen; it returns the milliseconds until the next time. While it
 * fails, `lost(true)` is called and it is tried again every two seconds. Returns a function that takes a turn at once.
 */
export function follow(element, turn, lost) {
  let timer = 0;
  let busy = false;
  let again = false;
  async function go() {
    clearTimeout(timer);
    if (!element.isConnected) return;
    if (busy) {
      again = true;
      return;
    }
    timer = setTimeout(go, await paused());
  }
  async function paused() {
    if (document.visibilityState !== "visible" || !element.checkVisibility()) return SLEEP_MS;
    busy = true;
    again = false;
    try {
      const pause = await turn();
      lost(false);
      return again ? 0 : pause;
    } catch {
      lost(true);
      return 2000;
    } finally {
      busy = false;
    }
  }
  document.addEventListener("visibilitychange", go);
  go();
  return go;
}
