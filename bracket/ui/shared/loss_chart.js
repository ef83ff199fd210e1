// The loss chart: points stay in the browser and arrive in increments; smoothing and drawing never ask the server.
// Given by Gradio: element, props, server, watch.
const COLOURS = ["#3574b8", "#d9822b", "#2f9e6e", "#b8485e", "#7a5fb5", "#8a7a2e", "#2b9db3", "#8c5a3c", "#c2559d"];
const GREY = "#8b8b94";
const PAD = { left: 52, right: 12, top: 10, bottom: 24 };
const find = (selector) => element.querySelector(selector);
const canvas = find("canvas"), context = canvas.getContext("2d"), note = find(".note"), legend = find(".legend");
const slider = find("input[type=range]"), logBox = find("input[type=checkbox]"), tip = find(".tip");
let series = new Map(), session = "", dirty = true, drawing = false, pointer = null, asking = false, missed = false, again = 0, generation = 0;

// Drawn once, with the browser's next frame; nothing is drawn while nobody looks or nothing changed.
function soil() {
  dirty = true;
  if (!drawing) requestAnimationFrame(frame);
  drawing = true;
}

// An overlay asks for curves by an event of its own; everything else by the value.
let told = null;
const wanted = () => told || props.value || {};
// A shown curve gets the colour that the fewest shown curves have; one that was never shown stays grey on its card.
function colour() {
  const taken = [...series.values()].filter((s) => s.shown).map((s) => s.colour);
  const count = (c) => taken.filter((t) => t === c).length;
  return COLOURS.reduce((best, c) => (count(c) < count(best) ? c : best));
}
function show(s, on) {
  if (on && !s.shown) s.colour = colour();
  s.shown = on;
}
const visible = () => [...series.values()].filter((s) => s.shown && (s.n || s.marks.length));

function grow(array, length) {
  if (array.length >= length) return array;
  const larger = new Float32Array(Math.max(length, array.length * 2, 256));
  larger.set(array);
  return larger;
}

function floats(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new Float32Array(bytes.buffer);
}

// Exponential moving average with the start's bias taken out (Adam's correction), so that it starts at the first value.
function smooth(s, from = 0) {
  const keep = Number(slider.value) / 1000;
  s.smooth = grow(s.smooth, s.n);
  if (!from) s.mean = s.weight = 0;
  for (let i = from; i < s.n; i++) {
    if (Number.isFinite(s.y[i])) {
      s.mean = keep * s.mean + (1 - keep) * s.y[i];
      s.weight = keep * s.weight + (1 - keep);
    }
    s.smooth[i] = s.weight ? s.mean / s.weight : NaN;
  }
}

function take(s, chunk) {
  const x = floats(chunk.steps), y = floats(chunk.values), from = s.n;
  s.x = grow(s.x, s.n + x.length);
  s.y = grow(s.y, s.n + x.length);
  s.x.set(x, s.n);
  s.y.set(y, s.n);
  s.n += x.length;
  s.cursor = chunk.cursor;
  smooth(s, from);
}

function listed(trial) {
  let s = series.get(trial.id);
  if (!s) {
    s = { n: 0, cursor: 0, marksCursor: 0, marks: [], chosen: null, mean: 0, weight: 0,
      x: new Float32Array(0), y: new Float32Array(0), smooth: new Float32Array(0), colour: GREY, shown: false };
    series.set(trial.id, s);
  }
  Object.assign(s, { id: trial.id, label: trial.label });
  show(s, s.chosen ?? trial.show);
  return s;
}

function label() {
  legend.replaceChildren(...[...series.values()].reverse().map((s) => {
    const button = document.createElement("button"), dot = document.createElement("i");
    dot.style.background = s.colour;
    button.append(dot, `${s.id} · ${s.label}`);
    button.classList.toggle("off", !s.shown);
    button.setAttribute("aria-pressed", String(s.shown));
    button.addEventListener("click", () => { s.chosen = !s.shown; show(s, s.chosen); label(); soil(); });
    return button;
  }));
}

function reset() {
  session = wanted().session || "";
  series = new Map();
  generation += 1;
  legend.replaceChildren();
  soil();
}

async function ask() {
  clearTimeout(again);
  if (!element.isConnected || element.offsetParent === null || !session) return;
  missed = asking;
  if (asking) return;
  asking = true;
  const mine = generation;
  try {
    const cursors = Object.fromEntries([...series.values()].map((s) => [s.id, [s.cursor, s.marksCursor]]));
    const answer = await server.curves({ session, only: wanted().only || null, cursors });
    if (mine !== generation) return;
    const before = JSON.stringify([...series.values()].map((s) => [s.id, s.shown]));
    for (const trial of answer.trials) {
      const s = listed(trial);
      if (trial.train) take(s, trial.train);
      if (trial.marks) {
        const x = floats(trial.marks.steps), y = floats(trial.marks.values);
        x.forEach((step, i) => s.marks.push([step, y[i]]));
        s.marksCursor = trial.marks.cursor;
      }
      if (trial.train || trial.marks) soil();
    }
    if (before !== JSON.stringify([...series.values()].map((s) => [s.id, s.shown]))) { label(); soil(); }
    note.textContent = "";
  } catch (error) {
    note.textContent = "bracket does not answer; trying again.";
    again = setTimeout(ask, 4000);
  } finally {
    asking = false;
    if (missed) ask();
  }
}

// Of finite values only; on a log axis only of those above 0.
function range(shown) {
  let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
  const meet = (x, y) => {
    if (!Number.isFinite(y) || (logBox.checked && y <= 0)) return;
    x0 = Math.min(x0, x); x1 = Math.max(x1, x); y0 = Math.min(y0, y); y1 = Math.max(y1, y);
  };
  for (const s of shown) {
    for (let i = 0; i < s.n; i++) meet(s.x[i], s.y[i]);
    for (const [x, y] of s.marks) meet(x, y);
  }
  if (!Number.isFinite(x0)) return null;
  if (y0 === y1) { y0 *= 0.9; y1 = y1 * 1.1 || 1; }
  return { x0, x1: Math.max(x1, x0 + 1), y0, y1 };
}

function ticks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw), found = [];
  for (let t = Math.ceil(low / step) * step; t <= high + step * 1e-6; t += step) found.push(t);
  return found;
}

function logTicks(low, high) {
  const found = [];
  for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p++)
    for (const m of [1, 2, 5]) if (m * 10 ** p >= low && m * 10 ** p <= high) found.push(m * 10 ** p);
  return found.length > 1 ? found : ticks(low, high, 4);
}

const say = (v) => (v !== 0 && (Math.abs(v) < 1e-3 || Math.abs(v) >= 1e6) ? v.toExponential(1) : String(+v.toPrecision(4)));

function scales(r, width, height) {
  const f = logBox.checked ? Math.log : (v) => v, low = f(r.y0), high = f(r.y1);
  return {
    x: (v) => PAD.left + ((v - r.x0) / (r.x1 - r.x0)) * (width - PAD.left - PAD.right),
    y: (v) => height - PAD.bottom - ((f(v) - low) / (high - low)) * (height - PAD.top - PAD.bottom),
    step: (px) => r.x0 + ((px - PAD.left) / (width - PAD.left - PAD.right)) * (r.x1 - r.x0),
  };
}

function axes(r, at, width, height) {
  const style = getComputedStyle(element);
  context.font = `11px ${style.fontFamily}`;
  context.lineWidth = 1;
  context.strokeStyle = style.getPropertyValue("--line");
  context.fillStyle = style.getPropertyValue("--quiet");
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const t of logBox.checked ? logTicks(r.y0, r.y1) : ticks(r.y0, r.y1, 5)) {
    const y = Math.round(at.y(t)) + 0.5;
    context.beginPath(); context.moveTo(PAD.left, y); context.lineTo(width - PAD.right, y); context.stroke();
    context.fillText(say(t), PAD.left - 6, y);
  }
  context.textBaseline = "top";
  for (const t of ticks(r.x0, r.x1, 8)) {
    context.textAlign = at.x(t) > width - 40 ? "right" : "center";
    context.fillText(say(t), at.x(t), height - PAD.bottom + 6);
  }
}

// One stroke a pixel column where points are denser than pixels: from the column's lowest to its highest value.
function line(s, values, at, alpha, thick) {
  context.globalAlpha = alpha;
  context.lineWidth = thick;
  context.strokeStyle = s.colour;
  context.beginPath();
  let column = NaN, low = 0, high = 0, down = true;
  const flush = () => { if (!Number.isNaN(column) && high > low) { context.moveTo(column, low); context.lineTo(column, high); } };
  for (let i = 0; i < s.n; i++) {
    const v = values[i];
    if (!Number.isFinite(v) || (logBox.checked && v <= 0)) { down = true; continue; }
    const x = at.x(s.x[i]), y = at.y(v);
    if (Math.round(x) === column && !down) { low = Math.min(low, y); high = Math.max(high, y); continue; }
    flush();
    if (down) context.moveTo(x, y); else context.lineTo(x, y);
    column = Math.round(x); low = high = y; down = false;
    context.moveTo(x, y);
  }
  flush();
  context.stroke();
  context.globalAlpha = 1;
}

function marks(s, at) {
  context.fillStyle = s.colour;
  for (const [x, y] of s.marks) {
    if (!Number.isFinite(y) || (logBox.checked && y <= 0)) continue;
    context.beginPath(); context.arc(at.x(x), at.y(y), 3.5, 0, 7); context.fill();
  }
}

function nearest(s, step) {
  let low = 0, high = s.n - 1;
  while (low < high) { const mid = (low + high) >> 1; if (s.x[mid] < step) low = mid + 1; else high = mid; }
  return low > 0 && step - s.x[low - 1] < s.x[low] - step ? low - 1 : low;
}

function point(shown, at, height) {
  tip.hidden = true;
  if (pointer === null || pointer < PAD.left) return;
  const step = at.step(pointer), lines = [];
  for (const s of shown) if (s.n) { const i = nearest(s, step); lines.push([s, s.x[i], s.smooth[i]]); }
  if (!lines.length) return;
  context.strokeStyle = getComputedStyle(element).getPropertyValue("--quiet");
  context.beginPath(); context.moveTo(pointer, PAD.top); context.lineTo(pointer, height - PAD.bottom); context.stroke();
  lines.sort((a, b) => a[2] - b[2]);
  tip.replaceChildren(`step ${Math.round(step)}`, ...lines.slice(0, 12).map(([s, , v]) => {
    const row = document.createElement("div"), dot = document.createElement("i");
    dot.style.background = s.colour;
    row.append(dot, `${say(v)}  ${s.label}`);
    return row;
  }));
  tip.hidden = false;
  tip.style.left = `${Math.min(pointer + 12, canvas.clientWidth - tip.offsetWidth - 4)}px`;
}

function draw() {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = width * ratio; canvas.height = height * ratio;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const shown = visible(), r = range(shown);
  find(".nothing").hidden = Boolean(r);
  if (!r) return;
  const at = scales(r, width, height);
  axes(r, at, width, height);
  for (const s of shown) line(s, s.y, at, 0.22, 1);
  for (const s of shown) line(s, s.smooth, at, 1, 1.8);
  for (const s of shown) marks(s, at);
  point(shown, at, height);
}

function sparks() {
  for (const small of document.querySelectorAll("canvas[data-spark]")) {
    const s = series.get(small.dataset.spark);
    if (!s || s.n < 2 || small.offsetParent === null || (small.points === s.n && small.of === s)) continue;
    small.points = s.n; small.of = s;
    const pen = small.getContext("2d"), { width, height } = small;
    let low = Infinity, high = -Infinity;
    for (let i = 0; i < s.n; i++) if (Number.isFinite(s.smooth[i])) { low = Math.min(low, s.smooth[i]); high = Math.max(high, s.smooth[i]); }
    pen.clearRect(0, 0, width, height);
    pen.strokeStyle = s.colour; pen.lineWidth = 2; pen.beginPath();
    for (let i = 0; i < s.n; i++) pen.lineTo((i / (s.n - 1)) * width, height - 2 - ((s.smooth[i] - low) / (high - low || 1)) * (height - 4));
    pen.stroke();
  }
}

function frame() {
  drawing = false;
  if (!element.isConnected || element.offsetParent === null) return;
  if (dirty) { dirty = false; draw(); }
  if (element.querySelector("[data-sparks]")) sparks();
}

slider.addEventListener("input", () => {
  find("output").textContent = (Number(slider.value) / 1000).toFixed(2);
  for (const s of series.values()) smooth(s);
  soil();
});
logBox.addEventListener("change", soil);
canvas.addEventListener("mousemove", (event) => { pointer = event.offsetX; soil(); });
canvas.addEventListener("mouseleave", () => { pointer = null; soil(); });
window.addEventListener("bracket-theme", soil);
window.addEventListener("bracket-drawn", soil);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", soil);
// Also when its tab is opened: it then gets a width, and what came meanwhile.
new ResizeObserver(() => { soil(); ask(); }).observe(find(".plot"));
window.addEventListener("bracket-moved", ask);
function follow() {
  const now = wanted();
  if (now.session !== session || (now.only && JSON.stringify(now.only) !== JSON.stringify(element.only))) reset();
  element.only = now.only;
  ask();
}
watch("value", follow);
element.addEventListener("bracket-curves", (event) => {
  told = event.detail;
  follow();
});
element.only = wanted().only;
reset();
ask();
