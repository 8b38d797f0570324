extension PageText {
    /// Takes a frame a second and draws it. Every text comes from the gateway as text, never as markup.
    static let script = basis + pictures + sources + charts + lists + feed

    /// What the others are made of.
    static let basis = #"""
        "use strict";
        const kept = 120;
        // What happened between each two frames of the last two minutes, oldest first.
        let history = [];
        let last = null;

        const place = (id) => document.getElementById(id);
        const number = (value) => value >= 1e6 ? (value / 1e6).toFixed(1) + " M"
          : value >= 1e4 ? (value / 1e3).toFixed(1) + " k"
          : value >= 100 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(1);
        const bytes = (value) => value >= 1 << 30 ? (value / (1 << 30)).toFixed(1) + " GiB"
          : value >= 1 << 20 ? (value / (1 << 20)).toFixed(1) + " MiB" : (value / 1024).toFixed(0) + " KiB";
        const seconds = (value) => value === undefined || value === null ? "?"
          : value >= 1 ? value.toFixed(value < 10 ? 1 : 0) + " s"
          : value >= 1e-3 ? (value * 1e3).toFixed(value < 1e-2 ? 1 : 0) + " ms" : (value * 1e6).toFixed(0) + " µs";
        const percent = (share) => (share * 100).toFixed(share > 0.9 && share < 1 ? 2 : 0) + " %";
        const clock = (at) => new Date(at * 1000).toLocaleTimeString();
        const age = (value) => value < 120 ? Math.round(value) + " s" : value < 7200 ? Math.round(value / 60) + " min"
          : value < 172800 ? Math.round(value / 3600) + " h" : Math.round(value / 86400) + " days";
        const total = (values) => values.reduce((sum, value) => sum + value, 0);

        function made(node, attributes, children) {
          for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
          node.append(...children);
          return node;
        }
        const element = (name, attributes, ...children) => made(document.createElement(name), attributes, children);
        const svg = (name, attributes, ...children) =>
          made(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

        function rates(frame, before) {
          const time = Math.max(0.001, frame.at - before.at);
          const since = (now, then) => Math.max(0, now - (then || 0)) / time;
          const results = frame.requests.results;
          const all = total(Object.keys(results).map((name) => since(results[name], before.requests.results[name])));
          const answered = since(results.ok || 0, before.requests.results.ok);
          const counted = Object.fromEntries(before.searches.map((each) => [each.collection, each]));
          const searches = Object.fromEntries(frame.searches.map((each) => [each.collection, {
            all: since(each.ended, counted[each.collection]?.ended),
            partial: since(each.partial, counted[each.collection]?.partial),
          }]));
          // A search of several collections may be partial in each.
          const partial = Math.min(answered, total(Object.values(searches).map((each) => each.partial)));
          const admission = frame.state.admission;
          return {
            at: frame.at, time, all, failed: Math.max(0, all - answered), partial, searches,
            whole: answered - partial,
            counts: frame.requests.counts.map((value, index) => Math.max(0, value - before.requests.counts[index])),
            running: admission ? admission.running : 0, waiting: admission ? admission.waiting : 0,
            shed: since(frame.shed, before.shed), retries: since(frame.retries, before.retries),
            hedges: since(frame.hedges, before.hedges),
            cpu: since(frame.state.process.cpu_time, before.state.process.cpu_time),
          };
        }

        // The bound of the bucket that this share of all requests lies in.
        function quantile(counts, bounds, share) {
          const all = total(counts);
          if (all === 0) return null;
          let seen = 0;
          for (let index = 0; index < counts.length; index++) {
            seen += counts[index];
            if (seen < share * all) continue;
            return index < bounds.length ? "≤ " + seconds(bounds[index]) : "> " + seconds(bounds.at(-1));
          }
          return null;
        }

        function drawHeader(state) {
          place("about").textContent = "version " + state.process.version + ", up for " + age(state.process.uptime);
          const missing = state.collections.filter((each) => !each.is_ready).map((each) => each.name);
          const words = state.is_draining ? "draining" : missing.length === 0 ? "ready"
            : "not whole: " + missing.join(", ");
          const moving = state.collections.filter((each) => each.move)
            .map((each) => "; " + each.name + " is being moved, epoch " + (each.epoch || "not known"));
          // Said only when it changes: it is read out.
          const said = words + moving.join("");
          if (place("readiness").textContent !== said) place("readiness").textContent = said;
          place("readiness").className = state.is_ready ? "good" : "bad";
        }

        function drawNumbers(frame, now) {
          const state = frame.state;
          const recent = history.filter((each) => each.at > frame.at - 10.5);
          const counts = frame.requests.counts.map((_, index) => total(recent.map((each) => each.counts[index] || 0)));
          const asked = total(recent.map((each) => each.all * each.time));
          const whole = total(recent.map((each) => each.whole * each.time));
          const values = [
            ["requests/s", now ? number(now.all) : "?"],
            ["not answered/s", now ? number(now.failed) : "?"],
            ["p50, 10 s", quantile(counts, frame.requests.bounds, 0.5) || "no requests"],
            ["p99, 10 s", quantile(counts, frame.requests.bounds, 0.99) || "no requests"],
            ["whole answers, 10 s", asked > 0 ? percent(whole / asked) : "no requests"],
            ["running, waiting", state.admission
              ? state.admission.running + " of " + state.admission.limit + ", " + state.admission.waiting : "no limit"],
            ["shed/s", now ? number(now.shed) : "?"],
            ["retries/s, hedges/s", now ? number(now.retries) + ", " + number(now.hedges) : "?"],
            ["sessions", state.clients.sessions + " of " + state.clients.max_sessions],
            ["held for clients", bytes(state.clients.held_bytes)],
            ["memory", state.process.resident_bytes === undefined ? "?" : bytes(state.process.resident_bytes)],
            ["processors", now ? now.cpu.toFixed(2) : "?"],
            ["reactors' lag, at most", seconds(Math.max(...state.reactors.map((each) => each.lag)))],
          ];
          place("numbers").querySelector("dl").replaceChildren(...values.map(([name, value]) =>
            element("div", {"data-name": name}, element("dt", {}, name), element("dd", {}, value))));
        }

        """#
}
