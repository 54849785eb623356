"use strict";

// A cell's value: what it carries as data-value, else its text. Numbers sort as numbers; cells without one come last.
function valueOf(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim();
  if (text === "" || text === "\u2013") return null;
  const number = Number(text);
  return Number.isNaN(number) ? text : number;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function sortBy(table, head, column) {
  const first = [...table.tBodies].flatMap((body) => rowsOf(body)).map((row) => valueOf(row, column));
  const numbers = first.some((value) => typeof value === "number");
  const before = head.getAttribute("aria-sort");
  const way = before === null ? (numbers ? "descending" : "ascending") : before === "ascending" ? "descending" : "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", way);
  for (const body of table.tBodies) {
    const keyed = rowsOf(body).map((row) => [valueOf(row, column), row]);
    const known = keyed.filter(([value]) => value !== null);
    const unknown = keyed.filter(([value]) => value === null);
    known.sort(([a], [b]) => (way === "ascending" ? compare(a, b) : compare(b, a)));
    body.append(...[...known, ...unknown].map(([, row]) => row));
  }
}

// The rows of a part of a table; its heading, which spans the columns, stays where it is.
function rowsOf(body) {
  return [...body.rows].filter((row) => row.cells.length > 1);
}

for (const table of document.querySelectorAll("table:not(.plain)")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    if (head.classList.contains("plain")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(table, head, column));
    head.append(button);
  });
}

const filter = document.getElementById("filter");
filter.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of document.querySelectorAll(`#${filter.dataset.rows} tbody tr`)) {
    if (row.cells.length === 1) continue; // a heading
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
    shown += row.hidden ? 0 : 1;
  }
  document.getElementById("filter-count").textContent = words.length ? `${shown} shown` : "";
});
