"""How the page looks: light and dark, on a screen and on paper, from a telephone's width on."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1c2126; --soft: #57606a; --edge: #d0d7de; --panel: #f6f8fa; --link: #0b57b0;
  --note: #fff4d6; --note-edge: #b07d00; --right: 0, 130, 90; --wrong: 205, 70, 20;
  --s0: #0b62b8; --s1: #c2570c; --s2: #0a7d58; --s3: #a3369a; --s4: #8a6d00; --s5: #0e7c8b;
  --s6: #b3261e; --s7: #5b5fc7;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181d; --ink: #e6e9ec; --soft: #a3adb8; --edge: #38414a; --panel: #1d2329; --link: #7fb8ff;
    --note: #3a2f10; --note-edge: #e0b040; --right: 40, 170, 120; --wrong: 235, 110, 50;
    --s0: #6cb2ff; --s1: #ff9d57; --s2: #4fd1a1; --s3: #e58fdc; --s4: #e2c044; --s5: #5fd0e0;
    --s6: #ff8d85; --s7: #a9adff;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; padding-top: .6rem; border-top: 1px solid var(--edge); }
p.text, dd { max-width: 46rem; } p { margin: .5rem 0; }
p.source { color: var(--soft); font-size: .85rem; }
p.note { background: var(--note); border-left: 4px solid var(--note-edge); padding: .5rem .8rem; max-width: 46rem;
  overflow-wrap: anywhere; }
a { color: var(--link); overflow-wrap: anywhere; }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; padding: 0; list-style: none; font-size: .9rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.4rem, 1fr)); gap: .8rem; margin: .8rem 0; }
.card { background: var(--panel); border: 1px solid var(--edge); border-radius: .6rem; padding: .8rem .9rem; }
.card b { display: block; font-size: 1.9rem; line-height: 1.15; font-variant-numeric: tabular-nums; }
.card strong { display: block; margin-bottom: .35rem; } .card span { color: var(--soft); font-size: .85rem; }
.wide { overflow: auto; max-height: 36rem; margin: .8rem 0; border: 1px solid var(--edge); border-radius: .4rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
caption { text-align: left; max-width: min(58rem, 88vw); color: var(--soft); padding: .5rem .7rem; font-size: .85rem; }
th, td { padding: .3rem .7rem; border-top: 1px solid var(--edge); text-align: left; vertical-align: top; }
thead th { background: var(--panel); position: sticky; top: 0; }
tbody th { font-weight: 600; min-width: 8rem; max-width: 16rem; overflow-wrap: break-word; }
.numbers td, .numbers thead th:not(:first-child) { text-align: right; font-variant-numeric: tabular-nums; }
details .numbers td:last-child, details .numbers thead th:last-child { text-align: left; }
.words td, .words th { overflow-wrap: anywhere; min-width: 7rem; }
.words tbody th { min-width: 15rem; max-width: 20rem; }
.matrix td, .numbers.matrix td, .matrix thead th:not(:first-child) { text-align: center; }
.matrix thead th { min-width: 4.5rem; max-width: 10rem; overflow-wrap: break-word; }
.matrix td.right { background: rgba(var(--right), var(--alpha)); }
.matrix td.wrong { background: rgba(var(--wrong), var(--alpha)); }
summary { cursor: pointer; color: var(--link); }
code, pre { font: .85rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
code { overflow-wrap: anywhere; }
pre { background: var(--panel); border: 1px solid var(--edge); border-radius: .4rem; padding: .6rem .8rem;
  overflow: auto; }
figure { margin: .8rem 0; } figcaption { font-size: .9rem; overflow-wrap: anywhere; }
svg { width: 100%; max-width: 46rem; height: auto; display: block; font-size: 13px; }
svg text { fill: var(--soft); } svg text.label { fill: var(--ink); }
.grid { stroke: var(--edge); stroke-width: 1; }
.line { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; }
.dot, .bar { fill: var(--c); }
.mean { --c: var(--ink); stroke-width: 3.5; } .dashed { stroke-dasharray: 7 5; stroke-width: 2.5; }
.faint { --c: var(--soft); stroke-width: 1; opacity: .55; }
.s0 { --c: var(--s0); } .s1 { --c: var(--s1); } .s2 { --c: var(--s2); } .s3 { --c: var(--s3); }
.s4 { --c: var(--s4); } .s5 { --c: var(--s5); } .s6 { --c: var(--s6); } .s7 { --c: var(--s7); }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0;
  margin: .4rem 0; list-style: none; font-size: .9rem; }
.key { display: inline-block; width: .9em; height: .9em; border-radius: .2em; margin-right: .4em; vertical-align: -.1em;
  background: var(--c); print-color-adjust: exact; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); gap: 1rem; }
.pictures figure { margin: 0; } .pictures img { width: 100%; height: auto; border-radius: .4rem; display: block; }
dt { font-weight: 600; margin-top: .5rem; } dd { margin: 0 0 .2rem; color: var(--soft); }
@media print {
  :root { --paper: #fff; --ink: #000; --soft: #333; --edge: #999; --panel: #f4f4f4; }
  main { max-width: none; padding: 0; } nav { display: none; } .wide { max-height: none; overflow: visible; }
  figure, .card, tr { break-inside: avoid; } h2 { break-after: avoid; } td, .bar, .line { print-color-adjust: exact; }
}
"""
