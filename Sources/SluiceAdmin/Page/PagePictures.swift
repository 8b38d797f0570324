extension PageText {
    /// The topology. Its boxes are made once and then filled with each frame, so that what has the focus keeps it.
    static let pictures = #"""
        const rowHeight = 76;
        let shape = null;
        let boxes = {};
        let chosen = null;

        function condition(replica) {
          if (!replica.is_reachable) return ["bad", "cannot be reached"];
          if (replica.is_drained) return ["warn", "drained"];
          if (replica.breaker === "open") return ["bad", "breaker open"];
          if (replica.breaker === "half_open") return ["warn", "on probation"];
          return ["good", "serving"];
        }

        const bold = "600 12px system-ui, sans-serif";
        const plain = "11.5px system-ui, sans-serif";
        const ruler = document.createElement("canvas").getContext("2d");

        // A text that ends where its box does; the box's title has all of it.
        function fit(text, width, font) {
          ruler.font = font;
          let fits = text;
          while (fits.length > 1 && ruler.measureText(fits === text ? text : fits + "…").width > width) {
            fits = fits.slice(0, Math.min(fits.length - 1, Math.floor(fits.length * 0.95)));
          }
          return fits === text ? text : fits + "…";
        }

        // A box: a name, a few words at its right about how it is, and so many lines of small text.
        function box(attributes, x, y, width, height, lines) {
          const state = svg("text", {class: "state", x: x + width - 10, y: y + 18, "text-anchor": "end"});
          const texts = [svg("text", {class: "name", x: x + 10, y: y + 18})];
          for (let line = 0; line < lines; line++) {
            texts.push(svg("text", {class: "dim", x: x + 10, y: y + 34 + 15 * line}));
          }
          const title = svg("title", {});
          const frame = svg("rect", {class: "box", x, y, width, height, rx: 6});
          const group = svg("g", attributes, title, frame, state, ...texts);
          return {group, fill: (mood, words, [name, ...small]) => {
            group.dataset.condition = mood;
            frame.setAttribute("class", "box " + mood);
            state.setAttribute("class", "state " + mood);
            state.textContent = words;
            ruler.font = bold;
            const room = width - 20 - (words ? ruler.measureText(words).width + 8 : 0);
            texts[0].textContent = fit(name, room, bold);
            small.forEach((text, line) => { texts[line + 1].textContent = fit(text, width - 20, plain); });
            title.textContent = [name, words, ...small].filter((each) => each).join("\n");
          }};
        }

        function link(from, to, left, right) {
          const middle = (left + right) / 2;
          return svg("path", {class: "rule",
            d: "M" + left + "," + from + " C" + middle + "," + from + " " + middle + ","
            + to + " " + right + "," + to});
        }

        function buildTopology(state, width) {
          const gap = Math.round(width * 0.045);
          const [wide, narrow] = [Math.round(width * 0.255), Math.round(width * 0.185)];
          const [shardX, replicaX] = [wide + gap, wide + narrow + 2 * gap];
          const rest = width - replicaX - 4;
          const rows = total(state.shards.map((shard) => Math.max(1, shard.replicas.length)));
          const height = Math.max(rows * rowHeight, state.collections.length * 64);
          const picture = svg("svg", {viewBox: "0 0 " + width + " " + height, width, height, role: "group",
            "aria-label": "collections, their shards and the shards' replicas"});
          boxes = {};
          const middles = {};
          let y = (height - rows * rowHeight) / 2;
          for (const shard of state.shards) {
            const middle = y + Math.max(1, shard.replicas.length) * rowHeight / 2;
            middles[shard.name] = middle;
            const made = box({class: "shard", "data-shard": shard.name}, shardX, middle - 23, narrow, 46, 1);
            boxes[shard.name] = made;
            picture.append(made.group);
            for (const replica of shard.replicas) {
              const line = link(middle, y + rowHeight / 2, shardX + narrow, replicaX);
              const made = box({tabindex: 0, role: "img", class: "replica", "data-shard": shard.name,
                "data-replica": replica.name}, replicaX, y + 3, rest, rowHeight - 6, 2);
              const bar = svg("svg", {class: "pool", x: replicaX + 10, y: y + 59, width: rest - 20, height: 8});
              made.group.append(bar);
              made.group.addEventListener("focus", () => choose(shard.name, replica.name));
              made.group.addEventListener("click", () => choose(shard.name, replica.name));
              boxes[shard.name + "/" + replica.name] = {...made, bar, line, wide: rest - 20};
              picture.append(line, made.group);
              y += rowHeight;
            }
            if (shard.replicas.length === 0) y += rowHeight;
          }
          const step = Math.min(height, 600) / Math.max(1, state.collections.length);
          state.collections.forEach((collection, index) => {
            const middle = step * (index + 0.5);
            const made = box({class: "collection", "data-collection": collection.name}, 2, middle - 30, wide, 60, 2);
            boxes["of " + collection.name] = made;
            for (const name of collection.shards) picture.append(link(middle, middles[name], wide + 2, shardX));
            picture.append(made.group);
          });
          const focused = document.activeElement?.closest?.(".replica")?.dataset;
          place("topology").replaceChildren(picture);
          if (focused) boxes[focused.shard + "/" + focused.replica]?.group.focus();
        }

        function poolBar(pool, width) {
          const limit = Math.max(1, pool.limit, pool.leased + pool.idle + pool.dialling + pool.closing);
          const parts = [svg("rect", {class: "free", x: 0, y: 0, width, height: 8, rx: 2})];
          let left = 0;
          for (const [kind, count] of [["leased", pool.leased], ["idle", pool.idle],
            ["other", pool.dialling + pool.closing]]) {
            const wide = width * count / limit;
            if (wide > 0) parts.push(svg("rect", {class: kind, x: left, y: 0, width: wide, height: 8}));
            left += wide;
          }
          return parts;
        }

        function fillReplica(shard, replica) {
          const [mood, words] = condition(replica);
          const made = boxes[shard.name + "/" + replica.name];
          const pool = replica.pool;
          // How old its rows are at most.
          const lag = replica.role === "standby" ? ["lag " + (replica.lag === undefined ? "unknown"
            : "≤ " + seconds(replica.lag))] : [];
          const breaker = "breaker " + replica.breaker.replace("_", " ")
            + (replica.breaker_cause ? " (" + replica.breaker_cause + ")" : "");
          const state = [replica.role, ...lag, breaker].join(" · ");
          const load = ["peak " + seconds(replica.latency), replica.in_flight + " in flight",
            pool.leased + " of " + pool.limit + " leased"
              + (replica.fleet ? " (of " + replica.fleet.budget + " shared)" : "")
              + (pool.waiting > 0 ? ", " + pool.waiting + " wait" : "")];
          made.fill(mood, words, [replica.name, state, load.join(" · ")]);
          made.line.setAttribute("class", "rule " + mood);
          made.bar.replaceChildren(...poolBar(pool, made.wide));
          Object.assign(made.group.dataset, {role: replica.role, breaker: replica.breaker});
          made.group.setAttribute("aria-label", replica.name + " of " + shard.name + ": " + words + ", " + state + ", "
            + load.join(", ") + ", " + pool.idle + " idle");
        }

        function fillCollection(collection, now) {
          const counted = now?.searches[collection.name];
          const traffic = !counted ? "" : counted.all === 0 ? "no searches"
            : number(counted.all) + "/s, " + (counted.partial > 0
              ? percent(Math.min(1, counted.partial / counted.all)) : "none") + " partial";
          boxes["of " + collection.name].fill(collection.is_ready ? "good" : "bad",
            collection.is_ready ? "" : "not whole",
            [collection.name, collection.metric + ", " + collection.dimensions + " dim.", traffic]);
        }

        function drawTopology(state, now) {
          const replicas = total(state.shards.map((shard) => shard.replicas.length));
          place("main").classList.toggle("large", replicas > 8);
          const width = Math.max(560, Math.floor(place("topology").clientWidth));
          const wanted = JSON.stringify([width, state.collections.map((each) => [each.name, each.shards]),
            state.shards.map((shard) => [shard.name, shard.replicas.map((each) => each.name)])]);
          if (wanted !== shape) buildTopology(state, width);
          shape = wanted;
          for (const collection of state.collections) fillCollection(collection, now);
          for (const shard of state.shards) {
            const serving = shard.replicas.filter((each) => condition(each)[0] !== "bad" && !each.is_drained).length;
            const topology = shard.topology;
            const isDoubtful = topology && sourceMood(topology) !== "good";
            boxes[shard.name].fill(serving === 0 ? "bad"
              : shard.is_in_conflict || !shard.primary || isDoubtful ? "warn" : "good",
              topology && topology.state !== "current" ? topology.state : "",
              [shard.name, serving === 0 ? "nobody serves" : topology?.refused ? "no writes: " + topology.refused
                : shard.is_in_conflict ? "two primaries!"
                : shard.primary ? "primary " + shard.primary : "no primary"]);
            for (const replica of shard.replicas) fillReplica(shard, replica);
          }
          drawChosen();
        }

        // MARK: One replica in words

        function choose(shard, replica) {
          chosen = {shard, replica};
          drawChosen();
        }

        function drawChosen() {
          const replica = chosen && last?.state.shards.find((each) => each.name === chosen.shard)
            ?.replicas.find((each) => each.name === chosen.replica);
          if (!replica) return;
          const pool = replica.pool;
          const transport = !replica.transport ? "never connected" : replica.transport.is_encrypted
            ? (replica.transport.tls_version || "TLS") + (replica.transport.certificate_expires
              ? ", certificate until "
                + new Date(replica.transport.certificate_expires * 1000).toLocaleDateString() : "")
            : "not encrypted";
          const behind = replica.lag_bytes === undefined ? [] : [bytes(replica.lag_bytes) + " of WAL behind"];
          const versions = !replica.versions ? [] : ["PostgreSQL " + replica.versions.postgresql
            + (replica.versions.pgvector ? ", pgvector " + replica.versions.pgvector : "")];
          place("chosen").textContent = replica.name + ": " + [...versions, transport, ...behind,
            number(pool.leases) + " leases",
            number(pool.waits) + " of them waited", pool.expired + " waited in vain", pool.refused + " refused",
            number(pool.dials) + " dials", number(pool.dial_failures) + " of them failed",
            pool.backing_off + " to be dialled after a pause"].join(" · ");
        }

        """#

    /// Each over the last two minutes.
    static let charts = #"""
        // A bound that reads well.
        function roundUp(value) {
          const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
          return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value);
        }

        const chartLeft = 52;

        function chart(id, high, words) {
          const width = Math.max(320, Math.floor(place(id).clientWidth));
          const picture = svg("svg", {viewBox: "0 0 " + width + " " + (high + 18), width, height: high + 18,
            role: "img", "aria-label": words});
          picture.append(svg("path", {class: "rule", d: "M" + chartLeft + "," + (high + 0.5) + " H" + width}),
            svg("text", {class: "dim", x: chartLeft, y: high + 14}, "2 min ago"),
            svg("text", {class: "dim", x: (chartLeft + width) / 2, y: high + 14, "text-anchor": "middle"}, "1 min ago"),
            svg("text", {class: "dim", x: width, y: high + 14, "text-anchor": "end"}, clock(last.at)));
          place(id).replaceChildren(picture);
          const slot = (width - chartLeft) / kept;
          // Where the time between two frames is drawn; when nothing was heard there is nothing.
          return {picture, span: (each) => {
            const right = width - (last.at - each.at) * slot;
            const left = Math.max(chartLeft, right - Math.min(each.time, 5) * slot);
            return {x: left, width: Math.max(0.5, right - left - 0.5)};
          }};
        }

        // Bars of several parts, one upon the other. `parts` has pairs of a class and what it is of each second.
        function bars(id, most, top, words, parts) {
          const high = 64;
          const {picture, span} = chart(id, high, words);
          for (const [share, text] of [[1, top], [0, "0"]]) {
            picture.append(svg("text", {class: "dim", x: chartLeft - 6, y: high - share * (high - 10) + 1,
              "text-anchor": "end"}, text));
          }
          for (const each of history) {
            let from = high;
            for (const [kind, value] of parts) {
              const height = (high - 4) * Math.min(most, value(each)) / most;
              if (height <= 0) continue;
              from -= height;
              picture.append(svg("rect", {class: kind, ...span(each), y: from, height}));
            }
          }
        }

        function drawTraffic(state, now) {
          const most = roundUp(Math.max(1, ...history.map((each) => each.all)));
          bars("throughput", most, number(most), "requests a second, now " + (now ? number(now.all) : "unknown"),
            [["leased", (each) => each.whole], ["partial", (each) => each.partial], ["failed", (each) => each.failed]]);
          const share = (each, part) => each.all > 0 ? part / each.all : 0;
          bars("coverage", 1, "100 %", "share of the requests that were answered whole, now "
            + (now && now.all > 0 ? percent(share(now, now.whole)) : "none"),
            [["leased", (each) => share(each, each.whole)], ["partial", (each) => share(each, each.partial)],
              ["failed", (each) => share(each, each.failed)]]);
          const longest = roundUp(Math.max(1, ...history.map((each) => each.running + each.waiting)));
          bars("queue", longest, number(longest), state.admission ? state.admission.running + " run and "
            + state.admission.waiting + " wait" : "no limit",
            [["leased", (each) => each.running], ["other", (each) => each.waiting]]);
        }

        function drawLatency(bounds) {
          const rows = bounds.length + 1;
          const step = 16;
          const {picture, span} = chart("latency", rows * step, "how many requests took how long");
          const most = Math.max(1, ...history.flatMap((each) => each.counts.map((count) => count / each.time)));
          for (const each of history) {
            each.counts.forEach((count, row) => {
              if (count <= 0) return;
              const shade = 0.15 + 0.85 * Math.log1p(count / each.time) / Math.log1p(most);
              picture.append(svg("rect", {class: "cell", fill: "rgba(var(--heat), " + shade.toFixed(2) + ")",
                ...span(each), y: (rows - 1 - row) * step, height: step - 1}));
            });
          }
          bounds.forEach((bound, row) => {
            if (row % 3 !== 0) return;
            // The line is the bound: below it is what was as quick.
            const y = (rows - 1 - row) * step - 0.5;
            picture.prepend(svg("path", {class: "rule", d: "M" + chartLeft + "," + y + " h4"}),
              svg("text", {class: "dim", x: chartLeft - 6, y: y + 4, "text-anchor": "end"}, seconds(bound)));
          });
        }

        """#
}
