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
        <main id="main">
        <section aria-labelledby="numbers-title" id="numbers">
        <h2 id="numbers-title">Now</h2>
        <dl></dl>
        </section>
        <section aria-labelledby="topology-title" id="picture">
        <h2 id="topology-title">Topology</h2>
        <p class="legend"><span class="bar leased"></span> leased <span class="bar idle"></span> idle
        <span class="bar other"></span> dialling or closing <span class="bar free"></span> room in the pool</p>
        <div id="topology"></div>
        <p id="chosen" class="legend">Tab or click: more about a replica.</p>
        <ul id="sources" aria-label="where the shards' replicas come from"></ul>
        </section>
        <section aria-labelledby="traffic-title">
        <h2 id="traffic-title">Traffic</h2>
        <figure><figcaption class="legend">Requests a second: <span class="bar leased"></span> answered
        <span class="bar partial"></span> in part <span class="bar failed"></span> not answered</figcaption>
        <div id="throughput" class="wide"></div></figure>
        <figure><figcaption class="legend">Coverage: <span class="bar leased"></span> whole answers
        <span class="bar partial"></span> partial <span class="bar failed"></span> none</figcaption>
        <div id="coverage" class="wide"></div></figure>
        <figure><figcaption class="legend">Queue: <span class="bar leased"></span> running
        <span class="bar other"></span> waiting</figcaption>
        <div id="queue" class="wide"></div></figure>
        </section>
        <section aria-labelledby="latency-title">
        <h2 id="latency-title">Latency</h2>
        <p class="legend">How many requests took how long, each second: <span class="bar few"></span> few
        <span class="bar many"></span> many</p>
        <div id="latency" class="wide"></div>
        </section>
        <section aria-labelledby="slow-title">
        <h2 id="slow-title">Slow searches</h2>
        <p class="legend"><span class="bar wait"></span> waiting for a connection
        <span class="bar lost"></span> retries and what came between <span class="bar execute"></span> executing</p>
        <div id="slow" tabindex="0" role="region" aria-labelledby="slow-title"><p class="none">none so far</p></div>
        </section>
        <section aria-labelledby="events-title">
        <h2 id="events-title">Events</h2>
        <ol id="events" tabindex="0" aria-labelledby="events-title"><li class="none">none so far</li></ol>
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
          --ground: #fbfaf7; --panel: #ffffff; --ink: #1d2327; --dim: #56616a; --line: #d9dcd6;
          --good: #1a7f4b; --warn: #a15c00; --bad: #b3261e; --focus: #0b57d0;
          --leased: #1f6f8b; --idle: #8fc1d4; --other: #c9a227; --free: #e3e7e1; --heat: 31, 111, 139;
        }
        @media (prefers-color-scheme: dark) {
          :root {
            --ground: #14191c; --panel: #1b2226; --ink: #e6e9e6; --dim: #a3afb6; --line: #36424a;
            --good: #58c58c; --warn: #e0a458; --bad: #ff8a80; --focus: #a8c7fa;
            --leased: #58b0d0; --idle: #2f6980; --other: #d8b648; --free: #303b41; --heat: 88, 176, 208;
          }
        }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
        header { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; align-items: baseline; position: sticky; top: 0;
          z-index: 1; padding: .6rem 1.25rem; border-bottom: 1px solid var(--line); background: var(--panel); }
        h1 { font-size: 1.25rem; margin: 0; }
        h2 { font-size: 1rem; margin: 0 0 .5rem; }
        header p { margin: 0; color: var(--dim); }
        #readiness, #connection { font-weight: 600; }
        header .good { color: var(--good); } header .bad { color: var(--bad); }
        main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 34rem), 1fr)); gap: 1rem;
          padding: 1rem 1.25rem; }
        section { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .85rem 1rem;
          min-width: 0; }
        main.large :is(#numbers, #picture) { grid-column: 1 / -1; }
        figure { margin: 0 0 .6rem; }
        .wide { overflow-x: auto; }
        #topology { overflow: auto; max-height: 40rem; }
        dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .6rem 1rem; margin: 0; }
        dt { color: var(--dim); font-size: .85rem; }
        dd { margin: 0; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
        svg { display: block; }
        svg text { fill: var(--ink); font: 12px system-ui, sans-serif; font-variant-numeric: tabular-nums; }
        svg .name, svg .state { font-weight: 600; } svg .state.good { fill: var(--good); }
        svg .state.warn { fill: var(--warn); } svg .state.bad { fill: var(--bad); }
        svg .dim { fill: var(--dim); font-size: 11.5px; }
        svg .rule { stroke: var(--line); fill: none; }
        svg .rule.bad { stroke: var(--bad); stroke-dasharray: 4 4; }
        svg .rule.warn { stroke: var(--warn); stroke-dasharray: 4 4; }
        svg .box { fill: var(--panel); stroke: var(--line); }
        svg .box.good { stroke: var(--good); }
        svg .box.warn { stroke: var(--warn); }
        svg .box.bad { stroke: var(--bad); stroke-width: 2; }
        .replica { cursor: pointer; outline: none; }
        .replica:focus-visible .box { stroke: var(--focus); stroke-width: 3; }
        .legend { color: var(--dim); font-size: .85rem; margin: 0 0 .5rem; }
        #chosen { margin: .5rem 0 0; }
        #sources { margin: .5rem 0 0; padding: 0; list-style: none; max-height: 12rem; overflow-y: auto; }
        #sources:empty { display: none; }
        #sources li { font-size: .85rem; color: var(--dim); overflow-wrap: anywhere; }
        #sources .warn { color: var(--warn); } #sources .bad { color: var(--bad); font-weight: 600; }
        .bar { display: inline-block; width: .8em; height: .8em; border-radius: 2px; vertical-align: -.05em; }
        .legend .bar:not(:first-child) { margin-left: .6em; }
        .leased, .execute { background: var(--leased); fill: var(--leased); }
        .idle { background: var(--idle); fill: var(--idle); }
        .other, .wait { background: var(--other); fill: var(--other); }
        .free { background: var(--free); fill: var(--free); }
        .partial, .lost { background: var(--warn); fill: var(--warn); }
        .failed { background: var(--bad); fill: var(--bad); }
        .whole { background: var(--dim); }
        .few { background: rgba(var(--heat), .15); } .many { background: rgb(var(--heat)); }
        .none { color: var(--dim); margin: 0; }
        #events .none { border: 0; }
        #events { margin: 0; padding: 0; list-style: none; max-height: 26rem; overflow-y: auto; }
        #events li { padding: .15rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
        time { color: var(--dim); font-variant-numeric: tabular-nums; margin-right: .5rem; }
        details { border-bottom: 1px solid var(--line); padding: .2rem 0; } summary { cursor: pointer; }
        #slow { max-height: 24rem; overflow-y: auto; }
        .legs { display: grid; grid-template-columns: fit-content(60%) minmax(0, 1fr); gap: .15rem .75rem;
          padding: .35rem 0; font-size: .9rem; }
        .leg.bad { color: var(--bad); }
        .plan { grid-column: 1 / -1; overflow-wrap: anywhere; } .plan.bad { color: var(--bad); }
        .track { position: relative; height: 1.1em; }
        .track span { position: absolute; top: .3em; height: .7em; min-width: 1px; }
        .track .whole { top: .55em; height: .2em; }
        body[data-connection="lost"] main { opacity: .7; filter: grayscale(1); }
        body[data-connection="lost"] :is(#about, #readiness) { color: var(--dim); opacity: .7; }
        a { color: inherit; } :focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; }
        .replica:focus-visible { outline: none; }

        """#
}
