"""The page's style: one column on a phone, two plots side by side on a desk, dark where the reader's system is."""

CSS = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --ground: #ffffff; --card: #f6f8fa; --line: #d1d9e0;
  --good: #1a7f4b; --bad: #b3261e; --mark: #0b5cad; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9da7b3; --ground: #0f1419; --card: #171d24;
  --line: #333c47; --good: #56d391; --bad: #ff8a80; --mark: #7cb8ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.2rem 1rem 3rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .2rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 .6rem; }
p { margin: .5rem 0; max-width: 46rem; }
.soft, figcaption, small { color: var(--soft); }
.summary { background: var(--card); border: 1px solid var(--line); border-left: .35rem solid var(--mark);
  border-radius: .4rem; padding: .9rem 1.1rem; margin: 1rem 0; }
.summary.none { border-left-color: var(--bad); }
.summary p:first-child { font-size: 1.2rem; font-weight: 650; margin-top: 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 1rem;
  align-items: start; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: .4rem; padding: .8rem;
  min-width: 0; }
figure h3 { font-size: 1rem; margin: 0 0 .3rem; }
figure svg { display: block; width: 100%; height: auto; }
figcaption { font-size: .85rem; margin-top: .4rem; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .4rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .35rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
td.text { white-space: normal; min-width: 14rem; }
td small { display: block; }
tr:last-child td { border-bottom: 0; }
tr.chosen { background: color-mix(in srgb, var(--mark) 14%, transparent); font-weight: 600; }
.bad { color: var(--bad); } .good { color: var(--good); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 30rem) { body { padding: .8rem .6rem 2rem; } figure { padding: .5rem .4rem; }
  dl { grid-template-columns: 1fr; } dt { margin-top: .4rem; } }
@media print { body { max-width: none; } figure { break-inside: avoid; } }
"""
