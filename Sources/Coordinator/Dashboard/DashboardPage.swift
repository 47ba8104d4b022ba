/// The live page: three files without anything from elsewhere.
enum DashboardPage {
    static let html = #"""
        <!DOCTYPE html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <title>Winnow</title>
        <link rel="icon" href="data:,">
        <link rel="stylesheet" href="page.css">
        <script src="page.js" defer></script>
        </head>
        <body>
        <a class="skip" href="#main">Skip to the run</a>
        <header>
          <h1>Winnow <span id="phase" class="phase">loading</span></h1>
          <p id="about" class="muted"></p>
        </header>
        <main id="main" tabindex="-1">
          <p id="done" class="done" role="status" hidden></p>
          <p id="stall" class="stall" role="status" hidden></p>
          <p id="lost" class="stall" role="alert" hidden></p>
          <noscript><p class="stall">This page needs JavaScript; <a href="snapshot.json">snapshot.json</a> and
            <a href="metrics">metrics</a> do not.</p></noscript>

          <section aria-labelledby="progress-title">
            <h2 id="progress-title">Progress</h2>
            <progress id="bar" value="0" max="1" aria-labelledby="progress-title"></progress>
            <dl class="tiles">
              <div class="ranking"><dt>masks</dt><dd id="masks">–</dd></div>
              <div class="training"><dt>epoch</dt><dd id="epoch">–</dd></div>
              <div><dt>time left</dt><dd id="left">–</dd></div>
              <div class="ranking"><dt>masks per second</dt><dd id="masks-rate">–</dd></div>
              <div><dt>images per second</dt><dd id="images-rate">–</dd></div>
              <div><dt>workers</dt><dd id="workers-count">–</dd></div>
              <div class="ranking"><dt>reliability</dt><dd id="settled">–</dd></div>
              <div class="training"><dt>loss in this epoch</dt><dd id="loss">–</dd></div>
              <div class="training"><dt>accuracy before</dt><dd id="before">–</dd></div>
              <div class="training"><dt>accuracy now</dt><dd id="accuracy">–</dd></div>
            </dl>
          </section>

          <div class="two">
            <section aria-labelledby="throughput-title">
              <h2 id="throughput-title">Throughput</h2>
              <figure><svg id="throughput" role="img" aria-label="images per second over time"></svg>
                <figcaption>images per second</figcaption></figure>
            </section>
            <section class="training" aria-labelledby="accuracy-title">
              <h2 id="accuracy-title">Accuracy</h2>
              <figure><svg id="accuracies" role="img" aria-label="accuracy over epochs"></svg>
                <figcaption><span class="key first"></span>test
                  <span class="key second"></span>training (distorted images), by epochs</figcaption></figure>
            </section>
            <section class="ranking" aria-labelledby="settling-title">
              <h2 id="settling-title">How the ranking settles</h2>
              <figure><svg id="settling" role="img" aria-label="split-half correlation over masks"></svg>
                <figcaption><span class="key first"></span>split-half rank correlation
                  <span class="key second"></span>held-out R², by masks</figcaption></figure>
            </section>
          </div>

          <section class="ranking" aria-labelledby="ranking-title">
            <h2 id="ranking-title">Ranking so far</h2>
            <p class="muted" id="ranking-note">No fit yet.</p>
            <div class="two" id="filters" hidden>
              <figure><svg id="least" role="img" aria-label="least important filters"></svg>
                <figcaption>least important, with 95 % intervals</figcaption></figure>
              <figure><svg id="most" role="img" aria-label="most important filters"></svg>
                <figcaption>most important, with 95 % intervals</figcaption></figure>
            </div>
          </section>

          <section class="ranking" aria-labelledby="workers-title">
            <h2 id="workers-title">Workers</h2>
            <div class="scroll" tabindex="0" role="region" aria-labelledby="workers-title">
              <table>
                <thead><tr><th scope="col">host</th><th scope="col">worker</th><th scope="col">instructions</th>
                  <th scope="col" class="number">threads</th><th scope="col" class="number">images/s</th>
                  <th scope="col" class="number">leases</th><th scope="col" class="number">evaluations</th>
                  <th scope="col" class="number">last heard</th></tr></thead>
                <tbody id="workers"></tbody>
              </table>
            </div>
            <p class="muted" id="workers-note"></p>
          </section>

          <section aria-labelledby="log-title">
            <h2 id="log-title">Log</h2>
            <pre id="log" class="scroll" tabindex="0" aria-labelledby="log-title"></pre>
          </section>
        </main>
        <footer class="muted">
          <a href="metrics">metrics</a> · <a href="health">health</a> · <a href="ranking.json">ranking.json</a> ·
          <a href="snapshot.json">snapshot.json</a>
        </footer>
        </body>
        </html>
        """#

    static let style = #"""
        :root { --back: #fbfbf9; --card: #fff; --text: #1b1f23; --muted: #5c6670; --line: #d9dde1; --first: #0067a5;
          --second: #c25400; --done-back: #e5f4ea; --done-line: #4c9a68; --warn-back: #fff3d6; --warn-text: #6b4500; --warn-line: #e0a800; }
        @media (prefers-color-scheme: dark) { :root { --back: #14171a; --card: #1d2125; --text: #e6e9ec;
          --muted: #9aa5b0; --line: #363c43; --first: #6cb8ee; --second: #f0a050; --warn-back: #3a2f10;
          --warn-text: #ffdf9a; --warn-line: #a17a00; --done-back: #15301f; --done-line: #3c7d55; } }
        * { box-sizing: border-box; }
        body { margin: 0 auto; max-width: 72rem; padding: 1rem; background: var(--back); color: var(--text);
          font: 16px/1.45 system-ui, sans-serif; }
        h1 { font-size: 1.5rem; margin: 0; display: flex; align-items: baseline; gap: .75rem; flex-wrap: wrap; }
        h2 { font-size: 1rem; margin: 0 0 .6rem; }
        header { margin-bottom: 1rem; }
        header p { margin: .2rem 0 0; overflow-wrap: anywhere; }
        .muted, figcaption, dt { color: var(--muted); font-size: .875rem; }
        .phase { font-size: .9rem; font-weight: 500; border: 1px solid var(--line); border-radius: 1rem;
          padding: .1rem .7rem; }
        section { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: 1rem;
          margin-bottom: 1rem; min-width: 0; }
        .two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); column-gap: 1rem; }
        .tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .75rem;
          margin: .9rem 0 0; }
        .tiles div { display: flex; flex-direction: column-reverse; justify-content: flex-end; }
        dd { margin: 0; font-size: 1.3rem; font-variant-numeric: tabular-nums; }
        progress { width: 100%; height: .8rem; accent-color: var(--first); }
        figure { margin: 0 0 .5rem; min-width: 0; }
        svg { display: block; width: 100%; overflow: visible; }
        svg text { fill: var(--muted); font-size: 12px; }
        svg .label { fill: var(--text); font-variant-numeric: tabular-nums; }
        svg .axis { stroke: var(--line); stroke-width: 1; }
        svg .first { stroke: var(--first); fill: none; stroke-width: 2; }
        svg .second { stroke: var(--second); fill: none; stroke-width: 2; stroke-dasharray: 5 3; }
        svg .interval { stroke: var(--first); stroke-width: 2; }
        svg .dot { fill: var(--first); stroke: none; }
        svg .dot.second { fill: var(--second); }
        .key { display: inline-block; width: 1.4rem; border-top: 2px solid var(--first); vertical-align: middle;
          margin-right: .3rem; }
        .key.second { border-top: 2px dashed var(--second); margin-left: .8rem; }
        .stall { background: var(--warn-back); color: var(--warn-text); border: 1px solid var(--warn-line);
          border-radius: .5rem; padding: .7rem 1rem; margin: 0 0 1rem; }
        .done { background: var(--done-back); border: 1px solid var(--done-line); border-radius: .5rem;
          padding: .7rem 1rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
        [hidden], body:not(.trains) .training, body.trains .ranking { display: none !important; }
        .scroll { overflow-x: auto; }
        table { border-collapse: collapse; width: 100%; font-size: .9rem; }
        th, td { text-align: left; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line);
          white-space: nowrap; }
        th { font-weight: 500; color: var(--muted); }
        .number { text-align: right; font-variant-numeric: tabular-nums; }
        .gone td { color: var(--muted); }
        pre { margin: 0; font: .8rem/1.5 ui-monospace, monospace; max-height: 18rem; overflow-y: auto;
          white-space: pre-wrap; overflow-wrap: anywhere; }
        a { color: var(--first); }
        :focus-visible { outline: 2px solid var(--first); outline-offset: 2px; }
        main:focus { outline: none; }
        .skip { position: absolute; left: -100rem; }
        .skip:focus { left: 1rem; top: .5rem; background: var(--card); padding: .3rem .6rem; }
        @media print { .skip, footer { display: none; } }
        """#
}
