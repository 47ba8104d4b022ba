extension DashboardPage {
    /// Polls the snapshot every two seconds and shows it. Texts from the run are only ever set as text, never as HTML.
    static let script = #"""
        "use strict";
        const byId = id => document.getElementById(id);
        const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
        const fine = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

        function duration(seconds) {
          if (seconds === undefined || seconds === null) return "–";
          const s = Math.max(0, Math.round(seconds));
          if (s < 60) return `${s} s`;
          if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
          if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
          return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
        }

        function element(name, attributes, text) {
          const node = document.createElementNS("http://www.w3.org/2000/svg", name);
          for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
          if (text !== undefined) node.textContent = text;
          return node;
        }

        // A round number at or above a value.
        function ceiling(value) {
          if (!(value > 0)) return 1;
          const power = 10 ** Math.floor(Math.log10(value));
          return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map(m => m * power).find(m => m >= value * 0.999);
        }

        // Draws curves: series of {points: [[x, y]], style}. The y axis goes from `low` to `high`.
        function drawCurves(svg, series, low, high, xText, yText = value => fine.format(value)) {
          const width = Math.max(200, svg.clientWidth), height = 160, left = 44, bottom = 20, top = 8;
          const points = series.flatMap(s => s.points);
          svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
          svg.replaceChildren();
          if (points.length === 0) {
            svg.append(element("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, "nothing yet"));
            return;
          }
          const xs = points.map(p => p[0]);
          const x0 = Math.min(...xs), x1 = Math.max(...xs), span = x1 - x0 || 1;
          const x = v => left + (v - x0) / span * (width - left - 8);
          const y = v => height - bottom - (v - low) / (high - low) * (height - bottom - top);
          for (const share of [0, 0.5, 1]) {
            const value = low + (high - low) * share;
            svg.append(element("line", { x1: left, x2: width, y1: y(value), y2: y(value), class: "axis" }));
            svg.append(element("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, yText(value)));
          }
          svg.append(element("text", { x: left, y: height - 4 }, xText(x0)));
          if (x1 > x0) svg.append(element("text", { x: width, y: height - 4, "text-anchor": "end" }, xText(x1)));
          for (const { points, style } of series) {
            if (points.length === 0) continue;
            const path = points.map(([a, b]) => `${x(a).toFixed(1)},${y(Math.max(low, Math.min(high, b))).toFixed(1)}`);
            svg.append(element("polyline", { points: path.join(" "), class: style }));
            const [a, b] = path[path.length - 1].split(",");
            if (points.length === 1) svg.append(element("circle", { cx: a, cy: b, r: 3, class: `dot ${style}` }));
          }
        }

        // A rise of the log-loss as a rise of the loss in per cent, as in the report.
        const percent = rise => `${fine.format(100 * Math.expm1(rise))} %`;

        // Draws filters as dots with intervals on the scale `low` … `high`.
        function drawFilters(svg, filters, low, high, rank) {
          const width = Math.max(200, svg.clientWidth), row = 20, left = Math.min(170, width * 0.45);
          const height = Math.max(1, filters.length) * row + 20;
          svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
          svg.replaceChildren();
          if (filters.length === 0) return;
          const x = v => left + (Math.max(low, Math.min(high, v)) - low) / (high - low) * (width - left - 6);
          svg.append(element("line", { x1: x(0), x2: x(0), y1: 0, y2: height - 18, class: "axis" }));
          svg.append(element("text", { x: x(0), y: height - 4, "text-anchor": "middle" }, "0"));
          if (x(high) - x(0) > 30)
            svg.append(element("text", { x: x(high), y: height - 4, "text-anchor": "end" }, percent(high)));
          filters.forEach((filter, index) => {
            const middle = index * row + 10, half = filter.half;
            const name = `${rank(index)}. ${filter.layer} : ${filter.filter}`;
            const group = element("g", {});
            group.append(element("title", {},
              `${name}: ${percent(filter.importance)}, from ${percent(filter.importance - half)} to `
                + percent(filter.importance + half)));
            group.append(element("text", { x: 0, y: middle + 4, class: "label" }, name));
            group.append(element("line", { x1: x(filter.importance - half), x2: x(filter.importance + half),
              y1: middle, y2: middle, class: "interval" }));
            group.append(element("circle", { cx: x(filter.importance), cy: middle, r: 3.5, class: "dot" }));
            svg.append(group);
          });
        }

        function drawRanking(page) {
          const all = page.least.concat(page.most);
          byId("ranking-note").textContent = all.length === 0 ? "No fit yet."
            : `${number.format(page.filters)} filters, from ${number.format(page.run.rankedMasks)} of `
              + `${number.format(page.run.masks)} masks. Importance is the expected rise of the loss when a filter is `
              + "removed.";
          byId("filters").hidden = all.length === 0;
          if (all.length === 0) return;
          const low = Math.min(0, ...all.map(f => f.importance - f.half));
          const high = Math.max(1e-12, ...all.map(f => f.importance + f.half));
          drawFilters(byId("least"), page.least, low, high, i => i + 1);
          drawFilters(byId("most"), page.most, low, high, i => page.filters - page.most.length + i + 1);
        }

        function drawWorkers(page) {
          const run = page.run;
          byId("workers").replaceChildren(...run.workers.map(worker => {
            const row = document.createElement("tr");
            if (!worker.isConnected) row.className = "gone";
            const heard = duration(run.time - worker.lastHeard);
            const cells = [worker.host, worker.name, worker.instructionSet, number.format(worker.threads),
              number.format(worker.imagesPerSecond), number.format(worker.leases), number.format(worker.evaluations),
              worker.isConnected ? `${heard} ago` : `gone, ${heard} ago`];
            cells.forEach((text, index) => {
              const cell = document.createElement("td");
              cell.textContent = text;
              if (index > 2) cell.className = "number";
              row.append(cell);
            });
            return row;
          }));
          const hidden = page.workers - run.workers.length;
          byId("workers-note").textContent = page.workers === 0 ? "No worker has connected yet."
            : hidden > 0 ? `${hidden} more are in /metrics.` : "";
        }

        // Settles whether the page is about a ranking or a training.
        function drawTraining(run) {
          const training = run.training;
          document.body.classList.toggle("trains", Boolean(training));
          if (!training) return;
          const share = value => value === undefined || value === null ? "–" : `${(100 * value).toFixed(2)} %`;
          byId("bar").max = Math.max(1, training.epochs * training.steps);
          byId("bar").value = (training.epoch - 1) * training.steps + training.step;
          byId("epoch").textContent = `${training.epoch} of ${training.epochs}`;
          byId("loss").textContent = training.loss === undefined ? "–" : fine.format(training.loss);
          byId("before").textContent = share(training.accuracyBefore);
          const latest = training.history[training.history.length - 1];
          byId("accuracy").textContent = latest ? share(latest.testAccuracy) : "–";
          const points = key => training.history.filter(e => e[key] !== undefined && e[key] !== null)
            .map(e => [e.epoch, e[key]]);
          const test = points("testAccuracy");
          if (training.accuracyBefore !== undefined) test.unshift([0, training.accuracyBefore]);
          const trained = points("trainingAccuracy");
          const values = test.concat(trained).map(p => p[1]);
          const low = values.length === 0 ? 0 : Math.floor(20 * Math.min(...values)) / 20;
          drawCurves(byId("accuracies"), [{ points: trained, style: "second" }, { points: test, style: "first" }],
            low, 1, epoch => `epoch ${epoch}`, value => `${fine.format(100 * value)} %`);
        }

        let last = null;

        // Whether nothing more will come.
        const isOver = run => run.phase === "finished";

        // The final message for a phase.
        function ending(run) {
          if (run.phase === "finished")
            return run.report ? `Done. The report is at ${run.report}.` : "Done. The result is in the run file; "
              + `'winnow-coordinator report --run ${run.runFile} --report DIR' writes the report.`;
          if (run.phase === "interrupted")
            return run.step ? "Interrupted; the same command resumes." : run.training
              ? "Interrupted; the same command with --resume resumes."
              : `Interrupted; 'winnow-coordinator resume --run ${run.runFile}' resumes.`;
          return "";
        }

        function show(page) {
          last = page;
          const run = page.run;
          const share = run.training
            ? ((run.training.epoch - 1) * run.training.steps + run.training.step)
              / Math.max(1, run.training.epochs * run.training.steps)
            : run.masks > 0 ? run.masksRecorded / run.masks : 0;
          document.title = isOver(run) ? "done – Winnow" : share > 0 ? `${Math.floor(100 * share)} % – Winnow` : "Winnow";
          byId("phase").textContent = run.step || run.phase;
          byId("about").textContent = [run.model, run.data, `seed ${run.seed}`, run.runFile,
            `running for ${duration(run.time - run.started)}`].filter(Boolean).join(" · ");
          byId("done").textContent = ending(run);
          byId("done").hidden = !ending(run);
          byId("stall").hidden = !run.stall;
          if (byId("stall").textContent !== (run.stall || "")) byId("stall").textContent = run.stall || "";
          byId("bar").max = Math.max(1, run.masks);
          byId("bar").value = run.masksRecorded;
          const aside = run.masksSetAside > 0 ? ` (${number.format(run.masksSetAside)} set aside)` : "";
          byId("masks").textContent = `${number.format(run.masksRecorded)} of ${number.format(run.masks)}${aside}`;
          byId("left").textContent = isOver(run) ? "done" : duration(run.secondsLeft);
          byId("masks-rate").textContent = run.masksPerSecond > 0 ? fine.format(run.masksPerSecond) : "–";
          byId("images-rate").textContent = run.imagesPerSecond > 0 ? number.format(run.imagesPerSecond) : "–";
          byId("workers-count").textContent = number.format(page.workersConnected);
          drawTraining(run);
          const settled = run.settling[run.settling.length - 1];
          byId("settled").textContent = settled && settled.reliability !== undefined ? settled.reliability.toFixed(2) : "–";
          const speeds = run.throughput.map(p => [p.time, p.imagesPerSecond]);
          drawCurves(byId("throughput"), [{ points: speeds, style: "first" }], 0,
            ceiling(Math.max(0, ...speeds.map(p => p[1]))),
            time => time >= run.time - 1.5 ? "now" : `${duration(run.time - time)} ago`);
          const halves = run.settling.map(p => [p.masks, p.splitHalfCorrelation]);
          const held = run.settling.filter(p => p.heldOutRSquared !== undefined && p.heldOutRSquared !== null)
            .map(p => [p.masks, p.heldOutRSquared]);
          drawCurves(byId("settling"), [{ points: held, style: "second" }, { points: halves, style: "first" }], 0, 1,
            masks => `${number.format(masks)} masks`);
          drawRanking(page);
          drawWorkers(page);
          const log = byId("log"), text = run.log.join("\n");
          if (log.textContent !== text) {
            const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
            log.textContent = text;
            if (atEnd) log.scrollTop = log.scrollHeight;
          }
        }

        async function refresh() {
          try {
            const answer = await fetch("snapshot.json", { cache: "no-store" });
            if (!answer.ok) throw new Error(await answer.text());
            show(await answer.json());
            byId("lost").hidden = true;
          } catch (error) {
            const ended = last && ending(last.run);
            byId("lost").textContent = last ? "The coordinator does not answer; this is its last state. "
                + `'winnow-coordinator status --run ${last.run.runFile}' shows the run's state.`
              : `Nothing to show yet: ${error.message}`;
            byId("lost").hidden = Boolean(ended);
          }
          if (last && isOver(last.run)) return;
          setTimeout(refresh, document.hidden ? 5000 : 2000);
        }

        addEventListener("resize", () => { if (last) show(last); });
        refresh();
        """#
}
