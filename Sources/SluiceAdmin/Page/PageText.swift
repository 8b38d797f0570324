/// The page at `/`. It gets everything else from `/page.css`, `/page.js` and `/api/v1/live`.
enum PageText {
    static let html = #"""
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <title>Sluice</title>
        <link rel="stylesheet" href="page.css">
        <link rel="icon" href="data:,">
        </head>
        <body data-connection="connecting">
        <header>
        <h1>Sluice</h1>
        <p id="about"></p>
        <p id="readiness" role="status"></p>
        <p id="connection" role="status">connecting…</p>
        </header>
        <main>
        <section aria-labelledby="numbers-title" id="numbers">
        <h2 id="numbers-title">Now</h2>
        <dl></dl>
        </section>
        <section aria-labelledby="topology-title">
        <h2 id="topology-title">Topology</h2>
        <p class="legend"><span class="bar leased"></span> leased <span class="bar idle"></span> idle
        <span class="bar other"></span> dialling or closing <span class="bar free"></span> room</p>
        <div id="topology" class="wide"></div>
        </section>
        <section aria-labelledby="throughput-title">
        <h2 id="throughput-title">Requests a second</h2>
        <div id="throughput" class="wide"></div>
        </section>
        <section aria-labelledby="latency-title">
        <h2 id="latency-title">Latency</h2>
        <div id="latency" class="wide"></div>
        </section>
        <section aria-labelledby="slow-title">
        <h2 id="slow-title">Slow searches</h2>
        <p class="legend"><span class="bar wait"></span> waiting <span class="bar execute"></span> executing
        <span class="bar lost"></span> retries and what came between</p>
        <div id="slow"><p class="none">none so far</p></div>
        </section>
        <section aria-labelledby="events-title">
        <h2 id="events-title">Events</h2>
        <ol id="events"><li class="none">none so far</li></ol>
        </section>
        </main>
        <noscript>This page needs JavaScript; the same is in <a href="api/v1/state">api/v1/state</a> and
        <a href="metrics">metrics</a>.</noscript>
        <script src="page.js"></script>
        </body>
        </html>

        """#

    static let css = #"""
        :root {
          --ground: #fbfaf7; --panel: #ffffff; --ink: #1d2327; --dim: #5b666e; --line: #d9dcd6;
          --good: #1a7f4b; --warn: #a15c00; --bad: #b3261e;
          --leased: #1f6f8b; --idle: #8fc1d4; --other: #c9a227; --free: #e8ebe6; --heat: 31, 111, 139;
        }
        @media (prefers-color-scheme: dark) {
          :root {
            --ground: #14191c; --panel: #1b2226; --ink: #e6e9e6; --dim: #9aa6ad; --line: #313b41;
            --good: #58c58c; --warn: #e0a458; --bad: #ff8a80;
            --leased: #58b0d0; --idle: #2f5f73; --other: #d8b648; --free: #2a3338; --heat: 88, 176, 208;
          }
        }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
        header { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; align-items: baseline;
          padding: .75rem 1.25rem; border-bottom: 1px solid var(--line); background: var(--panel); }
        h1 { font-size: 1.25rem; margin: 0; }
        h2 { font-size: 1rem; margin: 0 0 .5rem; }
        header p { margin: 0; color: var(--dim); }
        #readiness, #connection { font-weight: 600; }
        header .good { color: var(--good); } header .bad { color: var(--bad); }
        main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 34rem), 1fr)); gap: 1rem;
          padding: 1rem 1.25rem; }
        section { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .85rem 1rem;
          min-width: 0; }
        .wide { overflow-x: auto; }
        dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .6rem 1rem; margin: 0; }
        dt { color: var(--dim); font-size: .85rem; }
        dd { margin: 0; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
        svg { display: block; max-width: 100%; height: auto; }
        svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
        svg .dim { fill: var(--dim); } svg .rule { stroke: var(--line); fill: none; }
        svg .box { fill: var(--panel); stroke: var(--line); }
        svg .box.good { stroke: var(--good); }
        svg .box.warn { stroke: var(--warn); }
        svg .box.bad { stroke: var(--bad); }
        svg g[tabindex]:focus { outline: none; }
        svg g[tabindex]:focus .box { stroke-width: 3; }
        .legend { color: var(--dim); font-size: .85rem; margin: 0 0 .5rem; }
        .bar { display: inline-block; width: .8em; height: .8em; border-radius: 2px; vertical-align: -.05em; }
        .leased, .execute { background: var(--leased); fill: var(--leased); }
        .idle { background: var(--idle); fill: var(--idle); }
        .other, .wait { background: var(--other); fill: var(--other); }
        .free, .lost { background: var(--free); fill: var(--free); }
        .none { color: var(--dim); margin: 0; }
        #events .none { border: 0; }
        #events { margin: 0; padding: 0; list-style: none; max-height: 18rem; overflow-y: auto; }
        #events li { padding: .15rem 0; border-bottom: 1px solid var(--line); }
        time { color: var(--dim); font-variant-numeric: tabular-nums; margin-right: .5rem; }
        details { border-bottom: 1px solid var(--line); padding: .2rem 0; } summary { cursor: pointer; }
        #slow { max-height: 24rem; overflow-y: auto; }
        .legs { display: grid; grid-template-columns: max-content 1fr; gap: .15rem .75rem; padding: .35rem 0; }
        .plan { grid-column: 1 / -1; overflow-wrap: anywhere; } .plan.bad { color: var(--bad); }
        .track { position: relative; height: 1.1em; background: transparent; }
        .track span { position: absolute; top: .15em; height: .8em; min-width: 1px; }
        body[data-connection="lost"] main { opacity: .55; }
        a { color: inherit; } :focus-visible { outline: 2px solid var(--leased); outline-offset: 2px; }
        @media (prefers-reduced-motion: no-preference) { main { transition: opacity .3s; } }

        """#
}
