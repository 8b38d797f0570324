extension PageText {
    /// Slow searches and events.
    static let lists = #"""
        const listed = 64;

        function addEvents(events) {
          const list = place("events");
          for (const each of events) {
            list.querySelector(".none")?.remove();
            list.prepend(element("li", {"data-kind": each.kind, "data-number": each.number,
              "data-replica": each.replica}, element("time", {}, clock(each.at)),
              each.shard + (each.replica ? "/" + each.replica : "") + ": " + each.text));
          }
          while (list.children.length > listed) list.lastElementChild.remove();
        }

        // A leg's time from left to right: it waits for a connection, tries again, and executes.
        function track(parts, longest) {
          const track = element("div", {class: "track"});
          let from = 0;
          for (const [kind, length] of parts) {
            if (length <= 0) continue;
            const bar = element("span", {class: kind});
            bar.style.left = 100 * from / longest + "%";
            bar.style.width = 100 * length / longest + "%";
            track.append(bar);
            from += length;
          }
          return track;
        }

        function several(count, word) { return count + " " + word + (count === 1 ? "" : "s"); }

        function legRow(leg, longest) {
          const extra = (leg.attempts > 1 ? ", " + several(leg.attempts, "attempt") : "")
            + (leg.hedges > 0 ? ", " + several(leg.hedges, "hedge") : "");
          const between = Math.max(0, leg.took - leg.wait - leg.execute);
          return [
            element("span", {class: "leg" + (leg.status === "ok" ? "" : " bad")}, leg.collection + ", " + leg.shard
              + (leg.replica ? "/" + leg.replica : "") + ": " + leg.status + ", " + seconds(leg.took) + extra),
            track([["wait", leg.wait], ["lost", between], ["execute", leg.execute]], longest)];
        }

        function planRow(plan) {
          if (!plan) return [];
          const words = plan.is_index_missed ? "the index is not used: " : "plan: ";
          return [element("span", {class: plan.is_index_missed ? "plan bad" : "plan"},
            plan.collection + ", " + plan.shard + "/" + plan.replica + ": " + words + plan.steps)];
        }

        function addSlow(searches) {
          const list = place("slow");
          for (const each of searches) {
            list.querySelector(".none")?.remove();
            const longest = Math.max(each.took, ...each.legs.map((leg) => leg.took), 1e-6);
            const drawn = element("details", {"data-number": each.number},
              element("summary", {}, element("time", {}, clock(each.at)), seconds(each.took) + ", "
                + each.collections.join(" and ") + ", k " + each.k + ": "
                + (each.failure || percent(each.coverage) + " covered")),
              element("div", {class: "legs"}, element("span", {}, "the whole search, " + seconds(each.took)),
                track([["whole", each.took]], longest), ...each.legs.flatMap((leg) => legRow(leg, longest)),
                ...planRow(each.plan)));
            // A plan comes after its search.
            const before = list.querySelector(`details[data-number="${each.number}"]`);
            if (before?.open) drawn.setAttribute("open", "");
            if (before) before.replaceWith(drawn); else list.prepend(drawn);
          }
          if (!list.querySelector("details[open]")) list.querySelector("details")?.setAttribute("open", "");
          while (list.children.length > listed) list.lastElementChild.remove();
        }

        """#

    /// The connection, and what it brings.
    static let feed = #"""
        // A frame comes every second; after so many without one nothing that is shown can be believed.
        const patience = 4000;
        let heardAt = 0;

        function draw(frame) {
          // Of a gateway that has started meanwhile nothing can be counted from what the other one had counted.
          const isSame = last && frame.at > last.at && frame.state.process.uptime > last.state.process.uptime;
          const now = isSame ? rates(frame, last) : null;
          if (now) history.push(now);
          history = history.filter((each) => each.at > frame.at - kept);
          last = frame;
          drawHeader(frame.state);
          drawNumbers(frame, now);
          drawTopology(frame.state, now);
          drawSources(frame.state);
          drawTraffic(frame.state, now);
          drawLatency(frame.requests.bounds);
          addEvents(frame.events);
          addSlow(frame.slow_searches);
        }

        function say(connection, words) {
          if (document.body.dataset.connection === connection) return;
          document.body.dataset.connection = connection;
          place("connection").textContent = words;
          place("connection").className = connection === "live" ? "good" : "bad";
          document.title = connection === "live" ? "Sluice" : "Sluice (disconnected)";
        }

        function lost() {
          say("lost", heardAt === 0 ? "the gateway cannot be reached; trying again"
            : "disconnected since " + clock(heardAt / 1000) + ", and what is shown is of then; trying again");
        }

        function listen() {
          const source = new EventSource("api/v1/live");
          source.onopen = () => {
            // The next frame brings all that the gateway remembers.
            place("events").replaceChildren(element("li", {class: "none"}, "none so far"));
            place("slow").replaceChildren(element("p", {class: "none"}, "none so far"));
          };
          source.onmessage = (message) => {
            draw(JSON.parse(message.data));
            heardAt = Date.now();
            say("live", "live");
          };
          source.onerror = () => {
            lost();
            if (source.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
          };
        }

        setInterval(() => { if (heardAt > 0 && Date.now() - heardAt > patience) lost(); }, 500);
        listen();

        """#
}
