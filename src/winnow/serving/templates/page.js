"use strict";
const facts = JSON.parse(document.getElementById("facts").textContent);
const fields = facts.fields;
const byId = (id) => document.getElementById(id);
const input = (i) => byId("field-" + i) || byId("canvas");
const holder = (i) => document.querySelector(`.field[data-index="${i}"]`);

/* ---- values: from the form, and into it ---- */

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

function read(i) { // undefined: left out, so that the server says what is missing
  const field = fields[i], control = input(i);
  if (field.kind === "boolean") {
    if (control.type === "checkbox") return control.checked;
    return { yes: true, no: false, missing: null }[control.value];
  }
  if (field.kind === "category") {
    if (control.value === "missing") return null;
    return control.value === "other" ? byId(`field-${i}-other`).value : field.categories[Number(control.value)];
  }
  if (field.kind === "array" && drawing) return drawing.nested();
  const text = control.value.trim();
  if (field.kind === "array") { try { return JSON.parse(text); } catch { return text; } }
  if (field.format === "date" && text !== "") return text;
  if (text === "") return field.missing_allowed ? null : undefined;
  return NUMBER.test(text) && Number.isFinite(Number(text)) ? Number(text) : text; // a wrong text goes out as it is
}

function readRow() {
  const row = Object.create(null); // a column may be called anything, also __proto__
  fields.forEach((field, i) => { const value = read(i); if (value !== undefined) row[field.name] = value; });
  return row;
}

function write(i, value) {
  const field = fields[i], control = input(i);
  const missing = value === null || value === undefined;
  if (field.kind === "number") control.value = missing ? "" : String(value);
  else if (field.kind === "array" && drawing) drawing.load(value);
  else if (field.kind === "array") control.value = JSON.stringify(value);
  else if (control.type === "checkbox") control.checked = Boolean(value);
  else if (field.kind === "boolean") control.value = missing ? "missing" : value ? "yes" : "no";
  else {
    const place = field.categories.indexOf(value);
    const other = place < 0 && !(missing && field.had_gaps);
    control.value = place >= 0 ? String(place) : other ? "other" : "missing";
    byId(`field-${i}-other`).value = other && !missing ? String(value) : "";
  }
  follow(i);
}

function follow(i) { // what depends on one field's value
  const field = fields[i];
  if (field.kind === "category") {
    byId(`field-${i}-other`).hidden = input(i).value !== "other";
    mark(i, input(i).value === "other" ? "not among the values that training knew" : "");
  }
  if (field.kind === "number") {
    const value = read(i); // dates compare as texts do
    const known = value !== null && typeof value === typeof field.minimum && typeof value === typeof field.maximum;
    const outside = known && (value < field.minimum || value > field.maximum);
    mark(i, outside ? "outside what training saw" : "");
  }
}

function mark(i, message) { // an amber field: the model answers, but nothing shows how well
  const line = byId(`field-${i}-unusual`);
  if (!line) return; // a drawing
  line.textContent = message;
  line.hidden = message === "";
  holder(i).classList.toggle("amber", message !== "");
}

function fill(row) {
  fields.forEach((field, i) => write(i, row[field.name]));
  changed();
}

/* ---- one redraw for many changes ---- */

let waiting = false, answered = false;
function changed() {
  if (answered) { byId("stale").hidden = false; byId("result").classList.add("old"); }
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; showCode(); if (drawing) drawing.paint(); });
}

/* ---- client code ---- */

const python = (value) => {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "object") return "{" + Object.entries(value).map(([k, v]) => JSON.stringify(k) + ": " + python(v)).join(", ") + "}";
  return JSON.stringify(value);
};

function showCode() {
  const row = readRow(), url = new URL("predict", location.href).href;
  const body = JSON.stringify({ rows: [row] }).replaceAll("'", "'\\''");
  byId("curl").textContent = `curl -s ${url} -H 'Content-Type: application/json' \\\n  -d '${body}'`;
  byId("python").textContent = `import json, urllib.request as http; row = ${python(row)}\n` +
    `print(json.load(http.urlopen(http.Request("${url}", json.dumps({"rows": [row]}).encode(), {"Content-Type": "application/json"}))))`;
}

document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", async () => {
  const block = byId(button.dataset.copy);
  try { await navigator.clipboard.writeText(block.textContent); button.textContent = "Copied"; }
  catch { getSelection().selectAllChildren(block); button.textContent = "Selected"; } // no clipboard without https
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}));

/* ---- asking and showing ---- */

function clearErrors() {
  document.querySelectorAll(".field .error").forEach((e) => { e.hidden = true; e.textContent = ""; });
  document.querySelectorAll("[aria-invalid]").forEach((e) => e.removeAttribute("aria-invalid"));
  byId("alert").hidden = true;
}

function alertWith(text) { byId("alert").textContent = text; byId("alert").hidden = false; byId("empty").hidden = true; }

function showErrors(error) {
  const places = new Map(fields.map((field, i) => [field.name, i]));
  let first = null;
  const rest = [];
  for (const problem of error.problems) {
    const i = problem.field === null ? undefined : places.get(problem.field);
    if (i === undefined) { rest.push(problem.message); continue; }
    const line = byId(`field-${i}-error`);
    const other = byId(`field-${i}-other`);
    const control = other && !other.hidden ? other : input(i);
    line.textContent = problem.message;
    line.hidden = false;
    control.setAttribute("aria-invalid", "true");
    first = first || control;
  }
  if (first) {
    const folded = first.closest("details");
    if (folded) folded.open = true;
    first.focus();
    const n = error.problems.length - rest.length;
    alertWith(n === 1 ? "One field needs another value." : `${n} fields need another value.`);
  } else alertWith(rest[0] || error.message);
}

function showWarnings(warnings) {
  const places = new Map(fields.map((field, i) => [field.name, i]));
  fields.forEach((_, i) => follow(i));
  for (const { field, message } of warnings) if (places.has(field)) mark(places.get(field), message);
  const n = warnings.length, values = n === 1 ? "One value is" : `${n} values are`;
  byId("caution").textContent = `${values} unlike any in the training rows: nothing shows how good this answer is.`;
  byId("caution").hidden = n === 0;
}

const percent = (p) => p > 0.999 ? "> 99.9 %" : p < 0.001 ? "< 0.1 %" : (100 * p).toFixed(1) + " %";

function showAnswer(answer, milliseconds) {
  const value = answer.predictions[0], shares = answer.probabilities && answer.probabilities[0];
  const text = typeof value === "number" && !shares ? value.toLocaleString("en", { maximumSignificantDigits: 5 }) : String(value);
  byId("label").textContent = text;
  byId("label").parentElement.classList.toggle("long", text.length > 14);
  byId("unit").textContent = shares ? "" : facts.unit;
  byId("sure").textContent = shares ? `${percent(shares[String(value)] ?? Math.max(...Object.values(shares)))} probability` : facts.target && `predicted ${facts.target}`;
  byId("sure").hidden = !byId("sure").textContent;
  showBars(shares || {});
  showWarnings(answer.warnings[0]);
  byId("took").textContent = `answered in ${Math.max(1, Math.round(milliseconds))} ms`;
  byId("empty").hidden = true;
  byId("answer").hidden = false;
}

const AT_ONCE = 10;
function showBars(shares) {
  const sorted = Object.entries(shares).sort((a, b) => b[1] - a[1]);
  const bars = sorted.map(([name, share], place) => {
    const bar = document.createElement("div");
    bar.className = place === 0 ? "bar best" : "bar";
    bar.setAttribute("role", "listitem");
    bar.innerHTML = '<span class="name"></span><span class="track" aria-hidden="true"><span class="filled"></span></span><span class="share"></span>';
    bar.querySelector(".name").textContent = name;
    bar.querySelector(".share").textContent = percent(share);
    bar.querySelector(".filled").style.width = `${Math.max(100 * share, 0.6)}%`;
    bar.hidden = place >= AT_ONCE;
    return bar;
  });
  byId("bars").replaceChildren(...bars);
  byId("bars").classList.toggle("wide", sorted.some(([name]) => name.length > 9));
  byId("more").hidden = sorted.length <= AT_ONCE;
  byId("more").textContent = `Show the other ${sorted.length - AT_ONCE}`;
}

byId("more").addEventListener("click", () => {
  document.querySelectorAll(".bar").forEach((bar) => { bar.hidden = false; });
  byId("more").hidden = true;
});

// After the first prediction a drawing is predicted again with every stroke.
function again() { if (answered) byId("form").requestSubmit(); }

byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = byId("predict");
  if (button.disabled) return;
  button.disabled = true;
  clearErrors();
  try {
    const started = performance.now();
    const reply = await fetch("predict", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ rows: [readRow()] }),
    });
    const content = await reply.json();
    if (reply.ok) {
      showAnswer(content, performance.now() - started);
      answered = true;
      byId("stale").hidden = true;
      byId("result").classList.remove("old");
    } else {
      showErrors(content.error);
      if (answered) byId("result").classList.add("old");
    }
  } catch {
    alertWith("The server does not answer. Is it still running?");
  } finally {
    button.disabled = false;
  }
  if (event.submitter && byId("alert").hidden && byId("result").getBoundingClientRect().top > innerHeight - 160) {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    byId("result").scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
  }
});

function edited(event) {
  const box = event.target.closest(".field");
  if (!box || (event.type === "change" && event.target.type === "text")) return; // a text's change comes late, on leaving it
  const i = Number(box.dataset.index);
  follow(i);
  byId(`field-${i}-error`).hidden = true;
  box.querySelectorAll("[aria-invalid]").forEach((e) => e.removeAttribute("aria-invalid"));
  changed();
}
for (const kind of ["input", "change"]) byId("form").addEventListener(kind, edited); // a choice may give only the second

/* ---- drawing an image ---- */

class Drawing {
  constructor({ height, width, low, high, cells }) {
    Object.assign(this, { height, width, low, high, cells });
    this.pixels = new Array(height * width).fill(low); // of an array; columns keep their values in the form
    this.canvas = byId("canvas");
    this.cell = Math.max(8, Math.floor(512 / Math.max(height, width)));
    this.canvas.width = width * this.cell;
    this.canvas.height = height * this.cell;
    this.canvas.style.setProperty("--ratio", `${width} / ${height}`);
    this.radius = 0.45 + 0.03 * Math.max(height, width); // in cells
    this.cursor = { x: Math.floor(width / 2), y: Math.floor(height / 2) };
    this.last = null;
    this.canvas.addEventListener("pointerdown", (e) => { this.canvas.setPointerCapture(e.pointerId); this.last = this.place(e); this.stroke(this.last); });
    this.canvas.addEventListener("pointermove", (e) => { if (this.last) this.stroke(this.place(e)); });
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, () => { if (this.last) again(); this.last = null; });
    this.canvas.addEventListener("keydown", (e) => this.key(e));
    for (const seen of ["focus", "blur"]) this.canvas.addEventListener(seen, () => this.paint());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
  }
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width * this.width, y: (event.clientY - box.top) / box.height * this.height };
  }
  stroke(to) {
    const from = this.last, steps = Math.max(1, Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) / 0.25));
    for (let s = 1; s <= steps; s++) this.stamp(from.x + (to.x - from.x) * s / steps, from.y + (to.y - from.y) * s / steps);
    this.last = to;
    changed();
  }
  stamp(x, y) { // a soft round brush: full inside the radius, fading over one cell
    const erase = document.querySelector("[name=brush]:checked").value === "erase", reach = Math.ceil(this.radius + 1);
    for (let r = Math.max(0, Math.floor(y) - reach); r <= Math.min(this.height - 1, Math.floor(y) + reach); r++)
      for (let c = Math.max(0, Math.floor(x) - reach); c <= Math.min(this.width - 1, Math.floor(x) + reach); c++) {
        const share = Math.min(1, Math.max(0, this.radius + 0.5 - Math.hypot(c + 0.5 - x, r + 0.5 - y)));
        if (share === 0) continue;
        const now = this.value(r, c), ink = this.low + share * (this.high - this.low);
        this.set(r, c, erase ? Math.min(now, this.low + this.high - ink) : Math.max(now, ink));
      }
  }
  value(r, c) {
    const place = r * this.width + c;
    if (!this.cells.length) return this.pixels[place];
    const value = this.cells[place] < 0 ? this.low : read(this.cells[place]);
    return typeof value === "number" ? value : this.low;
  }
  set(r, c, value) {
    const place = r * this.width + c, short = Number(value.toFixed(this.high - this.low > 2 ? 1 : 3));
    if (!this.cells.length) this.pixels[place] = short;
    else if (this.cells[place] >= 0) write(this.cells[place], short);
  }
  clear() {
    for (let r = 0; r < this.height; r++) for (let c = 0; c < this.width; c++) this.set(r, c, this.low);
    changed();
  }
  nested() { // (1, H, W)
    return [Array.from({ length: this.height }, (_, r) => this.pixels.slice(r * this.width, (r + 1) * this.width))];
  }
  load(value) { this.pixels = value.flat(2); }
  key(event) {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (move) {
      this.cursor.x = Math.min(this.width - 1, Math.max(0, this.cursor.x + move[0]));
      this.cursor.y = Math.min(this.height - 1, Math.max(0, this.cursor.y + move[1]));
      this.paint();
    } else if (event.key === " ") {
      this.stamp(this.cursor.x + 0.5, this.cursor.y + 0.5);
      changed();
      again();
    } else return;
    event.preventDefault();
  }
  shade(canvas, n, value, style) {
    const pen = canvas.getContext("2d");
    pen.fillStyle = style.getPropertyValue("--field");
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.fillStyle = style.getPropertyValue("--ink");
    for (let r = 0; r < this.height; r++) for (let c = 0; c < this.width; c++) {
      pen.globalAlpha = Math.min(1, Math.max(0, (value(r, c) - this.low) / (this.high - this.low)));
      pen.fillRect(c * n, r * n, n, n);
    }
    pen.globalAlpha = 1;
    return pen;
  }
  paint() {
    const style = getComputedStyle(document.documentElement), n = this.cell;
    const pen = this.shade(this.canvas, n, (r, c) => this.value(r, c), style);
    if (n > 30) { // cells are large enough for a grid
      pen.fillStyle = style.getPropertyValue("--line");
      for (let c = 1; c < this.width; c++) pen.fillRect(c * n, 0, 1, this.canvas.height);
      for (let r = 1; r < this.height; r++) pen.fillRect(0, r * n, this.canvas.width, 1);
    }
    if (document.activeElement === this.canvas && this.canvas.matches(":focus-visible")) {
      pen.strokeStyle = style.getPropertyValue("--accent");
      pen.lineWidth = 4;
      pen.strokeRect(this.cursor.x * n + 2, this.cursor.y * n + 2, n - 4, n - 4);
    }
  }
  thumbnail(row) { // an example's picture for its button
    const small = document.createElement("canvas");
    small.width = this.width;
    small.height = this.height;
    const pixels = this.cells.length ? this.cells.map((i) => i < 0 ? this.low : row[fields[i].name]) : row[fields[0].name].flat(2);
    const paint = () => this.shade(small, 1, (r, c) => pixels[r * this.width + c], getComputedStyle(document.documentElement));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
    paint();
    return small;
  }
}

const drawing = facts.image ? new Drawing(facts.image) : null;

/* ---- starting ---- */

function fillerFor(row, place) {
  const button = document.createElement("button"), several = facts.examples.length > 1;
  button.type = "button";
  button.dataset.fill = "example";
  button.className = drawing && several ? "thumbnail" : "quiet";
  const words = several ? `Example ${place + 1}` : "Load an example";
  if (drawing && several) { button.append(drawing.thumbnail(row)); button.ariaLabel = words; }
  else button.textContent = words;
  button.addEventListener("click", () => { clearErrors(); fill(row); if (drawing) again(); });
  return button;
}

const typical = Object.fromEntries(fields.map((field) => [field.name, field.typical]));
const ordinary = document.querySelector("[data-fill=typical]");
ordinary.addEventListener("click", () => { clearErrors(); fill(typical); });
const fillers = facts.examples.map(fillerFor);
if (drawing) {
  ordinary.remove(); // the middle of all images says nothing
  byId("clear").addEventListener("click", () => drawing.clear());
  byId("thumbnails").hidden = fillers.length < 2;
}
byId(drawing && fillers.length > 1 ? "thumbnails" : "fillers").append(...fillers);
fill(drawing ? facts.examples[0] : typical);
