/// The report's style sheet and script, included in the page, so the report is one file.
enum ReportStyle {
    /// Colours are Okabe and Ito's, which colour-blind readers can tell apart.
    static let css = """
        :root { color-scheme: light dark; --page: #fdfdfc; --ink: #1b1f24; --soft: #5b6570; --line: #dfe3e8;
          --stripe: #f3f5f7; --first: #0072b2; --second: #d55e00; --third: #009e73; --panel: #ffffff; }
        @media (prefers-color-scheme: dark) { :root { --page: #14171a; --ink: #e7eaee; --soft: #9aa5b1; --line: #333a42;
          --stripe: #1b2025; --first: #56b4e9; --second: #e69f00; --third: #2fc49a; --panel: #191d21; } }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--page); color: var(--ink);
          font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; }
        main { max-width: 1120px; margin: 0 auto; padding: 40px 20px 80px; }
        h1 { font-size: 2rem; line-height: 1.2; font-weight: 650; letter-spacing: -.015em; margin: 0 0 6px; }
        h2 { font-size: 1.25rem; font-weight: 620; margin: 56px 0 4px; padding-top: 20px;
          border-top: 1px solid var(--line); }
        h3 { font-size: 1rem; font-weight: 620; margin: 28px 0 4px; }
        p { max-width: 46em; margin: 8px 0 14px; }
        .soft, figcaption, .note { color: var(--soft); }
        .tiles { display: flex; flex-wrap: wrap; gap: 1px; margin: 28px 0;
          background: var(--line); border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
        .tiles div { flex: 1 1 150px; background: var(--panel); padding: 14px 16px; }
        .tiles b { display: block; font-size: 1.5rem; font-weight: 620; line-height: 1.25;
          font-variant-numeric: tabular-nums; }
        .tiles span { color: var(--soft); font-size: .84rem; }
        p.soft { max-width: none; }
        .half { max-width: 560px; }
        .pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 8px 40px; }
        figure { margin: 16px 0; }
        figcaption { font-size: .875rem; max-width: 46em; }
        .wide { overflow-x: auto; }
        .wide svg { min-width: 720px; }
        svg { display: block; width: 100%; height: auto; font: 12px system-ui, "DejaVu Sans", sans-serif; }
        svg .tick { fill: var(--soft); } svg .title { fill: var(--ink); }
        svg .grid { stroke: var(--line); stroke-width: 1; } svg .axis { stroke: var(--soft); stroke-width: 1; }
        svg .stripe { fill: var(--stripe); }
        svg .reference { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 4 4; }
        svg .interval { stroke: var(--first); stroke-opacity: .38; stroke-width: 1.2; }
        svg .dot { fill: var(--first); } svg .dot.second { fill: var(--second); }
        svg .dot.third { fill: var(--third); } svg .dot.fourth { fill: var(--soft); }
        svg .dot.hollow { fill: var(--page); stroke: var(--first); stroke-width: 1.6; }
        svg .dot.hollow.second { stroke: var(--second); } svg .dot.hollow.third { stroke: var(--third); }
        svg .dot.hollow.fourth { stroke: var(--soft); }
        svg .dot.faint { fill-opacity: .45; }
        svg .curve { fill: none; stroke: var(--first); stroke-width: 1.8; stroke-linejoin: round; }
        svg .guide { fill: none; stroke-width: 1; stroke-opacity: .7; }
        svg .curve.second { stroke: var(--second); }
        svg .curve.third { stroke: var(--third); } svg .beyond { stroke-dasharray: 2 4; }
        svg .lease { fill: var(--third); fill-opacity: .8; } svg .lease.lost { fill: var(--second); fill-opacity: 1; }
        table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
        th, td { padding: 4px 10px 4px 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
        th { font-weight: 600; color: var(--soft); vertical-align: bottom; }
        td.name, th.name { text-align: left; }
        th button { all: unset; cursor: pointer; } th button:hover { color: var(--ink); }
        th button:focus-visible, input:focus-visible { outline: 2px solid var(--first); outline-offset: 2px; }
        th[aria-sort=ascending] button::after { content: " ↑"; } th[aria-sort=descending] button::after { content: " ↓"; }
        .scroll { overflow: auto; max-height: 560px; border: 1px solid var(--line); border-radius: 8px;
          background: var(--panel); }
        .scroll table { margin: 0; } .scroll th { position: sticky; top: 0; background: var(--panel); padding-top: 8px; }
        .scroll th:first-child, .scroll td:first-child { padding-left: 14px; }
        input.filter { font: inherit; color: inherit; background: var(--panel); border: 1px solid var(--line);
          border-radius: 6px; padding: 6px 10px; width: min(100%, 320px); margin: 6px 0 10px; }
        dl { display: grid; grid-template-columns: minmax(120px, 200px) 1fr; gap: 4px 20px; margin: 12px 0; }
        dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
        code { font: .875em ui-monospace, "DejaVu Sans Mono", monospace; }
        .verdict { font-size: 1.15rem; max-width: 52em; border-left: 3px solid var(--third); padding-left: 14px; }
        details { margin: 20px 0; border-top: 1px solid var(--line); padding-top: 12px; }
        summary { cursor: pointer; font-weight: 620; } summary:hover { color: var(--first); }
        pre { overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; background: var(--panel); padding: 12px 14px;
          border: 1px solid var(--line); border-radius: 8px; }
        svg .heat { fill: var(--first); } svg .heat.below { fill: var(--second); }
        .warning { border-left: 3px solid var(--second); padding-left: 14px; }
        @media (max-width: 560px) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 8px; }
          main { padding: 24px 14px 60px; } h1 { font-size: 1.6rem; }
          svg { font-size: 15px; overflow: visible; } .wide svg { min-width: 860px; font-size: 13px; }
          table { font-size: .74rem; } th, td { padding-right: 5px; } .wide th { white-space: normal; } }
        @media print { :root { --page: #fff; --panel: #fff; } main { max-width: none; padding: 0; }
          html, body { font-size: 11px; } h2 { margin-top: 24px; padding-top: 12px; } td, th { padding: 1px 8px 1px 0; }
          .pair { grid-template-columns: 1fr 1fr; gap: 4px 24px; } .tiles div { flex-basis: 90px; padding: 8px 10px; }
          .scroll { max-height: none; overflow: visible; border: 0; } input.filter { display: none; }
          .scroll th { position: static; } thead { display: table-header-group; } tr { break-inside: avoid; }
          figure, .tiles { break-inside: avoid; } h2, h3, section > p { break-after: avoid; } .wide svg { min-width: 0; } }
        """

    /// Sorts a table by a clicked column and hides the rows without the words in its field.
    static let script = """
        for (const table of document.querySelectorAll('table.sorts')) {
          const body = table.tBodies[0];
          const key = (row, i) => { const c = row.cells[i]; return c.dataset.value ?? c.textContent; };
          [...table.tHead.rows[0].cells].forEach((head, i) => {
            const button = document.createElement('button');
            button.append(...head.childNodes); head.append(button);
            button.addEventListener('click', () => {
              const down = head.getAttribute('aria-sort') === 'ascending';
              for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
              head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
              const rows = [...body.rows].sort((a, b) => {
                const x = key(a, i), y = key(b, i);
                const order = isNaN(x) || isNaN(y) ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
                return down ? -order : order;
              });
              body.append(...rows);
            });
          });
        }
        // A sheet of paper cannot be unfolded.
        addEventListener('beforeprint', () => { for (const part of document.querySelectorAll('details')) part.open = true; });
        for (const field of document.querySelectorAll('input.filter')) {
          field.hidden = false;
          const body = document.getElementById(field.dataset.table).tBodies[0];
          field.addEventListener('input', () => {
            const words = field.value.toLowerCase().split(/\\s+/);
            for (const row of body.rows)
              row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
          });
        }
        """
}
