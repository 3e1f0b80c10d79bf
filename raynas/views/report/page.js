"use strict";
// Draws the figures of the report. All data is in the page: nothing is loaded.

const byId = (id) => document.getElementById(id);

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(byId(id).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return await new Response(stream).text();
}

const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };

async function draw(name, figure) {
  const narrow = window.innerWidth < 560;
  if (narrow) figure.layout.dragmode = false; // a finger scrolls the page
  await Plotly.newPlot(byId(`chart-${name}`), figure.data, figure.layout, { ...CONFIG, displayModeBar: narrow ? false : "hover" });
}

// Indices of the candidates that no other beats in both metrics, in ascending order of the first.
function front(data, x, y) {
  const sx = x.maximise ? 1 : -1, sy = y.maximise ? 1 : -1;
  const known = data.ids.map((_, i) => i).filter((i) => data.candidate[i] && x.values[i] !== null && y.values[i] !== null);
  known.sort((a, b) => sx * (x.values[b] - x.values[a]) || sy * (y.values[b] - y.values[a]));
  let best = -Infinity;
  const found = known.filter((i) => {
    const value = sy * y.values[i];
    if (value <= best) return false;
    best = value;
    return true;
  });
  return sx > 0 ? found.reverse() : found;
}

function redraw(figure, data, x, y, log) {
  const row = new Map(data.ids.map(([source, number], i) => [`${number} ${source}`, i]));
  const at = (metric) => ([source, number]) => metric.values[row.get(`${number} ${source}`)];
  const isFirst = x === figure.x && y === figure.y;
  const traces = figure.traces.map((trace) => {
    if (trace.meta === "points") {
      const hovertemplate = `%{text}<br>${x.label} %{x}<br>${y.label} %{y}<extra></extra>`;
      return { ...trace, x: trace.customdata.map(at(x)), y: trace.customdata.map(at(y)), hovertemplate };
    }
    if (trace.meta === "front") {
      const members = front(data, x, y);
      const line = { ...trace.line, shape: x.maximise ? "vh" : "hv" };
      return { ...trace, line, x: members.map((i) => x.values[i]), y: members.map((i) => y.values[i]) };
    }
    if (trace.meta === "baseline") return { ...trace, x: [x.baseline], y: [y.baseline] };
    return { ...trace, visible: isFirst }; // earlier fronts belong to the first pair of axes
  });
  const lines = [["x", x], ["y", y]].flatMap(([axis, metric]) => metric.limits.map((limit) => [axis, limit]));
  const other = { x: "y", y: "x" };
  const shapes = lines.map(([axis, limit]) => ({
    type: "line", line: limit.line, [`${axis}0`]: limit.value, [`${axis}1`]: limit.value,
    [`${other[axis]}0`]: 0, [`${other[axis]}1`]: 1, [`${other[axis]}ref`]: `${other[axis]} domain`,
  }));
  const annotations = lines.map(([axis, limit]) => ({
    ...limit.note,
    [axis]: axis === "x" && log ? Math.log10(limit.value) : limit.value,
    [other[axis]]: 1, [`${other[axis]}ref`]: `${other[axis]} domain`, xanchor: axis === "x" ? "left" : "right", yanchor: axis === "x" ? "top" : "bottom",
  }));
  const axis = (old, metric, type) => ({ ...old, type, autorange: true, title: { ...old.title, text: metric.label } });
  const layout = {
    ...figure.layout, shapes, annotations,
    xaxis: axis(figure.layout.xaxis, x, log ? "log" : "linear"), yaxis: axis(figure.layout.yaxis, y, "linear"),
  };
  Plotly.react(byId("chart-front"), traces, layout);
}

function chooseAxes(figure, data) {
  const selects = [byId("x"), byId("y")];
  for (const select of selects)
    for (const [i, metric] of data.metrics.entries()) select.add(new Option(metric.name, i));
  selects[0].value = Math.min(1, data.metrics.length - 1);
  selects[1].value = 0;
  byId("log").checked = figure.layout.xaxis.type === "log";
  const first = { traces: figure.data, layout: figure.layout, x: data.metrics[selects[0].value], y: data.metrics[0] };
  const update = () => redraw(first, data, data.metrics[selects[0].value], data.metrics[selects[1].value], byId("log").checked);
  for (const control of [...selects, byId("log")]) control.addEventListener("change", update);
  byId("csv").addEventListener("click", () => save(csv(data), "trials.csv"));
  update();
}

// A spreadsheet would run a text that begins like a formula.
const cell = (value) => {
  if (value === null || value === undefined) return "";
  if (typeof value !== "string") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

function csv(data) {
  const valueOf = (column, i) => (column.codes ? column.options[column.codes[i]] : column.values[i]);
  const columns = [...data.columns, ...data.metrics];
  const rows = data.ids.map((_, i) => columns.map((column) => cell(valueOf(column, i))).join(","));
  return [columns.map((column) => cell(column.name)).join(","), ...rows].join("\r\n") + "\r\n";
}

function save(text, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
}

async function main() {
  const charts = JSON.parse(await unpacked("data"));
  (0, eval)(await unpacked("plotly"));
  for (const [name, { figure, data }] of Object.entries(charts)) {
    const folded = byId(`chart-${name}`).closest("details");
    if (folded) folded.addEventListener("toggle", () => folded.open && draw(name, figure), { once: true });
    else await draw(name, figure);
    if (data) chooseAxes(figure, data);
  }
  document.body.dataset.drawn = "yes";
}

main().catch((error) => {
  const trouble = byId("trouble");
  trouble.hidden = false;
  trouble.textContent = `The figures cannot be drawn here (${error.message}); the tables are complete. Browsers since 2023 can.`;
});
