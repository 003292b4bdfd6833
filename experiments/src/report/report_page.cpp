#include "report/report_page.h"

namespace lcomp {

const char* const report_style = R"css(
:root {
  color-scheme: light dark;
  --ground: #ffffff; --ink: #1b1f24; --faint: #57606a; --line: #d8dee4; --raised: #f6f8fa; --mark: #fff3c4;
  --c0: #0072B2; --c1: #D55E00; --c2: #009E73; --c3: #CC79A7; --c4: #E69F00; --c5: #56B4E9; --c6: #882255; --c7: #777777;
  --c8: #332288;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171a; --ink: #e6e8ea; --faint: #9aa4ad; --line: #363c42; --raised: #1d2125; --mark: #4a3f12;
    --c0: #4aa3df; --c1: #ff8a4c; --c2: #2fc795; --c3: #e39ac4; --c4: #f2b63c; --c5: #86cdf5; --c6: #d0679b; --c7: #a3a3a3;
    --c8: #9d8df1;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin-top: 2rem; }
h3 { font-size: 1rem; }
.faint, figcaption { color: var(--faint); font-size: .9rem; }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .35rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { background: var(--raised); vertical-align: bottom; }
th.text, td.text { text-align: left; }
th:first-child, td:first-child { position: sticky; left: 0; background: var(--ground); min-width: 6.5rem;
  max-width: 14rem; white-space: normal; overflow-wrap: break-word; }
th:first-child { background: var(--raised); }
tr:last-child td { border-bottom: 0; }
td.best { font-weight: 700; background: var(--mark); }
th button { all: unset; cursor: pointer; }
th button:focus-visible { outline: 2px solid var(--c0); }
th[aria-sort=ascending] button::after { content: " \25b2"; }
th[aria-sort=descending] button::after { content: " \25bc"; }
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); }
figure { margin: 1rem 0; }
svg { display: block; width: 100%; height: auto; }
.charts > svg { border: 1px solid var(--line); border-radius: 6px; }
svg text { fill: var(--ink); font: 12.5px system-ui, "DejaVu Sans", sans-serif; }
svg text.title { font-weight: 600; }
svg text.small { font-size: 11px; fill: var(--faint); }
.grid { stroke: var(--line); fill: none; } .axis { stroke: var(--faint); fill: none; }
.reference { stroke: var(--ink); stroke-dasharray: 2 4; stroke-width: 1.5; fill: none; }
.line { fill: none; stroke: var(--c); stroke-width: 2; } .dashed { stroke-dasharray: 6 4; }
.error { fill: none; stroke: var(--c); stroke-width: 1; opacity: .7; }
.m { fill: var(--c); stroke: var(--c); stroke-width: 1.5; } .m.open { fill: var(--ground); }
.box { fill: var(--c); }
.m:hover, .box:hover, .cell:hover { stroke: var(--ink); stroke-width: 2; }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); } .c4 { --c: var(--c4); }
.c5 { --c: var(--c5); } .c6 { --c: var(--c6); } .c7 { --c: var(--c7); } .c8 { --c: var(--c8); }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1rem; font-size: .9rem; margin: .5rem 0; }
.legend span { display: inline-flex; align-items: center; gap: .3rem; } .legend svg { width: 16px; }
details { margin: .75rem 0; } summary { cursor: pointer; font-weight: 600; }
pre { overflow-x: auto; background: var(--raised); padding: .75rem; border-radius: 6px; font-size: .8rem; }
#note { position: fixed; z-index: 2; max-width: min(22rem, 90vw); padding: .3rem .6rem; border-radius: 6px; background: var(--ink);
  color: var(--ground); font-size: .85rem; pointer-events: none; }
@media print { details:not([open]) > * { display: block; } #note { display: none; } }
)css";

const char* const report_script = R"js(
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => {
        const text = row.cells[column].textContent;
        if (head.classList.contains("text")) return text;
        const number = parseFloat(text);
        return Number.isNaN(number) ? null : number;
      };
      const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
      rows.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);  // no number: last, either way
        const order = typeof a === "string" ? a.localeCompare(b, undefined, {numeric: true}) : a - b;
        return up ? order : -order;
      });
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}
const note = document.getElementById("note");
const marks = document.querySelectorAll("[data-note]");
for (const mark of marks) mark.querySelector("title")?.remove();  // one of the two is enough
const hide = () => { note.hidden = true; };
document.addEventListener("pointermove", (event) => {
  const mark = event.target.closest?.("[data-note]");
  if (!mark) return hide();
  note.textContent = mark.dataset.note;
  note.hidden = false;
  const box = note.getBoundingClientRect();
  note.style.left = Math.max(4, Math.min(event.clientX + 12, innerWidth - box.width - 4)) + "px";
  note.style.top = (event.clientY + box.height + 24 < innerHeight ? event.clientY + 16 : event.clientY - box.height - 10) + "px";
});
document.addEventListener("pointerdown", (event) => {
  event.target.dispatchEvent(new PointerEvent("pointermove", {bubbles: true, clientX: event.clientX, clientY: event.clientY}));
});
document.addEventListener("scroll", hide, {passive: true});
)js";

}  // namespace lcomp
