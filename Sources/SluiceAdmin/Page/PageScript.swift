extension PageText {
    /// Takes a frame a second and draws it. Every text comes from the gateway as text, never as markup.
    static let script = #"""
        "use strict";
        const kept = 120;
        const history = [];
        let last = null;
        let lastAt = 0;

        const place = (id) => document.getElementById(id);
        const number = (value) => value >= 1e6 ? (value / 1e6).toFixed(1) + " M"
          : value >= 1e4 ? (value / 1e3).toFixed(1) + " k"
          : value >= 100 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(1);
        const bytes = (value) => value >= 1 << 30 ? (value / (1 << 30)).toFixed(1) + " GiB"
          : value >= 1 << 20 ? (value / (1 << 20)).toFixed(1) + " MiB" : (value / 1024).toFixed(0) + " KiB";
        const seconds = (value) => value === undefined || value === null ? "?"
          : value >= 1 ? value.toFixed(value < 10 ? 1 : 0) + " s"
          : value >= 1e-3 ? (value * 1e3).toFixed(value < 1e-2 ? 1 : 0) + " ms" : (value * 1e6).toFixed(0) + " µs";
        const clock = (at) => new Date(at * 1000).toLocaleTimeString();
        const age = (value) => value < 120 ? Math.round(value) + " s" : value < 7200 ? Math.round(value / 60) + " min"
          : value < 172800 ? Math.round(value / 3600) + " h" : Math.round(value / 86400) + " days";

        function element(name, attributes, ...children) {
          const made = document.createElement(name);
          for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
          made.append(...children);
          return made;
        }

        function svg(name, attributes, ...children) {
          const made = document.createElementNS("http://www.w3.org/2000/svg", name);
          for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
          made.append(...children);
          return made;
        }

        // MARK: What changed between two frames

        function rates(frame, before) {
          const time = Math.max(0.001, frame.at - before.at);
          const results = {};
          for (const [name, value] of Object.entries(frame.requests.results)) {
            results[name] = Math.max(0, value - (before.requests.results[name] || 0)) / time;
          }
          const counts = frame.requests.counts.map((value, index) =>
            Math.max(0, value - (before.requests.counts[index] || 0)));
          const all = Object.values(results).reduce((sum, value) => sum + value, 0);
          const each = (key) => Math.max(0, frame[key] - before[key]) / time;
          return {
            at: frame.at, all, failed: all - (results.ok || 0), results, counts,
            partial: each("partial_answers"), shed: each("shed"), retries: each("retries"), hedges: each("hedges"),
            cpu: (frame.state.process.cpu_time - before.state.process.cpu_time) / time,
          };
        }

        // The bound of the bucket that the share of all requests lies in.
        function quantile(counts, bounds, share) {
          const total = counts.reduce((sum, value) => sum + value, 0);
          if (total === 0) return null;
          let seen = 0;
          for (let index = 0; index < counts.length; index++) {
            seen += counts[index];
            if (seen < share * total) continue;
            return index < bounds.length ? "≤ " + seconds(bounds[index]) : "> " + seconds(bounds.at(-1));
          }
          return null;
        }

        // MARK: Drawing

        function drawHeader(frame) {
          const state = frame.state;
          place("about").textContent = "version " + state.process.version + ", up for " + age(state.process.uptime);
          const readiness = place("readiness");
          const missing = state.collections.filter((each) => !each.is_ready).map((each) => each.name);
          readiness.textContent = state.is_draining ? "draining" : missing.length === 0 ? "ready"
            : "not whole: " + missing.join(", ");
          readiness.className = state.is_ready ? "good" : "bad";
        }

        function drawNumbers(frame, now) {
          const state = frame.state;
          const recent = history.slice(-10);
          const counts = recent.reduce((sum, each) => each.counts.map((value, index) => value + (sum[index] || 0)), []);
          const covered = now && now.results.ok > 0 ? Math.max(0, 1 - now.partial / now.results.ok) : null;
          const values = [
            ["requests/s", now ? number(now.all) : "?"],
            ["not answered/s", now ? number(now.failed) : "?"],
            ["p50, 10 s", quantile(counts, frame.requests.bounds, 0.5) || "no requests"],
            ["p99, 10 s", quantile(counts, frame.requests.bounds, 0.99) || "no requests"],
            ["whole answers", covered === null ? "no requests" : (covered * 100).toFixed(1) + " %"],
            ["shed/s", now ? number(now.shed) : "?"],
            ["retries/s, hedges/s", now ? number(now.retries) + ", " + number(now.hedges) : "?"],
            ["running, waiting", state.admission
              ? state.admission.running + " of " + state.admission.limit + ", " + state.admission.waiting : "no limit"],
            ["sessions", state.clients.sessions + " of " + state.clients.max_sessions],
            ["held for clients", bytes(state.clients.held_bytes)],
            ["memory", state.process.resident_bytes === undefined ? "?" : bytes(state.process.resident_bytes)],
            ["processors", now ? now.cpu.toFixed(2) : "?"],
            ["reactors' lag", state.reactors.map((each) => seconds(each.lag)).join(", ")],
          ];
          place("numbers").querySelector("dl").replaceChildren(...values.map(([name, value]) =>
            element("div", {"data-name": name}, element("dt", {}, name), element("dd", {}, value))));
        }

        const rowHeight = 56;

        function condition(replica) {
          if (!replica.is_reachable) return ["bad", "cannot be reached"];
          if (replica.is_drained) return ["warn", "drained"];
          if (replica.breaker === "open") return ["bad", "breaker open: " + replica.breaker_cause];
          if (replica.breaker === "half_open") return ["warn", "breaker half open"];
          return ["good", "serving"];
        }

        function drawPool(pool, x, y, width) {
          const limit = Math.max(1, pool.limit, pool.leased + pool.idle + pool.dialling + pool.closing);
          const parts = [["leased", pool.leased], ["idle", pool.idle], ["other", pool.dialling + pool.closing]];
          const group = svg("g", {}, svg("rect", {class: "free", x, y, width, height: 8, rx: 2}));
          let left = x;
          for (const [kind, count] of parts) {
            const wide = width * count / limit;
            if (wide > 0) group.append(svg("rect", {class: kind, x: left, y, width: wide, height: 8}));
            left += wide;
          }
          return group;
        }

        function drawReplica(shard, replica, x, y) {
          const [mood, words] = condition(replica);
          const pool = replica.pool;
          const lag = replica.role === "standby" ? ", lag " + seconds(replica.lag) : "";
          const waiting = pool.waiting > 0 ? ", " + pool.waiting + " wait" : "";
          const label = replica.role + lag + ", " + seconds(replica.latency) + ", " + replica.in_flight + " in flight";
          const uses = pool.leased + " leased, " + pool.idle + " idle of " + pool.limit + waiting
            + (replica.fleet ? " (of " + replica.fleet.budget + " shared)" : "");
          return svg("g", {
            tabindex: 0, role: "img", class: "replica", "data-shard": shard.name, "data-replica": replica.name,
            "data-role": replica.role, "data-condition": mood, "data-breaker": replica.breaker,
            "aria-label": replica.name + " of " + shard.name + ": " + words + ", " + label + "; pool: " + uses,
          },
            svg("title", {}, uses),
            svg("rect", {class: "box " + mood, x, y, width: 330, height: rowHeight - 8, rx: 6}),
            svg("text", {x: x + 10, y: y + 17}, replica.name + ": " + words),
            svg("text", {class: "dim", x: x + 10, y: y + 32}, label),
            drawPool(pool, x + 10, y + 37, 310));
        }

        function drawTopology(state) {
          const replicas = state.shards.reduce((sum, shard) => sum + Math.max(1, shard.replicas.length), 0);
          const height = Math.max(replicas, state.collections.length) * rowHeight + 8;
          const picture = svg("svg", {viewBox: "0 0 720 " + height, width: 720, height, role: "group",
            "aria-label": "collections, their shards and the shards' replicas"});
          const middles = {};
          let y = 4;
          for (const shard of state.shards) {
            const rows = Math.max(1, shard.replicas.length);
            const middle = y + rows * rowHeight / 2 - 4;
            middles[shard.name] = middle;
            const mood = shard.replicas.some((each) => condition(each)[0] === "good") ? "good" : "bad";
            picture.append(svg("g", {class: "shard", "data-shard": shard.name, "data-condition": mood},
              svg("rect", {class: "box " + mood, x: 200, y: middle - 20, width: 130, height: 40, rx: 6}),
              svg("text", {x: 210, y: middle - 3}, shard.name),
              svg("text", {class: "dim", x: 210, y: middle + 13},
                shard.is_in_conflict ? "two primaries!" : shard.primary ? "primary " + shard.primary : "no primary")));
            shard.replicas.forEach((replica, index) => {
              const top = y + index * rowHeight;
              picture.append(svg("path", {class: "rule",
                d: "M330," + middle + " C360," + middle + " 350," + (top + 24) + " 380," + (top + 24)}));
              picture.append(drawReplica(shard, replica, 380, top));
            });
            y += rows * rowHeight;
          }
          const step = height / Math.max(1, state.collections.length);
          state.collections.forEach((collection, index) => {
            const middle = step * (index + 0.5);
            for (const name of collection.shards) {
              picture.append(svg("path", {class: "rule",
                d: "M160," + middle + " C185," + middle + " 175," + middles[name] + " 200," + middles[name]}));
            }
            const mood = collection.is_ready ? "good" : "bad";
            picture.append(svg("g", {class: "collection", "data-collection": collection.name, "data-condition": mood},
              svg("rect", {class: "box " + mood, x: 4, y: middle - 20, width: 156, height: 40, rx: 6}),
              svg("text", {x: 14, y: middle - 3}, collection.name),
              svg("text", {class: "dim", x: 14, y: middle + 13},
                collection.metric + ", " + collection.dimensions + " dimensions")));
          });
          const focused = document.activeElement && document.activeElement.dataset
            && document.activeElement.dataset.replica ? document.activeElement.dataset : null;
          place("topology").replaceChildren(picture);
          if (!focused) return;
          for (const each of picture.querySelectorAll(".replica")) {
            if (each.dataset.replica === focused.replica && each.dataset.shard === focused.shard) each.focus();
          }
        }

        function drawThroughput() {
          const most = Math.max(1, ...history.map((each) => each.all));
          const picture = svg("svg", {viewBox: "0 0 720 130", width: 720, height: 130, role: "img",
            "aria-label": "requests a second over the last two minutes, " + number(most) + " at most"});
          history.forEach((each, index) => {
            const x = 40 + (kept - history.length + index) * 680 / kept;
            const high = 110 * each.all / most;
            const bad = 110 * each.failed / most;
            picture.append(svg("rect", {class: "leased", x, y: 115 - high, width: 680 / kept - 1, height: high}));
            if (bad <= 0) return;
            picture.append(svg("rect", {fill: "var(--bad)", x, y: 115 - bad, width: 680 / kept - 1, height: bad}));
          });
          picture.append(svg("path", {class: "rule", d: "M40,115.5 H720"}),
            svg("text", {class: "dim", x: 0, y: 12}, number(most)), svg("text", {class: "dim", x: 0, y: 119}, "0"),
            svg("text", {class: "dim", x: 40, y: 129}, "two minutes ago"));
          place("throughput").replaceChildren(picture);
        }

        function drawLatency(bounds) {
          const rows = bounds.length + 1;
          const high = 12;
          const height = rows * high + 8;
          const picture = svg("svg", {viewBox: "0 0 720 " + height, width: 720, height, role: "img",
            "aria-label": "how many requests took how long, over the last two minutes"});
          const most = Math.max(1, ...history.flatMap((each) => each.counts));
          history.forEach((each, index) => {
            const x = 60 + (kept - history.length + index) * 660 / kept;
            each.counts.forEach((count, row) => {
              if (count <= 0) return;
              const shade = 0.15 + 0.85 * Math.log1p(count) / Math.log1p(most);
              picture.append(svg("rect", {fill: "rgba(var(--heat), " + shade.toFixed(2) + ")", x,
                y: (rows - 1 - row) * high, width: 660 / kept, height: high - 1}));
            });
          });
          bounds.forEach((bound, row) => {
            if (row % 3 !== 0) return;
            picture.append(svg("text", {class: "dim", x: 0, y: (rows - 1 - row) * high + 10}, seconds(bound)));
          });
          place("latency").replaceChildren(picture);
        }

        function addEvents(events) {
          const list = place("events");
          for (const each of events) {
            list.querySelector(".none")?.remove();
            list.prepend(element("li", {"data-kind": each.kind, "data-number": each.number},
              element("time", {}, clock(each.at)),
              each.shard + (each.replica ? "/" + each.replica : "") + ": " + each.text));
          }
          while (list.children.length > 64) list.lastElementChild.remove();
        }

        function track(leg, longest) {
          const percent = (value) => 100 * value / longest + "%";
          const bar = (kind, from, length) => {
            const made = element("span", {class: kind});
            made.style.left = percent(from);
            made.style.width = percent(length);
            return made;
          };
          const between = Math.max(0, leg.took - leg.wait - leg.execute);
          return element("div", {class: "track"}, bar("wait", 0, leg.wait), bar("lost", leg.wait, between),
            bar("execute", leg.wait + between, leg.execute));
        }

        function addSlow(searches) {
          const list = place("slow");
          for (const each of searches) {
            list.querySelector(".none")?.remove();
            const longest = Math.max(each.took, ...each.legs.map((leg) => leg.took), 1e-6);
            const legs = each.legs.flatMap((leg) => [
              element("span", {}, leg.collection + ", " + leg.shard + (leg.replica ? "/" + leg.replica : "") + ": "
                + leg.status + ", " + seconds(leg.took) + (leg.attempts > 1 ? ", " + leg.attempts + " attempts" : "")),
              track(leg, longest)]);
            list.prepend(element("details", {"data-number": each.number},
              element("summary", {}, element("time", {}, clock(each.at)), seconds(each.took) + ", "
                + each.collections.join(" and ") + ", k " + each.k + ": "
                + (each.failure || (each.coverage * 100).toFixed(0) + " % covered")),
              element("div", {class: "legs"}, ...legs)));
          }
          if (!list.querySelector("details[open]")) list.firstElementChild?.setAttribute("open", "");
          while (list.children.length > 64) list.lastElementChild.remove();
        }

        function draw(frame) {
          const now = last && frame.at > last.at ? rates(frame, last) : null;
          if (now) history.push(now);
          if (history.length > kept) history.shift();
          last = frame;
          drawHeader(frame);
          drawNumbers(frame, now);
          drawTopology(frame.state);
          drawThroughput();
          drawLatency(frame.requests.bounds);
          addEvents(frame.events);
          addSlow(frame.slow_searches);
          document.body.dataset.frames = String(Number(document.body.dataset.frames || 0) + 1);
        }

        // MARK: The connection

        function connected() {
          lastAt = Date.now();
          document.body.dataset.connection = "live";
          place("connection").textContent = "live";
          place("connection").className = "good";
        }

        function watch() {
          if (lastAt === 0 || Date.now() - lastAt < 4000) return;
          document.body.dataset.connection = "lost";
          place("connection").textContent = "disconnected; what is shown is of " + clock(lastAt / 1000);
          place("connection").className = "bad";
        }

        function listen() {
          const source = new EventSource("api/v1/live");
          source.onopen = () => {
            // The gateway may be another one: what it did before is not known.
            last = null;
            place("events").replaceChildren(element("li", {class: "none"}, "none so far"));
            place("slow").replaceChildren(element("p", {class: "none"}, "none so far"));
          };
          source.onmessage = (message) => {
            connected();
            draw(JSON.parse(message.data));
          };
          source.onerror = () => {
            if (lastAt === 0) place("connection").textContent = "the gateway cannot be reached";
            if (source.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
          };
        }

        setInterval(watch, 500);
        listen();

        """#
}
