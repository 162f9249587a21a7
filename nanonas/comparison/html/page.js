"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const PAGE = 50, REACH = 30;  // rows shown at a time; units of the drawing within which a dot is pointed at
  const [RUN, TRIAL, SCORE, PARAMS, MACS, FIDELITY, SECONDS, GENOTYPE, ERROR] = [0, 1, 2, 3, 4, 5, 6, 7, 8];

  const element = (tag, properties, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const count = (value) => {
    for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["K", 1e3]])
      if (value >= 0.9995 * size) return `${(value / size).toPrecision(3)} ${unit}`;
    return String(Math.round(value));
  };
  const three = (value) => value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
  const duration = (seconds) =>
    seconds < 120 ? `${three(seconds)} s` : seconds < 7200 ? `${three(seconds / 60)} min` : `${three(seconds / 3600)} h`;
  const score = (value) => data.percent ? `${(100 * value).toFixed(2)} %` : String(+value.toPrecision(5));
  const missing = (value, write) => value === null ? "–" : write(value);

  // ---- copying

  const copied = async (text, button) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {  // no permission: the old way
      const field = element("textarea", {value: text});
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    button.dataset.label ??= button.textContent;
    button.textContent = "copied";
    setTimeout(() => { button.textContent = button.dataset.label; }, 1200);
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-copy]");
    if (button) copied(document.getElementById(button.dataset.copy).textContent, button);
  });

  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((part) => { part.open = true; });
  });

  // ---- the dots

  const plot = document.querySelector("svg.pointed");
  if (plot) {
    const place = Object.fromEntries(Object.entries(plot.dataset).map(([name, value]) => [name, Number(value)]));
    const dots = data.dots.map((i) => {
      const row = data.trials[i];
      return {
        row,
        x: place.x0 + (row[PARAMS] - place.left) / (place.right - place.left) * (place.x1 - place.x0),
        y: place.y0 + (row[SCORE] - place.bottom) / (place.top - place.bottom) * (place.y1 - place.y0),
      };
    });
    const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    ring.setAttribute("class", "ring");
    ring.setAttribute("r", 9);
    ring.setAttribute("pointer-events", "none");
    const line = document.getElementById("chosen-line"), genotype = document.getElementById("chosen-genotype");
    let kept = null;
    const show = (dot) => {
      if (!dot) return;
      const [run, trial, value, params] = dot.row;
      const named = data.runs.length > 1 ? `${data.runs[run]}, ` : "";
      line.textContent = `${named}trial ${trial} · ${score(value)} · ${count(params)} parameters`;
      genotype.textContent = dot.row[GENOTYPE];
      ring.setAttribute("cx", dot.x);
      ring.setAttribute("cy", dot.y);
      plot.append(ring);
    };
    const keep = (dot) => { kept = dot || kept; show(kept); };
    const nearest = (event) => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(plot.getScreenCTM().inverse());
      let best = null, least = REACH * REACH;
      for (const dot of dots) {
        const distance = (dot.x - at.x) ** 2 + (dot.y - at.y) ** 2;
        if (distance < least) [best, least] = [dot, distance];
      }
      return best;
    };
    const focused = (event) => {
      const {run, trial} = event.target.dataset;
      if (trial !== undefined) keep(dots.find(({row}) => row[RUN] === Number(run) && row[TRIAL] === Number(trial)));
    };
    plot.addEventListener("pointermove", (event) => show(nearest(event) || kept));
    plot.addEventListener("pointerleave", () => show(kept));
    plot.addEventListener("click", (event) => keep(nearest(event)));
    plot.addEventListener("focusin", focused);
    keep(dots.find(({row}) => row[GENOTYPE] === genotype.textContent) || dots[0]);
  }

  // ---- the table

  const scripted = () => document.querySelectorAll("[hidden].script").forEach((part) => { part.hidden = false; });
  const table = document.querySelector(".trials");
  if (!table) return scripted();
  const body = table.tBodies[0], more = document.getElementById("more"), told = document.getElementById("shown");
  const filter = document.getElementById("filter");
  const columns = new Set([...table.querySelectorAll("th")].map((heading) => Number(heading.dataset.column)));
  let rows = data.trials, shown = PAGE;
  const text = data.trials.map((row) =>
    `${data.runs[row[RUN]]} ${row[TRIAL]} ${row[GENOTYPE]} ${data.fidelities[row[FIDELITY]]} ${row[ERROR] || "ok"}`.toLowerCase());
  const index = new Map(data.trials.map((row, i) => [row, i]));

  const drawn = (row) => {
    const button = element("button", {type: "button", className: "copy", textContent: "copy"});
    button.setAttribute("aria-label", `copy the genotype of trial ${row[TRIAL]}`);
    button.addEventListener("click", () => copied(row[GENOTYPE], button));
    const cells = [
      [RUN, data.runs[row[RUN]], ""],
      [TRIAL, row[TRIAL], "number"],
      [SCORE, row[ERROR] === null ? missing(row[SCORE], score) : "failed", "number"],
      [PARAMS, missing(row[PARAMS], count), "number"],
      [MACS, missing(row[MACS], count), "number"],
      [FIDELITY, data.fidelities[row[FIDELITY]], ""],
      [SECONDS, duration(row[SECONDS]), "number"],
    ].filter(([column]) => columns.has(column));
    const last = element("td", {className: "genotype"}, element("code", {textContent: row[GENOTYPE]}), button);
    if (row[ERROR] !== null) last.append(element("div", {className: "note", textContent: row[ERROR]}));
    return element("tr", {}, ...cells.map(([, content, className]) => element("td", {textContent: content, className})), last);
  };
  const render = () => {
    body.replaceChildren(...rows.slice(0, shown).map(drawn));
    told.textContent = `${Math.min(shown, rows.length).toLocaleString("en")} of ${rows.length.toLocaleString("en")} shown`;
    more.hidden = shown >= rows.length;
  };
  const update = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const heading = table.querySelector("th[aria-sort]");
    const column = Number(heading.dataset.column), sign = heading.getAttribute("aria-sort") === "ascending" ? 1 : -1;
    const best = heading.dataset.first === "descending" ? -1 : 1;  // by score is as data.trials are: fidelity first
    const key = column === FIDELITY ? (row) => data.fidelities[row[column]]
      : column === SCORE ? (row) => row[SCORE] === null ? null : best * index.get(row) : (row) => row[column];
    rows = data.trials.filter((row) => words.every((word) => text[index.get(row)].includes(word)));
    rows.sort((first, second) => {
      const [a, b] = [key(first), key(second)];
      if (a === null || b === null) return (a === null) - (b === null);  // what is missing comes last either way
      return sign * (typeof a === "string" ? a.localeCompare(b) : a - b);
    });
    shown = PAGE;
    render();
  };
  table.tHead.addEventListener("click", (event) => {
    const heading = event.target.closest("th[data-column]");
    if (!heading) return;
    const before = heading.getAttribute("aria-sort");
    table.querySelector("th[aria-sort]").removeAttribute("aria-sort");
    const first = heading.dataset.first;
    const other = first === "ascending" ? "descending" : "ascending";
    heading.setAttribute("aria-sort", before === first ? other : first);
    update();
  });
  filter.addEventListener("input", update);
  more.addEventListener("click", () => { shown += PAGE; render(); });
  scripted();
  update();
})();
