"""The report's style sheet: one column of text, wide figures, light or dark as the reader's system is."""

CSS = """
:root { --ink: #202124; --soft: #5f6368; --line: #e3e3df; --ground: #fdfdfb; --panel: #f4f4f0; --accent: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e7e9; --soft: #a2a7ad; --line: #3a3d42; --ground: #17181a; --panel: #212326; --accent: #5fb4e5; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 60rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif;
  -webkit-text-size-adjust: 100%; overflow-wrap: break-word; }
h1 { font-size: 1rem; font-weight: 600; color: var(--soft); margin: 0 0 .6rem; letter-spacing: .01em; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 3rem 0 .4rem; letter-spacing: -.01em; }
h3 { font-size: 1rem; margin: 1.8rem 0 .3rem; }
p { max-width: 44rem; margin: .4rem 0 .8rem; }
.headline { font-size: 1.6rem; line-height: 1.35; letter-spacing: -.015em; margin: 0 0 1.2rem; max-width: 48rem;
  text-wrap: pretty; }
.facts { display: flex; flex-wrap: wrap; gap: .4rem 2rem; margin: 0; padding: .9rem 0; border: solid var(--line);
  border-width: 1px 0; }
.facts div { min-width: 5rem; }
.facts dt { font-size: .8rem; color: var(--soft); }
.facts dd { margin: 0; font-variant-numeric: tabular-nums; }
.soft, small, figcaption { color: var(--soft); font-size: .875rem; }
table { border-collapse: collapse; width: 100%; margin: .8rem 0 .4rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .5rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: baseline; }
th { font-weight: 600; font-size: .875rem; vertical-align: bottom; }
tbody th { font-weight: 400; font-size: 1rem; vertical-align: baseline; }
.scroll { overflow-x: auto; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td small { display: block; white-space: nowrap; font-weight: 400; font-size: .78rem; }
td b { font-weight: 700; }
tr.mean th, tr.mean td { border-top: 2px solid var(--line); border-bottom: 0; }
th i { display: inline-block; width: .65rem; height: .65rem; border-radius: 2px; margin-right: .35rem; }
figure { margin: 1rem 0 1.6rem; }
figure img { display: block; width: 100%; height: auto; }
figure img.pixels { width: auto; max-width: 100%; }
figcaption { margin-top: .5rem; max-width: 44rem; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: .5rem 1.5rem;
  margin: 1rem 0; }
.curves figure { margin: 0; max-width: 32rem; }
.bars { max-width: 40rem; }
.stage { display: grid; grid-template-columns: 9.5rem 1fr 7rem; gap: .2rem 1.2rem; align-items: center;
  padding: .4rem 0; border-bottom: 1px solid var(--line); }
.stage.head { font-size: .8rem; color: var(--soft); padding-top: .8rem; }
.stage small { white-space: nowrap; margin-left: .4rem; }
.map, .share { display: block; }
.map i { display: block; height: .8rem; margin: 0 auto; border-radius: 2px; background: var(--accent); opacity: .75; }
.map b { display: block; text-align: center; }
.map b, .share b { font-weight: 400; font-size: .8rem; color: var(--soft); font-variant-numeric: tabular-nums; }
.share { position: relative; background: var(--panel); border-radius: 2px; height: 1.25rem; }
.share i { position: absolute; inset: 0 auto 0 0; background: var(--accent); opacity: .35; border-radius: 2px; }
.share b { position: absolute; right: .35rem; color: var(--ink); }
.string code { color: var(--soft); }
code, pre { font: .85em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre { background: var(--panel); padding: .9rem 1rem; border-radius: 6px; overflow-x: auto; margin: .6rem 0; }
details { border-bottom: 1px solid var(--line); padding: .5rem 0; }
summary { cursor: pointer; font-weight: 600; }
@media (max-width: 34rem) {
  body { padding: 1.4rem 1rem 3rem; }
  .headline { font-size: 1.3rem; }
  .facts { display: grid; grid-template-columns: 1fr 1fr; gap: .6rem 1rem; }
  th, td { padding: .35rem .25rem; }
  thead th { font-size: .75rem; line-height: 1.25; }
  thead th i { display: block; margin: 0 0 .2rem auto; }
  tbody th { font-size: .875rem; }
  td small { font-size: .68rem; letter-spacing: -.02em; }
  .stage { grid-template-columns: 6rem 1fr 4.2rem; gap: .2rem .7rem; }
  .stage small { display: block; margin: 0; white-space: normal; }
}
"""
